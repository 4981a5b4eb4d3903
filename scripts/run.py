"""The whole journey in one go: train, sample, report. Takes a run file, or a bare table with its target.

python scripts/run.py configs/runs/harmonic/quickstart.toml
python scripts/run.py --table patients.csv --target outcome --rows 5000
python scripts/run.py configs/runs/harmonic/quickstart.toml --audit
"""

from __future__ import annotations

import cli
import whole


def work() -> None:
    parser = whole.parser(__doc__)
    parser.add_argument(
        "--audit",
        action="store_true",
        help="measure leakage instead, by coin flips, in a run of its own: NAME-audit beside the run",
    )
    arguments = parser.parse_args()
    config = whole.config_of(arguments)
    (whole.audit if arguments.audit or config.audit else whole.run)(config, arguments)


if __name__ == "__main__":
    cli.main(work)

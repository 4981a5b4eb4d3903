"""The whole journey in one go: train, sample, report. Takes a run file, or a bare table with its target.

python scripts/run.py configs/runs/harmonic/quickstart.toml
python scripts/run.py --table patients.csv --target outcome --rows 5000
"""

from __future__ import annotations

import cli
import whole


def work() -> None:
    arguments = whole.parser(__doc__).parse_args()
    whole.run(whole.config_of(arguments), arguments)


if __name__ == "__main__":
    cli.main(work)

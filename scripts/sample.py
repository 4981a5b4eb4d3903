"""Draws rows from a trained run; a killed draw goes on where it was, and several processes share one.

python scripts/sample.py checkpoints/harmonic/adult/s0 --rows 100000 --seed 1
"""

from __future__ import annotations

from dataclasses import replace

import cli

from harmonic.config import SampleSection
from harmonic.run import Run


def work() -> None:
    parser = cli.folder_parser(__doc__)
    parser.add_argument("--rows", type=int, help="how many rows")
    parser.add_argument("--seed", type=int, help="which table: one seed, one table")
    parser.add_argument("--slots", type=int, help="contexts decoded at once")
    parser.add_argument("--dry-run", action="store_true", help="show the settings, draw nothing")
    arguments = parser.parse_args()
    config = cli.trained(arguments.config)
    given = {name: getattr(arguments, name) for name in ("rows", "seed", "slots")}
    settings = replace(
        config.sample or SampleSection(),
        **{name: value for name, value in given.items() if value is not None},
    )
    if arguments.dry_run:
        return cli.say(str(settings))
    from harmonic import journey

    folder = Run.join(arguments.config).folder
    with cli.open_run(folder, None) as run:
        done = journey.sample(run, journey.load(run, config), settings, cli.processes())
        cli.say(f"Rows: {done}")


if __name__ == "__main__":
    cli.main(work)

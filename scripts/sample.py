"""Draws rows from a trained run; a killed draw goes on where it was, and several processes share one.

python scripts/sample.py checkpoints/harmonic/adult/s0 --rows 100000 --seed 1
python scripts/sample.py checkpoints/harmonic/adult/s0 --rows 1000 --given sex=Female --where "age >= 65"
python scripts/sample.py checkpoints/harmonic/adult/s0 --quota "income=>50K:500,<=50K:500"
python scripts/sample.py checkpoints/harmonic/adult/s0 --impute holes.csv --out filled.csv
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

import cli

from harmonic.config import Config, SampleSection
from harmonic.errors import HarmonicError
from harmonic.run import Run


def _given(pairs: Sequence[str]) -> dict[str, str]:
    """sex=2 as {"sex": "2"}; the schema knows what the texts mean."""
    split = [pair.partition("=") for pair in pairs]
    wrong = next(
        (pair for pair, (name, equals, _) in zip(pairs, split, strict=True) if not name or not equals), None
    )
    if wrong is not None:
        raise HarmonicError(f"--given {wrong!r}: expected column=value, such as --given sex=2.")
    return {name: value for name, _, value in split}


def _quotas(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """class=yes:500,no:500 as {"class": {"yes": 500, "no": 500}}; shares are written .5 or 0.5."""
    quotas: dict[str, dict[str, float]] = {}
    for text in texts:
        name, _, parts = text.partition("=")
        pairs = [part.rpartition(":") for part in parts.split(",")]
        try:
            quotas[name] = {value: float(count) if "." in count else int(count) for value, _, count in pairs}
        except ValueError:
            raise HarmonicError(
                f"--quota {text!r}: expected column=value:rows,..., such as --quota class=yes:500,no:500; values with "
                "commas stand in the run file ([sample.quotas.class])."
            ) from None
    return quotas


def _settings(arguments: Namespace, config: Config) -> SampleSection:
    """The run's settings under the arguments; rows are as many as quotas add up to, where nobody says."""
    settings = config.sample or SampleSection()
    quotas = _quotas(arguments.quota)
    counts = [
        sum(parts.values()) for parts in quotas.values() if all(isinstance(n, int) for n in parts.values())
    ]
    found = {name: getattr(arguments, name) for name in ("rows", "seed", "slots")}
    if found["rows"] is None and counts:
        found["rows"] = int(counts[0])
    return replace(
        settings,
        **{name: value for name, value in found.items() if value is not None},
        given={**(settings.given or {}), **_given(arguments.given)} or None,
        where=(*settings.where, *arguments.where),
        quotas={**(settings.quotas or {}), **quotas} or None,
    )


def work() -> None:
    parser = cli.folder_parser(__doc__)
    parser.add_argument("--rows", type=int, help="how many rows")
    parser.add_argument("--seed", type=int, help="which table: one seed, one table")
    parser.add_argument("--slots", type=int, help="contexts decoded at once")
    parser.add_argument("--given", action="append", default=[], metavar="COLUMN=VALUE", help="in every row")
    parser.add_argument("--where", action="append", default=[], metavar="'age >= 65'", help="in every row")
    parser.add_argument("--quota", action="append", default=[], metavar="COLUMN=VALUE:ROWS,...")
    parser.add_argument(
        "--name", help="the sample's name in the run folder; else seed-N, and a digest of conditions"
    )
    parser.add_argument(
        "--impute", metavar="FILE", help="fill the missing cells of this table, instead of drawing rows"
    )
    parser.add_argument("--out", metavar="FILE", help="where the filled table goes (CSV)")
    parser.add_argument("--dry-run", action="store_true", help="show the settings, draw nothing")
    arguments = parser.parse_args()
    if (arguments.impute is None) != (arguments.out is None):
        raise HarmonicError("--impute and --out go together: --impute holes.csv --out filled.csv.")
    config = cli.trained(arguments.config)
    settings = _settings(arguments, config)
    if arguments.dry_run:
        return cli.say(str(settings))
    from harmonic import journey

    with cli.open_run(Run.join(arguments.config).folder, None) as run:
        synthesizer = journey.load(run, config)
        if arguments.impute is not None:
            filled, rows = journey.impute(synthesizer, arguments.impute, arguments.out, settings)
            return cli.say(f"Rows: {arguments.out} ({filled} cells filled in {rows} rows)")
        done = journey.sample(run, synthesizer, settings, cli.processes(), arguments.name)
        cli.say(f"Rows: {done}")


if __name__ == "__main__":
    cli.main(work)

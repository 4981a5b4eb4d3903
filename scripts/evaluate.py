"""Reports on a run folder's sample, or on CSV or Parquet files of any tool.

python scripts/evaluate.py checkpoints/harmonic/adult/s0
python scripts/evaluate.py checkpoints/harmonic/adult/s0 --suite full --resplits 10
python scripts/evaluate.py checkpoints/harmonic/adult/s0 --contamination
python scripts/evaluate.py --real train.csv --synthetic new.csv --holdout test.csv --target outcome --out reports/new
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cli

from harmonic.config import Config, EvaluateSection
from harmonic.errors import HarmonicError


def work() -> None:
    parser = cli.folder_parser(__doc__)
    parser.add_argument(
        "--suite", choices=["quick", "full", "paper"], help="how much work; default: the run's, or quick"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the sample in a run folder; else of the report"
    )
    parser.add_argument("--resplits", type=int, help="whole runs on so many splits, this run's among them")
    parser.add_argument(
        "--contamination",
        action="store_true",
        help="whether the run's base knew the table before any training",
    )
    for name in ("real", "synthetic", "holdout", "reference"):
        parser.add_argument(f"--{name}", help=f"a CSV or Parquet file of {name} rows")
    parser.add_argument("--target", help="the column to predict")
    parser.add_argument("--table", help="a data sheet (TOML) that says what the columns of the files are")
    parser.add_argument("--network", help="a .bif file: the Bayesian network that the rows were drawn from")
    parser.add_argument(
        "--out", default=".", help="folder for report.html and .json on files, or one such file"
    )
    arguments = parser.parse_args()
    if arguments.config is not None:
        _check_no_files(arguments)
        if arguments.contamination:
            return _report_on_base(arguments)
        return (_report_on_resplits if arguments.resplits is not None else _report_on_run)(arguments)
    if not (arguments.real and arguments.synthetic and arguments.holdout):
        raise HarmonicError(
            "Nothing to report on. Give a run folder, or --real, --synthetic and --holdout files."
        )
    if arguments.resplits is not None:
        raise HarmonicError("--resplits: makes whole runs, and files cannot be made anew. Give a run folder.")
    if arguments.contamination:
        raise HarmonicError("--contamination: asks a run's base, and files have none. Give a run folder.")
    _report_on_files(arguments)


def _check_no_files(arguments: Namespace) -> None:
    names = ("real", "synthetic", "holdout", "reference", "target", "table", "network")
    given = [name for name in names if getattr(arguments, name)]
    if given:
        raise HarmonicError(
            f"--{given[0]}: a run folder {arguments.config!r} was given too, which knows its own. Leave one out."
        )


def _report_on_run(arguments: Namespace) -> None:
    config = cli.trained(arguments.config)
    from harmonic import journey

    with cli.open_run(arguments.config, None) as run:
        report = journey.report(run, config, _settings(arguments, config), arguments.seed)
        cli.say(f"{report.summary()}\nReport: {run.path('report.html')}")


def _report_on_base(arguments: Namespace) -> None:
    config = cli.trained(arguments.config)
    from harmonic import journey

    with cli.open_run(arguments.config, None) as run:
        cli.say(journey.contamination(run, config).verdict)
        cli.say(f"Figures: {run.path('contamination.json')}")


def _report_on_resplits(arguments: Namespace) -> None:
    config = cli.trained(arguments.config)
    from harmonic.repeats import resplit, summary_path

    resplits = resplit(arguments.config, config, _settings(arguments, config), arguments.resplits)
    cli.say(f"{resplits.summary()}\nReport: {summary_path(arguments.config, config, 'html')}")


def _settings(arguments: Namespace, config: Config) -> EvaluateSection:
    """[evaluate] of the run, under the suite of the command line."""
    settings = config.evaluate or EvaluateSection()
    return replace(settings, suite=arguments.suite or settings.suite)


def _report_on_files(arguments: Namespace) -> None:
    from harmonic.evaluation import evaluate
    from harmonic.evaluation.inputs import read_inputs
    from harmonic.evaluation.networks import read_network

    tables = read_inputs(
        arguments.real,
        arguments.synthetic,
        arguments.holdout,
        reference=arguments.reference,
        target=arguments.target,
        sheet=arguments.table,
    )
    network = read_network(arguments.network) if arguments.network else None
    report = evaluate(**tables, network=network, seed=arguments.seed, suite=arguments.suite or "quick")
    out = Path(arguments.out)
    places = [out] if out.suffix in (".html", ".json") else [out / "report.json", out / "report.html"]
    for place in places:
        report.save(place)
    cli.say(f"{report.summary()}\nReport: {places[-1]}")


if __name__ == "__main__":
    cli.main(work)

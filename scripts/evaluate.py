"""Reports on a run folder's sample, or on CSV files of any tool.

python scripts/evaluate.py checkpoints/harmonic/adult/s0
python scripts/evaluate.py --real train.csv --synthetic new.csv --holdout test.csv --target outcome --out report.html
"""

from __future__ import annotations

from argparse import Namespace

import cli

from harmonic.config import EvaluateSection
from harmonic.errors import HarmonicError


def work() -> None:
    parser = cli.folder_parser(__doc__)
    parser.add_argument("--suite", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=0, help="of the sample, in a run folder")
    for name in ("real", "synthetic", "holdout"):
        parser.add_argument(f"--{name}", help=f"a CSV or Parquet file of {name} rows")
    parser.add_argument("--target", help="the column to predict")
    parser.add_argument("--out", default="report.html", help="where the report on files goes")
    arguments = parser.parse_args()
    if arguments.config is not None:
        return _report_on_run(arguments)
    if not (arguments.real and arguments.synthetic and arguments.holdout):
        raise HarmonicError(
            "Nothing to report on. Give a run folder, or --real, --synthetic and --holdout files."
        )
    _report_on_files(arguments)


def _report_on_run(arguments: Namespace) -> None:
    config = cli.trained(arguments.config)
    from harmonic import journey

    with cli.open_run(arguments.config, None) as run:
        report = journey.report(run, config, EvaluateSection(suite=arguments.suite), arguments.seed)
        cli.say(f"{report.summary()}\nReport: {run.path('report.html')}")


def _report_on_files(arguments: Namespace) -> None:
    from harmonic import evaluate, read_table
    from harmonic.table.infer import observe
    from harmonic.table.sources import load_table

    real, schema = read_table(arguments.real, target=arguments.target)
    schema = observe(schema, real)
    tables = {name: load_table(getattr(arguments, name), schema) for name in ("synthetic", "holdout")}
    report = evaluate(real=real, **tables, schema=schema, suite=arguments.suite)
    report.save(arguments.out)
    cli.say(f"{report.summary()}\nReport: {arguments.out}")


if __name__ == "__main__":
    cli.main(work)

"""The whole journey in one go: train, sample, report. Takes a run file, or a bare table with its target.

python scripts/run.py configs/runs/harmonic/quickstart.toml
python scripts/run.py --table patients.csv --target outcome --rows 5000
"""

from __future__ import annotations

from argparse import Namespace

import cli

from harmonic.config import Config, EvaluateSection, SampleSection, config_from_dict
from harmonic.settings import apply_overrides


def _config(arguments: Namespace) -> Config:
    if arguments.rows is not None:
        arguments.set.append(f"sample.rows={arguments.rows}")
    if arguments.seed is not None:
        arguments.set += [f"run.seed={arguments.seed}", f"sample.seed={arguments.seed}"]
    if arguments.table is None:
        return cli.config_of(arguments)
    named = {"source": arguments.table, "target": arguments.target, "holdout": arguments.holdout}
    data = {"table": {name: value for name, value in named.items() if value is not None}}
    if arguments.out:
        data["run"] = {"out": arguments.out}
    return config_from_dict(apply_overrides(data, arguments.set), where="Command line")


def work() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--table", help="a CSV or Parquet file, instead of a run file")
    parser.add_argument("--target", help="the column that the report predicts")
    parser.add_argument("--holdout", help="rows for the report alone: then every row of the table trains")
    parser.add_argument("--rows", type=int, help="how many rows to draw")
    parser.add_argument("--seed", type=int, help="of the split, the training and the sample")
    arguments = parser.parse_args()
    config = _config(arguments)
    if arguments.dry_run:
        return cli.dry_run(config)
    from harmonic import journey

    settings = config.sample or SampleSection()
    with cli.open_run(config.folder, config, resume=arguments.resume, force=arguments.force) as run:
        if not run.is_done:
            me = cli.processes()
            synthesizer = journey.train(run, config, resume=True, processes=me)
            journey.sample(run, synthesizer, settings, me)
            if me.is_main:
                cli.say(
                    journey.report(run, config, config.evaluate or EvaluateSection(), settings.seed).summary()
                )
                run.finish()
        rows = run.path(f"samples/{journey.sample_name(settings)}.csv")
        cli.say(f"Rows:   {rows}\nReport: {run.path('report.html')}")


if __name__ == "__main__":
    cli.main(work)

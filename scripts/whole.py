"""A whole run in one go, for run.py and mallm.py: fit, sample, report, or an audit; a killed one goes on."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import cli

from harmonic.config import AuditSection, Config, EvaluateSection, SampleSection, config_from_dict
from harmonic.settings import apply_overrides


def parser(description: str | None) -> ArgumentParser:
    """The arguments of a whole run: a run file, or a bare table."""
    made = cli.parser(description)
    made.add_argument("--table", help="a CSV or Parquet file, instead of a run file")
    made.add_argument("--target", help="the column that the report predicts")
    made.add_argument("--holdout", help="rows for the report alone: then every row of the table trains")
    made.add_argument("--rows", type=int, help="how many rows to draw")
    made.add_argument("--seed", type=int, help="of the split, the training and the sample")
    return made


def config_of(arguments: Namespace, *extra: str) -> Config:
    """The config of the run file, or of the bare table. Raises HarmonicError."""
    if arguments.rows is not None:
        arguments.set.append(f"sample.rows={arguments.rows}")
    if arguments.seed is not None:
        arguments.set += [f"run.seed={arguments.seed}", f"sample.seed={arguments.seed}"]
    if arguments.table is None:
        return cli.config_of(arguments, *extra)
    named = {"source": arguments.table, "target": arguments.target, "holdout": arguments.holdout}
    data = {"table": {name: value for name, value in named.items() if value is not None}}
    if arguments.out:
        data["run"] = {"out": arguments.out}
    return config_from_dict(apply_overrides(data, [*extra, *arguments.set]), where="Command line")


def run(config: Config, arguments: Namespace) -> None:
    """Fits, samples and reports, or with --dry-run says what that would cost."""
    if arguments.dry_run:
        return cli.dry_run(config)
    from harmonic import journey

    settings = config.sample or SampleSection()
    with cli.open_run(config.folder, config, resume=arguments.resume, force=arguments.force) as folder:
        if not folder.is_done:
            me = cli.processes()
            synthesizer = journey.train(folder, config, resume=True, processes=me)
            journey.sample(folder, synthesizer, settings, me)
            if me.is_main:
                evaluate = config.evaluate or EvaluateSection()
                cli.say(journey.report(folder, config, evaluate, settings.seed).summary())
                folder.finish()
        rows = folder.path(f"samples/{journey.sample_name(settings)}.csv")
        cli.say(f"Rows:   {rows}\nReport: {folder.path('report.html')}")


def audit(config: Config, arguments: Namespace) -> None:
    """Audits what a run of these settings gives away, in a folder beside it."""
    from harmonic import auditing

    config = config if config.audit else auditing.audit_config(config)
    if arguments.dry_run:
        return cli.dry_run(config)
    settings = config.audit or AuditSection()
    with cli.open_run(config.folder, config, resume=arguments.resume, force=arguments.force) as folder:
        bound = auditing.audit(folder, config)
        cli.say(auditing.say(bound, settings))
        if not folder.is_done:
            folder.finish()
        cli.say(f"Audit:  {folder.path(auditing.AUDIT)}")

"""The verbs of a run folder: prepare, train, sample, report; each goes on where a kill left it.

What enters is a `Run` (its config says everything) and perhaps a number of rows; what leaves is the folder's artefacts:
schema and split, adapter, samples, report. The rows themselves are never written but for the synthetic ones: whoever
samples later reads the table again from its source, and the digests of the split say whether it is still the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harmonic import files
from harmonic.building import build_harmonic, build_mallm, build_synthesizer, policy_of
from harmonic.candidates import doubt
from harmonic.config import Config, EvaluateSection, SampleSection
from harmonic.drawing import Synthesizer
from harmonic.errors import HarmonicError
from harmonic.evaluation import Report, evaluate
from harmonic.evaluation.contamination import Contamination, check_contamination
from harmonic.exposure import read_echo, write_shown
from harmonic.inside import attacked, load_base, taught
from harmonic.mallm.gan import GRAPH, LOOP, POOL, MallmGan
from harmonic.pieces import Joined, Pieces, plain
from harmonic.progress import Progress
from harmonic.run import Run
from harmonic.synthesizer import Harmonic
from harmonic.table.infer import observe
from harmonic.table.schema import Row, Schema
from harmonic.table.sources import load_table, read_as_written, read_further, read_table, to_csv_text
from harmonic.table.splits import VAL_FROM_ROWS, Parts, split_roles, with_fewer, with_test

log = logging.getLogger(__name__)

LEAST_KEPT = 0.9
"""Below this share of valid rows without the mask a draw is commented on."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of one job, as torchrun and accelerate launch number them."""

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def prepare(run: Run, config: Config, *, write: bool = True) -> tuple[Schema, Parts]:
    """Reads and splits the table; writes schema.json and split.json, or checks that the split is still theirs."""
    read_schema, parts = _read_parts(config)
    schema = observe(read_schema, parts.train, policy_of(config))
    if run.has("split.json"):
        _check_split(run, parts)
        return Schema.from_json(run.read_json("schema.json")), parts
    if write:
        run.write_json("schema.json", schema.to_json())
        run.write_json("split.json", parts.to_json())
    for decision in (*schema.decisions, *parts.notes):
        log.info("%s", decision)
    return schema, parts


def train(
    run: Run, config: Config, *, resume: bool = False, processes: Processes = Processes()
) -> Harmonic | MallmGan:
    """The fitted synthesizer of this run: fitted here, or loaded if its adapter, or its graph, already stands."""
    _check_no_audit(run, config)
    schema, parts = prepare(run, config, write=processes.is_main)
    if config.run.method == "mallm":
        return _loop(run, config, schema, parts, resume, processes)
    synthesizer = build_harmonic(config)
    if run.has("adapter"):
        return synthesizer.load(parts.train, schema, run.path("adapter"))
    synthesizer.fit(parts.train, schema, val=parts.val, out=run.folder, resume=resume)
    if processes.is_main:
        run.log("trained", **{**asdict(synthesizer.result_), "adapter": "adapter"})
    return synthesizer


def preflight(config: Config) -> str:
    """What training this config, or its loop, would cost, in words; nothing is written."""
    read_schema, parts = _read_parts(config)
    return str(build_synthesizer(config).preflight(parts.train, read_schema))


def load(run: Run, config: Config) -> Harmonic | MallmGan:
    """The fitted synthesizer of a trained run; its table is read where prompts show rows of it.

    Raises HarmonicError if it is not trained, or its table changed.
    """
    _check_no_audit(run, config)
    is_mallm = config.run.method == "mallm"
    if not run.has(GRAPH if is_mallm else "adapter"):
        raise HarmonicError(
            f"Run folder {str(run.folder)!r}: has no {'graph' if is_mallm else 'adapter'}. "
            f"Train it first: scripts/{'mallm' if is_mallm else 'train'}.py."
        )
    if is_mallm:
        schema, parts = prepare(run, config, write=False)
        return build_mallm(config).load(parts.train, schema, run.folder)
    synthesizer = build_harmonic(config)
    if not synthesizer.needs_rows:
        return synthesizer.load(None, Schema.from_json(run.read_json("schema.json")), run.path("adapter"))
    schema, parts = prepare(run, config, write=False)
    return synthesizer.load(parts.train, schema, run.path("adapter"))


def sample(
    run: Run,
    synthesizer: Synthesizer,
    settings: SampleSection,
    processes: Processes = Processes(),
    name: str | None = None,
) -> Path:
    """Draws settings.rows rows into samples/NAME.csv, piece by piece; a piece that stands is not drawn again.

    name: None = `sample_name`. With several processes each draws every count-th piece; the first one joins them.
    Returns the CSV's path.
    """
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise HarmonicError(f"Sample {name!r}: is no name for a file. Use letters, digits, - and _.")
    name = f"samples/{name or sample_name(settings)}"
    done = run.path(f"{name}.csv")
    if done.exists():
        _check_sample(run, name, settings)
        return done
    pieces = Pieces(run.path(f"{name}.parts"), synthesizer, settings)
    with Progress("rows", settings.rows, enabled=processes.is_main) as progress:
        for number in range(processes.rank, pieces.count, processes.count):
            pieces.draw(number, progress)
        if not processes.is_main:
            return done
        pieces.wait()
    with files.atomic_file(done) as temporary:
        facts = _facts(settings, synthesizer, pieces.join(temporary), processes.count)
        # The CSV says that all is done, so it appears last.
        run.write_json(f"{name}.json", facts)
        write_shown(run, name, synthesizer, settings)
    run.log("sampled", **facts)
    shutil.rmtree(pieces.folder)
    return done


def sample_name(settings: SampleSection) -> str:
    """What a sample is called: seed-1, and seed-1-5d2f8a07 of rows under conditions, by a digest of these."""
    conditions = {key: getattr(settings, key) for key in ("given", "where", "quotas")}
    if not any(conditions.values()):
        return f"seed-{settings.seed}"
    text = json.dumps(conditions, sort_keys=True, ensure_ascii=False, default=str)
    return f"seed-{settings.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def impute(
    synthesizer: Synthesizer, source: str | Path, out: str | Path, settings: SampleSection
) -> tuple[int, int]:
    """Writes a CSV or Parquet file of the table with its missing cells filled in, as CSV; (cells filled, rows).

    Raises HarmonicError for a file without the columns of the training table.
    """
    frame = read_further(source, synthesizer.schema_)
    plain = replace(settings, given=None, where=(), quotas=None)
    with Progress("rows", int(frame.isna().any(axis=1).sum())) as progress:
        filled = synthesizer.impute(frame, seed=settings.seed, settings=plain, progress=progress.reach)
    files.write_text(Path(out), to_csv_text(filled, synthesizer.schema_))
    return int(frame.isna().sum().sum() - filled.isna().sum().sum()), len(frame)


def report(run: Run, config: Config, settings: EvaluateSection, sample_seed: int = 0) -> Report:
    """Judges a sample against the run's own holdout; writes report.json and report.html."""
    name = f"samples/{sample_name(replace(config.sample or SampleSection(), seed=sample_seed))}"
    if not run.has(f"{name}.csv"):
        raise HarmonicError(
            f"Run folder {str(run.folder)!r}: has no sample of seed {sample_seed}. Draw it first: scripts/sample.py."
        )
    schema, parts = prepare(run, config, write=False)
    synthetic = load_table(run.path(f"{name}.csv"), schema)
    drawn = run.read_json(f"{name}.json")
    result = evaluate(
        real=parts.train,
        synthetic=synthetic,
        holdout=parts.test,
        twins=parts.twins,
        schema=schema,
        seed=settings.seed,
        suite=settings.suite,
        settings=config.to_json(),
        draws=drawn,
        training=_training(run),
        loop=_looped(run),
        prompts=read_echo(run, name, parts.train, synthetic, schema),
        white_box=attacked(run, config, settings, schema, parts),
        lle=taught(config, schema, parts, synthetic, settings),
    )
    result.save(run.path("report.json"))
    result.save(run.path("report.html"))
    return result


def contamination(run: Run, config: Config) -> Contamination:
    """Whether the run's base knew its table by heart before it was trained; writes contamination.json."""
    frame, schema = _read_table(config)
    table = config.table
    texts = read_as_written(
        table.source,
        separator=table.separator,
        encoding=table.encoding,
        header=table.header,
        names=table.names,
    )
    found = check_contamination(
        load_base(config),
        frame if texts is None else texts,
        observe(schema, frame, policy_of(config)),
        seed=config.run.seed,
        progress=log.info,
    )
    run.write_json("contamination.json", found.to_json())
    return found


def _read_table(config: Config) -> tuple[pd.DataFrame, Schema]:
    """The table as [table] describes it, in the order of its source."""
    described = asdict(config.table)
    overrides, _ = described.pop("columns"), described.pop("holdout")
    return read_table(described.pop("source"), overrides=overrides, policy=policy_of(config), **described)


def _read_parts(config: Config) -> tuple[Schema, Parts]:
    """The table split as [split] says; a file of its own can be the holdout."""
    holdout, val, train_rows = config.table.holdout, config.split.val, config.split.train_rows
    if val is None and (config.run.method == "mallm" or (train_rows or VAL_FROM_ROWS) < VAL_FROM_ROWS):
        val = 0.0  # nothing is trained, or too few rows train for some to say when to stop
    frame, schema = _read_table(config)
    test = config.split.test if holdout is None else 0.0
    parts = split_roles(frame, schema, seed=config.run.seed, test=test, val=val)
    if holdout is not None:
        parts = with_test(parts, load_table(holdout, schema), schema)
    if train_rows is not None:
        parts = with_fewer(parts, train_rows, schema, seed=config.run.seed)
    return schema, parts


def _loop(
    run: Run, config: Config, schema: Schema, parts: Parts, resume: bool, processes: Processes
) -> MallmGan:
    """The loop of this run, gone through by its first process; the others read where it ended."""
    synthesizer = build_mallm(config)
    if not processes.is_main:
        while not run.has(GRAPH):
            time.sleep(0.5)
    if run.has(GRAPH):
        return synthesizer.load(parts.train, schema, run.folder)
    _check_adapter(run, config)
    synthesizer.fit(parts.train, schema, out=run.folder, resume=resume)
    state = synthesizer.state_
    run.log("looped", steps=len(state.steps), calls=state.calls, tokens=state.tokens, seconds=state.seconds)
    return synthesizer


def _check_adapter(run: Run, config: Config) -> None:
    """An adapter that has read this run's holdout would make the report a lie."""
    adapter = config.mallm.adapter if config.mallm else None
    place = Path(adapter) / "split.json" if adapter else None
    if place is None or not place.exists():
        return
    theirs, ours = (files.read_json(path)["digests"]["test"] for path in (place, run.path("split.json")))
    if theirs != ours:
        raise HarmonicError(
            f"[mallm] adapter {adapter!r}: was trained with another holdout, so it may have read this run's. "
            "Use an adapter of the same table, [split] test and [run] seed."
        )


def _check_no_audit(run: Run, config: Config) -> None:
    """The rows of an audit are nobody's: coins left records out, and made ones stand among the others."""
    if config.audit is not None:
        raise HarmonicError(
            f"Run folder {str(run.folder)!r}: is an audit ([audit] is set), from which no rows are drawn. Go on with "
            "it by scripts/run.py, or leave [audit] out."
        )


def _check_split(run: Run, parts: Parts) -> None:
    found, now = run.read_json("split.json")["digests"], parts.to_json()["digests"]
    changed = [role for role in now if found.get(role) != now[role]]
    if changed:
        raise HarmonicError(
            f"Run folder {str(run.folder)!r}: the {' and '.join(changed)} rows are no longer those it was trained on. "
            "Restore the table at its source, or begin a new run."
        )


def _check_sample(run: Run, name: str, settings: SampleSection) -> None:
    found = run.read_json(f"{name}.json")["settings"]
    if found != plain(settings):
        differing = sorted(key for key, value in plain(settings).items() if found.get(key) != value)
        raise HarmonicError(
            f"Sample {name!r}: stands already, drawn with another {', '.join(differing)}. "
            "Use another --seed or --name, or move the file away."
        )


def _training(run: Run) -> list[dict[str, Any]]:
    """The losses of the run's training as the report draws them."""
    trained = [event for event in run.events() if event["event"] == "trained"]
    if not trained:
        return []
    last = trained[-1]
    entries = [{"step": step, "loss": loss} for step, loss in last["train_losses"]]
    return entries + [{"step": step, "eval_loss": loss} for step, loss in last["val_losses"]]


def _looped(run: Run) -> dict[str, Any]:
    """The loop as the report shows it, without the guidance, which a model wrote after it had seen rows."""
    if not run.has(GRAPH):
        return {}
    found = run.read_json(LOOP)
    judged = [
        [{key: one[key] for key in ("score", "rows")} for one in step["judged"]] for step in found["steps"]
    ]
    steps = [{**step, "judged": scores} for step, scores in zip(found["steps"], judged, strict=True)]
    selection = {}
    if run.has(POOL):
        kept = run.read_json(POOL)
        selection = {key: kept[key] for key in ("rounds", "loss", "rate")}
    return {"graph": found["best"]["graph"], "steps": steps, "selection": selection}


def _facts(
    settings: SampleSection, synthesizer: Synthesizer, joined: Joined, n_processes: int
) -> dict[str, Any]:
    """What a draw has taken, and what the mask has cost it; processes draw side by side."""
    usage, seconds = joined.usage, joined.seconds / n_processes
    if note := doubt(usage, joined.n_rows):
        log.warning(note)
    return {
        "settings": plain(settings),
        "rows": joined.n_rows,
        "rejects": dict(joined.rejects),
        "prompt_tokens": usage.prompt_tokens,
        "row_tokens": usage.row_tokens,
        "rejected_tokens": usage.rejected_tokens,
        "candidates": usage.candidates,
        "by_weight": usage.by_weight,
        "forced_share": usage.forced_tokens / usage.row_tokens if usage.row_tokens else 0.0,
        "seconds": round(seconds, 2),
        **synthesizer.pace(usage, joined.n_rows, seconds, settings),
        **_audited(synthesizer, joined.first_rows, settings),
    }


def _audited(synthesizer: Synthesizer, rows: list[Row], settings: SampleSection) -> dict[str, Any]:
    """The mean mass that the mask kept, and what follows from it; a warning where the model hardly knows its format."""
    audit = synthesizer.audit(rows, settings=settings)
    if audit is None:
        return {}
    if audit.kept_mass < LEAST_KEPT:
        log.warning(
            "Without the schema's mask %.0f %% of the rows would be valid: the model hardly knows how rows are "
            "written. Train it longer, or take a base that reads its prompt better.",
            100 * audit.kept_mass,
        )
    return {
        "audit_rows": audit.rows,
        "kept_mass": audit.kept_mass,
        "kept_mass_standard_error": audit.standard_error,
        "bias_bound": audit.bias_bound,
    }

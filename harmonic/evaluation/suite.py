"""Evaluate: from three tables to one report.

What enters is real (training), synthetic and holdout rows of one schema; what leaves is a `Report`. The
holdout is the reference of fidelity, the test set of utility and the control of the attacks, so no part of
it may have been trained on. Everything random is keyed by (seed, purpose): equal tables and seed give an
equal report.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from harmonic.baselines import ClassConditionalMarginals, IndependentMarginals, ResampledRows
from harmonic.errors import HarmonicError
from harmonic.evaluation.codes import Codebook, Codes, check_table
from harmonic.evaluation.fidelity import Fidelity, measure_fidelity
from harmonic.evaluation.figures import Progress
from harmonic.evaluation.privacy import Privacy, Tables, measure_privacy
from harmonic.evaluation.report import Report, Sizes
from harmonic.evaluation.utility import Utility, measure_utility
from harmonic.evaluation.validity import Validity, measure_validity
from harmonic.table.schema import Schema

log = logging.getLogger(__name__)

STREAM_SUBSAMPLE = 501


SOURCES = ("synthetic", "real", "resampled", "class_conditional", "independent")
"""What models are trained on, in the order of the report."""


@dataclass(frozen=True)
class Suite:
    """How much work a report is. Larger tables are cut to these row counts at random, and the report says
    so."""

    max_rows: int
    """Rows of any table in shapes, trends and utility."""
    c2st_rows: int
    """Rows a side in the two-sample test."""
    c2st_repeats: int
    attack_rows: int
    """Rows that look for their nearest neighbour: members, controls, synthetic rows each."""
    attack_base: int
    """Published rows they look among."""
    bootstrap: int
    n_jobs: int = 2
    """Threads of the random forests; all else keeps to one."""


class Parts(TypedDict):
    """What is measured."""

    validity: Validity
    fidelity: Fidelity
    utility: Utility
    privacy: Privacy


SUITES: Mapping[str, Suite] = {
    "quick": Suite(10_000, 2_000, 1, 2_000, 10_000, 200),
    "full": Suite(100_000, 10_000, 5, 5_000, 50_000, 1_000),
}


def evaluate(
    *,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: Schema,
    seed: int = 0,
    suite: str = "quick",
    settings: Mapping[str, Any] | None = None,
    draws: Mapping[str, Any] | None = None,
    training: Sequence[Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure validity, fidelity, utility and privacy of synthetic rows.

    Args:
        real: the training rows, all that the generator saw.
        synthetic: the generated rows as they came out, no copy filtered away.
        holdout: real rows that the generator never saw.
        schema: the columns; its target is what utility predicts.
        seed: keys every random choice.
        suite: "quick" (1,000 x 10 in half a minute on two cores) or "full".
        settings: the resolved settings of the run, shown in the report as they are.
        draws: the sampler's counts; `draws["rejects"]` maps reasons to row counts, and reasons that begin
            with "copy" are counted as copies.
        training: the training log, entries with "step" and "loss" or "eval_loss".
        progress: called with a line before each piece of work; without it the lines go to the log.

    Raises:
        HarmonicError: an unknown suite, an empty table, a table without a column of the schema.
    """
    sizes = _suite(suite)
    frames = {"real": real, "synthetic": synthetic, "holdout": holdout}
    for role, frame in frames.items():
        check_table(frame, schema, role)
    say = progress or log.info
    rejects = _rejects(draws)

    # boosted trees share every split among threads that wait for one another: on a busy machine that costs
    # minutes where one thread costs seconds, and sums would depend on the machine
    with threadpool_limits(1):
        parts = _measure(frames, schema, rejects, seed, sizes, say)
    return Report(
        title=schema.title,
        suite=suite,
        seed=seed,
        sizes=Sizes(len(real), len(synthetic), len(holdout), len(schema.columns)),
        **parts,
        notes=(*_column_notes(frames, schema), *_size_notes(frames, sizes)),
        decisions=schema.decisions,
        settings=dict(settings or {}),
        draws=dict(draws or {}),
        training=tuple(dict(entry) for entry in training or ()),
    )


def _measure(
    frames: Mapping[str, pd.DataFrame],
    schema: Schema,
    rejects: Mapping[str, int],
    seed: int,
    sizes: Suite,
    say: Progress,
) -> Parts:
    """The four parts of the report."""
    say("validity: rows, twins and gaps")
    whole, baselines = _code(frames, schema, sizes, seed)
    validity = measure_validity(frames, whole, schema, rejects, seed)
    generator = np.random.default_rng([seed, STREAM_SUBSAMPLE])
    cut = {name: table.head(sizes.max_rows, generator) for name, table in whole.items()} | baselines
    fidelity = measure_fidelity(
        cut,
        seed=seed,
        c2st_rows=sizes.c2st_rows,
        c2st_repeats=sizes.c2st_repeats,
        progress=say,
    )
    sources = {name: cut[name] for name in SOURCES if name in cut}
    utility = measure_utility(
        sources, cut["holdout"], schema, seed=seed, n_draws=sizes.bootstrap, n_jobs=sizes.n_jobs, progress=say
    )
    privacy = measure_privacy(
        Tables(**whole, independent=baselines["independent"], resampled=baselines["resampled"]),
        n_rejected_copies=sum(n for reason, n in rejects.items() if reason.startswith("copy")),
        seed=seed,
        max_rows=sizes.attack_rows,
        max_base=sizes.attack_base,
        progress=say,
    )
    return {"validity": validity, "fidelity": fidelity, "utility": utility, "privacy": privacy}


def _suite(name: str) -> Suite:
    if name in SUITES:
        return SUITES[name]
    nearest = difflib.get_close_matches(name, SUITES, n=1, cutoff=0.0)[0]
    raise HarmonicError(
        f"Suite {name!r}: not one of {', '.join(map(repr, SUITES))}. Did you mean {nearest!r}?"
    )


def _rejects(draws: Mapping[str, Any] | None) -> dict[str, int]:
    """Refused rows by reason. Raises HarmonicError where a count is not a whole number >= 0."""
    rejects = dict((draws or {}).get("rejects", {}))
    for reason, count in rejects.items():
        if not isinstance(count, int) or count < 0:
            raise HarmonicError(
                f"Draws: rejects[{reason!r}] is {count!r}, expected a whole number of rows. Pass the sampler's counts."
            )
    return {str(reason): int(count) for reason, count in rejects.items()}


def _code(
    frames: Mapping[str, pd.DataFrame], schema: Schema, sizes: Suite, seed: int
) -> tuple[dict[str, Codes], dict[str, Codes]]:
    """All tables in one codebook, and the baselines: as many rows as the synthetic table shows."""
    codebook = Codebook(schema, list(frames.values()))
    n_rows = min(len(frames["synthetic"]), sizes.max_rows)
    generators: dict[str, ResampledRows | IndependentMarginals | ClassConditionalMarginals] = {
        "resampled": ResampledRows(),
        "independent": IndependentMarginals(),
    }
    if schema.target is not None:
        generators["class_conditional"] = ClassConditionalMarginals()
    baselines = {
        name: codebook.encode(generator.fit(frames["real"], schema).sample(n_rows, seed))
        for name, generator in generators.items()
    }
    return {name: codebook.encode(frame) for name, frame in frames.items()}, baselines


def _column_notes(frames: Mapping[str, pd.DataFrame], schema: Schema) -> list[str]:
    """Columns that the report does not look at."""
    notes = []
    for role, frame in frames.items():
        extra = [name for name in frame.columns if name not in schema.names]
        if extra:
            notes.append(f"The {role} table has columns that the schema has not, left out: {_listed(extra)}.")
    filled = [column.label for column in schema.columns if not column.is_modelled]
    if filled:
        notes.append(
            f"Constants and identifiers are filled in, not modelled, and not compared: {_listed(filled)}."
        )
    if any(column.kind == "text" for column in schema.modelled):
        notes.append("Texts are compared by length, and by identity where copies are counted.")
    return notes


def _listed(names: Sequence[Hashable]) -> str:
    return ", ".join(map(str, names))


def _size_notes(tables: Mapping[str, pd.DataFrame], sizes: Suite) -> list[str]:
    """What was cut to a random part."""
    notes = []
    for name, table in tables.items():
        if len(table) > sizes.max_rows:
            notes.append(
                f"Shapes, trends and utility use {sizes.max_rows:,} random rows of the {len(table):,} {name} ones."
            )
    if min(len(table) for table in tables.values()) > sizes.c2st_rows:
        notes.append(f"The two-sample test uses {sizes.c2st_rows:,} random rows a side.")
    if max(len(table) for table in tables.values()) > sizes.attack_rows:
        notes.append(f"Distance attacks ask for at most {sizes.attack_rows:,} random rows of each table.")
    return notes

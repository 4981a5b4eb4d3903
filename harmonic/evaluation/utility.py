"""Train on synthetic, test on real (TSTR): what a table is worth to someone who wants to predict its target.

What enters is tables by source (synthetic, real, baselines) and the holdout; what leaves is, per source,
the scores of three models on the holdout. Utility proves little on its own: marginals drawn per class,
which know nothing but the target, reach nearly all of it on few rows, so they and the real rows stand
beside every score. As far as an `Extent` goes, three more questions are asked: every column as the target
(`alltargets`), how many real rows the synthetic ones are worth and whether they help beside them (`worth`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from harmonic.evaluation.alltargets import TABLES, AllTargets, measure_all_targets, no_targets
from harmonic.evaluation.codes import Codes, stack
from harmonic.evaluation.figures import Figure, Progress, undefined
from harmonic.evaluation.learners import (
    HEADLINE,
    METRICS,
    MODELS,
    SINGLE_VALUE,
    Draws,
    Floats,
    difference_figure,
    draws_figure,
    finite,
    labelled,
    mean_over_models,
    score_models,
    why_no_target,
)
from harmonic.evaluation.scores import bootstrap_weights
from harmonic.evaluation.worth import (
    Augmentation,
    SampleSize,
    measure_augmentation,
    measure_sample_size,
    no_augmentation,
    no_sample_size,
)
from harmonic.table.schema import Column, Schema, Task

STREAM_BOOTSTRAP = 522
NOT_ASKED = "this suite does not measure it"


@dataclass(frozen=True)
class Extent:
    """How much of the costly part is measured; none of it by default."""

    n_targets: int = 0
    """Columns asked as targets, each a training of boosted trees on three tables."""
    n_points: int = 0
    """Points of the real rows' learning curve, all rows included; 0 leaves the equivalent sample size out."""
    n_subsets: int = 1
    """Disjoint random subsets a point (as far as the rows reach), each a training of all models."""
    augments: bool = False
    """Whether models are trained on real and synthetic rows together."""


@dataclass(frozen=True)
class Trained:
    """What models trained on one source score on the holdout."""

    source: str
    n_rows: int
    scores: dict[str, Figure]
    """By metric: the mean over the models."""
    best: dict[str, float | None]
    """By metric: the best model's."""
    models: dict[str, dict[str, float | None]]
    """By model and metric."""


@dataclass(frozen=True)
class Utility:
    """Train on synthetic, test on real. `undefined` says why where there is nothing to predict."""

    target: str
    task: str
    headline: str
    n_holdout: int
    sources: tuple[Trained, ...]
    gap: Figure
    """Headline of synthetic minus real rows, paired bootstrap of the holdout rows; other training rows of the same law
    vary it further (`--resplits` shows by how much)."""
    gain: Figure
    """Headline of synthetic minus class-conditional marginals, paired bootstrap."""
    undefined: str = ""
    all_targets: AllTargets = field(default_factory=lambda: no_targets(NOT_ASKED))
    """Each column in turn as the target; defined without a target in the schema, too."""
    sample_size: SampleSize = field(default_factory=lambda: no_sample_size(NOT_ASKED))
    """How many real rows the synthetic ones are worth."""
    augmentation: Augmentation = field(default_factory=lambda: no_augmentation(NOT_ASKED))
    """Real and synthetic rows together against the real rows alone."""

    def source(self, name: str) -> Trained | None:
        """The scores of a source; None where it was not trained."""
        return next((trained for trained in self.sources if trained.source == name), None)


def measure_utility(
    sources: Mapping[str, Codes],
    holdout: Codes,
    schema: Schema,
    *,
    seed: int,
    n_draws: int,
    n_jobs: int,
    progress: Progress,
    extent: Extent = Extent(),
) -> Utility:
    """Scores of every source (the first is "synthetic"), each model trained on it alone, on one holdout."""
    if extent.n_targets and all(name in sources for name in TABLES):
        every = measure_all_targets(
            sources, holdout, n_targets=extent.n_targets, n_draws=n_draws, seed=seed, progress=progress
        )
    else:
        every = no_targets(NOT_ASKED)
    reason = _why_not(holdout, schema)
    if reason or schema.task is None:
        return replace(no_utility(schema, reason), all_targets=every)
    target, task = schema.column(schema.target), schema.task
    test = labelled(holdout, target)
    weights = bootstrap_weights(len(test), n_draws, np.random.default_rng([seed, STREAM_BOOTSTRAP]))

    def score(train: Codes) -> Draws:
        return score_models(train, test, target, task, weights, seed=seed, n_jobs=n_jobs)

    known = {name: labelled(table, target) for name, table in sources.items()}
    draws: dict[str, Draws] = {}
    for name, train in known.items():
        if len(train):
            progress(f"utility: training on {name.replace('_', ' ')} rows")
            draws[name] = score(train)
    utility = _collect(draws, {name: len(table) for name, table in sources.items()}, test, target, task)
    size, augmentation = _worth(known, draws, HEADLINE[task], score, extent, seed, progress)
    return replace(utility, all_targets=every, sample_size=size, augmentation=augmentation)


def _why_not(holdout: Codes, schema: Schema) -> str:
    """Why there is nothing to predict; "" where there is."""
    if reason := why_no_target(schema):
        return reason
    assert schema.target is not None
    target = schema.column(schema.target)
    return "fewer than two holdout rows have a target" if len(labelled(holdout, target)) < 2 else ""


def _worth(
    known: Mapping[str, Codes],
    draws: Mapping[str, Draws],
    headline: str,
    score: Callable[[Codes], Draws],
    extent: Extent,
    seed: int,
    progress: Progress,
) -> tuple[SampleSize, Augmentation]:
    """Both of what needs further trainings on the real rows, as far as `extent` goes."""
    absent = [name for name in ("synthetic", "real") if name not in draws]
    if absent:
        reason = f"no {absent[0]} row has a target"
        return no_sample_size(reason), no_augmentation(reason)
    synthetic, real = (mean_over_models(draws[name])[headline] for name in ("synthetic", "real"))

    def asked(train: Codes) -> Floats:
        return mean_over_models(score(train))[headline]

    size, augmentation = no_sample_size(NOT_ASKED), no_augmentation(NOT_ASKED)
    if extent.n_points:
        progress("utility: learning curve of the real rows")
        size = measure_sample_size(
            known["real"],
            asked,
            real_draws=real,
            synthetic_draws=synthetic,
            n_synthetic=len(known["synthetic"]),
            n_points=extent.n_points,
            n_subsets=extent.n_subsets,
            seed=seed,
        )
    if extent.augments:
        progress("utility: training on real and synthetic rows together")
        augmentation = measure_augmentation(stack(known["real"], known["synthetic"]), real, asked)
    return size, augmentation


def no_utility(schema: Schema, reason: str) -> Utility:
    """A part of the report without scores, and why."""
    label = "" if schema.target is None else schema.column(schema.target).label
    nothing = undefined(reason)
    return Utility(label, schema.task or "", "", 0, (), nothing, nothing, undefined=nothing.undefined)


def _collect(
    draws: dict[str, Draws], n_rows: dict[str, int], test: Codes, target: Column, task: Task
) -> Utility:
    headline = HEADLINE[task]
    means = {name: mean_over_models(scores) for name, scores in draws.items()}
    return Utility(
        target=target.label,
        task=task,
        headline=headline,
        n_holdout=len(test),
        sources=tuple(_trained(name, n_rows[name], draws[name], means[name], task) for name in draws),
        gap=_difference(means, "synthetic", "real", headline),
        gain=_difference(means, "synthetic", "class_conditional", headline),
    )


def _trained(name: str, n_rows: int, scores: Draws, means: dict[str, Floats], task: Task) -> Trained:
    figures, best = {}, {}
    for metric in METRICS[task]:
        figures[metric] = draws_figure(means[metric], SINGLE_VALUE)
        plain = [scores[model][metric][0] for model in MODELS]
        best[metric] = finite(min(plain) if metric == "mae" else max(plain))
    models = {
        model: {metric: finite(scores[model][metric][0]) for metric in METRICS[task]} for model in MODELS
    }
    return Trained(name, n_rows, figures, best, models)


def _difference(means: dict[str, dict[str, Floats]], first: str, second: str, metric: str) -> Figure:
    for name in (first, second):
        if name not in means:
            return undefined(f"no {name.replace('_', ' ')} row has a target")
    return difference_figure(means[first][metric], means[second][metric], SINGLE_VALUE)

"""Every column in turn as the target: do the synthetic rows serve questions that nobody asked yet?

What enters is the coded synthetic, real and independent tables and the holdout; what leaves is, per column, the
score of one cheap learner (boosted trees) trained on each, and one share over all columns: 0 where synthetic rows
predict no better than independent columns, 1 where they predict as well as the real rows. A generator that was
tuned to one target shows it here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, Progress, percentile_interval, undefined
from harmonic.evaluation.learners import HEADLINE, draws_figure, finite, labelled, score_models
from harmonic.evaluation.scores import Weights, bootstrap_weights
from harmonic.table.schema import Column, Task

Floats = NDArray[np.float64]
STREAM_TARGETS, STREAM_BOOTSTRAP = 523, 524
TABLES = ("synthetic", "real", "independent")
MAX_CLASSES = 5
"""The commonest levels of a target stay, the others fall together: trees grow once a class."""
N_ROUNDS = 50
MAX_DRAWS = 200
SHORT = "the holdout rows hold a single value of this column, or a table none"


@dataclass(frozen=True)
class TargetScore:
    """One column as the target: what boosted trees trained on each table score on the holdout."""

    label: str
    metric: str
    """ "auc" (levels; classes one against the rest) or "r2" (amounts)."""
    synthetic: float | None
    real: float | None
    independent: float | None
    gap: Figure
    """Synthetic minus real, paired bootstrap; undefined where a score is."""


@dataclass(frozen=True)
class AllTargets:
    """Train on synthetic, test on real with each column as the target."""

    share: Figure
    """(synthetic - independent) / (real - independent), skills summed over the columns: 1 = as good as real rows,
    0 = as independent columns; noise floor 1, worst case 0 by definition. Skill: 2 AUC - 1, or R2 where above 0."""
    gap: Figure
    """Mean skill of synthetic minus real rows; worst case: independent minus real. Intervals: bootstrap over holdout
    rows and over columns, so that what one training happens to make of one column counts as noise."""
    n_columns: int
    """Columns that can be a target; `targets` holds those that were asked, at most as many as the suite allows."""
    targets: tuple[TargetScore, ...]


def no_targets(reason: str) -> AllTargets:
    """A part without scores, and why."""
    return AllTargets(undefined(reason), undefined(reason), 0, ())


def measure_all_targets(
    tables: Mapping[str, Codes],
    holdout: Codes,
    *,
    n_targets: int,
    n_draws: int,
    seed: int,
    progress: Progress,
) -> AllTargets:
    """Of `tables` by "synthetic", "real" and "independent"; at most `n_targets` columns, always the same ones."""
    candidates = [column for column in holdout.columns if column.kind != "text"]
    if len(holdout.columns) < 2 or not candidates:
        return no_targets("a column to predict and one to predict it from are needed")
    generator = np.random.default_rng([seed, STREAM_BOOTSTRAP])
    weights = bootstrap_weights(len(holdout), min(n_draws, MAX_DRAWS), generator)
    chosen = choose_targets(len(candidates), n_targets)
    skills, targets = [], []
    for place in chosen:
        column = candidates[place]
        progress(f"utility: predicting {column.label}")
        metric, draws = _score_target(tables, holdout, column, weights, seed)
        targets.append(_target_score(column, metric, draws))
        if all(np.isfinite(draws[name][0]) for name in TABLES):
            skills.append([_skill(metric, draws[name]) for name in TABLES])
    share, gap = _shares(np.array(skills), generator)
    return AllTargets(share, gap, len(candidates), tuple(targets))


def choose_targets(n_columns: int, n_targets: int) -> Sequence[int]:
    """Which columns are asked: all, or `n_targets` random ones that depend on nothing but the two numbers."""
    if n_columns <= n_targets:
        return range(n_columns)
    generator = np.random.default_rng([STREAM_TARGETS, n_columns])
    return sorted(generator.permutation(n_columns)[:n_targets].tolist())


def _score_target(
    tables: Mapping[str, Codes], holdout: Codes, column: Column, weights: Weights, seed: int
) -> tuple[str, dict[str, Floats]]:
    """The metric and its draws by table; NaN where a table has no row with a value, or the holdout a single one."""
    place = holdout.index(column)
    task: Task = "multiclass" if holdout.is_level[place] else "regression"
    metric = HEADLINE[task]
    known = ~np.isnan(holdout.measures[:, place])
    test = labelled(_folded(holdout, place), column)
    draws = {}
    for name in TABLES:
        train = labelled(_folded(tables[name], place), column)
        if len(train) and len(test):
            scores = score_models(
                train,
                test,
                column,
                task,
                weights[:, known],
                seed=seed,
                n_jobs=1,
                wanted=("boosting",),
                n_rounds=N_ROUNDS,
            )
            draws[name] = scores["boosting"][metric]
        else:
            draws[name] = np.full(len(weights), np.nan)
    return metric, draws


def _folded(table: Codes, place: int) -> Codes:
    """The table with the rarer levels of that column as one."""
    if not table.is_level[place]:
        return table
    cells = table.cells.copy()
    cells[:, place] = np.minimum(cells[:, place], MAX_CLASSES)
    return replace(table, cells=cells)


def _target_score(column: Column, metric: str, draws: Mapping[str, Floats]) -> TargetScore:
    synthetic, real, independent = (finite(draws[name][0]) for name in TABLES)
    gap = draws_figure(draws["synthetic"] - draws["real"], SHORT)
    return TargetScore(column.label, metric, synthetic, real, independent, gap)


def _skill(metric: str, draws: Floats) -> Floats:
    """0 for a guess, 1 for certainty. R2 has no lower end, and one hopeless column must not outweigh the others."""
    return 2 * draws - 1 if metric == "auc" else np.maximum(draws, 0.0)


def _shares(skills: Floats, generator: np.random.Generator) -> tuple[Figure, Figure]:
    """Share and gap of `skills` [n_targets, tables, n_draws]; each bootstrap draw takes its own targets."""
    if not len(skills):
        return undefined(SHORT), undefined(SHORT)
    n_targets, _, n_draws = skills.shape
    counts = generator.multinomial(n_targets, np.full(n_targets, 1 / n_targets), size=n_draws)
    counts[0] = 1
    synthetic, real, independent = np.einsum("ktb,bk->tb", skills, counts) / n_targets
    gap = draws_figure(synthetic - real, SHORT).beside(worst_case=draws_figure(independent - real, SHORT))
    low, _ = percentile_interval((real - independent)[1:])
    if low is None or low <= 0:
        reason = "real rows predict the columns no better than independent ones do, within the interval"
        return undefined(reason), gap
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (synthetic - independent) / (real - independent)
    share = draws_figure(ratio, SHORT)
    return replace(share, noise_floor=1.0, worst_case=0.0), gap

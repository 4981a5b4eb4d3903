"""Train on synthetic, test on real (TSTR): what a table is worth to someone who wants to predict its target.

What enters is tables by source (synthetic, real, baselines) and the holdout; what leaves is, per source,
the scores of three models on the holdout. Utility proves little on its own: marginals drawn per class,
which know nothing but the target, reach nearly all of it on few rows, so they and the real rows stand
beside every score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, Progress, percentile_interval, undefined
from harmonic.evaluation.scores import bootstrap_weights, classification_scores, regression_scores
from harmonic.evaluation.twosample import linear_features, tree_features
from harmonic.table.schema import Column, Schema, Task

STREAM_MODELS, STREAM_BOOTSTRAP = 521, 522
MODELS = ("linear", "forest", "boosting")
"""Logistic or ridge regression, a random forest, histogram-based boosted trees."""
N_TREES, N_ROUNDS = 200, 100
HEADLINE: dict[Task, str] = {"binary": "auc", "multiclass": "auc", "regression": "r2"}
METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("auc", "f1_macro", "f1_weighted", "balanced_accuracy"),
    "multiclass": ("auc", "f1_macro", "f1_weighted", "balanced_accuracy"),
    "regression": ("r2", "mae"),
}

Floats = NDArray[np.float64]
Draws = dict[str, dict[str, Floats]]
"""Scores by model and metric, one number a bootstrap draw; the first is the plain score."""


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
    """Headline of synthetic minus real rows, paired bootstrap."""
    gain: Figure
    """Headline of synthetic minus class-conditional marginals, paired bootstrap."""
    undefined: str = ""

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
) -> Utility:
    """Scores of every source (the first is "synthetic"), each model trained on it alone, on one holdout."""
    if schema.task is None:
        return no_utility(schema, "the schema names no target")
    target = schema.column(schema.target)
    if target not in schema.modelled or target.kind == "text":
        return no_utility(schema, f"the target {target.label!r} is of kind {target.kind!r}")
    if len(schema.modelled) < 2:
        return no_utility(schema, "there is no column to predict the target from")
    test = _labelled(holdout, target)
    if len(test) < 2:
        return no_utility(schema, "fewer than two holdout rows have a target")
    weights = bootstrap_weights(len(test), n_draws, np.random.default_rng([seed, STREAM_BOOTSTRAP]))
    draws: dict[str, Draws] = {}
    for name, table in sources.items():
        train = _labelled(table, target)
        if len(train):
            progress(f"utility: training on {name.replace('_', ' ')} rows")
            draws[name] = _score_models(train, test, target, schema.task, weights, seed, n_jobs)
    return _collect(draws, {name: len(table) for name, table in sources.items()}, test, target, schema.task)


def no_utility(schema: Schema, reason: str) -> Utility:
    """A part of the report without scores, and why."""
    label = "" if schema.target is None else schema.column(schema.target).label
    nothing = undefined(reason)
    return Utility(label, schema.task or "", "", 0, (), nothing, nothing, undefined=nothing.undefined)


def _collect(
    draws: dict[str, Draws], n_rows: dict[str, int], test: Codes, target: Column, task: Task
) -> Utility:
    headline = HEADLINE[task]
    means = {name: _mean_over_models(scores) for name, scores in draws.items()}
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
        figures[metric] = _figure(means[metric], "the holdout rows hold a single value of the target")
        plain = [scores[model][metric][0] for model in MODELS]
        best[metric] = _finite(min(plain) if metric == "mae" else max(plain))
    models = {
        model: {metric: _finite(scores[model][metric][0]) for metric in METRICS[task]} for model in MODELS
    }
    return Trained(name, n_rows, figures, best, models)


def _mean_over_models(scores: Draws) -> dict[str, Floats]:
    metrics = next(iter(scores.values()))
    return {metric: np.mean([values[metric] for values in scores.values()], axis=0) for metric in metrics}


def _difference(means: dict[str, dict[str, Floats]], first: str, second: str, metric: str) -> Figure:
    for name in (first, second):
        if name not in means:
            return undefined(f"no {name.replace('_', ' ')} row has a target")
    return _figure(
        means[first][metric] - means[second][metric], "the holdout rows hold a single value of the target"
    )


def _figure(draws: Floats, reason: str) -> Figure:
    if not np.isfinite(draws[0]):
        return undefined(reason)
    low, high = percentile_interval(draws[1:])
    return Figure(float(draws[0]), low=low, high=high)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _labelled(table: Codes, target: Column) -> Codes:
    """The rows whose target is not missing."""
    return table.take(np.flatnonzero(~np.isnan(table.cells[:, table.index(target)])))


def _score_models(
    train: Codes, test: Codes, target: Column, task: Task, weights: Floats, seed: int, n_jobs: int
) -> Draws:
    position = train.index(target)
    others = np.arange(len(train.columns)) != position
    train_x, test_x = _without(train, others), _without(test, others)
    train_y, test_y = train.measures[:, position], test.measures[:, position]
    flat = linear_features(train_x, train_x), linear_features(test_x, train_x)
    plain = tree_features(train_x.measures, test_x.measures)
    state = int(np.random.default_rng([seed, STREAM_MODELS]).integers(2**31))
    scores: Draws = {}
    for name, model in _models(task, train_y, train_x.is_level, state, n_jobs).items():
        seen, asked = plain if name == "boosting" else flat
        model.fit(seen, train_y)
        if name == "forest" and n_jobs > 1:
            model.n_jobs = 1  # threads that predict add up in the order in which they end
        if task == "regression":
            scores[name] = regression_scores(test_y, model.predict(asked), weights)
        else:
            n_classes = max(2, len(train.levels[position]))
            probabilities = np.zeros((len(test), n_classes))
            probabilities[:, model.classes_.astype(int)] = model.predict_proba(asked)
            scores[name] = classification_scores(test_y.astype(np.intp), probabilities, weights)
    return scores


def _models(
    task: Task, target: Floats, is_level: NDArray[np.bool_], state: int, n_jobs: int
) -> dict[str, Any]:
    """The three models; where the training rows hold one value of the target, three times that value."""
    if len(np.unique(target)) < 2:
        dummy = DummyRegressor() if task == "regression" else DummyClassifier()
        return dict.fromkeys(MODELS, dummy)
    boosting = {
        "max_iter": N_ROUNDS,
        "categorical_features": is_level,
        "early_stopping": False,
        "random_state": state,
    }
    forest = {"n_estimators": N_TREES, "n_jobs": n_jobs, "random_state": state}
    if task == "regression":
        return {
            "linear": Ridge(),
            "forest": RandomForestRegressor(**forest),
            "boosting": HistGradientBoostingRegressor(**boosting),
        }
    return {
        "linear": LogisticRegression(max_iter=500),
        "forest": RandomForestClassifier(**forest),
        "boosting": HistGradientBoostingClassifier(**boosting),
    }


def _without(table: Codes, kept: NDArray[np.bool_]) -> Codes:
    """The table of the kept columns."""
    columns = tuple(column for column, keep in zip(table.columns, kept, strict=True) if keep)
    levels = tuple(names for names, keep in zip(table.levels, kept, strict=True) if keep)
    return Codes(columns, table.cells[:, kept], table.lengths[:, kept], levels)

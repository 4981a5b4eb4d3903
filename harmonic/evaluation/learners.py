"""Models that predict one column from the others: trained on one table, scored on another.

What enters is two coded tables and the column to predict; what leaves is scores by model and metric under row
weights, so that one training gives the plain score and its bootstrap. Everything that trains a predictor
(TSTR, all targets, learning curves) does it here, so their scores can be set beside one another.
"""

from __future__ import annotations

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
from harmonic.evaluation.figures import Figure, percentile_interval, undefined
from harmonic.evaluation.scores import Weights, classification_scores, regression_scores, unit_of
from harmonic.evaluation.twosample import linear_features, tree_features
from harmonic.table.schema import Column, Schema, Task

STREAM_MODELS = 521
MODELS = ("linear", "forest", "boosting")
"""Logistic or ridge regression, a random forest, histogram-based boosted trees."""
N_TREES, N_ROUNDS = 200, 100
HEADLINE: dict[Task, str] = {"binary": "auc", "multiclass": "auc", "regression": "r2"}
METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("auc", "f1_macro", "f1_weighted", "balanced_accuracy"),
    "multiclass": ("auc", "f1_macro", "f1_weighted", "balanced_accuracy"),
    "regression": ("r2", "mae"),
}
SINGLE_VALUE = "the holdout rows hold a single value of the target"
TOO_LARGE = "a number is so large that errors, or their squares, are beyond what a float can hold"

Floats = NDArray[np.float64]
Draws = dict[str, dict[str, Floats]]
"""Scores by model and metric, one number a bootstrap draw; the first is the plain score."""


def score_models(
    train: Codes,
    test: Codes,
    target: Column,
    task: Task,
    weights: Weights,
    *,
    seed: int,
    n_jobs: int,
    wanted: tuple[str, ...] = MODELS,
    n_rounds: int | None = None,
) -> Draws:
    """Scores of the wanted models, trained on `train` (at least one row), on `test`, under `weights` [n_draws, n_test].

    Boosted trees grow `n_rounds` rounds, or `N_ROUNDS` where none are named. Levels of the target that only one
    of the two tables has get probability 0 from models that never saw them.
    """
    position = train.index(target)
    others = np.arange(len(train.columns)) != position
    train_x, test_x = without(train, others), without(test, others)
    train_y, test_y = train.measures[:, position], test.measures[:, position]
    # boosted trees keep gradients in four bytes, where a huge target is infinite
    unit = unit_of(train_y) if task == "regression" else 1.0
    train_y = train_y / unit
    state = int(np.random.default_rng([seed, STREAM_MODELS]).integers(2**31))
    scores: Draws = {}
    models = _models(task, train_y, train_x.is_level, state, n_jobs, n_rounds or N_ROUNDS)
    for name in wanted:
        model = models[name]
        seen, asked = _features(name, train_x, test_x)
        model.fit(seen, train_y)
        if name == "forest" and n_jobs > 1:
            model.n_jobs = 1  # threads that predict add up in the order in which they end
        if task == "regression":
            scores[name] = regression_scores(test_y, _enlarged(model.predict(asked), unit), weights)
        else:
            n_classes = max(2, int(max(train_y.max(), test_y.max())) + 1)
            probabilities = np.zeros((len(test), n_classes))
            probabilities[:, model.classes_.astype(int)] = model.predict_proba(asked)
            scores[name] = classification_scores(test_y.astype(np.intp), probabilities, weights)
    return scores


def mean_over_models(scores: Draws) -> dict[str, Floats]:
    """By metric, one number a draw: the mean of the models."""
    metrics = next(iter(scores.values()))
    return {metric: np.mean([values[metric] for values in scores.values()], axis=0) for metric in metrics}


def _enlarged(predicted: Floats, unit: float) -> Floats:
    """Predictions in the target's own unit; infinite where a float cannot hold them."""
    with np.errstate(over="ignore"):
        return predicted * unit


def draws_figure(draws: Floats, reason: str) -> Figure:
    """The plain score with the interval of its bootstrap draws; `reason` says why where it is NaN."""
    if not np.isfinite(draws[0]):
        return undefined(reason if np.isnan(draws[0]) else TOO_LARGE)
    low, high = percentile_interval(draws[1:])
    return Figure(float(draws[0]), low=low, high=high)


def difference_figure(first: Floats, second: Floats, reason: str) -> Figure:
    """The first score minus the second, their bootstrap draws paired; undefined for the reason of either."""
    for draws in (first, second):
        if not np.isfinite(draws[0]):
            return draws_figure(draws, reason)
    with np.errstate(invalid="ignore"):
        return draws_figure(first - second, reason)


def finite(value: float) -> float | None:
    """The number, or None for NaN and for what is infinite."""
    return float(value) if np.isfinite(value) else None


def why_no_target(schema: Schema) -> str:
    """Why a schema has nothing to predict; "" where it has."""
    if schema.target is None:
        return "the schema names no target"
    target = schema.column(schema.target)
    if target not in schema.modelled or target.kind == "text":
        return f"the target {target.label!r} is of kind {target.kind!r}"
    if len(schema.modelled) < 2:
        return "there is no column to predict the target from"
    return ""


def labelled(table: Codes, target: Column) -> Codes:
    """The rows whose target is not missing."""
    return table.take(np.flatnonzero(~np.isnan(table.measures[:, table.index(target)])))


def _features(model: str, train: Codes, test: Codes) -> tuple[Floats, Floats]:
    """What a model sees of both tables: trees take gaps and level codes as they are."""
    if model == "boosting":
        return tree_features(train.measures, test.measures)
    return linear_features(train, train), linear_features(test, train)


def _models(
    task: Task,
    target: Floats,
    is_level: NDArray[np.bool_],
    state: int,
    n_jobs: int,
    n_rounds: int,
) -> dict[str, Any]:
    """The models; where the training rows hold one value of the target, that value."""
    if len(np.unique(target)) < 2:
        dummy = DummyRegressor() if task == "regression" else DummyClassifier()
        return dict.fromkeys(MODELS, dummy)
    boosting = {
        "max_iter": n_rounds,
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


def without(table: Codes, kept: NDArray[np.bool_]) -> Codes:
    """The table of the kept columns."""
    columns = tuple(column for column, keep in zip(table.columns, kept, strict=True) if keep)
    levels = tuple(names for names, keep in zip(table.levels, kept, strict=True) if keep)
    return Codes(columns, table.cells[:, kept], table.lengths[:, kept], levels)

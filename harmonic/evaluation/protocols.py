"""The two papers' own utility figures, as published: HARMONIC's MLE and MALLM-GAN's best of four.

What enters is real (training), synthetic and holdout rows of one schema; what leaves is one headline with its interval,
for the synthetic and for the real rows, and every model's score. They are here so that our rows can be set beside
published tables, not because they are sound: the faults of each stand in its docstring and in `faults`, and `utility`
is what we believe. Both train XGBoost, which only this module and `rivals` use: the extra "paper".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import matthews_corrcoef
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

from harmonic.errors import HarmonicError
from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.distances import RowHashes
from harmonic.evaluation.figures import Figure, percentile_interval, undefined
from harmonic.evaluation.learners import labelled, why_no_target, without
from harmonic.evaluation.roles import check_columns
from harmonic.evaluation.scores import Weights, bootstrap_weights, classification_scores, regression_scores
from harmonic.evaluation.twosample import linear_features
from harmonic.table.schema import Column, Schema, Task

STREAM_PROTOCOL, STREAM_DRAWS = 561, 562
N_DRAWS = 500
N_VALIDATION, N_FOLDS = 100, 5
MIN_ROWS = 50
MOST_STEPS = 100_000
"""Of a support vector machine: on unscaled amounts libsvm may otherwise search for hours."""

Floats = NDArray[np.float64]
Grid = Mapping[str, list[Any]]
Models = dict[str, tuple[Any, Grid]]
"""By name: an untrained model and the settings to search; an empty grid is no search."""

FOREST_GRID: Grid = {
    "n_estimators": [10, 50, 100, 200],
    "max_depth": [None, 10, 20, 30],
    "min_samples_split": [2, 5, 10],
}
BOOSTED_GRID: Grid = {
    "n_estimators": [10, 50, 100],
    "learning_rate": [0.01, 0.05, 0.1],
    "max_depth": [3, 5, 7, 10],
}
SVM_GRID: Grid = {"C": [0.5, 1.0], "kernel": ["linear", "rbf"]}
LOGISTIC_GRID: Grid = {"C": [0.001, 0.01, 0.1, 1, 10, 100]}
NETWORK_GRID: Grid = {"hidden_layer_sizes": [(50,), (100,), (150,)]}

MLE_FAULTS = (
    "settings are chosen by cross-validation inside 100 rows split off the table itself, never seen with the rest",
    "levels are alphabetical codes in linear models and amounts are not scaled",
    "accuracy chooses the settings, weighted F1 judges them",
    "the published tables mix MCC and F1 and cannot serve as targets",
)
BEST_OF_FOUR_FAULTS = (
    "the best model is picked on the rows that judge it",
    "200 test rows leave a standard error of .027",
    "the published Insurance splits hold test rows that stand in train: see `n_leaked`",
    "class-conditional marginals, which know nothing but the target, reach it too",
)


@dataclass(frozen=True)
class SourceScore:
    """What the models trained on one table score on the holdout."""

    headline: Figure
    """HARMONIC: mean of four; MALLM-GAN: the best. Bootstrap interval over the holdout rows."""
    models: dict[str, dict[str, float]]
    """By model and metric: "f1_weighted" and "mcc", or "r2"."""
    settings: dict[str, str]
    """By model: what a grid search chose, or why it could not; empty where the protocol has no search."""


@dataclass(frozen=True)
class ProtocolScore:
    """A paper's protocol on one holdout. `synthetic` and `real`: trained on each."""

    protocol: str
    metric: str
    """Of the headlines: "f1_weighted" or "r2"; 1 is best."""
    n_holdout: int
    n_leaked: int
    """Holdout rows that stand in the real training rows; they are judged all the same, as published."""
    synthetic: SourceScore
    real: SourceScore
    faults: tuple[str, ...]


def check_xgboost() -> None:
    """Raises HarmonicError where xgboost is not installed."""
    if find_spec("xgboost") is None:
        raise HarmonicError(
            "XGBoost: not installed, and the papers' protocols train it. Install the extra 'paper': "
            "pip install 'harmonic[paper]'."
        )


def xgboost_model(task: Task, **settings: Any) -> Any:
    """An untrained XGBoost classifier or regressor on one thread.

    Raises HarmonicError where xgboost is not installed.
    """
    check_xgboost()
    library = import_module("xgboost")
    model = library.XGBRegressor if task == "regression" else library.XGBClassifier
    return model(n_jobs=1, **settings)


def harmonic_mle(
    *, real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, seed: int = 0
) -> ProtocolScore:
    """HARMONIC's MLE (arXiv 2408.02927 and its release): the mean of four grid-searched models on the holdout.

    Logistic regression, SVM, random forest and XGBoost; in regression SVM, forest, XGBoost and a multi-layer
    perceptron. The grids are those of the release. As there, 100 rows (here at most a fifth) are split off the training
    table, a 5-fold grid search runs inside them, and the settings found are trained on the other rows; levels are
    alphabetical codes, amounts unscaled. Known faults: `MLE_FAULTS`. Departures, where the release fails: one codebook
    for all files (it fits one a file, so codes may disagree); a missing cell is code -1 or the training median; classes
    with fewer than five validation rows are left out of the search; a support vector machine stops after MOST_STEPS
    steps. Its perceptron also names an activation that scikit-learn has not: only the other one is searched.

    Raises HarmonicError for an empty table, one without a column of the schema, and where xgboost is not installed.
    """
    tables = encoded(real, synthetic, holdout, schema)
    return _judged(
        _Protocol("HARMONIC MLE", code_features, _mle_models, False, MLE_FAULTS), tables, schema, seed
    )


def mallm_gan_best_of_four(
    *, real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, seed: int = 0
) -> ProtocolScore:
    """MALLM-GAN's utility (arXiv 2406.10521): the best of four models on the holdout, weighted F1 or R2.

    Logistic regression, a random forest of depth 3, an SVM and XGBoost of 100 trees of depth 3; in regression a linear
    model, a tree and XGBoost. Known faults: `BEST_OF_FOUR_FAULTS`. Levels are taken one by one and amounts scaled by
    the training table here; how the paper does it was not at hand.

    Raises HarmonicError for an empty table, one without a column of the schema, and where xgboost is not installed.
    """
    tables = encoded(real, synthetic, holdout, schema)
    protocol = _Protocol(
        "MALLM-GAN best of four", linear_pair, _best_of_four_models, True, BEST_OF_FOUR_FAULTS
    )
    return _judged(protocol, tables, schema, seed)


def encoded(
    real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame, schema: Schema
) -> dict[str, Codes]:
    """The tables by role under one codebook. Raises HarmonicError for an empty one or a column that is absent."""
    frames = {"real": real, "synthetic": synthetic, "holdout": holdout}
    for role, frame in frames.items():
        check_columns(frame, schema, role)
    codebook = Codebook(schema, list(frames.values()))
    return {role: codebook.encode(frame) for role, frame in frames.items()}


def code_features(train: Codes, test: Codes) -> tuple[Floats, Floats]:
    """Both tables as amounts and alphabetical codes of levels; missing: the training median, or code -1."""
    seen, asked = train.measures.copy(), test.measures.copy()
    for i, is_level in enumerate(train.is_level):
        if is_level:
            ranks = np.append(np.argsort(np.argsort(np.array(train.levels[i], dtype=object))), -1.0)
            for cells in (seen, asked):  # codes beyond MAX_LEVELS share the last one, as everywhere
                cells[:, i] = ranks[np.nan_to_num(cells[:, i], nan=-1.0).astype(np.intp)]
        else:
            known = seen[~np.isnan(seen[:, i]), i]
            median = float(np.median(known)) if len(known) else 0.0
            for cells in (seen, asked):
                cells[:, i] = np.nan_to_num(cells[:, i], nan=median)
    return seen, asked


def linear_pair(train: Codes, test: Codes) -> tuple[Floats, Floats]:
    """Both tables with levels one by one and amounts scaled by the training table."""
    return linear_features(train, train), linear_features(test, train)


def split_target(table: Codes, target: Column) -> tuple[Codes, Floats]:
    """The other columns, and the target's codes or amounts, [n_rows]."""
    position = table.index(target)
    return without(table, np.arange(len(table.columns)) != position), table.measures[:, position]


def _mle_models(task: Task, state: int) -> Models:
    forest = (RandomForestRegressor if task == "regression" else RandomForestClassifier)(random_state=state)
    boosted = xgboost_model(task)
    if task == "regression":
        network = MLPRegressor(max_iter=500, random_state=state)
        return {
            "svm": (SVR(max_iter=MOST_STEPS), SVM_GRID),
            "forest": (forest, FOREST_GRID),
            "xgboost": (boosted, BOOSTED_GRID),
            "network": (network, NETWORK_GRID),
        }
    return {
        "logistic": (LogisticRegression(max_iter=1000), LOGISTIC_GRID),
        "svm": (SVC(max_iter=MOST_STEPS), SVM_GRID),
        "forest": (forest, FOREST_GRID),
        "xgboost": (boosted, BOOSTED_GRID),
    }


def _best_of_four_models(task: Task, state: int) -> Models:
    boosted = xgboost_model(task, n_estimators=100, max_depth=3)
    if task == "regression":
        tree = DecisionTreeRegressor(random_state=state)
        return {"linear": (LinearRegression(), {}), "tree": (tree, {}), "xgboost": (boosted, {})}
    return {
        "logistic": (LogisticRegression(max_iter=1000), {}),
        "forest": (RandomForestClassifier(max_depth=3, random_state=state), {}),
        "svm": (SVC(), {}),
        "xgboost": (boosted, {}),
    }


@dataclass(frozen=True)
class _Protocol:
    name: str
    features: Callable[[Codes, Codes], tuple[Floats, Floats]]
    models: Callable[[Task, int], Models]
    takes_best: bool
    """Whether the headline is the best model's score, not the mean."""
    faults: tuple[str, ...]


def _judged(protocol: _Protocol, tables: Mapping[str, Codes], schema: Schema, seed: int) -> ProtocolScore:
    def score(source: str) -> SourceScore:
        reason = _why_not(tables[source], tables["holdout"], schema)
        if reason or schema.task is None:
            return SourceScore(undefined(reason), {}, {})
        target = schema.column(schema.target)
        train, test = labelled(tables[source], target), labelled(tables["holdout"], target)
        return _score(protocol, train, test, target, schema.task, seed)

    return ProtocolScore(
        protocol=protocol.name,
        metric="r2" if schema.task == "regression" else "f1_weighted",
        n_holdout=len(tables["holdout"]),
        n_leaked=int(RowHashes(dict(tables)).copies("holdout", "real").sum()),
        synthetic=score("synthetic"),
        real=score("real"),
        faults=protocol.faults,
    )


def _why_not(train: Codes, test: Codes, schema: Schema) -> str:
    """Why a table cannot be judged; "" if it can."""
    if reason := why_no_target(schema):
        return reason
    assert schema.target is not None
    target = schema.column(schema.target)
    n_rows = len(labelled(train, target))
    if n_rows < MIN_ROWS:
        return f"{n_rows} rows with a target are fewer than {MIN_ROWS}"
    if len(np.unique(split_target(labelled(test, target), target)[1])) < 2:
        return "the holdout rows hold fewer than two values of the target"
    return ""


def _score(
    protocol: _Protocol, train: Codes, test: Codes, target: Column, task: Task, seed: int
) -> SourceScore:
    (train_x, train_y), (test_x, test_y) = split_target(train, target), split_target(test, target)
    seen, asked = protocol.features(train_x, test_x)
    weights = bootstrap_weights(len(test), N_DRAWS, np.random.default_rng([seed, STREAM_DRAWS]))
    state = int(np.random.default_rng([seed, STREAM_PROTOCOL]).integers(2**31))
    draws: dict[str, Floats] = {}
    models: dict[str, dict[str, float]] = {}
    settings: dict[str, str] = {}
    for name, (model, grid) in protocol.models(task, state).items():
        predicted, text = _predicted(model, grid, seen, train_y, asked, task, state)
        if text:
            settings[name] = text
        draws[name], models[name] = _scores(test_y, predicted, weights, task)
    # the best model is chosen once, on all holdout rows, as published; the interval is that of its score
    best = max(draws, key=lambda name: draws[name][0])
    values = draws[best] if protocol.takes_best else np.mean(list(draws.values()), axis=0)
    low, high = percentile_interval(values[1:])
    return SourceScore(Figure(float(values[0]), low=low, high=high), models, settings)


def _scores(
    truth: Floats, predicted: Floats, weights: Weights, task: Task
) -> tuple[Floats, dict[str, float]]:
    """The headline's metric by bootstrap draw, and all metrics on all rows."""
    if task == "regression":
        draws = regression_scores(truth, predicted, weights)["r2"]
        return draws, {"r2": float(draws[0])}
    n_classes = max(2, int(max(truth.max(), predicted.max())) + 1)
    chosen = (predicted[:, None] == np.arange(n_classes)).astype(float)
    draws = classification_scores(truth.astype(np.intp), chosen, weights)["f1_weighted"]
    return draws, {"f1_weighted": float(draws[0]), "mcc": float(matthews_corrcoef(truth, predicted))}


def _predicted(
    model: Any, grid: Grid, seen: Floats, answers: Floats, asked: Floats, task: Task, state: int
) -> tuple[Floats, str]:
    """What the model says of the asked rows, [n_asked], and the settings that were searched for it."""
    values, codes = np.unique(answers, return_inverse=True)
    if len(values) < 2:
        return np.full(len(asked), values[0]), ""
    labels = answers if task == "regression" else codes.astype(float)
    text = ""
    with warnings.catch_warnings():  # iterations end early by design: see MOST_STEPS
        warnings.simplefilter("ignore", ConvergenceWarning)
        if grid:
            order = np.random.default_rng([state, STREAM_PROTOCOL]).permutation(len(seen))
            n_validation = min(N_VALIDATION, len(seen) // 5)
            validation, rest = order[:n_validation], order[n_validation:]
            model, text = _searched(model, grid, seen[validation], labels[validation], task)
            seen, labels = seen[rest], labels[rest]
        return _trained_and_asked(model, values, seen, labels, asked, task), text


def _searched(model: Any, grid: Grid, seen: Floats, labels: Floats, task: Task) -> tuple[Any, str]:
    """The model with the settings of the best 5-fold cross-validation inside these rows, and these in words."""
    if task != "regression":
        counts = np.bincount(labels.astype(np.intp))
        kept = counts[labels.astype(np.intp)] >= N_FOLDS
        known, codes = np.unique(labels[kept], return_inverse=True)
        seen, labels = seen[kept], codes.astype(float)
        if len(known) < 2:
            return model, f"not searched: fewer than two classes have {N_FOLDS} validation rows"
    search = GridSearchCV(model, dict(grid), cv=N_FOLDS, refit=False).fit(seen, labels)
    best = search.best_params_
    return clone(model).set_params(**best), ", ".join(f"{key}={value}" for key, value in best.items())


def _trained_and_asked(
    model: Any, values: Floats, seen: Floats, labels: Floats, asked: Floats, task: Task
) -> Floats:
    """Predictions of a model trained on these rows; class numbers are made gapless, as XGBoost wants them."""
    if task == "regression":
        return np.asarray(model.fit(seen, labels).predict(asked), dtype=float)
    known, codes = np.unique(labels, return_inverse=True)
    if len(known) < 2:
        return np.full(len(asked), values[int(known[0])])
    return np.asarray(values[known[model.fit(seen, codes).predict(asked)].astype(np.intp)], dtype=float)

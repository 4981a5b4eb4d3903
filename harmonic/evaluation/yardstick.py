"""The yardstick of a comparison of rivals on few rows: one table in, ten figures out, by definitions that stay fixed.

What enters is real (training), synthetic and holdout rows of one schema; what leaves is `Yardstick`. The report's own
figures have changed and will change; these do not, so that rivals that were measured once (CTGAN, TVAE, TabularARGN and
others, which need environments of their own) can be set beside ours. Shapes and pairs are those of SDMetrics, against
the training rows. Not a verdict: no figure has an interval here, and distances prove no privacy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedGroupKFold

from harmonic.errors import HarmonicError
from harmonic.evaluation.codes import Codes
from harmonic.evaluation.distances import RowHashes, nearest, ranges
from harmonic.evaluation.fidelity import N_BINS, shape_errors
from harmonic.evaluation.figures import compare
from harmonic.evaluation.learners import N_TREES, labelled
from harmonic.evaluation.marginals import bin_cells, contingency_distance
from harmonic.evaluation.protocols import (
    code_features,
    encoded,
    linear_pair,
    split_target,
    xgboost_model,
)
from harmonic.evaluation.scores import classification_scores, regression_scores
from harmonic.evaluation.twosample import MIN_ROWS, N_FOLDS, N_ROUNDS, tree_features
from harmonic.table.schema import Schema, Task

STREAM_YARDSTICK = 551
"""Folds and models."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Yardstick:
    """What a table of n synthetic rows measures; shares and scores, all in the same direction as published."""

    shape: float
    """1 - mean KS or total variation of the columns, synthetic against train: 1 is best."""
    pair: float
    """1 - mean over pairs of |difference of Pearson's correlation| / 2 (two amounts) or total variation of the
    contingency tables (amounts in tenths of train), synthetic against train: 1 is best."""
    c2st: float
    """5-fold AUC of boosted trees, synthetic against holdout rows in equal numbers, identical rows kept in one fold:
    .5 is ideal."""
    c2st_train: float
    """The same against train: below .5 means near copies."""
    utility: float
    """Weighted F1 or R2 on the holdout: mean of linear model, forest and XGBoost."""
    utility_best: float
    auc: float | None
    """Mean AUC of the three; None in regression."""
    copies: float
    """Share of synthetic rows equal to a training row."""
    dcr: float
    """Chance that a synthetic row lies nearer to train than a holdout row does: .5 is ideal, 1 = copies."""
    mia: float
    """AUC of minus the distance to the nearest synthetic row; members = train, others = holdout: .5 is ideal."""


def measure_yardstick(
    *, real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, seed: int = 0
) -> Yardstick:
    """The figures of one synthetic table.

    Raises HarmonicError for a schema without a target or with fewer than two modelled columns, an empty table, one
    without a column of the schema, fewer than ten rows, and where xgboost is not installed.
    """
    if schema.task is None or len(schema.modelled) < 2:
        raise HarmonicError(
            f"Schema: target {schema.target!r} and {len(schema.modelled)} modelled columns, expected a target and "
            "another column to predict it from. Declare the target."
        )
    tables = encoded(real, synthetic, holdout, schema)
    train, made, test = tables["real"], tables["synthetic"], tables["holdout"]
    utility, best, auc = _utility(made, test, schema, schema.task, seed)
    widths = ranges(train)
    synthetic_gaps, holdout_gaps = nearest(made, train, widths)[0], nearest(test, train, widths)[0]
    members, others = nearest(train, made, widths)[0], nearest(test, made, widths)[0]
    return Yardstick(
        shape=float(1 - shape_errors(train, made).mean()),
        pair=_pair(train, made),
        c2st=c2st_in_groups(test, made, seed=seed),
        c2st_train=c2st_in_groups(train, made, seed=seed),
        utility=utility,
        utility_best=best,
        auc=auc,
        copies=float(RowHashes(tables).copies("synthetic", "real").mean()),
        dcr=compare(-synthetic_gaps, -holdout_gaps).auc,
        mia=compare(-members, -others).auc,
    )


def _pair(train: Codes, made: Codes) -> float:
    """1 - mean error of the pairs, by Pearson's correlation and tenths of train."""
    a, b = train.measures, made.measures
    binned = [
        bin_cells(a[:, i], b[:, i], is_level=bool(is_level), n_bins=N_BINS)
        for i, is_level in enumerate(train.is_level)
    ]
    errors = []
    for i in range(a.shape[1]):
        for j in range(i):
            if train.is_level[i] or train.is_level[j]:
                errors.append(contingency_distance([binned[i], binned[j]]))
            else:
                errors.append(abs(_pearson(a[:, i], a[:, j]) - _pearson(b[:, i], b[:, j])) / 2)
    return float(1 - np.mean(errors))


def _pearson(first: Floats, second: Floats) -> float:
    """Correlation on the rows where neither is missing; 0 where one is constant."""
    known = ~np.isnan(first) & ~np.isnan(second)
    if known.sum() < 2 or np.ptp(first[known]) == 0 or np.ptp(second[known]) == 0:
        return 0.0
    return float(np.corrcoef(first[known], second[known])[0, 1])


def c2st_in_groups(real: Codes, made: Codes, *, seed: int) -> float:
    """5-fold AUC of boosted trees on equal numbers of rows, rows that are equal kept in one fold.

    Otherwise a row that was drawn twice gives itself away: resampled rows of adult_100 get .70 against fresh ones.

    Raises HarmonicError for fewer than ten rows a side, and where so many are equal that no fold holds rows of both.
    """
    generator = np.random.default_rng([seed, STREAM_YARDSTICK])
    n = min(len(real), len(made))
    if n < MIN_ROWS:
        raise HarmonicError(
            f"Two-sample test: {n} rows a side, expected at least {MIN_ROWS}. Pass more rows."
        )
    state = int(generator.integers(2**31))
    first, second = real.head(n, generator), made.head(n, generator)
    hashes = RowHashes({"real": first, "made": second})
    groups = np.concatenate([hashes.rows("real"), hashes.rows("made")])
    labels, cells = np.repeat([0, 1], n), np.vstack([first.measures, second.measures])
    found = []
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=state)
    for seen, asked in folds.split(cells, labels, groups):
        if len(np.unique(labels[seen])) < 2 or len(np.unique(labels[asked])) < 2:
            continue
        features, questions = tree_features(cells[seen], cells[asked])
        model = HistGradientBoostingClassifier(
            max_iter=N_ROUNDS, categorical_features=real.is_level, early_stopping=False, random_state=state
        ).fit(features, labels[seen])
        scores = model.predict_proba(questions)[:, 1]
        found.append(compare(scores[labels[asked] == 1], scores[labels[asked] == 0]).auc)
    if not found:
        raise HarmonicError(
            f"Two-sample test: among {2 * n} rows too many are equal to keep equal ones in one fold. Pass more rows."
        )
    return float(np.mean(found))


def _utility(
    made: Codes, test: Codes, schema: Schema, task: Task, seed: int
) -> tuple[float, float, float | None]:
    """Mean and best of the three models (weighted F1 or R2), and their mean AUC."""
    target = schema.column(schema.target)
    made, test = labelled(made, target), labelled(test, target)
    (seen, answers), (asked, truth) = split_target(made, target), split_target(test, target)
    weights = np.ones((1, len(test)))
    scores, aucs = [], []
    for name, model in _models(task, seed).items():
        features, questions = (linear_pair if name == "linear" else code_features)(seen, asked)
        if task == "regression":
            said = np.asarray(model.fit(features, answers).predict(questions), dtype=float)
            scores.append(regression_scores(truth, said, weights)["r2"][0])
        else:
            chances = _chances(model, features, answers, questions, n_classes=_n_classes(answers, truth))
            figures = classification_scores(truth.astype(np.intp), chances, weights)
            scores.append(figures["f1_weighted"][0])
            aucs.append(figures["auc"][0])
    return float(np.mean(scores)), float(np.max(scores)), float(np.mean(aucs)) if aucs else None


def _n_classes(*targets: Floats) -> int:
    return max(2, int(max(codes.max() for codes in targets)) + 1)


def _models(task: Task, seed: int) -> dict[str, Any]:
    """The published three; XGBoost at its own defaults."""
    state = int(np.random.default_rng([seed, STREAM_YARDSTICK]).integers(2**31))
    boosted = xgboost_model(task)
    if task == "regression":
        forest = RandomForestRegressor(N_TREES, random_state=state)
        return {"linear": Ridge(), "forest": forest, "xgboost": boosted}
    forest = RandomForestClassifier(N_TREES, random_state=state)
    return {"linear": LogisticRegression(max_iter=1000), "forest": forest, "xgboost": boosted}


def _chances(model: Any, seen: Floats, answers: Floats, asked: Floats, *, n_classes: int) -> Floats:
    """Probabilities of all classes, [n_asked, n_classes]; classes that no training row has get 0."""
    known, codes = np.unique(answers, return_inverse=True)
    chances = np.zeros((len(asked), n_classes))
    chances[:, known.astype(np.intp)] = model.fit(seen, codes).predict_proba(asked) if len(known) > 1 else 1.0
    return chances

"""Can a classifier tell two tables apart? The two-sample test that sees all columns at once (C2ST).

What enters is two coded tables; what leaves is the cross-validated AUC of boosted trees with its interval:
.5 where they cannot be told apart, 1 where every row gives itself away. Logistic regression stands beside
it as a warning: on independent columns of Adult it says .538 where boosted trees say .985, so on its own it
is blind.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from harmonic.evaluation.codes import Codes, stack
from harmonic.evaluation.figures import Comparison, Figure, compare, interval_figure, undefined

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
N_FOLDS = 5
MIN_ROWS = 2 * N_FOLDS
N_ROUNDS = 100
MAX_ONE_HOT = 40
"""Linear models see the commonest levels one by one, the others together."""


def c2st(real: Codes, synthetic: Codes, *, seed: list[int], max_rows: int, n_repeats: int) -> Figure:
    """AUC of boosted trees, 5-fold, on equal numbers of rows; mean over `n_repeats` fresh halves and
    folds."""

    def score(both: Codes, train: Ints, test: Ints, labels: Floats, state: int) -> Floats:
        seen, asked = tree_features(both.measures[train], both.measures[test])
        model = HistGradientBoostingClassifier(
            max_iter=N_ROUNDS, categorical_features=both.is_level, early_stopping=False, random_state=state
        )
        return np.asarray(model.fit(seen, labels[train]).predict_proba(asked)[:, 1])

    return _cross_validated(real, synthetic, score, seed, max_rows, n_repeats)


def c2st_linear(real: Codes, synthetic: Codes, *, seed: list[int], max_rows: int) -> Figure:
    """The same by logistic regression, on levels one by one, medians for missing amounts and missing
    flags."""

    def score(both: Codes, train: Ints, test: Ints, labels: Floats, state: int) -> Floats:
        features = linear_features(both, both)
        model = LogisticRegression(max_iter=500, random_state=state).fit(features[train], labels[train])
        return np.asarray(model.decision_function(features[test]))

    return _cross_validated(real, synthetic, score, seed, max_rows, 1)


def tree_features(seen: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """Both as they are, missing cells included, but for columns without a value in `seen`: zeros.

    scikit-learn's trees take a column with gaps, and fail on one that is all gaps.
    """
    is_empty = np.isnan(seen).all(axis=0)
    return np.where(is_empty, 0.0, seen), np.where(is_empty, 0.0, asked)


def linear_features(codes: Codes, reference: Codes) -> Floats:
    """Float [n_rows, n_features]: amounts centred and scaled as in `reference`, levels one by one, missing
    flags.

    A column that is constant in `reference` adds zeros; nothing is NaN.
    """
    blocks: list[Floats] = []
    for i, is_level in enumerate(codes.is_level):
        cells = codes.measures[:, i]
        missing = np.isnan(cells)
        if is_level:
            n_levels = min(len(codes.levels[i]), MAX_ONE_HOT)
            blocks.append((np.minimum(cells, n_levels - 1)[:, None] == np.arange(n_levels)).astype(float))
        else:
            blocks.append(_scaled(cells, reference.measures[:, i])[:, None])
        if np.isnan(reference.measures[:, i]).any():
            blocks.append(missing[:, None].astype(float))
    return np.hstack(blocks) if blocks else np.zeros((len(codes), 1))


def _scaled(cells: Floats, reference: Floats) -> Floats:
    seen = reference[~np.isnan(reference)]
    if not len(seen) or seen.min() == seen.max():
        return np.zeros(len(cells))
    return np.nan_to_num(
        (cells - np.mean(seen)) / np.std(seen), nan=(np.median(seen) - np.mean(seen)) / np.std(seen)
    )


def _cross_validated(
    real: Codes,
    synthetic: Codes,
    score: Callable[[Codes, Ints, Ints, Floats, int], Floats],
    seed: list[int],
    max_rows: int,
    n_repeats: int,
) -> Figure:
    n = min(len(real), len(synthetic), max_rows)
    if n < MIN_ROWS:
        return undefined(f"{n} rows a side are fewer than {MIN_ROWS}")
    generator = np.random.default_rng(seed)
    labels = np.repeat([0.0, 1.0], n)
    found: list[Comparison] = []
    for _ in range(n_repeats):
        both = stack(real.head(n, generator), synthetic.head(n, generator))
        state = int(generator.integers(2**31))
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=state)
        for train, test in folds.split(labels, labels):
            scores = score(both, train, test, labels, state)
            found.append(compare(scores[labels[test] == 1], scores[labels[test] == 0]))
    # repeats reuse the same holdout rows, so they steady the mean but do not narrow its interval
    variance = float(np.mean([comparison.variance for comparison in found])) / N_FOLDS
    return interval_figure(float(np.mean([comparison.auc for comparison in found])), variance)

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

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, compare, interval_figure, undefined

Floats = NDArray[np.float64]
N_FOLDS = 5
MIN_ROWS = 2 * N_FOLDS
MAX_ONE_HOT = 40
"""Linear models see the commonest levels one by one, the others together."""


def c2st(real: Codes, synthetic: Codes, seed: int, stream: int, *, max_rows: int, n_repeats: int) -> Figure:
    """AUC of boosted trees, 5-fold, on equal numbers of rows; mean over `n_repeats` fresh halves and
    folds."""

    def fit(features: Floats, labels: Floats, state: int) -> Callable[[Floats], Floats]:
        model = HistGradientBoostingClassifier(
            categorical_features=real.is_level, early_stopping=False, random_state=state
        )
        model.fit(features, labels)
        return lambda rows: model.predict_proba(rows)[:, 1]

    return _cross_validated(real, synthetic, fit, lambda c: c.measures, [seed, stream], max_rows, n_repeats)


def c2st_linear(real: Codes, synthetic: Codes, seed: int, stream: int, *, max_rows: int) -> Figure:
    """The same by logistic regression, on levels one by one, medians for missing amounts and missing
    flags."""

    def fit(features: Floats, labels: Floats, state: int) -> Callable[[Floats], Floats]:
        model = LogisticRegression(max_iter=500, random_state=state).fit(features, labels)
        return lambda rows: model.decision_function(rows)

    return _cross_validated(
        real, synthetic, fit, lambda c: linear_features(c, c), [seed, stream], max_rows, 1
    )


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
        if missing.any() or np.isnan(reference.measures[:, i]).any():
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
    fit: Callable[[Floats, Floats, int], Callable[[Floats], Floats]],
    features_of: Callable[[Codes], Floats],
    seed: list[int],
    max_rows: int,
    n_repeats: int,
) -> Figure:
    n = min(len(real), len(synthetic), max_rows)
    if n < MIN_ROWS:
        return undefined(f"{n} rows a side are fewer than {MIN_ROWS}")
    generator = np.random.default_rng(seed)
    aucs, variances = [], []
    for _ in range(n_repeats):
        both = _stack(real.head(n, generator), synthetic.head(n, generator))
        features, labels = features_of(both), np.repeat([0.0, 1.0], n)
        state = int(generator.integers(2**31))
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=state)
        for train, test in folds.split(features, labels):
            scores = fit(features[train], labels[train], state)(features[test])
            comparison = compare(scores[labels[test] == 1], scores[labels[test] == 0])
            aucs.append(comparison.auc)
            variances.append(comparison.variance)
    # repeats reuse the same holdout rows, so they steady the mean but do not narrow its interval
    return interval_figure(float(np.mean(aucs)), float(np.mean(variances)) / N_FOLDS)


def _stack(first: Codes, second: Codes) -> Codes:
    return Codes(
        first.columns,
        np.vstack([first.cells, second.cells]),
        np.vstack([first.lengths, second.lengths]),
        first.levels,
    )

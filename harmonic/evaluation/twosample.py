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
LARGEST = float(np.finfo(np.float32).max)
"""Forests keep features in four bytes, and refuse what these cannot hold."""


def c2st(real: Codes, synthetic: Codes, *, seed: list[int], max_rows: int, n_repeats: int) -> Figure:
    """AUC of boosted trees, 5-fold, on equal numbers of rows; mean over `n_repeats` fresh halves and
    folds.

    The interval is for the AUC that trees taught by so many rows reach on average over tables of these laws. Of 95 in
    100 promised it holds 96.0 and 95.3 between fresh tables of one law (100 and 300 rows a side, 400 pairs), 96.3 and
    94.8 at AUC .67, 97.5 at AUC .89 (100 rows): `scripts/benchmark.py intervals --seeds 400 --only trees`.
    """

    def score(both: Codes, train: Ints, test: Ints, labels: Floats, state: int) -> Floats:
        seen, asked = tree_features(both.measures[train], both.measures[test])
        model = HistGradientBoostingClassifier(
            max_iter=N_ROUNDS, categorical_features=both.is_level, early_stopping=False, random_state=state
        )
        return np.asarray(model.fit(seen, labels[train]).predict_proba(asked)[:, 1])

    return _cross_validated(real, synthetic, score, seed, max_rows, n_repeats)


def c2st_linear(real: Codes, synthetic: Codes, *, seed: list[int], max_rows: int) -> Figure:
    """The same by logistic regression, on levels one by one, medians for missing amounts and missing
    flags.

    Its interval holds 94.7 and 94.8 in 100 (100 and 300 rows a side, 600 pairs), 97.8 and 99.2 at AUC .72, 98.2 at AUC
    .91 (100 rows): `scripts/benchmark.py intervals --seeds 600 --only linear`.
    """

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

    A column that is constant in `reference` adds zeros; nothing is NaN, nor beyond `LARGEST`.
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
    # squares of amounts from 1e154 on overflow; halving them so often that the largest is near 1 changes no digit
    power = -int(np.frexp(np.abs(seen).max())[1])
    with np.errstate(over="ignore"):
        cells, seen = np.ldexp(cells, power), np.ldexp(seen, power)
        centre, spread = np.mean(seen), np.std(seen)
        scaled = np.nan_to_num((cells - centre) / spread, nan=(np.median(seen) - centre) / spread)
    # clipping keeps the order
    return np.clip(scaled, -LARGEST, LARGEST)


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
    variance = folds_variance(float(np.mean([comparison.variance for comparison in found])), N_FOLDS)
    return interval_figure(float(np.mean([comparison.auc for comparison in found])), variance)


def folds_variance(variance: float, n_folds: int) -> float:
    """Variance of a mean over folds, from that of one fold: the folds hang together.

    Two folds meet twice, each as test rows of a model that the other has taught, so chance that makes one look
    different does so in both. As in Nadeau and Bengio (2003) test over train rows, here 1 / (n_folds - 1), says how
    much they hang together: it is their correlation, exactly, where a linear score has nothing to find (A_i = sum over
    k of d_k d_i: one of n_folds - 1 terms is the other fold's too), and the variance doubles. Where tables differ it is
    less, most of all for linear models, and the interval somewhat wide; no estimate from one cross-validation is
    unbiased (Bengio and Grandvalet 2004).
    """
    correlation = 1.0 / (n_folds - 1)
    return variance / n_folds * (1.0 + (n_folds - 1) * correlation)

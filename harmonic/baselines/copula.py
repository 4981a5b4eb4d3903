"""A Gaussian copula for mixed types: every column's own shape, and one correlation for every pair.

What enters is the training rows and their schema; what leaves is a frame of the same columns and exact dtypes. Each
column is laid out along a latent standard normal: missing cells first, then numbers and dates from low to high, ordered
levels in their order, other levels from the commonest to the rarest; a cell owns the interval of its share. A latent
draw is turned back by the empirical quantiles, so every cell is a training cell of its column: within the range, on the
grid, exact. The dependence it misses is all that one correlation a pair cannot say.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from harmonic.baselines.picks import Picks, checked_train, take
from harmonic.table.cells import encode_column
from harmonic.table.schema import Column, Schema

STREAM_COPULA = 405
N_TERMS = 30
"""Hermite terms: the moments of levels fall off as the term's number to the power -3/2."""
N_HALVINGS = 40
MOST = 0.999
"""Largest correlation of a pair: equal columns would make the matrix singular."""
SMALLEST_EIGENVALUE = 1e-4
EDGE = 9.0
"""The ends of the normal distribution: its density underflows beyond."""

Floats = NDArray[np.float64]


class GaussianCopula:
    """Empirical marginals joined by a Gaussian copula whose correlations match the moments of the normal scores.

    The score of a cell is the mean of the latent normal on the cell's interval. The product moment of two columns'
    scores is a power series of their latent correlation (Mehler's formula; Cario and Nelson 1997 for the idea), solved
    for it here: the plain correlation for numbers without ties, the tetrachoric one for two pairs of levels. The matrix
    of these is then made positive definite by raising its small eigenvalues (Rebonato and Jaeckel 1999).
    """

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Learn float `correlation_` [n_modelled, n_modelled], positive definite with a unit diagonal.

        Raises HarmonicError for a table without rows, without a column of the schema, or with a cell that cannot be
        read as its column's kind.
        """
        self.train_, self.schema_ = checked_train(train, schema), schema
        places = [_places(self.train_[column.name], column) for column in schema.modelled]
        self.order_ = [np.argsort(codes, kind="stable") for codes in places]
        self.correlation_ = _correlation(places)
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows of latent draws, each cell the training cell at its quantile."""
        generator = np.random.default_rng([seed, STREAM_COPULA])
        n_train, modelled = len(self.train_), self.schema_.modelled
        picks: dict[Hashable, Picks] = {
            name: generator.integers(n_train, size=n) for name in self.schema_.names
        }
        root = np.linalg.cholesky(self.correlation_)
        shares = ndtr(generator.standard_normal((n, len(modelled))) @ root.T)
        ranks = np.minimum((shares * n_train).astype(np.intp), n_train - 1)
        for i, column in enumerate(modelled):
            picks[column.name] = self.order_[i][ranks[:, i]]
        return take(self.train_, self.schema_, picks, seed)


def _places(cells: pd.Series, column: Column) -> Picks:
    """Where each cell stands along the latent axis: 0 for missing, then 1, 2, ... for the distinct values."""
    texts = encode_column(cells, column)
    codes, found = pd.factorize(texts, use_na_sentinel=True)
    rank = np.argsort(_sorted(list(found), codes, column), kind="stable") + 1
    return np.append(rank, 0)[codes].astype(np.intp)


def _sorted(texts: list[str], codes: NDArray[np.intp], column: Column) -> Picks:
    """The numbers of the distinct texts in the order in which they stand along the axis."""
    if column.is_numeric:
        return np.argsort(np.array([float(text) for text in texts]), kind="stable")
    if column.kind == "datetime":  # ISO texts sort as the moments do
        return np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.intp)
    if column.category_dtype.startswith("ordered:"):
        place = {text: number for number, text in enumerate(column.categories)}
        return np.argsort([place.get(text, len(place)) for text in texts], kind="stable")
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    return np.array(sorted(range(len(texts)), key=lambda code: (-counts[code], texts[code])), dtype=np.intp)


def _correlation(places: list[Picks]) -> Floats:
    """The latent correlations of all pairs, made positive definite."""
    if not places:
        return np.zeros((0, 0))
    layouts = [_scores_and_terms(codes) for codes in places]
    scores = np.column_stack([scores for scores, _ in layouts])
    terms = np.stack([terms for _, terms in layouts])
    wanted = scores.T @ scores / len(scores)  # the scores have mean 0
    return _positive_definite(_solved(wanted, terms))


def _scores_and_terms(codes: Picks) -> tuple[Floats, Floats]:
    """Every row's score, [n_rows], and the Hermite coefficients 1, 2, ... of the score function, [N_TERMS]."""
    counts = np.bincount(codes)
    shares = np.concatenate([[0.0], np.cumsum(counts) / len(codes)])
    ends = np.clip(ndtri(np.minimum(shares, 1.0)), -EDGE, EDGE)
    density = np.exp(-(ends**2) / 2) / np.sqrt(2 * np.pi)
    density[[0, -1]] = 0.0
    steps = np.zeros(
        (N_TERMS, len(ends))
    )  # the integral of the k-th Hermite function up to each end, negated
    polynomial, before = np.ones(len(ends)), np.zeros(len(ends))
    for k in range(1, N_TERMS + 1):
        steps[k - 1] = polynomial * density / np.sqrt(k)
        polynomial, before = (ends * polynomial - np.sqrt(k - 1) * before) / np.sqrt(k), polynomial
    moments = -np.diff(steps, axis=1)
    means = np.divide(moments[0], counts / len(codes), out=np.zeros(len(counts)), where=counts > 0)
    return means[codes], moments @ means


def _solved(wanted: Floats, terms: Floats) -> Floats:
    """The correlations whose series sum_k terms_i[k] terms_j[k] rho^k is `wanted`, cut at +-MOST; by halving."""
    products = [np.outer(column, column) for column in terms.T]
    low, high = np.full_like(wanted, -MOST), np.full_like(wanted, MOST)
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        value = np.zeros_like(middle)
        for product in reversed(products):
            value = (value + product) * middle
        below = value < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    solved = np.where((terms[:, 0] > 0)[:, None] & (terms[:, 0] > 0), (low + high) / 2, 0.0)
    np.fill_diagonal(solved, 1.0)
    return solved


def _positive_definite(matrix: Floats) -> Floats:
    """The matrix with no eigenvalue below SMALLEST_EIGENVALUE, scaled back to a unit diagonal."""
    values, vectors = np.linalg.eigh(matrix)
    raised = (vectors * np.maximum(values, SMALLEST_EIGENVALUE)) @ vectors.T
    widths = np.sqrt(np.diag(raised))
    scaled = np.asarray(raised / np.outer(widths, widths))
    np.fill_diagonal(scaled, 1.0)
    return scaled

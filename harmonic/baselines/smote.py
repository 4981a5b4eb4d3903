"""SMOTE for mixed types: rows between neighbours.

What enters is the training rows and their schema; what leaves is a frame of the same columns and exact dtypes. Numbers
are interpolated, every other cell is a neighbour's: good utility that leaks.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from harmonic.baselines.picks import Picks, checked_train, numbers, take, target_classes, target_of
from harmonic.table.cells import encode_column
from harmonic.table.schema import Column, Schema

STREAM_SMOTE = 404


class Smote:
    """SMOTE for mixed types (SMOTE-NC, Chawla et al. 2002), applied to every row instead of a minority only.

    A row and one of its `k` nearest rows of the same class: numbers lie somewhere between the two, every
    other cell is the commonest among the `k` neighbours. In regression the target is one more number.
    """

    def __init__(self, k: int = 5) -> None:
        self.k = k

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Find the neighbours: int array `neighbors_` [n_train, k], the row itself where its class has fewer.

        Raises HarmonicError for a table without rows or without a column of the schema.
        """
        self.train_, self.schema_ = checked_train(train, schema), schema
        features = _smote_features(self.train_, schema)
        self.neighbors_ = np.repeat(np.arange(len(train))[:, None], self.k, axis=1)
        classes = _smote_classes(self.train_, schema)
        for label in np.unique(classes):
            members = np.flatnonzero(classes == label)
            k = min(self.k, len(members) - 1)
            if k > 0:
                near = (
                    NearestNeighbors(n_neighbors=k).fit(features[members]).kneighbors(return_distance=False)
                )
                self.neighbors_[members] = members[near[:, np.arange(self.k) % k]]
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows, each between a random training row and one of its neighbours."""
        generator = np.random.default_rng([seed, STREAM_SMOTE])
        start = generator.integers(len(self.train_), size=n)
        end = self.neighbors_[start, generator.integers(self.k, size=n)]
        weight = generator.random(n)
        picks: dict[Hashable, Picks] = dict.fromkeys(self.schema_.names, start)
        for column in self.schema_.modelled:
            if not column.is_numeric:
                texts = encode_column(self.train_[column.name], column)
                codes = pd.factorize(texts, sort=True, use_na_sentinel=False)[0]
                picks[column.name] = _commonest(codes, self.neighbors_[start])
        table = take(self.train_, self.schema_, picks, seed)
        for column in self.schema_.modelled:
            if column.is_numeric:
                table[column.name] = _between(self.train_[column.name], column, start, end, weight)
        return table


def _smote_classes(train: pd.DataFrame, schema: Schema) -> NDArray[np.intp]:
    if schema.task in (None, "regression"):
        return np.zeros(len(train), dtype=np.intp)
    target = target_of(schema)
    return target_classes(train[target.name], target)


def _smote_features(train: pd.DataFrame, schema: Schema) -> NDArray[np.float64]:
    """Numbers by their standard deviation; a category mismatch weighs as the median deviation (here 1),
    SMOTE-NC."""
    blocks: list[NDArray[np.float64]] = []
    for column in schema.modelled:
        if column.is_numeric:
            cells = numbers(train[column.name])
            centre, spread = (
                (np.nanmean(cells), np.nanstd(cells)) if not np.isnan(cells).all() else (0.0, 0.0)
            )
            blocks.append(np.nan_to_num((cells - centre) / (spread or 1.0))[:, None])
        else:
            codes = pd.factorize(train[column.name], use_na_sentinel=False)[0]
            blocks.append((codes[:, None] == np.arange(codes.max() + 1)) / np.sqrt(2.0))
    return np.hstack(blocks) if blocks else np.zeros((len(train), 1))


def _commonest(codes: NDArray[np.intp], neighbors: NDArray[np.intp]) -> Picks:
    """For every row of `neighbors` [n, k] the neighbour whose code is the commonest; the lowest code wins a tie, as in
    the usual implementation (imbalanced-learn's SMOTENC)."""
    near = codes[neighbors]
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
    is_commonest = votes == votes.max(axis=1, keepdims=True)
    return neighbors[np.arange(len(neighbors)), np.where(is_commonest, near, len(codes)).argmin(axis=1)]


def _between(
    cells: pd.Series, column: Column, start: Picks, end: Picks, weight: NDArray[np.float64]
) -> pd.Series:
    """Numbers between two rows' cells, rounded to the column's step and places; missing where the first row's cell
    is missing."""
    values = numbers(cells)
    far = np.where(np.isnan(values[end]), values[start], values[end])
    made = values[start] + weight * (far - values[start])
    if column.step:
        made = np.round(made / float(column.step)) * float(column.step)
    return pd.Series(np.round(made, column.decimals)).astype(cells.dtype)

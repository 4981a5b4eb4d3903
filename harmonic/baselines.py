"""Four generators without a model, to keep the learnt one honest.

What enters is the training rows and their schema; what leaves is a frame of the same columns and exact
dtypes. Every cell is taken from a training cell of its own column (SMOTE interpolates numbers), so missing
cells, levels and dtypes come along untouched. `ResampledRows` copies rows: the best utility and no privacy
at all. `IndependentMarginals` knows every column and no dependence: the worst case of fidelity.
`ClassConditionalMarginals` also knows the target: the floor that utility must beat. `Smote` interpolates
between neighbours: good utility that leaks.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from harmonic.errors import HarmonicError
from harmonic.table.cells import assemble, decode_column, locate
from harmonic.table.identifiers import fresh
from harmonic.table.schema import Column, Schema

STREAM_RESAMPLED, STREAM_INDEPENDENT, STREAM_CLASS_CONDITIONAL, STREAM_SMOTE = 401, 402, 403, 404
TENTHS = 10

Picks = NDArray[np.intp]
"""Row numbers of the training table, one for every row to be made."""


class ResampledRows:
    """Training rows drawn with replacement: what copying looks like in every metric."""

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Keep the rows. Raises HarmonicError for a table without rows or without a column of the schema."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` training rows, drawn with replacement; dtypes and index (0..n-1) as in a fresh table."""
        picks = np.random.default_rng([seed, STREAM_RESAMPLED]).integers(len(self.train_), size=n)
        return take(self.train_, self.schema_, dict.fromkeys(self.schema_.names, picks), seed)


class IndependentMarginals:
    """Every column drawn on its own: all shapes right, every dependence gone."""

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Keep the columns. Raises HarmonicError for a table without rows or without a column of the
        schema."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows whose cells come from independently drawn training rows."""
        generator = np.random.default_rng([seed, STREAM_INDEPENDENT])
        picks = {name: generator.integers(len(self.train_), size=n) for name in self.schema_.names}
        return take(self.train_, self.schema_, picks, seed)


class ClassConditionalMarginals:
    """A class drawn (regression: a tenth of the target), then every column on its own from the rows of that
    class.

    Few lines, and few-row methods seldom beat its utility: a result counts only above it.
    """

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Group the rows by target. Raises HarmonicError as the others do, and where the schema names no
        target."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        target = _target(schema)
        self.classes_ = target_classes(self.train_[target.name], target)
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows: the class by its training share, then each column among the rows of that class."""
        generator = np.random.default_rng([seed, STREAM_CLASS_CONDITIONAL])
        drawn = self.classes_[generator.integers(len(self.train_), size=n)]
        picks: dict[Hashable, Picks] = {name: np.zeros(n, dtype=np.intp) for name in self.schema_.names}
        for label in np.unique(drawn):
            members, rows = np.flatnonzero(self.classes_ == label), np.flatnonzero(drawn == label)
            for name in self.schema_.names:
                picks[name][rows] = generator.choice(members, size=len(rows))
        return take(self.train_, self.schema_, picks, seed)


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
                codes = pd.factorize(self.train_[column.name], use_na_sentinel=False)[0]
                picks[column.name] = _commonest(codes, self.neighbors_[start])
        table = take(self.train_, self.schema_, picks, seed)
        for column in self.schema_.modelled:
            if column.is_numeric:
                table[column.name] = _between(self.train_[column.name], column, start, end, weight)
        return table


def take(train: pd.DataFrame, schema: Schema, picks: Mapping[Hashable, Picks], seed: int) -> pd.DataFrame:
    """The frame whose column `name` holds the training cells `picks[name]`; identifiers are made fresh."""
    columns = []
    n_rows = len(next(iter(picks.values()))) if picks else 0
    for column in schema.columns:
        if column.kind == "identifier":  # a copied identifier would be a person's own
            columns.append(decode_column(fresh(column, n_rows, seed=seed, first_row=0), column))
        else:
            columns.append(train[column.name].take(picks[column.name]).reset_index(drop=True))
    return assemble(columns, schema)


def target_classes(cells: pd.Series, column: Column) -> NDArray[np.intp]:
    """A class number for every row: the level, or the tenth of a numeric or datetime target; missing is a
    class."""
    if column.kind not in ("integer", "decimal", "datetime"):
        return np.asarray(pd.factorize(cells, use_na_sentinel=False)[0], dtype=np.intp)
    shares = cells.rank(pct=True, method="first").to_numpy(dtype=float, na_value=np.nan)
    tenths = np.ceil(shares * TENTHS) - 1
    return np.where(np.isnan(tenths), TENTHS, tenths).astype(np.intp)


def checked_train(train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The schema's columns of the training rows. Raises HarmonicError where rows or columns are absent."""
    if not len(train):
        raise HarmonicError("Training table: 0 rows, expected at least 1. Pass the rows to learn from.")
    locate(train, schema)
    return train[schema.names].reset_index(drop=True)


def _target(schema: Schema) -> Column:
    if schema.target is None:
        raise HarmonicError(
            "Target: the schema names none, marginals by class need one. Read the table with target=..."
        )
    return schema.column(schema.target)


def _smote_classes(train: pd.DataFrame, schema: Schema) -> NDArray[np.intp]:
    if schema.task in (None, "regression"):
        return np.zeros(len(train), dtype=np.intp)
    target = _target(schema)
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
    """For every row of `neighbors` [n, k] the neighbour whose code is the commonest; the nearest one wins a
    tie."""
    near = codes[neighbors]
    votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
    return neighbors[np.arange(len(neighbors)), votes.argmax(axis=1)]


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


def numbers(cells: pd.Series) -> NDArray[np.float64]:
    """The cells of a numeric column as floats; NaN where missing."""
    return pd.to_numeric(cells).to_numpy(dtype=np.float64, na_value=np.nan)

"""Rows as points between which a distance is quick to compute: the two distances that neighbours know.

Canonical cells of training rows enter `embed_rank` or `embed_published`; an embedding leaves that turns cells
into points and a chunk of query points into a block of distances. The rank distance lives on a grid of whole
numbers small enough for floating point to add them without rounding: equal rows of mismatches are equal
distances, whatever the order of the sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.distance import cdist

from harmonic.table.schema import Column, Schema

Cells = Mapping[Hashable, np.ndarray]
"""Canonical texts (object arrays, None = missing) by column name."""
_SINGLE, _DOUBLE = 2.0**24, 2.0**50
"""Whole numbers that single and double precision add exactly."""
_COARSEST = 2.0**13
"""Grid steps that the mean distance of a column has at least."""
_TILE = 4_096
"""Training rows of one tile: its temporaries stay in the processor's cache."""


class Embedding(Protocol):
    """What neighbours need of a distance."""

    def points(self, cells: Cells) -> list[np.ndarray]:
        """One array a column of what the distance needs of these rows."""

    def distances(
        self, queries: list[np.ndarray], train: list[np.ndarray], chunk: slice, are_complete: bool = True
    ) -> np.ndarray:
        """[rows of the chunk, training rows]: distances in any unit; missing cells of rows not complete are unknown."""


@dataclass(frozen=True)
class RankAxis:
    """A number or date column: sorted training keys; a row is its mid-rank, missing is NaN."""

    name: Hashable
    keys: np.ndarray
    is_date: bool
    scale: float
    """Grid steps from the lowest to the highest rank; also the distance between missing and present."""

    def points(self, texts: np.ndarray) -> np.ndarray:
        ranks = mid_ranks(self.keys, _keys(texts, self.is_date))
        return np.round(ranks * self.scale)

    def absent(self, points: np.ndarray) -> np.ndarray:
        return np.isnan(points)


@dataclass(frozen=True)
class LevelAxis:
    """Any other column: a code a level, missing a level of its own, unseen levels unlike all others."""

    name: Hashable
    codes: Mapping[str | None, int]
    scale: float
    """Grid steps of a mismatch."""

    def points(self, texts: np.ndarray) -> np.ndarray:
        kind = np.int16 if len(self.codes) < 2**15 else np.int32
        return np.array([self.codes.get(text, -1) for text in texts], dtype=kind)

    def absent(self, points: np.ndarray) -> np.ndarray:
        return points == self.codes[None]


@dataclass(frozen=True)
class RankEmbedding:
    """Sum over columns of rank differences and mismatches, each divided by its mean over training pairs."""

    axes: tuple[RankAxis | LevelAxis, ...]
    precision: type[np.float32] | type[np.float64]
    unit: float
    """Grid steps of the distance 1."""

    def points(self, cells: Cells) -> list[np.ndarray]:
        points = [axis.points(cells[axis.name]) for axis in self.axes]
        return [point.astype(self.precision) if point.dtype.kind == "f" else point for point in points]

    def distances(
        self, queries: list[np.ndarray], train: list[np.ndarray], chunk: slice, are_complete: bool = True
    ) -> np.ndarray:
        n_train = len(train[0]) if train else 0
        n_rows = chunk.stop - chunk.start
        block = np.zeros((n_rows, n_train), dtype=self.precision)
        step = np.empty((n_rows, min(_TILE, n_train)), dtype=self.precision)
        for start in range(0, n_train, _TILE):
            tile = slice(start, min(start + _TILE, n_train))
            out = step[:, : tile.stop - tile.start]
            for axis, query, points in zip(self.axes, queries, train, strict=True):
                _measure(axis, query[chunk, None], points[tile], out)
                if not are_complete:
                    out[axis.absent(query[chunk])] = 0.0
                block[:, tile] += out
        return block


def _measure(axis: RankAxis | LevelAxis, query: np.ndarray, points: np.ndarray, out: np.ndarray) -> None:
    """One column's distances of a tile, written to `out`."""
    if isinstance(axis, LevelAxis):
        np.multiply(query != points, out.dtype.type(axis.scale), out=out)
        return
    np.subtract(query, points, out=out)
    np.abs(out, out=out)
    absent, absent_query = np.isnan(points), np.isnan(query[:, 0])
    if absent.any() or absent_query.any():
        out[:, absent] = axis.scale
        out[absent_query] = axis.scale
        out[np.ix_(absent_query, absent)] = 0.0


def embed_rank(schema: Schema, cells: Cells, *, with_target: bool) -> RankEmbedding:
    """The rank distance of harmonic.md over the modelled columns, the target only if asked for."""
    columns = [column for column in schema.modelled if with_target or column.name != schema.target]
    axes = [axis for column in columns if (axis := _axis(column, cells[column.name])) is not None]
    reach = sum(axis.scale for axis in axes) or 1.0  # here still in units of each column's mean distance
    single = _SINGLE / reach >= _COARSEST
    unit = 2.0 ** np.floor(np.log2((_SINGLE if single else _DOUBLE) / reach / 2.0))
    gridded = tuple(_scaled(axis, unit) for axis in axes)
    return RankEmbedding(gridded, np.float32 if single else np.float64, float(unit))


def _scaled(axis: RankAxis | LevelAxis, unit: float) -> RankAxis | LevelAxis:
    scale = float(np.round(axis.scale * unit))
    if isinstance(axis, RankAxis):
        return RankAxis(axis.name, axis.keys, axis.is_date, scale)
    return LevelAxis(axis.name, axis.codes, scale)


def _axis(column: Column, texts: np.ndarray) -> RankAxis | LevelAxis | None:
    """The axis of a column, its scale 1 / mean distance; None where all training rows are alike."""
    if column.is_numeric or column.kind == "datetime":
        is_date = column.kind == "datetime"
        keys = np.sort(_present(_keys(texts, is_date)))
        mean = mean_rank_distance(mid_ranks(keys, keys), len(texts) - len(keys))
        return RankAxis(column.name, keys, is_date, 1.0 / mean) if mean > 0.0 else None
    levels: list[str | None] = sorted({text for text in texts if text is not None})
    codes = {level: code for code, level in enumerate([*levels, None])}
    counts = np.bincount([codes[text] for text in texts])
    mean = mean_mismatch(counts)
    return LevelAxis(column.name, codes, 1.0 / mean) if mean > 0.0 else None


def _keys(texts: np.ndarray, is_date: bool) -> np.ndarray:
    """Float keys that sort as the values do; NaN where missing."""
    if not is_date:
        return np.array([np.nan if text is None else float(text) for text in texts], dtype=np.float64)
    moments = np.array(["NaT" if text is None else text for text in texts], dtype="M8[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))


def _present(keys: np.ndarray) -> np.ndarray:
    return keys[~np.isnan(keys)]


def mid_ranks(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Rank of each key among the training keys as a share from 0 to 1, ties in the middle; NaN stays NaN."""
    below = np.searchsorted(sorted_keys, keys, side="left")
    upto = np.searchsorted(sorted_keys, keys, side="right")
    ranks = (below + upto) / (2.0 * max(len(sorted_keys), 1))
    return np.where(np.isnan(keys), np.nan, ranks)


def mean_rank_distance(ranks: np.ndarray, n_missing: int) -> float:
    """Mean over all pairs of rows of the rank difference, 1 where one of both is missing. `ranks` are sorted."""
    n_present = len(ranks)
    n = n_present + n_missing
    if n < 2:
        return 0.0
    weights = 2.0 * np.arange(n_present) - n_present + 1.0
    return float((np.dot(weights, ranks) + n_present * n_missing) / (n * (n - 1) / 2.0))


def mean_mismatch(counts: np.ndarray) -> float:
    """Mean over all pairs of rows of whether their levels differ."""
    n = int(counts.sum())
    return 0.0 if n < 2 else 1.0 - float((counts * (counts - 1.0)).sum() / (n * (n - 1.0)))


@dataclass(frozen=True)
class PublishedEmbedding:
    """Squared Euclidean distance of min-max scaled numbers and unscaled alphabetical codes."""

    columns: tuple[Column, ...]
    ranges: Mapping[Hashable, tuple[float, float, float]]
    """Numbers: lowest, range, mean."""
    levels: Mapping[Hashable, Sequence[str]]

    def points(self, cells: Cells) -> list[np.ndarray]:
        if not self.columns:
            return []
        return [np.column_stack([self._feature(column, cells[column.name]) for column in self.columns])]

    def _feature(self, column: Column, texts: np.ndarray) -> np.ndarray:
        if column.name in self.ranges:
            low, span, mean = self.ranges[column.name]
            keys = _keys(texts, column.kind == "datetime")
            return (np.where(np.isnan(keys), mean, keys) - low) / span if span else np.zeros(len(keys))
        named = np.array(["nan" if text is None else text for text in texts], dtype=object)
        return np.searchsorted(np.array(self.levels[column.name], dtype=object), named).astype(np.float64)

    def distances(
        self, queries: list[np.ndarray], train: list[np.ndarray], chunk: slice, are_complete: bool = True
    ) -> np.ndarray:
        return cdist(queries[0][chunk], train[0], "sqeuclidean")


def embed_published(schema: Schema, cells: Cells, *, with_target: bool = True) -> PublishedEmbedding:
    """The distance of the HARMONIC release (harmonic.md, Neighbours); the target is always inside."""
    ranges, levels = {}, {}
    for column in schema.modelled:
        texts = cells[column.name]
        if column.is_numeric or column.kind == "datetime":
            keys = _present(_keys(texts, column.kind == "datetime"))
            low, high = (float(keys.min()), float(keys.max())) if len(keys) else (0.0, 0.0)
            ranges[column.name] = (low, high - low, float(keys.mean()) if len(keys) else 0.0)
        else:
            levels[column.name] = sorted({"nan" if text is None else text for text in texts})
    return PublishedEmbedding(schema.modelled, ranges, levels)

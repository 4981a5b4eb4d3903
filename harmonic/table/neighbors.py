"""Mixed-type nearest neighbours, always looked up in the training rows.

A training frame enters `fit`; `kneighbors` gives, for other rows or for the training rows themselves, positions
in that frame, nearest first, never the row itself nor a verbatim twin of it. Distances do not depend on chunks,
threads or machines, and ties go to the smaller position. Memory is one block of distances a thread, whatever the
number of rows.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table.cells import locate
from harmonic.table.columns import encode_column
from harmonic.table.embedding import Embedding, embed_published, embed_rank
from harmonic.table.infer import check_frame
from harmonic.table.schema import Row, Schema

POOL_STREAM = 103
"""Name of the random stream that the pool of large tables is drawn from."""
TIES_STREAM = 104
"""Name of the random stream by which the ties of incomplete rows go."""
_BLOCK_CELLS = 4_000_000
"""Distances that a thread holds at once: 16 or 32 MB."""
_MOST_THREADS = 8
_GROUPS = 64

Distance = Literal["rank", "published"]


@dataclass(frozen=True)
class _Rows:
    """Rows made ready for distances."""

    points: list[np.ndarray]
    twins: np.ndarray
    """A number for each distinct row; -1 where no pooled training row is equal."""
    classes: np.ndarray | None


class Neighbors:
    """Nearest training rows of a mixed-type table.

    `distance="rank"`: numbers and dates by their rank, everything else by mismatch, missing being a value of its
    own; each column divided by its mean distance over all pairs of training rows; the target left out. With
    `class_aware` only rows of the query's own class are neighbours or, where the target is a quantity, it joins
    the distance. `distance="published"`: that of the HARMONIC release: Euclidean, numbers scaled to 0..1 by
    their range (missing ones at the mean), alphabetical codes of categories unscaled, the target among them.

    Beyond `max_rows` training rows, neighbours come from a seeded pool of so many of them. The constructor only
    stores; `fit` learns.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        distance: Distance = "rank",
        class_aware: bool = False,
        max_rows: int = 100_000,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.schema = schema
        self.distance = distance
        self.class_aware = class_aware
        self.max_rows = max_rows
        self.seed = seed
        self.threads = threads

    def fit(self, train: pd.DataFrame) -> Neighbors:
        """Reads the training rows. Raises HarmonicError for an empty frame or an unknown distance."""
        if self.distance not in ("rank", "published"):
            raise HarmonicError(
                f"Neighbors: distance={self.distance!r} is unknown. Use 'rank' or 'published'."
            )
        check_frame(train)
        cells = _cells(train, self.schema)
        self.pool_ = self._pool(len(train))
        pooled = {name: texts[self.pool_] for name, texts in cells.items()}
        by_class = self.class_aware and self.schema.task not in (None, "regression")
        self._class_name = self.schema.target if by_class and self.schema.target in cells else None
        with_target = self.class_aware and self._class_name is None
        embed = embed_rank if self.distance == "rank" else embed_published
        self.embedding_: Embedding = embed(self.schema, pooled, with_target=with_target)
        self._numbers: dict[Row, int] = {}
        for row in _tuples(pooled):
            self._numbers.setdefault(row, len(self._numbers))
        self._pooled = self._ready(pooled)
        self._train = self._ready(cells)
        self._order = np.argsort(self._pooled.twins, kind="stable")
        self._starts = np.searchsorted(self._pooled.twins[self._order], np.arange(len(self._numbers) + 1))
        return self

    def _pool(self, n_rows: int) -> np.ndarray:
        if n_rows <= self.max_rows:
            return np.arange(n_rows)
        rng = np.random.default_rng([self.seed, POOL_STREAM])
        return np.sort(rng.choice(n_rows, size=self.max_rows, replace=False))

    def _ready(self, cells: dict[Hashable, np.ndarray]) -> _Rows:
        twins = np.array([self._numbers.get(row, -1) for row in _tuples(cells)], dtype=np.int64)
        classes = None if self._class_name is None else _class_codes(cells[self._class_name], self.schema)
        return _Rows(self.embedding_.points(cells), twins, classes)

    def kneighbors(self, frame: pd.DataFrame | None = None, k: int = 5) -> np.ndarray:
        """int64 [n, k]: positions in the training frame, nearest first; -1 where fewer rows may be neighbours.

        `None` asks for the training rows themselves. Raises HarmonicError before `fit` and for k below 1.
        """
        if not hasattr(self, "embedding_"):
            raise HarmonicError("Neighbors: kneighbors was called before fit. Call fit(train) first.")
        if k < 1:
            raise HarmonicError(f"Neighbors: k={k} is below 1. Ask for at least one neighbour.")
        queries = self._train if frame is None else self._ready(_cells(frame, self.schema))
        n_queries, n_pool = len(queries.twins), len(self.pool_)
        found = np.full((n_queries, k), -1, dtype=np.int64)
        size = max(1, min(n_queries, _BLOCK_CELLS // n_pool))
        chunks = [slice(start, min(start + size, n_queries)) for start in range(0, n_queries, size)]
        with ThreadPoolExecutor(self.threads or min(os.cpu_count() or 1, _MOST_THREADS)) as workers:
            for chunk, nearest in zip(
                chunks, workers.map(lambda part: self._near(queries, part, k), chunks), strict=True
            ):
                found[chunk] = nearest
        return found

    def near_incomplete(self, frame: pd.DataFrame, numbers: Sequence[int], k: int = 5) -> np.ndarray:
        """`kneighbors` of rows whose missing cells are unknown: int64 [n, k].

        Unknown cells take no part in a distance (in the published one they do, as it fills them), an unknown class is
        any class, and ties, of which there are many where little is known, go by chance: `numbers` are the rows' own,
        by which chance is keyed.
        """
        queries = self._ready(_cells(frame, self.schema))
        found = np.full((len(frame), k), -1, dtype=np.int64)
        for row, number in enumerate(numbers):
            block = self._block(queries, slice(row, row + 1), are_complete=False)
            order = np.random.default_rng([self.seed, TIES_STREAM, number]).permutation(len(self.pool_))
            places = nearest_of(block[:, order], k)[0]
            found[row] = np.where(places < 0, -1, self.pool_[order[places]])
        return found

    def _near(self, queries: _Rows, chunk: slice, k: int) -> np.ndarray:
        """Positions in the training frame for a chunk of queries."""
        block = self._block(queries, chunk)
        places = nearest_of(block, k)
        return np.where(places < 0, -1, self.pool_[places])

    def _block(self, queries: _Rows, chunk: slice, are_complete: bool = True) -> np.ndarray:
        """Distances of a chunk, infinite where a row may be no neighbour."""
        if not self._pooled.points:
            block = np.zeros((chunk.stop - chunk.start, len(self.pool_)), dtype=np.float32)
        else:
            block = self.embedding_.distances(queries.points, self._pooled.points, chunk, are_complete)
        if queries.classes is not None and self._pooled.classes is not None:
            classes = queries.classes[chunk, None]
            # Codes below 0 are no class of the training rows.
            block[(classes != self._pooled.classes) & (are_complete | (classes >= 0))] = np.inf
        block[self._twin_places(queries.twins[chunk])] = np.inf
        return block

    def _twin_places(self, twins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row of the chunk, place in the pool) of every verbatim twin, the row itself included."""
        rows = np.flatnonzero(twins >= 0)
        first, last = self._starts[twins[rows]], self._starts[twins[rows] + 1]
        counts = last - first
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(rows, counts), self._order[np.repeat(first, counts) + offsets]


def nearest_of(block: np.ndarray, k: int) -> np.ndarray:
    """int64 [rows, k]: places of the k smallest finite values of each row, ties by place; -1 where fewer."""
    n_rows = len(block)
    found = np.full((n_rows, k), -1, dtype=np.int64)
    limits = _limits(block, k)
    for row in range(n_rows):
        values = block[row]
        places = np.flatnonzero(values <= limits[row])
        if len(places) > 4 * k:  # many ties: cut before sorting
            limit = np.partition(values[places], k - 1)[k - 1]
            places = places[values[places] <= limit]
        near = places[np.argsort(values[places], kind="stable")[:k]]
        near = near[np.isfinite(values[near])]
        found[row, : len(near)] = near
    return found


def _limits(block: np.ndarray, k: int) -> np.ndarray:
    """For each row a value that at least k of its values do not exceed, and few do: from minima of groups."""
    n_rows, n_train = block.shape
    n_groups = n_train // _GROUPS
    if n_groups < 4 * k:
        return np.sort(block, axis=1)[:, min(k, n_train) - 1]
    minima = block[:, : n_groups * _GROUPS].reshape(n_rows, _GROUPS, n_groups).min(axis=1)
    return np.partition(minima, k - 1, axis=1)[:, k - 1]


def _cells(frame: pd.DataFrame, schema: Schema) -> dict[Hashable, np.ndarray]:
    positions = locate(frame, schema)
    return {
        column.name: encode_column(frame.iloc[:, positions[column.name]], column)
        for column in schema.modelled
    }


def _tuples(cells: dict[Hashable, np.ndarray]) -> list[Row]:
    return list(zip(*(texts.tolist() for texts in cells.values()), strict=True))


def _class_codes(texts: np.ndarray, schema: Schema) -> np.ndarray:
    """A number for each class; missing is a class of its own, unseen ones are -2."""
    levels = {level: code for code, level in enumerate(schema.column(schema.target).levels)}
    return np.array([-1 if text is None else levels.get(text, -2) for text in texts], dtype=np.int64)

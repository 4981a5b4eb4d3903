"""Nearest rows between mixed-type tables, and exact identity of rows.

What enters is coded tables; what leaves is the distance to and number of the nearest row, or which rows
stand in another table. The distance is the published one of the attacks: numeric difference over the
training range, 1 per mismatch, mean over columns; a missing cell differs from every value and equals
another missing cell. Brute force in chunks: exact, and small in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from harmonic.evaluation.codes import Codes

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Hashes = NDArray[np.uint64]
CHUNK_CELLS = 2**19
"""Query rows x base rows handled at once: the buffers stay in the processor's cache."""
BANDWIDTH_ROWS = 500
LARGEST, FARTHEST = float(np.finfo(float).max), float(np.finfo(np.float32).max)
"""Of an amount over its range, and of a distance: `search` also takes distances in four bytes."""
STREAM_HASH = 531


def ranges(train: Codes) -> Floats:
    """Range of every amount in the training rows, [n_columns]; 1 where it is zero, unknown or not an
    amount."""
    widths = np.ones(train.cells.shape[1])
    for i in np.flatnonzero(train.is_ordered):
        seen = train.cells[:, i][~np.isnan(train.cells[:, i])]
        if len(seen) and seen.max() > seen.min():
            widths[i] = seen.max() - seen.min()
    return widths


def nearest(queries: Codes, base: Codes, widths: Floats) -> tuple[Floats, Ints]:
    """Distance to and row number of the nearest base row, each [n_queries]; the first one wins a tie."""
    distances, rows = np.empty(len(queries)), np.empty(len(queries), dtype=np.intp)
    for chunk, matrix in _chunks(queries, base, widths):
        rows[chunk] = matrix.argmin(axis=1)
        distances[chunk] = matrix.min(axis=1)
    return distances, rows


@dataclass(frozen=True)
class Near:
    """What one search found for every query."""

    distances: Floats
    """[n_queries, k], ascending; the farthest repeated where the base has fewer rows."""
    rows: Ints
    """The nearest base row."""
    log_density: Floats
    """Logarithm of the mean of the base's Laplace kernels at the query, up to a constant."""


def search(queries: Codes, base: Codes, widths: Floats, *, k: int, bandwidth: float) -> Near:
    """The k nearest base rows and the base's density at every query, in one pass over the distances.

    The kernel exp(-distance / bandwidth) is a product of Laplace kernels of the amounts and of Aitchison and
    Aitken's (1976) of the levels.
    """
    n_kept = min(k, len(base))
    found = Near(np.empty((len(queries), k)), np.empty(len(queries), dtype=np.intp), np.empty(len(queries)))
    for chunk, matrix in _chunks(queries, base, widths):
        found.rows[chunk] = matrix.argmin(axis=1)
        least = matrix.min(axis=1)
        rough = matrix.astype(np.float32)  # twice as fast, and the nearest one is exact
        near = np.sort(np.partition(rough, n_kept - 1, axis=1)[:, :n_kept], axis=1).astype(float)
        near[:, 0] = least
        found.distances[chunk, :n_kept] = np.maximum.accumulate(near, axis=1)
        with np.errstate(over="ignore"):  # to the exponential it is the same
            kernels = np.exp((least[:, None].astype(np.float32) - rough) / np.float32(bandwidth))
        found.log_density[chunk] = np.log(kernels.mean(axis=1, dtype=float)) - least / bandwidth
    found.distances[:, n_kept:] = found.distances[:, n_kept - 1 : n_kept]
    return found


def bandwidth_of(queries: Codes, base: Codes, widths: Floats) -> float:
    """A quarter of the median distance of up to `BANDWIDTH_ROWS` queries to their nearest base row; of rows
    that all have a twin, a quarter of one mismatch in ten columns.

    Wider kernels see the bulk of a table and miss its copies: on SMOTE of adult the density ratio's AUC is .55
    with the median itself, .60 with half, .62 with a quarter and an eighth.
    """
    some = queries.take(np.linspace(0, len(queries) - 1, min(len(queries), BANDWIDTH_ROWS)).astype(np.intp))
    distances, _ = nearest(some, base, widths)
    return (float(np.median(distances)) or 0.1) / 4


def _chunks(queries: Codes, base: Codes, widths: Floats) -> Iterator[tuple[slice, Floats]]:
    """Slices of the queries with their distances to all base rows: memory stays within `CHUNK_CELLS` numbers."""
    gaps = np.isnan(queries.cells).any(axis=0) | np.isnan(base.cells).any(axis=0)
    whole, holed, levels = base.is_ordered & ~gaps, np.flatnonzero(base.is_ordered & gaps), ~base.is_ordered
    with np.errstate(over="ignore"):  # beyond the range of a float all are equally far
        asked, among = (np.clip(table.cells / widths, -LARGEST, LARGEST) for table in (queries, base))
    codes, known = (np.nan_to_num(cells[:, levels], nan=-1.0) for cells in (queries.cells, base.cells))
    step = max(1, CHUNK_CELLS // max(1, len(base)))
    for start in range(0, len(queries), step):
        chunk = slice(start, start + step)
        total = np.zeros((len(asked[chunk]), len(base)))
        if whole.any():
            total += cdist(asked[chunk][:, whole], among[:, whole], "cityblock")
        if levels.any():
            total += cdist(codes[chunk], known, "hamming") * levels.sum()
        for i in holed:
            total += _holed_gaps(asked[chunk, i], among[:, i])
        yield chunk, np.minimum(total / max(1, len(levels)), FARTHEST)


def _holed_gaps(a: Floats, b: Floats) -> Floats:
    """Differences of amounts where some are missing: 1 from a value to none, 0 between two gaps."""
    gap = np.abs(a[:, None] - b[None, :])
    gap[np.isnan(gap)] = 1.0
    gap[np.isnan(a)[:, None] & np.isnan(b)[None, :]] = 0.0
    return gap


class RowHashes:
    """Rows as 64-bit numbers: the sum of one random number per column and value (Zobrist 1970).

    Equal rows have equal hashes; different ones collide with chance 2^-64 a pair. Subtracting a column's
    number leaves the hash of the row without that column, so near copies cost no more than exact ones.
    """

    def __init__(self, tables: dict[str, Codes]) -> None:
        """Hash all rows of all tables, which share one codebook."""
        stacked = np.vstack([table.cells for table in tables.values()])
        generator = np.random.default_rng(STREAM_HASH)
        parts = np.zeros(stacked.shape, dtype=np.uint64)
        for i in range(stacked.shape[1]):
            values = np.unique(stacked[:, i], return_inverse=True)[1]
            parts[:, i] = generator.integers(2**64 - 1, size=values.max() + 1, dtype=np.uint64)[values]
        ends = np.cumsum([len(table) for table in tables.values()])
        self.parts = dict(zip(tables, np.split(parts, ends[:-1]), strict=True))

    def rows(self, name: str) -> Hashes:
        """One number a row, [n_rows]; sums wrap around, as they should."""
        return self.parts[name].sum(axis=1, dtype=np.uint64)

    def copies(self, name: str, train: str) -> NDArray[np.bool_]:
        """Which rows of a table equal a row of `train` in every column, [n_rows]."""
        return np.isin(self.rows(name), self.rows(train))

    def near_copies(self, name: str, train: str) -> NDArray[np.bool_]:
        """Which rows equal a row of `train` in all columns but at most one, [n_rows]."""
        whole, base = self.rows(name), self.rows(train)
        found = np.zeros(len(whole), dtype=bool)
        for i in range(self.parts[name].shape[1]):
            found |= np.isin(whole - self.parts[name][:, i], base - self.parts[train][:, i])
        return found

    def twins(self, name: str, *, near: bool = False) -> NDArray[np.bool_]:
        """Which rows of a table have another row of the same table as (near) twin, [n_rows]."""
        whole = self.rows(name)
        if not near:
            return ~once(whole)
        found = np.zeros(len(whole), dtype=bool)
        for i in range(self.parts[name].shape[1]):
            found |= ~once(whole - self.parts[name][:, i])
        return found


def once(hashes: Hashes) -> NDArray[np.bool_]:
    """Which of them stand there once, [n_hashes]."""
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] == 1)

"""Nearest rows between mixed-type tables, and exact identity of rows.

What enters is coded tables; what leaves is the distance to and number of the nearest row, or which rows
stand in another table. The distance is the published one of the attacks: numeric difference over the
training range, 1 per mismatch, mean over columns; a missing cell differs from every value and equals
another missing cell. Brute force in chunks: exact, and small in memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codes

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Hashes = NDArray[np.uint64]
CHUNK_CELLS = 2**19
"""Query rows x base rows handled at once: the buffers stay in the processor's cache."""
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
    step = max(1, CHUNK_CELLS // max(1, len(base)))
    for start in range(0, len(queries), step):
        chunk = slice(start, start + step)
        matrix = _distances(queries.cells[chunk], base.cells, base.is_ordered, widths)
        rows[chunk] = matrix.argmin(axis=1)
        distances[chunk] = matrix.min(axis=1)
    return distances, rows


def _distances(queries: Floats, base: Floats, is_ordered: NDArray[np.bool_], widths: Floats) -> Floats:
    total = np.zeros((len(queries), len(base)))
    for i, is_amount in enumerate(is_ordered):
        a, b = queries[:, i, None], base[None, :, i]
        gap = np.abs(a / widths[i] - b / widths[i]) if is_amount else (a != b).astype(float)
        if np.isnan(a).any() or np.isnan(b).any():
            gap[np.isnan(gap)] = 1.0
            gap[np.isnan(a) & np.isnan(b)] = 0.0
        total += gap
    return total / max(1, len(is_ordered))


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
            return _repeated(whole)
        found = np.zeros(len(whole), dtype=bool)
        for i in range(self.parts[name].shape[1]):
            found |= _repeated(whole - self.parts[name][:, i])
        return found


def _repeated(hashes: Hashes) -> NDArray[np.bool_]:
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] > 1)

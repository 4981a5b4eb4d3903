"""Jitter: numbers that stand once in their column, moved a little on each visit, so that no digit is learnt by heart.

What enters is the training rows; what leaves is a row with its single numbers drawn anew between their neighbours in
rank. A model that sees the same twelve digits forty times learns the digits; one that sees them moved learns the law:
the marginal stays (values are drawn along its quantiles), dependence moves by a rank, and what can be recited is gone.
Numbers that stand twice or more are left alone, as are levels, dates and texts: there, repetition is the law.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from harmonic.table.amounts import present_cells, text_at, units_of
from harmonic.table.schema import Column, Row, Schema


@dataclass(frozen=True)
class _Scale:
    """A column's distinct values in rising order, in units of its grid, and the places of those that stand once."""

    column: Column
    units: list[int]
    singles: dict[str, int]


class Jitter:
    """Moves the single numbers of rows by up to `ranks` places among the column's distinct values."""

    def __init__(self, rows: Sequence[Row], schema: Schema, ranks: float) -> None:
        self.ranks = ranks
        columns = zip(schema.modelled, zip(*rows, strict=True), strict=True) if rows and ranks else ()
        self._scales = {
            number: _scale(column, cells)
            for number, (column, cells) in enumerate(columns)
            if column.is_numeric
        }

    def __call__(self, row: Row, rng: Generator) -> Row:
        """The row with each of its single numbers drawn anew. Bounds, decimal places and steps are kept."""
        moved = list(row)
        for number, scale in self._scales.items():
            place = scale.singles.get(row[number] or "")
            if place is not None:
                moved[number] = text_at(_between(scale.units, place, self.ranks, rng), scale.column)
        return tuple(moved)


def _scale(column: Column, cells: Sequence[str | None]) -> _Scale:
    counts = Counter(cell for cell in cells if cell is not None)
    amounts = zip(counts, present_cells(list(counts), column), strict=True)
    # A canonical cell is one value, and the other way round.
    units = {cell: units_of(amount, column, up=False) for cell, amount in amounts if amount is not None}
    ranked = sorted(units, key=units.__getitem__)
    singles = {cell: place for place, cell in enumerate(ranked) if counts[cell] == 1}
    return _Scale(column, [units[cell] for cell in ranked], singles)


def _between(units: list[int], place: int, ranks: float, rng: Generator) -> int:
    """Units drawn up to `ranks` places away, on the straight lines between distinct values."""
    at = float(np.clip(place + rng.uniform(-ranks, ranks), 0, len(units) - 1))
    low = min(int(at), len(units) - 2)
    if low < 0:
        return units[0]
    return units[low] + round((units[low + 1] - units[low]) * (at - low))

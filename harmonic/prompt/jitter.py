"""Jitter: numbers moved a little on each visit, so that no digit is learnt by heart.

What enters is the training rows; what leaves is a row with its numbers drawn anew among those near in rank. A model
that sees the same twelve digits forty times learns the digits; one that sees them moved learns the law: the marginal
stays (values are drawn along its quantiles), dependence moves by a few ranks, and what can be recited is gone. Atoms
are left alone: values that occur more often than the values around them explain, such as 0 among amounts or the
multiples of ten among weights. In columns of few different numbers, such as counts of children, whatever is repeated
is left alone, and so are levels, dates and texts: there, repetition is the law.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.random import Generator
from scipy.stats import poisson

from harmonic.table.amounts import present_cells, text_at, units_of
from harmonic.table.schema import Column, Row, Schema

COMPANY = 5
"""So many distinct values to either side of one say how dense its surroundings are."""
CHANCE = 0.001
"""What is less likely than this is no chance: the value is an atom."""
FEW = 0.2
"""Different numbers a row, below which numbers are codes or counts."""


@dataclass(frozen=True)
class _Scale:
    """The rows' numbers of a column that are no atoms, in rising order, in units of its grid; by cell, the places at
    which it stands (first, stop)."""

    column: Column
    units: list[int]
    places: dict[str, tuple[int, int]]


class Jitter:
    """Moves the numbers of rows by up to `ranks` places among the rows' numbers in rising order; a target by one place
    at most: what moves it blurs how it depends on all the others."""

    def __init__(self, rows: Sequence[Row], schema: Schema, ranks: float) -> None:
        self.ranks = [
            min(ranks, 1.0) if column.name == schema.target else ranks for column in schema.modelled
        ]
        columns = zip(schema.modelled, zip(*rows, strict=True), strict=True) if rows and ranks else ()
        self._scales = {
            number: _scale(column, cells)
            for number, (column, cells) in enumerate(columns)
            if column.is_numeric
        }

    def __call__(self, row: Row, rng: Generator) -> Row:
        """The row with each of its numbers drawn anew, atoms aside. Bounds, decimal places and steps are kept."""
        moved = list(row)
        for number, scale in self._scales.items():
            found = scale.places.get(row[number] or "")
            if found is not None:
                place = int(rng.integers(*found))
                moved[number] = text_at(_between(scale.units, place, self.ranks[number], rng), scale.column)
        return tuple(moved)


def _scale(column: Column, cells: Sequence[str | None]) -> _Scale:
    counts = Counter(cell for cell in cells if cell is not None)
    amounts = zip(counts, present_cells(list(counts), column), strict=True)
    # A canonical cell is one value, and the other way round.
    units = {cell: units_of(amount, column, up=False) for cell, amount in amounts if amount is not None}
    ranked = sorted(units, key=units.__getitem__)
    repeats = [counts[cell] for cell in ranked]
    if len(ranked) < FEW * sum(repeats):
        is_atom = [count > 1 for count in repeats]
    else:
        is_atom = _atoms([units[cell] for cell in ranked], repeats)
    moving: list[int] = []
    places: dict[str, tuple[int, int]] = {}
    for cell, stays in zip(ranked, is_atom, strict=True):
        if not stays:
            places[cell] = (len(moving), len(moving) + counts[cell])
            moving += [units[cell]] * counts[cell]
    return _Scale(column, moving, places)


def _atoms(values: Sequence[int], counts: Sequence[int]) -> list[bool]:
    """Whether each of the distinct, rising values occurs more often than those next to it make likely.

    These tell how dense numbers lie there, and how fine they are: whole ones in a column that has tenths, too.
    """
    found = []
    for place, (value, count) in enumerate(zip(values, counts, strict=True)):
        near = [
            *range(max(0, place - COMPANY), place),
            *range(place + 1, min(len(values), place + 1 + COMPANY)),
        ]
        gaps = [abs(value - values[other]) for other in near]
        sides = 2 if 0 < place < len(values) - 1 else 1
        expected = sum(counts[other] for other in near) * gcd(*gaps) / (sides * max(gaps)) if gaps else 0.0
        found.append(count > 1 and float(poisson.sf(count - 1, expected)) < CHANCE)
    return found


def _between(units: list[int], place: int, ranks: float, rng: Generator) -> int:
    """Units drawn up to `ranks` places away, on the straight lines between the rows' numbers."""
    at = float(np.clip(place + rng.uniform(-ranks, ranks), 0, len(units) - 1))
    low = min(int(at), len(units) - 2)
    if low < 0:
        return units[0]
    return units[low] + round((units[low + 1] - units[low]) * (at - low))

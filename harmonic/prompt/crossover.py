"""Crossover: early in training, cells of a row give way to those of other rows of its class.

What enters is the training rows and how many visits crossover lasts; what leaves is a row to learn from. On few rows a
model learns the rows by heart before it learns what a class means for each column. Rows that are crossed within their
class hold exactly that, in endless variety: a model begins with class-conditional columns, which leak next to nothing,
and then sees more and more rows as they are, from which it learns what else hangs together. Where there are few rows
some, or all, stay crossed to the end: half of their cells hang together still, and no row is seen often enough to be
learnt by heart. Where rows stand six times each, there is nothing to learn by heart, and none stays crossed.
Columns of which one says what stands in the other, or most of it, and amounts that go up and down together, are crossed
as one (`table.links`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from harmonic.table.amounts import number_cells
from harmonic.table.links import linked
from harmonic.table.schema import Row, Schema

CROSSED = 0.5
"""The share of a crossed row's cells that come from other rows."""
OFTEN = 6
"""Rows that stand so many times each, on average, are nobody's."""
_NEAR = 0.05
"""Where the target is a quantity, rows of one class are those within this share of the ranks, to either side."""


class Crossover:
    """Crosses rows within their class: at visit 0 always, then ever more seldom, from visit `visits` on at the rate
    that stays: each of n rows with probability (lasting / n)^2, up to `lasting` rows always. Without visits none is."""

    def __init__(self, rows: Sequence[Row], schema: Schema, visits: int, lasting: float = 0.0) -> None:
        self.visits = visits
        is_lasting = visits > 0 and not stand_often(rows)
        self._lasting = min(1.0, lasting / max(1, len(rows))) ** 2 if is_lasting else 0.0
        self._rows = rows
        names = [column.name for column in schema.modelled]
        self._target = names.index(schema.target) if schema.target in names else None
        self._classes = self._groups(schema)
        others = [column for column in range(len(names)) if column != self._target]
        amounts = [at for at, column in enumerate(schema.modelled) if column.is_numeric]
        self._blocks = linked(rows, others, amounts) if visits else [(column,) for column in others]

    @property
    def together(self) -> list[tuple[int, ...]]:
        """The columns that are crossed as one, where there is more than one."""
        return [block for block in self._blocks if len(block) > 1]

    def __call__(self, member: int, visit: int, rng: Generator) -> Row:
        """Training row number `member` as visit number `visit` sees it."""
        row = self._rows[member]
        return self._crossed(row, self._classes[member], rng) if rng.random() < self._chance(visit) else row

    def _chance(self, visit: int) -> float:
        fading = 1.0 - visit / self.visits if visit < self.visits else 0.0
        return max(fading, self._lasting)

    def _crossed(self, row: Row, donors: Sequence[int], rng: Generator) -> Row:
        """The row with cells of donors drawn anew for each block, its target as it was."""
        crossed = list(row)
        for block in self._blocks:
            if rng.random() < CROSSED:
                donor = self._rows[donors[int(rng.integers(len(donors)))]]
                for column in block:
                    crossed[column] = donor[column]
        return tuple(crossed)

    def _groups(self, schema: Schema) -> list[Sequence[int]]:
        """For each row the rows that may give it cells, itself among them."""
        numbers = range(len(self._rows))
        if self._target is None:
            return [numbers] * len(self._rows)
        targets = [row[self._target] for row in self._rows]
        if schema.task == "regression":
            return _near(number_cells(targets, schema.modelled[self._target]))
        members: dict[str | None, list[int]] = {}
        for number, cell in enumerate(targets):
            members.setdefault(cell, []).append(number)
        return [members[cell] for cell in targets]


def stand_often(rows: Sequence[Row]) -> bool:
    """Whether rows are OFTEN times as many as different ones: counts then say what hangs together. (The network asia:
    200 rows are nearer to its law uncrossed, 25 and 50 crossed.)"""
    return len(rows) >= OFTEN * len(set(rows)) > 0


def _near(amounts: NDArray[np.float64]) -> list[Sequence[int]]:
    """For each row those whose target is near in rank; rows without one, NaN, are near each other."""
    missing = np.flatnonzero(np.isnan(amounts)).tolist()
    known = sorted((value, number) for number, value in enumerate(amounts.tolist()) if value == value)
    order, reach = [number for _, number in known], max(1, round(_NEAR * len(known)))
    found: list[Sequence[int]] = [missing] * len(amounts)
    for value, number in known:
        # By the first of equal targets, so that equal rows have equal company.
        place = bisect_left(known, (value, -1))
        found[number] = sorted({number, *order[max(0, place - reach) : place + reach + 1]})
    return found

"""Classes of a table's target: its levels, or fifths of a quantity.

What enters is the training rows and their schema; what leaves is the class of any row, as a number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harmonic.table.amounts import number_cells
from harmonic.table.schema import Row, Schema

N_RANGES = 5
"""Ranges of equal counts that a quantity has for classes."""


class Classes:
    """Numbers of the classes of the target, those of a quantity by its fifths; one class without a target.

    place: the target's place among the modelled columns.
    """

    def __init__(self, rows: Sequence[Row], schema: Schema) -> None:
        names = [column.name for column in schema.modelled]
        self.place = names.index(schema.target) if schema.target in names else None
        cells = [] if self.place is None else [row[self.place] for row in rows]
        self._column = None if self.place is None else schema.modelled[self.place]
        self._cuts: NDArray[np.float64] | None = None
        if schema.task == "regression":
            values = self.values(cells)
            known = values[~np.isnan(values)]
            shares = np.arange(1, N_RANGES) / N_RANGES
            self._cuts = np.unique(np.quantile(known, shares)) if len(known) else np.zeros(0)
        self._codes: dict[str | None, int] = {}
        for cell in cells:
            self._codes.setdefault(cell, len(self._codes))

    def of(self, rows: Sequence[Row]) -> NDArray[np.intp]:
        """int [n_rows]; a class that no training row has is one more."""
        if self.place is None:
            return np.zeros(len(rows), dtype=np.intp)
        cells = [row[self.place] for row in rows]
        if self._cuts is None:
            return np.array([self._codes.get(cell, len(self._codes)) for cell in cells], dtype=np.intp)
        values = self.values(cells)
        ranges = np.searchsorted(self._cuts, values, side="right")
        return np.where(np.isnan(values), len(self._cuts) + 1, ranges).astype(np.intp)

    def values(self, cells: Sequence[str | None]) -> NDArray[np.float64]:
        """The target's cells as numbers, NaN where missing: float [n]. Only of a quantity."""
        assert self._column is not None
        return number_cells(cells, self._column)

"""A table as the text of its file, and the same table with amounts near in rank in the rows of one another.

What enters is a frame in the order of its file; what leaves is its lines, exchanged tables, which nobody can have read
and which are as plausible as the true one, and whether the order of the rows can be guessed. Amounts change places with
others of as many digits, for how finely a number is written tells something, too; and only in columns where that is a
small step beside what all other amounts leave open, the row before included: sums, counts of children and runs of equal
dates stay. Levels stay: any law tells a wrong one from the right one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from harmonic.evaluation.figures import p_sign
from harmonic.table.amounts import is_ordered, number_cells
from harmonic.table.cells import encode_values, locate
from harmonic.table.numbers import MOST_DECIMALS
from harmonic.table.schema import Schema
from harmonic.table.sources import to_csv_text

RANKS = 3
RANKED_SHARE = 0.005
"""Amounts change places with others at most so many places away in rising order; in long tables so large a share."""
SMALL = 0.2
"""The largest median change of an amount beside what is left open of it."""
ORDERED = 0.01
"""Family-wise chance that a file in no order is taken for a sorted one."""

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class FileText:
    """A table as its file has it."""

    names: list[str]
    cells: NDArray[np.object_]
    """Texts: [n, m]."""
    amounts: Floats
    """Numbers and dates as numbers; NaN in other columns and where none stands: [n, m]."""

    @property
    def header(self) -> str:
        return line_of(self.names)

    def line(self, row: int) -> str:
        return line_of(self.cells[row].tolist())

    def exchanged(self, rng: Generator) -> FileText:
        """Amounts have changed rows with others near in rank; each column holds what it held."""
        cells, amounts = self.cells.copy(), self.amounts.copy()
        for i in range(cells.shape[1]):
            known = np.flatnonzero(~np.isnan(amounts[:, i]))
            shapes = np.array([(len(text), text.find(".")) for text in cells[known, i]]).reshape(-1, 2)
            for shape in np.unique(shapes, axis=0):
                alike = known[(shapes == shape).all(axis=1)]
                rising = alike[np.lexsort((rng.random(len(alike)), amounts[alike, i]))]
                taken = rising[_nearly_sorted(len(rising), rng)]
                cells[rising, i], amounts[rising, i] = self.cells[taken, i], self.amounts[taken, i]
        return replace(self, cells=cells, amounts=amounts)

    def exchangeable(self, rng: Generator) -> FileText:
        """The same text; only amounts that may be exchanged are left in `amounts`."""
        moves = np.abs(self.exchanged(rng).amounts - self.amounts)
        kept = self.amounts.copy()
        for i, left_open in enumerate(_left_open(self.amounts)):
            changed = moves[:, i][moves[:, i] > 0]
            if not len(changed) or np.median(changed) > SMALL * left_open:
                kept[:, i] = np.nan
        return replace(self, amounts=kept)


def _nearly_sorted(n: int, rng: Generator) -> Indices:
    reach = max(RANKS, RANKED_SHARE * n)
    return np.argsort(np.arange(n) + rng.uniform(-reach, reach, n))


def _left_open(amounts: Floats) -> Floats:
    """How much the other amounts of a row and all those of the row before leave open of an amount: [m].

    The lower quartile of its distances from the plane through these; 0 where there are no amounts.
    """
    known = ~np.isnan(amounts)
    centre = np.nansum(amounts, axis=0) / np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, amounts - centre, 0.0)
    scale = np.maximum(np.abs(filled).max(axis=0), np.finfo(float).tiny)
    here, before, one = filled[1:] / scale, filled[:-1] / scale, np.ones((len(filled) - 1, 1))
    found = np.zeros(len(scale))
    for i in np.flatnonzero(known[1:].any(axis=0)):
        rest = np.hstack([np.delete(here, i, axis=1), before, one])[known[1:, i]]
        own = here[known[1:, i], i]
        found[i] = scale[i] * np.quantile(np.abs(own - rest @ np.linalg.lstsq(rest, own)[0]), 0.25)
    return found


def as_file(frame: pd.DataFrame, schema: Schema) -> FileText:
    """The lines of the file. Raises HarmonicError for a column of the schema that is absent."""
    names, *rows = csv.reader(io.StringIO(to_csv_text(frame, schema), newline=""))
    cells = np.array(rows, dtype=object).reshape(len(rows), len(names))
    amounts = np.full(cells.shape, np.nan)
    positions = locate(frame, schema)
    for column in filter(is_ordered, schema.columns):
        place = positions[column.name]
        exact = replace(column, decimals=MOST_DECIMALS, other="")
        codes, texts, _ = encode_values(pd.Series(cells[:, place]), exact)
        # What cannot be read as an amount, such as "?", has no text and stays where it is.
        amounts[:, place] = number_cells([*texts, None], column)[codes]
    return FileText(names, cells, amounts)


def line_of(cells: Sequence[str]) -> str:
    """Cells as a line of a CSV file, quoted where they must be."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(cells)
    return file.getvalue()


def loose_columns(frame: pd.DataFrame) -> list[str]:
    """Columns whose cells the file may hold in other texts than pandas writes: neither texts nor whole numbers."""
    return [str(name) for name in frame if not _is_literal(frame[name].dtype)]


def _is_literal(dtype: Any) -> bool:
    return pd.api.types.is_integer_dtype(dtype) or getattr(dtype, "kind", "") in "OUT"


def elsewhere(places: Indices, n: int, n_before: int, rng: Generator) -> Indices:
    """For each place of a table of `n` rows another one, such that the row here is none of those `n_before` it."""
    width = n - n_before
    steps = n_before + 1 + rng.integers(0, width - n_before - 1, size=len(places))
    return n_before + (places - n_before + steps) % width


def order_clue(text: FileText, n_before: int, rng: Generator) -> str:
    """The column by which a reader could guess which row is next; "" where none tells anything.

    Sign test by column, over all rows: is a row nearer to the nearest of those before it than to those before another?
    """
    n, m = text.cells.shape
    places = np.arange(n_before, n)
    others = elsewhere(places, n, n_before, rng)
    p_values = []
    for cells, amounts in zip(text.cells.T, text.amounts.T, strict=True):
        values = pd.Series(cells if np.isnan(amounts).all() else amounts)
        ranks = values.rank(method="dense").fillna(0.0).to_numpy()
        here, there = (
            np.min([np.abs(ranks[places] - ranks[ends - k]) for k in range(1, n_before + 1)], axis=0)
            for ends in (places, others)
        )
        p_values.append(p_sign(int((here < there).sum()), int((here > there).sum())))
    best = int(np.argmin(p_values))
    return text.names[best] if p_values[best] * m < ORDERED else ""

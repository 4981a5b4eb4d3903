"""Imputation: an incomplete row is a condition on itself.

A frame with missing cells enters; for each incomplete row leave the conditions under which its missing cells are drawn,
everything that it holds being given; and, with the rows drawn, the same frame with these cells filled in. Every other
cell, the index, the names and the dtypes stay as they are. Cells that stand in the frame but not in the training rows
(a level never seen, a number beyond the bounds) cannot be told to the model: they stay, and the log counts them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd

from harmonic.candidates import draw_rows
from harmonic.conditional import check_rules
from harmonic.decode.conditions import Condition, Conditions, given_row, split_known
from harmonic.decode.sampler import Prompt, Sampler
from harmonic.errors import HarmonicError
from harmonic.prompt.contexts import Context, Contexts
from harmonic.table import dtypes
from harmonic.table.cells import locate, misfit, to_rows
from harmonic.table.columns import decode_column
from harmonic.table.schema import Column, Row, Schema

log = logging.getLogger(__name__)

BATCH = 512
"""Rows that are drawn by one engine."""


class Incomplete:
    """The rows of a frame that miss a cell of a column which the model writes.

    Raises HarmonicError where a column is absent or a cell cannot be read as its column's kind.
    """

    def __init__(self, frame: pd.DataFrame, schema: Schema) -> None:
        self.frame = frame
        self.schema = schema
        self.rows: list[Row] = to_rows(frame, schema)
        self.numbers = [number for number, row in enumerate(self.rows) if None in row]
        self._count_misfits()

    @property
    def asked(self) -> list[Row]:
        """The incomplete rows as canonical cells."""
        return [self.rows[number] for number in self.numbers]

    @cached_property
    def groups(self) -> list[list[int]]:
        """The incomplete rows by which of their cells are given: rows of a group share a program."""
        found: dict[tuple[int, ...], list[int]] = {}
        for number in self.numbers:
            given = tuple(condition.place for condition in self.conditions(number) if condition.is_given)
            found.setdefault(given, []).append(number)
        return list(found.values())

    def conditions(self, number: int) -> Conditions:
        """A row's own cells as given, and its missing ones as not missing."""
        found = []
        for place, (column, cell) in enumerate(zip(self.schema.modelled, self.rows[number], strict=True)):
            if cell is not None and _can_be_told(cell, column):
                found.append(Condition(place, column, True, cell))
            elif column.can_be_missing:
                found.append(Condition(place, replace(column, missing=0.0)))
        return tuple(found)

    def known_in(self, number: int, order: Sequence[int]) -> tuple[Conditions, dict[int, str | None]]:
        """A row's conditions, of its own cells those alone that `order` begins with; and its other cells, by column."""
        return split_known(order, self.conditions(number))

    def filled(self, drawn: Mapping[int, Row]) -> pd.DataFrame:
        """The frame with the missing cells of rows drawn, and of constants, filled in.

        Raises HarmonicError where a column's dtype in the frame cannot hold a value of the training rows.
        """
        result = self.frame.copy()
        positions = locate(self.frame, self.schema)
        places = {column.name: place for place, column in enumerate(self.schema.modelled)}
        for column in self.schema.columns:
            series = self.frame.iloc[:, positions[column.name]]
            if column.name in places:
                place = places[column.name]
                numbers = [number for number in self.numbers if self.rows[number][place] is None]
                cells = [drawn[number][place] for number in numbers]
            elif column.kind == "constant" and column.levels:
                numbers = np.flatnonzero(series.isna()).tolist()
                cells = [column.levels[0]] * len(numbers)
            else:
                continue
            if numbers:
                filled = _with_cells(series, numbers, cells, column)
                # As a Series: an array of objects would be taken for one of texts.
                result.isetitem(positions[column.name], filled)  # type: ignore[arg-type]
        return result

    def _count_misfits(self) -> None:
        for place, column in enumerate(self.schema.modelled):
            cells = [self.rows[number][place] for number in self.numbers]
            told = {cell: cell is None or _can_be_told(cell, column) for cell in set(cells)}
            n_misfits = sum(not told[cell] for cell in cells)
            if n_misfits:
                log.warning(
                    "Column %r: %d cells of incomplete rows hold what no training row may hold; they stay as they "
                    "are, and the model is not told of them.",
                    column.label,
                    n_misfits,
                )


def draw_missing(
    sampler: Sampler,
    incomplete: Incomplete,
    contexts: Contexts,
    *,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> dict[int, Row]:
    """The incomplete rows by number, their missing cells drawn: one row a context, whose examples are its nearest rows.

    Columns stay in the order that the model has learnt, and draws are weighed (harmonic.candidates). Raises
    HarmonicError where the cells that a row has break a rule, and as `Sampler.draw`.
    """
    numbers = [number for group in incomplete.groups for number in group]
    places = {number: place for place, number in enumerate(incomplete.numbers)}
    drawn: dict[int, Row] = {}
    # In batches, for each set of missing columns has tables of its own in the engine.
    for batch in (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)):
        prompts = [
            _prompt(sampler, incomplete, number, contexts.around(places[number], number), contexts)
            for number in batch
        ]
        drawn.update(draw_rows(sampler, prompts, seed=seed).rows)
        if progress is not None:
            progress(len(drawn))
    return drawn


def _prompt(
    sampler: Sampler, incomplete: Incomplete, number: int, context: Context, contexts: Contexts
) -> Prompt:
    conditions, known = incomplete.known_in(number, context.order)
    cells = given_row(incomplete.conditions(number), len(incomplete.schema.modelled))
    check_rules(sampler.rules, cells, f"Row {number}")
    return sampler.prompt(
        [contexts.rows[row] for row in context.examples],
        context.order,
        first_row=number,
        n_rows=1,
        conditions=conditions,
        asked=contexts.law.rows,
        known=known,
    )


def _can_be_told(cell: str, column: Column) -> bool:
    return not misfit(cell, column) and not (column.kind == "text" and cell in column.markers and cell != "")


def _with_cells(
    series: pd.Series, numbers: Sequence[int], cells: Sequence[str | None], column: Column
) -> pd.Series:
    """The series with canonical cells at some positions, in its own dtype."""
    values = decode_column(cells, column)
    try:
        made = values if values.dtype == series.dtype else _converted(values, cells, series, column)
    except (ValueError, TypeError, OverflowError) as error:
        raise _unfit(series, column, str(error)) from None
    result = series.copy()
    result.iloc[list(numbers)] = made.array
    if result.dtype != series.dtype:
        raise _unfit(series, column, f"it would become {result.dtype}")
    return result


def _converted(
    values: pd.Series, cells: Sequence[str | None], series: pd.Series, column: Column
) -> pd.Series:
    """Values of a column's own dtype in another frame's; texts where that frame holds texts, as a CSV that was read."""
    holds_texts = dtypes.dtype_name(series.dtype).startswith(("str", "string")) or (
        series.dtype == object and any(isinstance(value, str) for value in series)
    )
    if holds_texts and dtypes.family(column) == "bool":
        return pd.Series([str(value) for value in values], dtype=series.dtype)
    if holds_texts and dtypes.family(column) != "str":
        return pd.Series(list(cells), dtype=series.dtype)
    if isinstance(series.dtype, pd.CategoricalDtype):
        unknown = [value for value in values if value not in series.cat.categories]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of its categories")
    if series.dtype == object:
        return pd.Series(values.tolist(), dtype=object)
    return values.astype(series.dtype)


def _unfit(series: pd.Series, column: Column, why: str) -> HarmonicError:
    return HarmonicError(
        f"Column {column.label!r}: its dtype {series.dtype} cannot hold the values drawn for its missing cells: {why}. "
        "Give the frame the dtypes of the training table."
    )

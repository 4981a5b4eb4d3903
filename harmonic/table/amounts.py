"""What a person writes about a column, in the column's own terms: cells, and places on the grid of its values.

A value as it stands in a condition or a rule enters (a number, a date, or the text of one); its canonical cell leaves,
or its amount: an exact number, for dates the microseconds since 1970. The values of a number or date column lie on a
grid, its step, its last decimal place or its resolution; bounds between two values are moved to the next one inwards.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.table import dates, moments, numbers
from harmonic.table.cells import misfit
from harmonic.table.columns import cell_text
from harmonic.table.schema import Column

_EXACT = Context(prec=5000)


def cell_of(value: Any, column: Column) -> str | None:
    """The cell of a value that a person gives for a column; None where it means missing.

    Raises HarmonicError, naming the column, where no row of the table could hold it.
    """
    if _is_missing(value, column):
        if column.can_be_missing:
            return None
        raise HarmonicError(
            f"Column {column.label!r}: a missing cell is asked for, and no training row is missing there. Give a value."
        )
    problem, text = "", ""
    try:
        text = _exact_text(value, column)
        problem = misfit(text, column)
    except (ValueError, ArithmeticError) as error:
        problem = str(error)
    if problem:
        raise HarmonicError(
            f"Column {column.label!r}: value {value!r} {problem}. Give {described(column)}."
        ) from None
    return text


def described(column: Column) -> str:
    """What a column may hold, in words, for a remedy."""
    if column.kind == "text" and not column.levels:
        return f"a text of at most {column.max_bytes} bytes"
    if is_ordered(column) and not column.levels:
        kind = (
            "an integer"
            if column.kind == "integer"
            else "a date"
            if column.kind == "datetime"
            else "a number"
        )
        step = f", a multiple of {column.step}" if column.step else ""
        return f"{kind} from {column.lower} to {column.upper}{step}"
    shown = ", ".join(map(repr, column.levels[:8]))
    return f"one of {shown}{', ...' if len(column.levels) > 8 else ''}"


def is_ordered(column: Column) -> bool:
    """Whether the column's values lie on a grid between bounds: numbers and dates."""
    return column.is_numeric or column.kind == "datetime"


def amount_of(value: Any, column: Column) -> Decimal:
    """A value as an exact number, or for a date column its microseconds since 1970. Raises ValueError."""
    if column.kind == "datetime":
        return Decimal(int(_moment(value, column).astype(np.int64)))
    return Decimal(cell_text(value, replace(column, decimals=numbers.MOST_DECIMALS, other="")))


def units_of(amount: Decimal, column: Column, *, up: bool) -> int:
    """The place on the column's grid at this amount, or the next one above or below it."""
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return int(_EXACT.divide(amount, _unit(column)).to_integral_value(rounding, _EXACT))


def text_at(units: int, column: Column) -> str:
    """The canonical text at a place on the column's grid."""
    amount = _EXACT.multiply(Decimal(units), _unit(column))
    if column.kind == "datetime":
        return dates.iso_texts(np.array([int(amount)], dtype="M8[us]"), column.resolution)[0]
    return numbers.plain(amount)


def span_of(column: Column) -> tuple[int, int]:
    """The column's bounds as places on its grid, moved inwards."""
    low, high = (_amount_inside(str(bound), column) for bound in (column.lower, column.upper))
    return units_of(low, column, up=True), units_of(high, column, up=False)


def number_cells(cells: Sequence[str | None], column: Column) -> NDArray[np.float64]:
    """Cells of a number or date column as numbers that rank as they do, NaN where missing: float [n]."""
    known: dict[str | None, float] = {None: np.nan}
    present = sorted({cell for cell in cells if cell is not None})
    found = present_cells(present, column)
    known.update({cell: float(amount or 0) for cell, amount in zip(present, found, strict=True)})
    return np.array([known[cell] for cell in cells], dtype=float)


def present_cells(cells: Sequence[str | None], column: Column) -> list[Decimal | None]:
    """The amounts of canonical cells of a number or date column; None where missing."""
    return [None if cell is None else _amount_inside(cell, column) for cell in cells]


def _amount_inside(text: str, column: Column) -> Decimal:
    if column.kind == "datetime":
        return Decimal(int(dates.moments_of([text])[0].astype(np.int64)))
    return Decimal(text)


def _unit(column: Column) -> Decimal:
    if column.kind == "datetime":
        return Decimal(dates.UNITS[column.resolution])
    if column.step:
        return Decimal(column.step)
    return Decimal(1).scaleb(-column.decimals if column.kind == "decimal" else 0)


def _is_missing(value: Any, column: Column) -> bool:
    if isinstance(value, str):
        return value in column.markers and value not in column.levels
    return bool(pd.isna(value))


def _exact_text(value: Any, column: Column) -> str:
    """Canonical text without rounding, grouping or cutting, so that a misfit shows. Raises ValueError."""
    if column.kind != "datetime":
        return cell_text(value, replace(column, decimals=numbers.MOST_DECIMALS, other=""))
    amount = amount_of(value, column)
    units = units_of(amount, column, up=False)
    if units != units_of(amount, column, up=True):
        raise ValueError(f"is finer than the column's resolution, {column.resolution}")
    return text_at(units, column)


def _moment(value: Any, column: Column) -> np.datetime64:
    """What the house holds of a date: as outside text, in ISO form, or as a Python or pandas date."""
    moment = pd.DatetimeIndex([moments.in_zone(value, column)])
    return np.datetime64(dates.inside(moment, column.resolution)[0], "us")


def moment_of(value: str, column: Column) -> dt.datetime:
    """The moment, as the house holds it, that a text means for a date column. Raises ValueError."""
    found: dt.datetime = _moment(value, column).astype("M8[us]").item()
    return found

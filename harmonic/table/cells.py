"""Frames into rows of cells and back: the one place where outside values and canonical texts meet.

A frame and its schema enter; rows (tuples of canonical text or None over `schema.modelled`) leave, and the
reverse gives a frame of the exact dtypes, with constants filled in and identifiers made afresh. Every column is
worked through by its distinct values, so that the cost is that of the levels and not of the rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import identifiers, numbers, steps
from harmonic.table.columns import decode_column, encode_column, encode_values
from harmonic.table.schema import Column, Row, Schema, text_bytes

__all__ = [
    "Problem",
    "assemble",
    "conform",
    "decode_column",
    "encode_column",
    "encode_values",
    "from_rows",
    "locate",
    "misfit",
    "to_rows",
    "validate",
]


@dataclass(frozen=True)
class Problem:
    """One cell that may not stand in the table, or one column that is absent or unknown (row -1)."""

    column: Hashable
    row: int
    """Position in the frame, from 0."""
    value: Any
    message: str

    def __str__(self) -> str:
        return self.message


def to_rows(frame: pd.DataFrame, schema: Schema) -> list[Row]:
    """The rows of `frame` as canonical texts over `schema.modelled`; unknown levels keep their own text.

    Raises HarmonicError where a column is absent or a cell cannot be read as its column's kind.
    """
    positions = locate(frame, schema)
    columns = [encode_column(frame.iloc[:, positions[column.name]], column) for column in schema.modelled]
    return list(zip(*(texts.tolist() for texts in columns), strict=True)) if columns else [()] * len(frame)


def from_rows(rows: Sequence[Row], schema: Schema, *, seed: int = 0, first_row: int = 0) -> pd.DataFrame:
    """The frame of these rows: exact dtypes and names, constants filled in, identifiers made afresh.

    Identifiers depend on (seed, row number) alone: row i of `rows` has the number `first_row + i`.
    Raises HarmonicError where a row has another length or a cell is no value of its column.
    """
    width = len(schema.modelled)
    wrong = next((number for number, row in enumerate(rows) if len(row) != width), None)
    if wrong is not None:
        raise HarmonicError(
            f"Row {wrong}: has {len(rows[wrong])} cells, expected {width}, one a modelled column."
        )
    cells: dict[Column, Sequence[str | None]] = {}
    if len(rows):
        cells = dict(zip(schema.modelled, zip(*rows, strict=True), strict=True))
    return assemble(
        [_outside(column, cells, len(rows), seed, first_row) for column in schema.columns], schema
    )


def _outside(
    column: Column, cells: dict[Column, Sequence[str | None]], n_rows: int, seed: int, first_row: int
) -> pd.Series:
    if column.kind == "identifier":
        texts: Sequence[str | None] = identifiers.fresh(column, n_rows, seed=seed, first_row=first_row)
    elif column.kind == "constant":
        texts = [column.levels[0] if column.levels else None] * n_rows
    else:
        texts = cells.get(column, ())
    return decode_column(texts, column)


def assemble(columns: Sequence[pd.Series], schema: Schema) -> pd.DataFrame:
    """A frame of these columns under the schema's names, which may be numbers, tuples or empty."""
    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(schema.names)
    return frame


def conform(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """`frame` as the schema sees it: its columns in order, exact dtypes, decimals rounded, rare levels grouped.

    Columns that the schema does not know are left out. A frame of texts, as read from a CSV, is converted.
    Raises HarmonicError where a column is absent or a cell cannot be read as its column's kind.
    """
    positions = locate(frame, schema)
    columns = []
    for column in schema.columns:
        texts = encode_column(frame.iloc[:, positions[column.name]], column)
        columns.append(decode_column(texts, _wider(column, texts)))
    return assemble(columns, schema)


def _wider(column: Column, texts: np.ndarray) -> Column:
    """The column with the categories that stand in these texts too: a level unseen in training is no error here."""
    if column.dtype != "category":
        return column
    known = column.categories or column.levels
    unseen = sorted({text for text in texts if text is not None} - set(known))
    return replace(column, categories=(*known, *unseen))


def locate(frame: pd.DataFrame, schema: Schema) -> dict[Hashable, int]:
    """Where each column of the schema stands in `frame`. Raises HarmonicError where one is absent or doubled."""
    names = list(frame.columns)
    positions: dict[Hashable, int] = {name: position for position, name in enumerate(names)}
    if len(positions) < len(names):
        doubled = sorted({repr(name) for name in names if names.count(name) > 1})
        raise HarmonicError(f"Columns {', '.join(doubled)}: stand more than once in the table. Rename them.")
    absent = [name for name in schema.names if name not in positions]
    if absent:
        raise HarmonicError(
            f"Column {absent[0]!r}: not in the table, which has {names}.{_meant(absent[0], names)} Add or rename it."
        )
    return positions


def _meant(name: Hashable, names: Sequence[Hashable]) -> str:
    close = difflib.get_close_matches(str(name), map(str, names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def validate(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    """Every cell of `frame` that may not stand under the schema, by column and row; an empty list if all may.

    Read literally: a level the training rows do not have, a number beyond their bounds, with more decimals or off
    their step, a missing cell where none is missing, a wrong constant. Unknown and absent columns are problems of
    row -1.
    """
    names = list(frame.columns)
    if len({*names}) < len(names):
        locate(frame, schema)
    positions = {name: position for position, name in enumerate(names)}
    problems = [_about(name, -1, None, "not in the schema") for name in names if name not in schema.names]
    for column in schema.columns:
        if column.name in positions:
            problems += _column_problems(frame.iloc[:, positions[column.name]], column)
        else:
            problems.append(_about(column.name, -1, None, "not in the table"))
    return problems


def _about(name: Hashable, row: int, value: Any, what: str) -> Problem:
    value = value.item() if isinstance(value, np.generic) else value
    where = f"value {value!r} in row {row} " if row >= 0 else ""
    return Problem(name, row, value, f"Column {name!r}: {where}{what}.")


def _column_problems(series: pd.Series, column: Column) -> list[Problem]:
    exact = replace(column, decimals=numbers.MOST_DECIMALS, other="")
    codes, texts, errors = encode_values(series, exact, is_exact=True)
    wrong = {code: problem for code, (_, problem) in errors.items()}
    for code, text in enumerate(texts):
        if text is not None and (problem := misfit(text, column)):
            wrong[code] = problem
    if _missing_is_wrong(column):
        wrong[-1] = "is missing, which the training rows never are"
    rows = np.flatnonzero(np.isin(codes, list(wrong))).tolist() if wrong else []
    return [_about(column.name, row, series.iloc[row], wrong[int(codes[row])]) for row in rows]


def _missing_is_wrong(column: Column) -> bool:
    return bool(column.levels) if column.kind == "constant" else not column.can_be_missing


def misfit(text: str, column: Column) -> str:
    """Why a canonical text may not stand in its column; "" if it may."""
    if column.kind == "identifier":
        return ""
    if column.kind == "text":
        return _text_misfit(text, column)
    if column.kind in ("integer", "decimal"):
        return _number_misfit(text, column)
    if column.kind == "datetime":
        return "" if (column.lower or text) <= text <= (column.upper or text) else _beyond(column)
    return "" if text in column.levels else f"is none of its {len(column.levels)} levels"


def _text_misfit(text: str, column: Column) -> str:
    n_bytes = text_bytes(text)
    if n_bytes > column.max_bytes:
        return f"is longer than {column.max_bytes} bytes"
    return "is empty, which no training row is" if n_bytes < column.min_bytes else ""


def _number_misfit(text: str, column: Column) -> str:
    number, allowed = Decimal(text), column.decimals if column.kind == "decimal" else 0
    if numbers.places(text) > allowed:
        return f"has more than {allowed} decimal places"
    lower, upper = Decimal(column.lower or text), Decimal(column.upper or text)
    if not lower <= number <= upper:
        return _beyond(column)
    return "" if steps.is_multiple(text, column.step) else f"is no multiple of {column.step}"


def _beyond(column: Column) -> str:
    return f"lies beyond {column.lower} to {column.upper}"

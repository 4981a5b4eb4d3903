"""A judge who knows neither grammar nor codec: what a row's text says, and whether its cells may stand in the columns.

What enters is the text that a decoder has written and the columns in their order; what leaves is the row's cells, or an
error that says what is wrong. JSON is read by Python's own reader and must be written as it writes; a compact row is
taken apart by tags; bounds, steps and dates are checked in exact arithmetic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from functools import reduce
from typing import Any

from harmonic.table.schema import Column, Row

_PIECE = re.compile(r' ([A-Z]+)("(?:[^"\\]|\\.)*"|\?|[a-z]+|[a-z]*-?[0-9][0-9.: -]*?)(?= [A-Z]| \n)')
_NUMBER = re.compile(r"0|-?[1-9][0-9]*|-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9]")
_CLOCKS = {"minute": "minutes", "second": "seconds", "millisecond": "milliseconds"}


class Refused(Exception):
    """What is wrong with a row."""


class _Number(str):
    """A number as a JSON text writes it."""


def judge(text: str, codec_name: str, columns: Sequence[Column], order: Sequence[int]) -> Row:
    """The cells of a row's text, in the columns' order. Raises Refused."""
    cells = _json_cells(text, columns, order) if codec_name == "json" else _tagged(text, columns, order)
    for index, cell in cells.items():
        if not _is_admitted(cell, columns[index]):
            raise Refused(f"column {columns[index].label!r}: {cell!r} may not stand there")
    return tuple(cells[index] for index in range(len(columns)))


def _json_cells(text: str, columns: Sequence[Column], order: Sequence[int]) -> dict[int, str | None]:
    pairs = _read(text)
    said = ", ".join(f"{_written(name)}: {_written(value)}" for name, value in pairs)
    if text != f"{{ {said} }}\n" or [name for name, _ in pairs] != [columns[index].label for index in order]:
        raise Refused(f"not as a row is written: {text[:80]!r}")
    cells: dict[int, str | None] = {}
    for index, (_, value) in zip(order, pairs, strict=True):
        column = columns[index]
        expected = bool if column.kind == "boolean" else _Number if column.is_numeric else str
        if value is not None and type(value) is not expected:
            raise Refused(f"column {column.label!r}: {value!r} is no {expected.__name__}")
        cells[index] = None if value is None else _written(value) if expected is bool else str(value)
    return cells


def _read(text: str) -> Any:
    """What a JSON text says, objects as lists of pairs."""
    try:
        return json.loads(text, object_pairs_hook=list, parse_int=_Number, parse_float=_Number)
    except ValueError as error:
        raise Refused(f"no JSON: {error}") from error


def _written(value: object) -> str:
    return value if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


def _tagged(text: str, columns: Sequence[Column], order: Sequence[int]) -> dict[int, str | None]:
    cells: dict[int, str | None] = {}
    at = 0
    for index in order:
        piece = _PIECE.match(text, at)
        if piece is None or _number_of(piece[1]) != index:
            raise Refused(f"no cell of column {columns[index].label!r} at {text[at : at + 40]!r}")
        cells[index] = _untagged(piece[2], columns[index])
        at = piece.end()
    if text[at:] != " \n":
        raise Refused(f"{text[at : at + 40]!r} after the last cell")
    return cells


def _untagged(said: str, column: Column) -> str | None:
    if said == "?":
        return None
    if column.kind == "text":
        word = _read(said)
        if json.dumps(word, ensure_ascii=False) != said:
            raise Refused(f"column {column.label!r}: {said!r} has another spelling")
        return str(word)
    if column.is_numeric:
        return _unsized(said, column)
    if not said.isalpha():
        return said
    number = _number_of(said.upper())
    if number >= len(column.levels):
        raise Refused(f"column {column.label!r}: there is no level {said!r}")
    return column.levels[number]


def _unsized(said: str, column: Column) -> str:
    """The number without the letter of its length, which stands where lengths differ."""
    low, high = Fraction(str(column.lower)), Fraction(str(column.upper))
    lengths = {_n_whole(low), _n_whole(high), *([1] if low < 0 < high else [])}
    if len(lengths) == 1:
        return said
    letter, number = said[:1], said[1:]
    if not _NUMBER.fullmatch(number) or ord(letter) - ord("a") + 1 != _n_whole(Fraction(number)):
        raise Refused(f"column {column.label!r}: {said!r} does not say its length")
    return number


def _n_whole(number: Fraction) -> int:
    """Digits before the point."""
    return len(str(int(abs(number))))


def _number_of(letters: str) -> int:
    """A, B ... Z, AA ... as 0, 1 ... 25, 26 ..."""
    return reduce(lambda sum_, letter: 26 * sum_ + ord(letter) - ord("A") + 1, letters, 0) - 1


def _is_admitted(cell: str | None, column: Column) -> bool:
    if cell is None:
        return column.missing > 0
    if column.is_numeric:
        return _is_number(cell, column)
    if column.kind == "datetime":
        return _is_moment(cell, column)
    if column.kind == "text":
        n_bytes = len(json.dumps(cell, ensure_ascii=False).encode()) - len('""')
        return column.min_bytes <= n_bytes <= column.max_bytes
    return cell in column.levels


def _is_number(cell: str, column: Column) -> bool:
    if not _NUMBER.fullmatch(cell) or len(cell.partition(".")[2]) > column.decimals:
        return False
    value = Fraction(cell)
    lower, upper = Fraction(column.lower or value), Fraction(column.upper or value)
    return lower <= value <= upper and (not column.step or value % Fraction(column.step) == 0)


def _is_moment(cell: str, column: Column) -> bool:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return False
    if column.resolution == "day":
        written = moment.date().isoformat()
    else:
        written = moment.isoformat(" ", _CLOCKS.get(column.resolution, "microseconds"))
    lower, upper = (datetime.fromisoformat(bound or cell) for bound in (column.lower, column.upper))
    return written == cell and lower <= moment <= upper

"""Codecs: one row of cells as text, and text back as a row or a reject.

What enters is a `Schema` and rows of canonical cells; what leaves is text with one law that every tokenizer
respects: a row is `row_open`, one segment a column, `row_close`; a segment begins with a space and is followed
by a space or a newline, so no token of a byte-pair vocabulary straddles two segments. The grammar compiles a
segment once (`form`) and a row's columns may then stand in any order.

`compact` gives every column a tag (A, B, ...) and every level an alias (a, b, ...) explained in the header:
adult takes some 31 tokens a row. `json` writes names and levels out. `paper` is json as the HARMONIC release
writes it: every value a string, missing as "nan" (arXiv 2408.02927 and its code).
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from harmonic.errors import HarmonicError
from harmonic.table.schema import Column, Row, Schema, text_bytes
from harmonic.table.steps import is_multiple

Language = Literal["integer", "decimal", "datetime", "text"]
CodecName = Literal["compact", "json", "paper"]

LEGEND_LEVELS = 64
"""A header explains this many levels of a column, the commonest first: beyond, the rows themselves teach."""
LEGEND_CHARACTERS = 40

_WORDS: dict[Language, str] = {
    "integer": r"0|-?[1-9][0-9]*",
    "decimal": r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?",
    "datetime": r"[0-9]{4}-[0-9][0-9]-[0-9][0-9](?: [0-9][0-9]:[0-9][0-9](?::[0-9][0-9](?:\.[0-9]+)?)?)?",
    "text": r'(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u[0-9a-f]{4})*',
}

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

# Of ISO texts at each resolution, in characters.
_WIDTHS = {"day": 10, "minute": 16, "second": 19, "millisecond": 23, "microsecond": 26}


class Reject(NamedTuple):
    """Why a text is not a row: a short reason to count, and where it went wrong."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class SegmentForm:
    """The language of one segment: prefix + (a literal | a word of `language`, quoted or not) + suffix."""

    prefix: str
    literals: tuple[tuple[str, str | None], ...]
    """(text inside the segment, cell): levels, and the missing literal."""
    language: Language | None
    quoted: bool
    """Whether a word of `language` stands inside double quotes."""
    suffix: str
    sized: bool = False
    """Whether a letter before a number says how many digits stand before its point (`size_of`)."""

    def written(self, cell: str) -> str:
        """A word of `language` as the segment writes it."""
        word = f"{size_of(cell)}{cell}" if self.sized else cell
        return _quote(word) if self.quoted else word


def letters(number: int, first: str) -> str:
    """0 -> "A", 25 -> "Z", 26 -> "AA" for first = "A"; likewise from "a"."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord(first) + digit) + text
    return text


def size_of(number: str) -> str:
    """How many digits a canonical number has before its point, as a letter: "a" for one, "b" for two, ..."""
    return letters(len(number.lstrip("-").partition(".")[0]) - 1, "a")


class Codec(ABC):
    """What the codecs share: encoding and parsing by segment forms."""

    name: CodecName
    row_open = ""
    # Not a bare newline: vocabularies of the GPT family merge it with a quote or question mark before it.
    row_close = " \n"

    def __init__(self, schema: Schema, legend_levels: int = LEGEND_LEVELS) -> None:
        self.schema = schema
        self.legend_levels = legend_levels
        self.columns: tuple[Column, ...] = schema.modelled
        if not self.columns:
            raise HarmonicError(
                f"The table has no column to model: its {len(schema.columns)} columns are constants or identifiers. "
                "Declare at least one of them as another kind."
            )
        self._forms: dict[tuple[int, bool], SegmentForm] = {}
        self._patterns: dict[tuple[int, bool], re.Pattern[str]] = {}
        self._literals: dict[tuple[int, bool], dict[str | None, str]] = {}

    def header(self, order: Sequence[int]) -> str:
        """The columns in the order of the rows to come, a line each, with legend; ends with a newline."""
        return "".join(f"{self._describe(index)}\n" for index in order)

    def form(self, index: int, last: bool) -> SegmentForm:
        """The segment form of modelled column `index`; `last` where no segment follows in the row."""
        key = (index, last)
        if key not in self._forms:
            self._forms[key] = self._make_form(index, self.columns[index], last)
            self._literals[key] = {cell: text for text, cell in self._forms[key].literals}
        return self._forms[key]

    @abstractmethod
    def mark(self, index: int) -> str:
        """How a prompt refers to modelled column `index`."""

    def literal(self, index: int, level: str) -> str:
        """How a row writes this level of modelled column `index`."""
        return next(text for text, cell in self.form(index, False).literals if cell == level)

    def narrowed_form(self, index: int, last: bool, column: Column) -> SegmentForm:
        """`form` with what `column`, narrowed by a condition, leaves of its literals.

        Levels of a number, date or text column are the only values that are left of it.
        """
        form, levels = self.form(index, last), set(column.levels)
        literals = [
            (text, cell)
            for text, cell in form.literals
            if (column.can_be_missing if cell is None else cell in levels)
        ]
        if form.language is not None and levels:
            words = [(form.written(level), level) for level in column.levels]
            return replace(form, literals=(*literals, *words), language=None)
        return replace(form, literals=tuple(literals))

    def encode_row(self, row: Row, order: Sequence[int]) -> str:
        """The row's text, its columns in `order` (indices into schema.modelled).

        Raises HarmonicError where a cell is no level of its column or missing where nothing was missing.
        """
        last = len(order) - 1
        parts = [
            self.encode_cell(index, row[index], position == last) for position, index in enumerate(order)
        ]
        return self.row_open + "".join(parts) + self.row_close

    def writes(self, row: Row) -> bool:
        """Whether `encode_row` can write the row: no unknown level, nothing missing where nothing was missing."""
        forms = [self.form(index, False) for index in range(len(row))]
        return all(
            cell in self._literals[index, False] or (cell is not None and form.language is not None)
            for index, (cell, form) in enumerate(zip(row, forms, strict=True))
        )

    def parse_row(self, text: str, order: Sequence[int]) -> Row | Reject:
        """The inverse of `encode_row`: every cell checked against its column's language, levels and bounds."""
        if not text.startswith(self.row_open):
            return Reject("malformed", f"no {self.row_open!r} at the start of {text[:40]!r}")
        cells: list[str | None] = [None] * len(self.columns)
        at = len(self.row_open)
        for position, index in enumerate(order):
            match = self._pattern(index, position == len(order) - 1).match(text, at)
            if match is None:
                return Reject("malformed", f"column {self.columns[index].label!r} at {text[at : at + 40]!r}")
            cell = self._decode_cell(index, position == len(order) - 1, match.group(1))
            if isinstance(cell, Reject):
                return cell
            cells[index] = cell
            at = match.end()
        if text[at:] != self.row_close:
            return Reject("malformed", f"{text[at : at + 40]!r} after the last column")
        return tuple(cells)

    def _legend(self, column: Column) -> list[str]:
        """The levels that the header explains, the commonest first, and an ellipsis for the others."""
        levels = [_plain(level) for level in _levels(column)[: self.legend_levels]]
        return [*levels, "..."] if len(column.levels) > self.legend_levels else levels

    # What a codec defines.

    @abstractmethod
    def _make_form(self, index: int, column: Column, last: bool) -> SegmentForm: ...

    @abstractmethod
    def _describe(self, index: int) -> str: ...

    # One cell.

    def encode_cell(self, index: int, cell: str | None, last: bool) -> str:
        """The segment of one cell; `last` where no segment follows it. Raises HarmonicError as `encode_row` does."""
        form = self.form(index, last)
        literal = self._literals[index, last].get(cell)
        if literal is None:
            if cell is None or form.language is None:
                raise HarmonicError(
                    f"Column {self.columns[index].label!r}: {'a missing cell' if cell is None else repr(cell)} is not "
                    f"among what the training rows hold. Take it into the training rows or leave the row out."
                )
            literal = form.written(cell)
        return form.prefix + literal + form.suffix

    def _pattern(self, index: int, last: bool) -> re.Pattern[str]:
        key = (index, last)
        if key not in self._patterns:
            form = self.form(index, last)
            # Longest first: an alias may be the beginning of another.
            texts = sorted((text for text, _ in form.literals), key=len, reverse=True)
            choices = [re.escape(text) for text in texts]
            if form.language is not None:
                word = f"[a-z]+(?:{_WORDS[form.language]})" if form.sized else f"(?:{_WORDS[form.language]})"
                choices.append(f'"{word}"' if form.quoted else word)
            ending = r"(?= )" if not form.suffix else re.escape(form.suffix)
            self._patterns[key] = re.compile(f"{re.escape(form.prefix)}({'|'.join(choices)}){ending}")
        return self._patterns[key]

    def _decode_cell(self, index: int, last: bool, text: str) -> str | Reject | None:
        column, form = self.columns[index], self.form(index, last)
        for literal, cell in form.literals:
            if literal == text:
                return cell
        word = json.loads(text) if form.quoted else text
        if form.sized:
            size, word = word, word.lstrip(_LETTERS)
            if size != f"{size_of(word)}{word}":
                return Reject("malformed", f"column {column.label!r}: {size!r} is not {size_of(word)}{word}")
        return word if admits(column, word) else Reject("out of bounds", f"column {column.label!r}: {word!r}")


class CompactCodec(Codec):
    """` A39 Bc Ce77516`: a tag a column, an alias a level, `?` where missing, numbers as they are.

    Where a column's numbers are not all equally long, a letter says first how long this one is: otherwise the first
    digit would be written before anything tells 3,400 from 34,000. Nano's vocabulary has tag and letter in one token.
    """

    name: CodecName = "compact"

    def mark(self, index: int) -> str:
        return letters(index, "A")

    def _make_form(self, index: int, column: Column, last: bool) -> SegmentForm:
        literals: list[tuple[str, str | None]] = [("?", None)] if column.can_be_missing else []
        literals += [(letters(number, "a"), level) for number, level in enumerate(_levels(column))]
        language = _language(column)
        quoted, sized = language == "text", _differ_in_size(column)
        return SegmentForm(f" {self.mark(index)}", tuple(literals), language, quoted, "", sized)

    def _describe(self, index: int) -> str:
        column = self.columns[index]
        legend = [f"{letters(number, 'a')}={level}" for number, level in enumerate(self._legend(column))]
        missing = " ?=missing" if column.can_be_missing else ""
        return f"{self.mark(index)} {_plain(column.label)} {self._domain(index) or ' '.join(legend)}{missing}"

    def _domain(self, index: int) -> str:
        """Bounds as the rows write them."""
        column, form = self.columns[index], self.form(index, False)
        if not form.sized:
            return _domain(column)
        return f"{column.kind} {form.written(str(column.lower))} to {form.written(str(column.upper))}"


class JsonCodec(Codec):
    """`{ "age": 39, "job": "Sales" }`: names and levels in full, null where missing."""

    name: CodecName = "json"
    row_open = "{"
    row_close = " }\n"

    def mark(self, index: int) -> str:
        return _quote(self.columns[index].label)

    def _make_form(self, index: int, column: Column, last: bool) -> SegmentForm:
        literals: list[tuple[str, str | None]] = [("null", None)] if column.can_be_missing else []
        quote = column.kind != "boolean"
        literals += [(_quote(level) if quote else level, level) for level in _levels(column)]
        quoted = column.kind in ("datetime", "text")
        return SegmentForm(
            f" {self.mark(index)}: ", tuple(literals), _language(column), quoted, "" if last else ","
        )

    def _describe(self, index: int) -> str:
        column = self.columns[index]
        legend = "one of " + ", ".join(_quote(level) for level in self._legend(column))
        missing = ", or null" if column.can_be_missing else ""
        return f"{_plain(column.label)}: {_domain(column) or legend}{missing}"


class PaperCodec(JsonCodec):
    """JSON with every value a string and missing as "nan", as the HARMONIC release writes its rows."""

    name: CodecName = "paper"

    def _make_form(self, index: int, column: Column, last: bool) -> SegmentForm:
        levels = _levels(column)
        if column.can_be_missing and "nan" in levels:
            raise HarmonicError(
                f"Column {column.label!r}: the paper codec writes missing cells as 'nan', which is also a level. "
                "Use the codec 'json'."
            )
        literals: list[tuple[str, str | None]] = [('"nan"', None)] if column.can_be_missing else []
        literals += [(_quote(level), level) for level in levels]
        return SegmentForm(
            f" {self.mark(index)}: ", tuple(literals), _language(column), True, "" if last else ","
        )


def codec_for(name: str, schema: Schema, legend_levels: int = LEGEND_LEVELS) -> Codec:
    """The codec of that name; its header explains so many levels a column. Raises HarmonicError for an unknown name."""
    codecs: dict[str, type[Codec]] = {"compact": CompactCodec, "json": JsonCodec, "paper": PaperCodec}
    if name not in codecs:
        raise HarmonicError(f"Codec {name!r} is unknown. Use one of {', '.join(codecs)}.")
    return codecs[name](schema, legend_levels)


def admits(column: Column, word: str) -> bool:
    """Whether a well-formed word lies within the bounds, places, step and length of an open column."""
    if column.kind in ("integer", "decimal"):
        places = len(word.partition(".")[2])
        low, high = Decimal(column.lower or "-Infinity"), Decimal(column.upper or "Infinity")
        fits = places <= column.decimals and low <= Decimal(word) <= high and word != "-0"
        return fits and is_multiple(word, column.step)
    if column.kind == "datetime":
        # ISO texts of one resolution sort as the moments do.
        return _is_moment(word, column.resolution) and (column.lower or word) <= word <= (
            column.upper or word
        )
    # A word that a CSV of this table reads as missing is no text of it.
    is_marker = word != "" and word in column.markers
    return column.min_bytes <= text_bytes(word) <= column.max_bytes and not is_marker


def _is_moment(word: str, resolution: str) -> bool:
    """Whether a word of the shape of a moment stands in the calendar and is as fine as the resolution says."""
    try:
        datetime.fromisoformat(word)
    except ValueError:
        return False
    return len(word) == _WIDTHS[resolution]


def _language(column: Column) -> Language | None:
    # Spelled out for mypy: the four open kinds name their own language.
    if column.kind == "integer":
        return "integer"
    if column.kind == "decimal":
        return "decimal"
    if column.kind == "datetime":
        return "datetime"
    return "text" if column.kind == "text" else None


def _differ_in_size(column: Column) -> bool:
    """Whether some numbers between the bounds have more digits before the point than others."""
    if not column.is_numeric or column.lower is None or column.upper is None:
        return False
    low, high = Decimal(column.lower), Decimal(column.upper)
    sizes = {size_of(column.lower), size_of(column.upper)}
    return len(sizes) > 1 or (low < 0 < high and sizes != {"a"})


def _levels(column: Column) -> tuple[str, ...]:
    return column.levels if column.kind in ("categorical", "boolean") else ()


def _domain(column: Column) -> str:
    """What an open column may hold, in words; empty for columns of levels."""
    if column.kind in ("integer", "decimal"):
        return f"{column.kind} {column.lower} to {column.upper}"
    if column.kind == "datetime":
        return f"date {column.lower} to {column.upper}"
    return "text" if column.kind == "text" else ""


def _plain(text: str) -> str:
    """A name or level for a header line: on one line, not over-long, quoted where it could mislead."""
    shown = text if len(text) <= LEGEND_CHARACTERS else text[: LEGEND_CHARACTERS - 3] + "..."
    return shown if shown.isprintable() and shown.strip() == shown != "" else _quote(shown)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

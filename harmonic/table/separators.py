"""The text of a delimited file into rows of cells: the separator declared, named, known or found; quotes honoured.

Lines end at line feeds and carriage returns, and nowhere else. The separator is found by the width of the header and of
most lines, so that a line of another width is an error with its number instead of a table of one column.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from harmonic.errors import HarmonicError

SEPARATORS = (",", ";", "\t", "|")
_STAND_INS = (*SEPARATORS, "\x1f", "\x1e", "\x1d", "\x1c")
"""What no line of a one-column file holds may separate its cells: there are none to separate."""
_EXCEL = re.compile(r'(?:"sep=([^"\r\n])"|sep=([^"\r\n]))(?:\r\n|\r|\n|$)', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_SAMPLE_LINES = 200
_SAMPLE_ROWS = 50
_MOST = 0.8


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are cut into cells."""

    separator: str
    """"" where the file has one column with commas that separate nothing."""
    delimiter: str
    """What the reader cuts at: the separator or, in a file of one column, what stands nowhere in it."""
    is_spaced: bool = False
    """Whether a blank follows every separator."""
    n_skipped: int = 0
    """1 where the first line is Excel's `sep=;`."""


@dataclass(frozen=True)
class _Vote:
    """What the first rows say for a separator: fields of the first, of most, and the share of these."""

    head: int = 0
    width: int = 0
    share: float = 0.0

    @property
    def score(self) -> tuple[bool, float]:
        """Whether header and rows agree, and how many fields how many lines agree on; (False, 0) = no separator."""
        agrees = self.head == self.width
        if self.width < 2 or not (agrees or self.share >= _MOST):
            return False, 0.0
        return agrees, self.width * self.share


def layout_of(
    text: str, name: str, separator: str | None, decisions: list[str], known: Collection[str] = ()
) -> Layout:
    """How to cut `text`. `known`: column names that the header of a further file of a known table must hold.

    Raises HarmonicError where `separator` is none, or where one column results that other separators would divide.
    """
    said = _EXCEL.match(text)
    sample, is_cut = _sample(text[said.end() :] if said else text)
    n_skipped, is_guessed = int(said is not None), separator is None and said is None
    if separator is not None:
        _check_separator(separator, name)
    elif said:
        separator = said[1] or said[2]
        decisions.append(f"Line 1 names the separator: {separator!r}.")
        _check_separator(separator, name)
    else:
        rows = {candidate: _rows(sample, candidate, is_cut) for candidate in SEPARATORS}
        separator = _by_names(rows, known)
        if separator is None:
            separator = _by_votes({candidate: _vote(rows[candidate]) for candidate in SEPARATORS}, name)
            decisions += _sentences(separator)
    if not separator:
        return Layout("", _stand_in(text), n_skipped=n_skipped)
    found = _rows(sample, separator, is_cut)
    if is_guessed and all(len(row) == 1 for row in found):
        return Layout(separator, _stand_in(text), n_skipped=n_skipped)
    fields = [cell for row in found for cell in row[1:]]
    is_spaced = bool(fields) and all(cell.startswith(" ") for cell in fields)
    return Layout(separator, separator, is_spaced, n_skipped)


def _check_separator(separator: str, name: str) -> None:
    if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
        raise HarmonicError(
            f"File {name!r}: separator {separator!r} cannot divide lines, a single character is expected. "
            "Pass one, such as ',' or ';' or '\\t'."
        )


def _sample(text: str) -> tuple[str, bool]:
    """The first lines, and whether others follow."""
    last = next(islice(_LINE_END.finditer(text), _SAMPLE_LINES - 1, None), None)
    end = len(text) if last is None else last.end()
    return text[:end], end < len(text)


def _rows(sample: str, separator: str, is_cut: bool) -> list[list[str]]:
    """The first rows that are not blank; without the last one where it may have been cut."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):  # a field too long: of a wrong separator, or `parse` names its line
        rows += islice((row for row in reader if "".join(row).strip() or len(row) > 1), _SAMPLE_ROWS)
    return rows[:-1] if is_cut and 1 < len(rows) < _SAMPLE_ROWS else rows


def _vote(rows: list[list[str]]) -> _Vote:
    if not rows:
        return _Vote()
    width, count = Counter(map(len, rows)).most_common(1)[0]
    return _Vote(len(rows[0]), width, count / len(rows))


def _by_names(rows: dict[str, list[list[str]]], known: Collection[str]) -> str | None:
    """The separator under which the first line holds all known names; "" where that is one column."""
    for separator, found in rows.items():
        if known and found and {*known} <= {*found[0], *(cell.strip() for cell in found[0])}:
            return separator if len(found[0]) > 1 else ""
    return None


def _by_votes(votes: dict[str, _Vote], name: str) -> str:
    """The separator on which most lines agree; else the header's; else "" or "," for a file of one column."""
    # of two that divide alike the comma is the decimal one
    best = max(SEPARATORS, key=lambda candidate: (votes[candidate].score, candidate != ","))
    if votes[best].score[1]:
        return best
    widest = max(SEPARATORS, key=lambda candidate: votes[candidate].head)
    if votes[widest].head > 1:
        return widest
    for candidate in SEPARATORS[1:]:
        if votes[candidate].width > 1 and votes[candidate].share > 0.5:
            raise HarmonicError(
                f"File {name!r}: line 1 is one field, but most lines hold {votes[candidate].width - 1} {candidate!r}. "
                f"Pass `separator`: {candidate!r}, or a character that stands nowhere if there is one column."
            )
    return "" if votes[","] != _Vote(1, 1, 1.0) else ","


def _sentences(separator: str) -> list[str]:
    if not separator:
        return ["No separator divides the lines alike: read as one column (pass `separator` to choose one)."]
    if separator == ",":
        return []
    return [f"The separator is {separator!r} (pass `separator` to choose another)."]


def _stand_in(text: str) -> str:
    return next((candidate for candidate in _STAND_INS if candidate not in text), _STAND_INS[-1])


def parse(text: str, name: str, layout: Layout) -> list[list[str]]:
    """The lines as equally many cells each; blank lines are skipped, but for tables of one column.

    Raises HarmonicError naming the line that has another width, or on which a row with an open quote begins.
    """
    source = io.StringIO(text, newline="")
    for _ in range(layout.n_skipped):
        source.readline()
    reader = csv.reader(source, delimiter=layout.delimiter, skipinitialspace=layout.is_spaced, strict=True)
    rows: list[list[str]] = []
    width = top = 0
    first = layout.n_skipped + 1
    try:
        for row in reader:
            begin, first = first, layout.n_skipped + reader.line_num + 1
            if _is_blank(row, layout) and width != 1 and (rows or not row):
                continue
            rows.append(row or [""])
            if not width:
                width, top = len(rows[0]), begin
            if len(rows[-1]) != width:
                remedy = " (one that stands nowhere, if there is one column)" if width == 1 else ""
                raise HarmonicError(
                    f"File {name!r}: {_lines(begin, first - 1)} {len(row)} fields, line {top} has {width}. "
                    f"Pass the right `separator`{remedy} or mend the line."
                )
    except csv.Error as error:
        if (unpadded := _without_padding(text, layout.delimiter)) != text:
            return parse(unpadded, name, layout)
        raise HarmonicError(
            f"File {name!r}: line {layout.n_skipped + reader.line_num}: {error}, in the row that begins on "
            f"line {first}. Close the quote that is open there (within a quoted cell, double it), or mend the line."
        ) from None
    return rows


def _without_padding(text: str, delimiter: str) -> str:
    """The text without blanks between a closing quote and the end of its cell."""
    quoted = r'"[^"]*(?:""[^"]*)*"'
    return re.sub(rf'({quoted})(?: +(?={re.escape(delimiter)}|[\r\n]|\Z))?|[^"]+', _unpadded, text)


def _unpadded(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else found[1]


def _is_blank(row: list[str], layout: Layout) -> bool:
    """Whether a line holds nothing, or nothing but blanks (which a reader of spaced cells takes away)."""
    return not row or (len(row) == 1 and (row[0].isspace() or (layout.is_spaced and not row[0])))


def _lines(begin: int, end: int) -> str:
    return f"line {begin} has" if begin == end else f"lines {begin} to {end} have"

"""Schema and codec as languages: for each column one byte automaton of everything its segment may say.

What enters is a `SegmentForm` (how a codec writes a column) and the `Column` (levels, bounds, places, resolution,
length); what leaves is a `ByteAutomaton` that accepts exactly the texts that the codec can write for a valid cell.
Numbers have one canonical text each, dates exist in the calendar, texts are valid UTF-8 in canonical JSON escapes:
whatever is decoded along the automaton is a valid cell, and every valid cell can be decoded.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.bytes_automaton import DEAD, ByteAutomaton, ByteNodes, literal_automaton, trim, union
from harmonic.decode.digits import Grid, number, padded
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import SegmentForm, letters
from harmonic.table.schema import Column
from harmonic.table.steps import in_units

_ZERO = ord("0")
_CLOCKS = {"minute": 0, "second": 0, "millisecond": 3, "microsecond": 6}
_MONTHS = {28: (2,), 30: (4, 6, 9, 11), 31: (1, 3, 5, 7, 8, 10, 12)}
_EXACT = Context(prec=5000)

_ESCAPED = b'"\\bfnrt'
# Places inside a character or an escape, in the order in which bytes lead from one to the next.
TEXT_STATES = tuple("tail3 f4 f0 tail2 ed e0 tail1 escape u u0 u00 u001 u000 between".split())
BETWEEN = TEXT_STATES.index("between")


def segment_automaton(form: SegmentForm, column: Column) -> ByteAutomaton:
    """The automaton of all texts of a segment: prefix, then a literal or a word of the column's language, then suffix.

    Raises HarmonicError if the column's bounds are absent or leave nothing to say.
    """
    parts = []
    if form.literals:
        parts.append(literal_automaton(text.encode() for text in literal_texts(form)))
    if form.language is not None:
        parts.append(language_automaton(form, column))
    if not parts:
        raise HarmonicError(
            f"Column {column.label!r}: no training row holds a value, so there is nothing to decode. "
            "Declare the column constant or leave it out."
        )
    return union(parts[0], parts[1]) if len(parts) == 2 else parts[0]


def literal_texts(form: SegmentForm) -> list[str]:
    """The whole segment text of each literal."""
    return [f"{form.prefix}{text}{form.suffix}" for text, _ in form.literals]


def language_automaton(form: SegmentForm, column: Column) -> ByteAutomaton:
    """The automaton of a segment whose form has a language, its literals left out."""
    if form.language == "text":
        if not form.quoted:
            raise HarmonicError(
                f"Column {column.label!r}: a codec must write text in quotes, else it has no end."
            )
        return _text_automaton(form.prefix.encode(), form.suffix.encode(), column)
    nodes = ByteNodes()
    quote = b'"' if form.quoted else b""
    after = nodes.text(quote + form.suffix.encode(), nodes.end)
    if form.language == "datetime":
        word = _datetime(nodes, column, after)
    else:
        word = (_sized_number if form.sized else _number)(nodes, column, after)
    if word == DEAD:
        raise HarmonicError(
            f"Column {column.label!r}: no {column.kind} lies within {column.lower} and {column.upper} with "
            f"{_fineness(column)}. Correct the column's bounds in the schema."
        )
    return nodes.automaton(nodes.text(form.prefix.encode() + quote, word))


def _fineness(column: Column) -> str:
    if column.kind == "datetime":
        return f"{column.resolution} resolution"
    return f"step {column.step}" if column.step else f"{column.decimals} decimal places"


# Numbers.


def _number(nodes: ByteNodes, column: Column, after: int) -> int:
    """Canonical integers and decimals between the column's bounds, multiples of its step."""
    low, high, grid = _range(column)
    return number(nodes, low, high, grid, after)


def _sized_number(nodes: ByteNodes, column: Column, after: int) -> int:
    """`_number` behind the letter of its length (`size_of`)."""
    low, high, grid = _range(column)
    places, result = grid.places, DEAD
    longest = max(1, len(str(max(abs(low), abs(high)))) - places)
    for size in range(1, longest + 1):
        # In units of the last place: from the least number with so many digits before its point to the greatest.
        least, most = 10 ** (size - 1 + places) if size > 1 else 0, 10 ** (size + places) - 1
        positive = number(nodes, max(low, least), min(high, most), grid, after)
        negative = number(nodes, max(low, -most), min(high, -max(least, 1)), grid, after)
        sized = nodes.union(positive, negative)
        if sized != DEAD:
            result = nodes.union(result, nodes.text(letters(size - 1, "a").encode(), sized))
    return result


def _range(column: Column) -> tuple[int, int, Grid]:
    """The column's bounds in units of its last decimal place, and its grid."""
    low, high = _bound(column, column.lower, ROUND_CEILING), _bound(column, column.upper, ROUND_FLOOR)
    return low, high, Grid(_places(column), in_units(column))


def _places(column: Column) -> int:
    return column.decimals if column.kind == "decimal" else 0


def _bound(column: Column, bound: str | None, rounding: str) -> int:
    """A bound in units of the last decimal place, rounded inwards."""
    try:
        value = Decimal(str(bound)).scaleb(_places(column), _EXACT)
        return int(value.to_integral_value(rounding, _EXACT))
    except (ArithmeticError, ValueError) as error:
        raise HarmonicError(
            f"Column {column.label!r}: its bound is {bound!r}, a number is needed to end every row. "
            "Give the column a lower and an upper bound in the schema."
        ) from error


# Dates.


def _datetime(nodes: ByteNodes, column: Column, after: int) -> int:
    """ISO dates of the years 1 to 9999, with the time at the column's resolution, between its bounds."""
    if column.resolution != "day" and column.resolution not in _CLOCKS:
        raise HarmonicError(
            f"Column {column.label!r}: resolution {column.resolution!r} is unknown. "
            f"Use one of day, {', '.join(_CLOCKS)}."
        )
    clock = nodes.end if column.resolution == "day" else nodes.text(b" ", _clock(nodes, column.resolution))
    common, leap = _month_and_day(nodes, 28, clock), _month_and_day(nodes, 29, clock)
    # ISO texts of one resolution sort as the moments do.
    lower, upper = (bound.encode() if bound else None for bound in (column.lower, column.upper))
    return nodes.then(nodes.within(_year(nodes, common, leap), lower, upper), after)


def _clock(nodes: ByteNodes, resolution: str) -> int:
    """HH:MM, with seconds and their fraction where the resolution has them."""
    digits, after = _CLOCKS[resolution], nodes.end
    if digits:
        after = nodes.text(b".", padded(nodes, 0, 10**digits - 1, digits, after))
    if resolution != "minute":
        after = nodes.text(b":", padded(nodes, 0, 59, 2, after))
    return padded(nodes, 0, 23, 2, nodes.text(b":", padded(nodes, 0, 59, 2, after)))


def _month_and_day(nodes: ByteNodes, february: int, after: int) -> int:
    """-MM-DD in a year whose February has so many days."""
    result = DEAD
    for days, months in _MONTHS.items():
        day = nodes.text(b"-", padded(nodes, 1, february if days == 28 else days, 2, after))
        for month in months:
            result = nodes.union(result, nodes.text(b"-%02d" % month, day))
    return result


def _year(nodes: ByteNodes, common: int, leap: int) -> int:
    """0001 to 9999, followed by the rest of a common or of a leap year."""
    result = DEAD
    # A century is known by whether its first year is leap; year 0000 is none.
    kinds: dict[tuple[bool, bool], int] = {}
    for century in range(100):
        kind = (century % 4 == 0, century == 0)
        if kind not in kinds:
            years = [(year, year % 4 == 0 if year else kind[0]) for year in range(kind[1], 100)]
            kinds[kind] = DEAD
            for year, is_leap in years:
                rest = nodes.text(b"%02d" % year, leap if is_leap else common)
                kinds[kind] = nodes.union(kinds[kind], rest)
        result = nodes.union(result, nodes.text(b"%02d" % century, kinds[kind]))
    return result


# Texts.


def _text_automaton(prefix: bytes, suffix: bytes, column: Column) -> ByteAutomaton:
    """prefix, a JSON string of min_bytes (0 or 1) to max_bytes bytes between its quotes, suffix.

    One copy of TEXT_STATES for each number of bytes left, most first; a character pays with its first byte.
    """
    max_bytes = column.max_bytes
    head, tail = prefix + b'"', b'"' + suffix
    moves, costs = text_moves()
    n_places = len(TEXT_STATES)
    first, end = len(head), len(head) + n_places * (max_bytes + 1)
    table = np.full((end + len(tail), 256), -1, dtype=np.int32)
    for state, byte in enumerate(head):
        table[state, byte] = state + 1 if state + 1 < first else first + BETWEEN
    for used in range(max_bytes + 1):
        after = first + n_places * (used + costs) + moves
        affordable = (moves >= 0) & (used + costs <= max_bytes)
        block = first + n_places * used
        table[block : block + n_places] = np.where(affordable, after, -1)
        if used >= column.min_bytes:
            table[block + BETWEEN, tail[0]] = end
    for state, byte in enumerate(tail[1:]):
        table[end + state, byte] = end + state + 1
    return trim(table, np.arange(len(table)) == len(table) - 1)


def text_moves() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(moves, costs) of a JSON string's inside, int32 [n_places, 256]: the next place or -1, bytes begun.

    Well-formed UTF-8 as in The Unicode Standard, table 3-7; escapes as json.dumps(text, ensure_ascii=False) has them.
    """
    moves = np.full((len(TEXT_STATES), 256), -1, dtype=np.int32)
    costs = np.zeros_like(moves)

    def add(place: str, first: int, last: int, then: str, cost: int = 0) -> None:
        moves[TEXT_STATES.index(place), first : last + 1] = TEXT_STATES.index(then)
        costs[TEXT_STATES.index(place), first : last + 1] = cost

    add("between", 0x20, 0x7F, "between", 1)
    moves[BETWEEN, ord('"')] = -1
    costs[BETWEEN, ord('"')] = 0
    add("between", ord("\\"), ord("\\"), "escape", 2)
    add("between", 0xC2, 0xDF, "tail1", 2)
    add("between", 0xE0, 0xEF, "tail2", 3)
    add("between", 0xE0, 0xE0, "e0", 3)
    add("between", 0xED, 0xED, "ed", 3)
    add("between", 0xF0, 0xF0, "f0", 4)
    add("between", 0xF1, 0xF3, "tail3", 4)
    add("between", 0xF4, 0xF4, "f4", 4)
    add("tail1", 0x80, 0xBF, "between")
    add("tail2", 0x80, 0xBF, "tail1")
    add("tail3", 0x80, 0xBF, "tail2")
    add("e0", 0xA0, 0xBF, "tail1")
    add("ed", 0x80, 0x9F, "tail1")
    add("f0", 0x90, 0xBF, "tail2")
    add("f4", 0x80, 0x8F, "tail2")
    for byte in _ESCAPED:
        add("escape", byte, byte, "between")
    add("escape", ord("u"), ord("u"), "u", 4)
    add("u", _ZERO, _ZERO, "u0")
    add("u0", _ZERO, _ZERO, "u00")
    add("u00", _ZERO, _ZERO, "u000")
    add("u00", _ZERO + 1, _ZERO + 1, "u001")
    for byte in b"0123456789abcdef":
        add("u001", byte, byte, "between")
        # 8, 9, a, c and d have short escapes.
        if byte not in b"89acd":
            add("u000", byte, byte, "between")
    return moves, costs

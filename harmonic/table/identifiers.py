"""Identifiers: found by their shape, never learnt, made afresh.

The distinct values of a column enter `pattern_of`; a pattern leaves where they are row numbers, e-mail
addresses, phone numbers, UUIDs or unique codes. `fresh` gives texts of that shape that depend on (seed, row
number) alone: no two rows of a run share one as long as the shape has room, and no real one is looked at.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from math import gcd, prod

import numpy as np

from harmonic.errors import HarmonicError
from harmonic.table.schema import Column

IDENTIFIER_STREAM = 101
"""Name of the random stream that fresh identifiers are drawn from."""
SEQUENCE = "1.."
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[A-Za-z]{2,}")
_PHONE = re.compile(
    r"(?=(?:[^0-9]*[0-9]){7,15}[^0-9]*$)(?=[+0(]|(?:[^0-9]*[0-9]){9})"  # how many digits, and how it begins
    r"(?:(?:\+|00)?(?:[0-9]{1,4})?[-. ]?(?:\([0-9]{1,5}\)[-. ]?)?[0-9]+(?:[-. /][0-9]+)+|\+[0-9]{7,15})"
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_HEX = re.compile(r"(?=.*[0-9])(?=.*[a-f])[0-9a-f]{8,64}")
_NAMED = re.compile(
    r"(?:^|[^a-z])(?:id|ids|uid|uuid|guid|identifier|ident|key|index|instant|rownum|row)(?:$|[^a-z])"
)
_EMAIL_PATTERN = r"aaaaaaaa@ex\ample.com"
_CLASSES = {
    "9": string.digits,
    "a": string.ascii_lowercase,
    "A": string.ascii_uppercase,
    "h": "0123456789abcdef",
}
_MOST = 0.95
"""Share of the values that must have one shape."""


def is_named_like_one(label: str) -> bool:
    """Whether a column's name says identifier: "id", "customer_id", "CustomerID", "row"."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", label).lower()
    return bool(_NAMED.search(spaced))


def integer_pattern(values: Sequence[int], label: str, n_rows: int) -> str:
    """The pattern of an integer column that only numbers rows; "" where it may mean something.

    Unique in every row, and one of: a permutation of 0.. or 1..; rising in file order with at least half of the
    numbers used and starting below 2; called like an identifier.
    """
    if n_rows < 10 or len(values) < n_rows:
        return ""
    array = np.array(values, dtype=object)
    first, last = int(min(array)), int(max(array))
    named = is_named_like_one(label)
    if first in (0, 1) and last - first + 1 == n_rows:
        return SEQUENCE if first else "0.."
    rises = bool(np.all(array[1:] > array[:-1]))
    if rises and first in (0, 1) and n_rows >= 20 and (last - first + 1) <= 2 * n_rows:
        return SEQUENCE if first else "0.."
    if named and rises and last - first + 1 <= 2 * n_rows:
        return SEQUENCE
    return "9" * len(str(last)) if named and first >= 0 else ""


def fitting(pattern: str, largest: int) -> str:
    """The pattern with as many digits as numbers up to `largest` may all have."""
    return pattern[: len(str(largest)) - 1] if set(pattern) == {"9"} else pattern


def text_pattern(values: Sequence[str], label: str, n_rows: int) -> str:
    """The pattern of a text column of identifiers: e-mails, phones, UUIDs, unique codes; "" where it is none."""
    if not values:
        return ""
    for shape, pattern in ((_EMAIL, _EMAIL_PATTERN), (_UUID, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh")):
        if _share(shape, values) >= _MOST:
            return pattern
    if _share(_PHONE, values) >= _MOST and len(values) >= n_rows / 2:
        return common_shape([value for value in values if _PHONE.fullmatch(value)])
    if n_rows < 10 or len(values) < n_rows:
        return ""
    if _share(_HEX, values) >= _MOST:
        return "h" * Counter(map(len, values)).most_common(1)[0][0]
    return _code_pattern(values, is_named_like_one(label))


def _share(shape: re.Pattern[str], values: Sequence[str]) -> float:
    return sum(shape.fullmatch(value) is not None for value in values) / len(values)


def _shape(value: str) -> str:
    """Digits, lower and upper ASCII letters as 9, a, A; anything else as it stands, escaped where it must be."""
    return "".join(_symbol(character) for character in value)


def _symbol(character: str) -> str:
    for symbol in "9aA":
        if character in _CLASSES[symbol]:
            return symbol
    return "\\\\" if character == "\\" else character


def _code_pattern(values: Sequence[str], named: bool) -> str:
    """Unique codes: no blanks, one shape (three at most where the name says so) and at least three digits."""
    if any(re.search(r"\s", value) for value in values):
        return ""
    shapes = Counter(map(_shape, values))
    common = sum(count for _, count in shapes.most_common(3 if named else 1))
    if common < _MOST * len(values) or shapes.most_common(1)[0][0].count("9") < 3:
        return ""
    return common_shape(values)


def common_shape(values: Sequence[str]) -> str:
    """The commonest shape, with the letters that all its values share written out ("cust_9999")."""
    shape = Counter(map(_shape, values)).most_common(1)[0][0]
    members = [value for value in values if _shape(value) == shape]
    parts = []
    for position, character in enumerate(members[0]):
        same = all(member[position] == character for member in members) and not character.isdigit()
        parts.append(escaped(character) if same else _symbol(character))
    return "".join(parts)


def escaped(text: str) -> str:
    """`text` as a pattern that stands for itself."""
    return "".join(f"\\{character}" if character in {*_CLASSES, "\\"} else character for character in text)


def fresh(column: Column, n_rows: int, *, seed: int, first_row: int) -> list[str | None]:
    """Identifiers of the rows first_row .. first_row + n_rows - 1: a function of (seed, row number) alone."""
    if column.pattern.endswith("..") and column.pattern[:-2].isdigit():
        start = int(column.pattern[:-2]) + first_row
        return [str(number) for number in range(start, start + n_rows)]
    slots = _slots(column.pattern)
    room = prod(len(slot) for slot in slots)
    if not column.pattern or room < 2:
        raise HarmonicError(
            f"Column {column.name!r}: pattern {column.pattern!r} has no room for identifiers. Add 9, a, A."
        )
    step, shift = _stride(room, seed, column.label)
    return [_spell(slots, (step * number + shift) % room) for number in range(first_row, first_row + n_rows)]


def _slots(pattern: str) -> list[str]:
    """What may stand at each place of the text."""
    slots, escape = [], False
    for character in pattern:
        if character == "\\" and not escape:
            escape = True
            continue
        slots.append(character if escape else _CLASSES.get(character, character))
        escape = False
    if pattern and set(pattern) == {"9"}:  # a whole number: no leading zero
        slots[0] = string.digits[1:]
    return slots


def _stride(room: int, seed: int, label: str) -> tuple[int, int]:
    """A step coprime to `room`, so that all of it is visited before an identifier repeats, and a start."""
    rng = np.random.default_rng([seed, IDENTIFIER_STREAM, *label.encode()])
    step = int(rng.random() * room) | 1
    while gcd(step, room) != 1:
        step += 2
    return step, int(rng.random() * room)


def _spell(slots: Sequence[str], number: int) -> str:
    letters = []
    for slot in reversed(slots):
        number, place = divmod(number, len(slot))
        letters.append(slot[place])
    return "".join(reversed(letters))

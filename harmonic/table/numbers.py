"""Numbers as canonical text and back.

A number enters as a Python or numpy scalar or as outside text; its canonical text leaves: no exponent, no plus
sign, no trailing zeros, no "-0". Decimals come from the shortest text that reads back as the same float, so a
column keeps exactly the digits it was written with, unless it was never written by hand: raw 17-digit floats
are limited to about `digits` significant ones, for they cost tokens and mean nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Any

import numpy as np

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(rf"({INTEGER.pattern})(?:\.0*)?")
LONGEST_NUMBER = 32
"""Characters that a canonical number may take: beyond, a column is not written digit by digit."""
MOST_DECIMALS = 340
"""More decimal places than any float shows."""
_MEDIAN_DIGITS = 4
_EXACT = Context(prec=5000)


def shortest(value: float | np.floating[Any]) -> str:
    """The shortest positional text that reads back as `value` in its own precision ("0.1" for float32(0.1))."""
    text = repr(float(value)) if isinstance(value, float) else "e"  # single precision is no Python float
    text = (
        text.removesuffix(".0")
        if "e" not in text
        else np.format_float_positional(value, unique=True, trim="-")
    )
    return "0" if text == "-0" else text


def plain(value: Decimal) -> str:
    """A Decimal without exponent, trailing zeros and "-0"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def rounded(value: float | np.floating[Any], decimals: int) -> str:
    """Canonical text of a finite number with at most `decimals` places, the shortest where that has fewer."""
    short = shortest(value)
    if places(short) <= decimals:
        return short
    text = format(float(value), f".{decimals}f")
    if decimals:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def number_of(value: Any) -> int | float | np.floating[Any] | Decimal:
    """A finite number from a scalar or from outside text ("59.0", "1e3"). Raises ValueError."""
    if isinstance(value, str):
        text = value.strip()
        if INTEGER.fullmatch(text):
            return int(text)
        if not NUMBER.fullmatch(text):
            raise ValueError("is not a number")
        return float(text)  # not Decimal: a text must round as the float does that it was read as elsewhere
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating, Decimal)):
        if not math.isfinite(value):
            raise ValueError("is not finite")
        return value
    raise ValueError("is not a number")


def integer_text(value: Any) -> str:
    """Canonical text of a whole number; a broken number keeps its decimals, so that checks can see them."""
    if isinstance(value, str) and (whole := _WHOLE.fullmatch(value.strip())):
        return str(int(whole[1]))  # of more digits than a float holds
    number = number_of(value)
    if isinstance(number, int):
        return str(number)
    return str(int(number)) if number == int(number) else decimal_text(number, None)


def decimal_text(value: Any, decimals: int | None) -> str:
    """Canonical text with at most `decimals` places; None keeps every digit of the shortest form."""
    number = number_of(value)
    if isinstance(number, int):
        return str(number)
    if isinstance(number, Decimal):
        text = plain(number)
        if decimals is None or places(text) <= decimals:
            return text
        return plain(number.quantize(Decimal(1).scaleb(-decimals), context=_EXACT))
    return shortest(number) if decimals is None else rounded(number, decimals)


def places(text: str) -> int:
    """How many decimal places a canonical number shows."""
    return len(text) - text.index(".") - 1 if "." in text else 0


def significant(text: str) -> int:
    """How many significant digits a canonical number shows ("0.0120" would be "0.012": 2)."""
    return max(1, len(text.lstrip("-").replace(".", "").strip("0")))


def decimals_for(texts: Sequence[str], digits: int) -> tuple[int, bool]:
    """Decimal places of a column from the shortest texts of its values, and whether that rounds some of them.

    All places are kept while no value shows more than `digits` significant digits. Otherwise the largest value
    gets `digits` of them, and the middle one at least four.
    """
    needed = max(map(places, texts), default=0)
    if max(map(significant, texts), default=1) <= digits:
        return needed, False
    sizes = sorted(abs(float(text)) for text in texts if float(text) != 0.0)
    allowed = max(digits - _magnitude(sizes[-1]), _MEDIAN_DIGITS - _magnitude(sizes[len(sizes) // 2]), 0)
    return min(needed, allowed), allowed < needed


def _magnitude(size: float) -> int:
    """Digits before the decimal point (negative: zeros after it)."""
    return math.floor(math.log10(size)) + 1

"""Steps: the grid on which the numbers of a column lie, such as prices in quarters or weights in fives.

What enters is the canonical texts of a column's training cells, or what a person declared; what leaves is the Column
with its step and a sentence that says so. A step is believed only where a dozen distinct values share it, and only if
an automaton can hold numbers to it with few states.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from decimal import Context, Decimal
from typing import Any

from harmonic.errors import HarmonicError
from harmonic.table import numbers
from harmonic.table.schema import Column

MOST_REMAINDERS = 128
"""A step between whose digits more remainders must be told apart is not used: its automaton would be large."""
_DISTINCT, _PRESENT = 12, 30
"""A step is inferred from so many distinct values in so many rows at least."""
_EXACT = Context(prec=5000)


def is_multiple(text: str, step: str) -> bool:
    """Whether a canonical number is a multiple of a column's step; without one ("") every number is."""
    return not step or _EXACT.remainder(Decimal(text), Decimal(step)) == 0


def in_units(column: Column) -> int:
    """A column's step in units of its last decimal place; 1 where it has none.

    Raises HarmonicError for a step that is not positive, is finer than the column's decimals or has too many
    remainders.
    """
    if not column.step:
        return 1
    units = Decimal(column.step).scaleb(_places(column), _EXACT)
    longest = max(len(str(column.lower or "")), len(str(column.upper or "")))
    problem = _problem(units, longest)
    if problem:
        raise HarmonicError(f"Column {column.label!r}: step {column.step} {problem}")
    return int(units)


def remainders(step: int) -> int:
    """The most remainders of `step` that an automaton must tell apart between two digits.

    With n digits to come they are multiples of gcd(step, 10 ** n) below both numbers: few for 5, 60, 86,400 and
    100,000, but as many as `step` where it is prime to ten.
    """
    most, power = 1, 1
    while power < 10 * step:
        shared = math.gcd(step, power)
        most = max(most, min(step // shared, -(-power // shared)))
        power *= 10
    return most


def declared(column: Column, facts: Mapping[str, Any]) -> Column:
    """The column with the step that a person declared (0 or "" is none), and with the decimals that it needs.

    Raises HarmonicError for a step that the column cannot have.
    """
    if facts.get("step", "") in ("", 0) or column.kind == "constant":
        return column
    subject = f"Column {column.name!r}: step {facts['step']!r}"
    if not column.is_numeric:
        raise HarmonicError(
            f"{subject} was declared, but the column is {column.kind}. Declare its kind as integer or decimal, or "
            "leave the step out."
        )
    try:
        step = numbers.decimal_text(facts["step"], None)
    except ValueError as error:
        raise HarmonicError(f"{subject} {error}. Declare a number above 0, or 0 for none.") from None
    if step == "0":
        return column
    places = numbers.places(step)
    if column.kind == "decimal" and "decimals" not in facts:
        column = replace(column, decimals=max(column.decimals, places))
    column = replace(column, step=step)
    in_units(column)
    return column


def checked(column: Column, texts: Iterable[str]) -> Column:
    """The column. Raises HarmonicError where a training row is no multiple of the step that a person declared."""
    off = next((text for text in texts if not is_multiple(text, column.step)), None)
    if off is not None:
        raise HarmonicError(
            f"Column {column.name!r}: value {off} is no multiple of the declared step = {column.step}. "
            "Correct the step or mend the cell."
        )
    return column


def inferred(column: Column, texts: Collection[str], n_present: int) -> tuple[Column, str]:
    """The column with the step of its distinct canonical texts, and what to say of it; "" where there is none.

    The step is their greatest common divisor where that is more than one unit of the last decimal place.
    """
    column = replace(column, step="")
    # Decimals are a grid too: where a person declared them, there is nothing to infer.
    if len(texts) < _DISTINCT or n_present < _PRESENT or "decimals" in column.declared:
        return column, ""
    places = _places(column)
    units = math.gcd(*(int(Decimal(text).scaleb(places, _EXACT)) for text in texts))
    if units <= 1:
        return column, ""
    step = numbers.plain(Decimal(units).scaleb(-places, _EXACT))
    said = f"Column {column.label!r}: every value is a multiple of {step}"
    if remainders(units) > MOST_REMAINDERS or max(map(len, texts)) > numbers.LONGEST_NUMBER:
        return column, f"{said}; new ones need not be, for that would take too many states."
    return replace(column, step=step), f"{said}; new ones will be too (step = 0 allows others)."


def _places(column: Column) -> int:
    return column.decimals if column.kind == "decimal" else 0


def _problem(units: Decimal, longest: int) -> str:
    """Why numbers of that length cannot be held to a step of so many units of the last place; "" if they can."""
    if units <= 0:
        return "is not above 0. Declare a number above 0, or 0 for none."
    if units != units.to_integral_value():
        return "is finer than the column's decimal places. Declare more decimals, or a whole step for an integer."
    if remainders(int(units)) > MOST_REMAINDERS:
        return (
            f"has {remainders(int(units))} remainders between two digits, at most {MOST_REMAINDERS} can be told "
            "apart. Declare a divisor of it, or 0 for none."
        )
    if longest > numbers.LONGEST_NUMBER:
        return (
            f"cannot be held to by numbers of {longest} characters, at most {numbers.LONGEST_NUMBER} can. "
            "Narrow the bounds, or declare step = 0."
        )
    return ""

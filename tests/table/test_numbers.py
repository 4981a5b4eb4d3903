from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.table.numbers import (
    NUMBER,
    decimal_text,
    decimals_for,
    integer_text,
    places,
    rounded,
    shortest,
    significant,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE)
def test_the_shortest_text_reads_back_as_the_same_float(value: float) -> None:
    text = shortest(value)
    assert float(text) == value
    assert "e" not in text and not text.endswith(".") and text != "-0"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_single_precision_keeps_its_own_shortest_text(value: float) -> None:
    assert np.float32(shortest(np.float32(value))) == np.float32(value)


@given(st.floats(-1e9, 1e9), st.integers(0, 9))
def test_rounding_agrees_with_python_and_is_stable(value: float, decimals: int) -> None:
    text = rounded(value, decimals)
    assert math.isclose(float(text), round(value, decimals), rel_tol=0, abs_tol=1e-15 * abs(value))
    assert rounded(float(text), decimals) == text
    assert places(text) <= decimals and NUMBER.fullmatch(text)


@pytest.mark.parametrize(
    ("value", "text"), [(59.0, "59"), ("59.0", "59"), (-0.0, "0"), (True, "1"), ("1e3", "1000"), (2.5, "2.5")]
)
def test_integers_are_written_plainly(value: object, text: str) -> None:
    assert integer_text(value) == text


def test_nineteen_digits_stay_exact() -> None:
    assert integer_text(np.int64(9223372036854775807)) == "9223372036854775807"
    assert integer_text("1234567890123456789") == "1234567890123456789"


@pytest.mark.parametrize(
    "text", [" 9007199254740993", "9007199254740993 ", "9007199254740993.0", "9007199254740993."]
)
def test_a_blank_or_zeros_behind_the_point_take_no_digit(text: str) -> None:
    assert integer_text(text) == "9007199254740993"
    assert integer_text(f"-{text.strip()}") == "-9007199254740993"
    assert integer_text("-0.0") == "0" and integer_text("0.50") == "0.5"


@pytest.mark.parametrize("value", ["abc", "12,5", "", "1 2", "0x1f", "١٢", float("inf"), float("nan"), [1]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        decimal_text(value, 2)


def test_decimal_objects_are_exact() -> None:
    assert decimal_text(Decimal("0.1000"), None) == "0.1"
    assert decimal_text(Decimal("1E+3"), None) == "1000"


def test_hand_written_decimals_keep_all_their_places() -> None:
    assert decimals_for(["22.705", "33", "0.5"], 8) == (3, False)


def test_raw_floats_are_limited_to_about_eight_significant_digits() -> None:
    values = np.random.default_rng(0).normal(100, 10, 500)
    decimals, rounds = decimals_for([shortest(value) for value in values], 8)
    assert rounds and decimals == 5
    assert significant(rounded(values[0], decimals)) <= 8


def test_small_values_beside_large_ones_keep_four_digits() -> None:
    texts = [shortest(value) for value in (*np.random.default_rng(0).random(99) / 1000, 123456.789)]
    decimals, _ = decimals_for(texts, 8)
    assert decimals >= 7

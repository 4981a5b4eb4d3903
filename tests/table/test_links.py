"""Links: a code and its name are found, and chance is not taken for a link."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.table.links import linked
from harmonic.table.schema import Row


def _rows(seed: int, n: int, wrong: float = 0.0, n_codes: int = 8) -> list[Row]:
    """A code, a name that it says (but for a share of the rows), a free column, an exact number, the name's group."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, n_codes, n)
    name = np.where(rng.random(n) < wrong, rng.integers(0, n_codes, n), code)
    free, exact = rng.integers(0, 3, n), rng.random(n)
    return [
        (f"c{code[at]}", f"n{name[at]}", f"f{free[at]}", f"{exact[at]:.6f}", f"g{name[at] // 2}")
        for at in range(n)
    ]


def test_a_code_its_name_and_the_group_of_it_are_one_block() -> None:
    assert linked(_rows(0, 100), range(5)) == [(0, 1, 4), (2,), (3,)]
    assert linked(_rows(0, 100), [3, 1, 2]) == [(3,), (1,), (2,)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_independent_columns_stay_apart_however_few_rows_there_are(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows: list[Row] = [tuple(map(str, row)) for row in rng.integers(0, [2, 5, 30, 1000], (n, 4))]
    assert linked(rows, range(4)) == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize(("wrong", "is_linked"), [(0.01, True), (0.2, False)])
def test_a_slip_of_the_pen_breaks_no_link_and_a_tendency_makes_none(wrong: float, is_linked: bool) -> None:
    blocks = linked(_rows(1, 400, wrong), [0, 1])
    assert (blocks == [(0, 1)]) is is_linked


def test_columns_that_hardly_vary_say_nothing_of_each_other() -> None:
    rows: list[Row] = [("yes" if at == 7 else "no", "b" if at == 7 else "a") for at in range(100)]
    assert linked(rows, [0, 1]) == [(0,), (1,)]


def test_no_rows_link_nothing() -> None:
    assert linked([], [0, 1]) == [(0,), (1,)]


@pytest.mark.parametrize(("noise", "sign", "is_linked"), [(0.3, 1, True), (0.3, -1, True), (2.0, 1, False)])
def test_amounts_that_go_up_and_down_together_are_one_block(noise: float, sign: int, is_linked: bool) -> None:
    rng = np.random.default_rng(0)
    one = rng.lognormal(size=100)
    other = sign * one * np.exp(rng.normal(0, noise, 100))
    rows: list[Row] = [
        (f"{a:.4f}", f"{b:.4f}", f"{c:.4f}") for a, b, c in zip(one, other, rng.random(100), strict=True)
    ]
    assert linked(rows, range(3), range(3)) == ([(0, 1), (2,)] if is_linked else [(0,), (1,), (2,)])
    assert linked(rows, range(3)) == [(0,), (1,), (2,)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_independent_amounts_stay_apart_with_gaps_and_with_constants(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = np.column_stack([rng.normal(size=n), rng.integers(0, 3, n), np.ones(n), rng.lognormal(size=n)])
    gaps = rng.random((n, 4)) < 0.3
    rows: list[Row] = [
        tuple(None if gap else str(cell) for cell, gap in zip(row, missing, strict=True))
        for row, missing in zip(numbers, gaps, strict=True)
    ]
    assert linked(rows, range(4), range(4)) == [(0,), (1,), (2,), (3,)]

"""Links: a code and its name, levels and amounts that go together are found, and chance is not taken for a link."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.table.links import SHUFFLES, cramers_v, linked
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


@pytest.mark.parametrize(("wrong", "is_linked"), [(0.01, True), (0.2, True), (0.6, False)])
def test_a_slip_of_the_pen_breaks_no_link_and_a_tendency_makes_none(wrong: float, is_linked: bool) -> None:
    blocks = linked(_rows(1, 400, wrong), [0, 1])
    assert (blocks == [(0, 1)]) is is_linked


def test_columns_that_hardly_vary_say_nothing_of_each_other() -> None:
    rows: list[Row] = [("yes" if at == 7 else "no", "b" if at == 7 else "a") for at in range(100)]
    assert linked(rows, [0, 1]) == [(0,), (1,)]


@pytest.mark.parametrize("seed", range(5))
def test_husbands_are_men_though_who_is_a_man_may_be_anything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    role = rng.choice(["husband", "wife", "child", "alone"], 100, p=[0.5, 0.25, 0.1, 0.15])
    coin, place = rng.choice(["man", "woman"], 100), rng.choice(["town", "village"], 100)
    sex = np.where(role == "husband", "man", np.where(role == "wife", "woman", coin))
    apart = np.where(rng.random(100) < 0.3, sex, rng.choice(["man", "woman"], 100))
    rows: list[Row] = [tuple(map(str, row)) for row in zip(role, sex, place, apart, strict=True)]
    assert linked(rows, range(4)) == [(0, 1), (2,), (3,)]


@pytest.mark.parametrize(("n_ill", "is_linked"), [(1, False), (2, False), (3, True), (10, True)])
def test_what_is_seldom_and_always_comes_with_the_other_is_linked_once_it_is_no_luck(
    n_ill: int, is_linked: bool
) -> None:
    """All shuffles say the same as the closed form: that so many of 50 coincide by luck, 1 / C(50, n_ill)."""
    rows: list[Row] = [("ill" if at < n_ill else "well", "yes" if at < n_ill else "no") for at in range(50)]
    assert (linked(rows, [0, 1]) == [(0, 1)]) is is_linked
    assert (1 / comb(50, n_ill) < 1 / SHUFFLES / 2) is is_linked


def test_cramers_v_is_nought_where_nothing_is_associated_and_one_where_all_is() -> None:
    rng = np.random.default_rng(0)

    def table(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        found = np.zeros((5, 4), dtype=np.intp)
        np.add.at(found, (left, right), 1)
        return found

    free = [cramers_v(table(rng.integers(0, 5, 60), rng.integers(0, 4, 60))) ** 2 for _ in range(300)]
    assert np.mean(free) < 0.02  # uncorrected: .07
    assert cramers_v(np.diag([30, 20, 10])) == pytest.approx(1.0)
    half = np.array([[40, 10], [10, 40]])
    assert cramers_v(half * 1000) == pytest.approx(0.6, abs=1e-4)


def test_levels_that_are_numbers_go_by_their_ranks_alone() -> None:
    rows: list[Row] = [(str(at % 4), "ab"[at % 4 in (1, 2)]) for at in range(80)]
    # Of numbers, 0 3 and 1 2 have no trend; as levels, they are two groups. The number says the group all the same.
    assert linked(rows, [0, 1]) == [(0, 1)]
    noisy: list[Row] = [(row[0], row[1] if at % 5 else "ba"[at % 2]) for at, row in enumerate(rows)]
    assert linked(noisy, [0, 1]) == [(0, 1)]
    assert linked(noisy, [0, 1], amounts=[0]) == [(0,), (1,)]


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

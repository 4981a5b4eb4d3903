from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.baselines import Smote
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import admits
from harmonic.table.cells import validate
from harmonic.table.infer import infer_schema, observe
from harmonic.table.policy import Policy
from harmonic.table.schema import Column, Schema
from harmonic.table.steps import in_units, is_multiple, remainders

RNG = np.random.default_rng(0)


def _schema(values: Any, policy: Policy | None = None, **declared: Any) -> Schema:
    frame = pd.DataFrame({"x": values})
    return observe(infer_schema(frame, overrides={"x": declared}), frame, policy)


def _column(values: Any, **declared: Any) -> Column:
    return _schema(values, **declared).column("x")


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (RNG.integers(0, 40, 200) * 5, "5"),
        (RNG.integers(-40, 40, 200) * 100, "100"),
        (RNG.integers(0, 90, 200) / 4, "0.25"),
        (RNG.integers(-90, 90, 200) * 0.05, "0.05"),
        (RNG.integers(10**4, 2 * 10**4, 200) * 86400, "86400"),
        (RNG.integers(0, 1000, 200), ""),
        (RNG.integers(0, 1000, 200) / 10, ""),
    ],
)
def test_a_step_is_what_all_training_values_share(values: Any, step: str) -> None:
    values[0], values[1] = min(values), 3 * max(values)
    assert _column(values).step == step


@given(st.lists(st.integers(-(10**9), 10**9), min_size=40, max_size=60, unique=True), st.integers(1, 10**4))
def test_a_step_divides_every_value_and_nothing_greater_does(units: list[int], factor: int) -> None:
    column = _column([unit * factor for unit in units], kind="integer")
    greatest = int(np.gcd.reduce([unit * factor for unit in units]))
    if remainders(greatest) <= 128:
        assert column.step == (str(greatest) if greatest > 1 else "")
    else:
        assert column.step == ""


def test_a_step_is_believed_only_if_a_dozen_values_in_thirty_rows_share_it() -> None:
    assert _column([5 * (n % 12) for n in range(30)], kind="integer").step == "5"
    assert _column([5 * (n % 11) for n in range(30)], kind="integer").step == ""
    assert _column([5 * (n % 12) for n in range(29)], kind="integer").step == ""
    assert _column([5.0 * (n % 12) if n < 29 else None for n in range(60)], kind="integer").step == ""


def test_a_step_is_that_of_the_training_rows_and_a_printed_decision() -> None:
    frame = pd.DataFrame({"x": [5 * n for n in range(1, 60)] + [3]})
    schema = infer_schema(frame)
    assert schema.column("x").step == ""
    seen = observe(schema, frame[:-1])
    assert seen.column("x").step == "5"
    assert (
        "Column 'x': every value is a multiple of 5; new ones will be too (step = 0 allows others)."
        in seen.decisions
    )


def test_a_step_of_too_many_states_is_left_out_in_so_many_words() -> None:
    schema = _schema([9973 * n for n in range(1, 60)])
    assert schema.column("x").step == ""
    assert any("multiple of 9973; new ones need not be" in line for line in schema.decisions)


def test_a_declared_step_stays_and_0_or_nothing_switches_it_off() -> None:
    values = [10 * n for n in range(1, 60)]
    assert _column(values).step == "10"
    assert _column(values, step=5).step == "5"
    assert _column(values, step="2.0").step == "2"
    for off in (0, "", "0", 0.0):
        assert _column(values, step=off).step == ""
    assert _column([1.5, 2.5] * 20, kind="decimal", step=0.25).step == "0.25"
    assert _column([1.5, 2.5] * 20, kind="decimal", step=0.25).decimals == 2
    assert _column([n / 4 for n in range(60)], decimals=2).step == ""  # declared decimals are a grid as well


@pytest.mark.parametrize(
    ("values", "declared", "message"),
    [
        (range(100, 160), {"step": 5}, "value 1.. is no multiple of the declared step = 5"),
        (range(100, 160), {"step": -5}, "step -5 is not above 0"),
        (range(100, 160), {"step": 0.5}, "step 0.5 is finer than the column's decimal places"),
        (range(100, 160), {"step": "five"}, "step 'five' is not a number"),
        (range(100, 160), {"step": 9973}, "step 9973 has 9973 remainders"),
        ([0.5, 0.25] * 40, {"step": 0.25, "decimals": 1, "kind": "decimal"}, "finer than"),
        (["a", "b"] * 40, {"step": 5}, "the column is categorical"),
        ([10**40 * n for n in range(1, 60)], {"step": 10}, "numbers of 42 characters"),
    ],
)
def test_a_step_that_a_column_cannot_have_is_an_error_that_names_it(
    values: Any, declared: dict[str, Any], message: str
) -> None:
    with pytest.raises(HarmonicError, match=f"Column 'x'.*{message}"):
        in_units(_column(list(values), **declared))


def test_values_off_the_step_are_wrong_everywhere() -> None:
    schema = _schema([n / 4 for n in range(1, 60)])
    column = schema.column("x")
    wrong = pd.DataFrame({"x": [1.25, 1.3, 2.0]})
    assert [str(problem) for problem in validate(wrong, schema)] == [
        "Column 'x': value 1.3 in row 1 is no multiple of 0.25."
    ]
    assert admits(column, "1.25")
    assert not admits(column, "1.24")
    assert not admits(column, "1.3")


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**12), st.integers(0, 20))
def test_multiples_are_told_exactly_whatever_their_length(units: int, step: int, places: int) -> None:
    def text(value: int) -> str:
        return format(Decimal(value).scaleb(-places), "f") if places else str(value)

    assert is_multiple(text(units), text(step)) == (units % step == 0)


def test_numbers_held_as_decimals_are_valid_where_they_came_from() -> None:
    values = [Decimal(n) / 4 for n in range(60)] + [Decimal("7566747377275566747377275.25")]
    frame = pd.DataFrame({"x": values, "y": [Decimal(n).scaleb(-9) for n in range(61)]})
    schema = infer_schema(frame)
    assert [column.step for column in schema.columns] == ["0.25", ""]
    assert validate(frame, schema) == []
    assert [problem.row for problem in validate(frame + Decimal("0.1"), schema) if problem.column == "x"] == [
        *range(61)
    ]


def test_rounded_bounds_are_outside_the_extremes_and_still_multiples() -> None:
    column = _schema([0.75 * n for n in range(10, 90)], Policy(extremes="round")).column("x")
    assert column.step == "0.75"
    lower, upper = Decimal(str(column.lower)), Decimal(str(column.upper))
    assert lower <= Decimal("7.5") and upper >= Decimal("66.75")
    assert is_multiple(str(lower), "0.75") and is_multiple(str(upper), "0.75")


def test_interpolated_rows_keep_the_step() -> None:
    frame = pd.DataFrame({"x": [5 * n for n in range(1, 81)], "z": [0.25 * n for n in range(1, 81)]})
    schema = infer_schema(frame)
    assert [column.step for column in schema.columns] == ["5", "0.25"]
    assert validate(Smote().fit(frame, schema).sample(300), schema) == []


def test_a_schema_written_before_there_were_steps_still_reads() -> None:
    schema = _schema([5 * n for n in range(1, 60)])
    data = schema.to_json()
    assert Schema.from_json(data) == schema
    for column in data["columns"]:
        del column["step"]
    assert Schema.from_json(data).column("x").step == ""


@pytest.mark.parametrize("step", [1, 5, 10, 60, 127, 1024, 9973, 86_400, 100_000])
def test_remainders_are_those_that_the_digits_to_come_can_still_make_up(step: int) -> None:
    n_digits = range(len(str(step)) + 1)
    needed = [{-(lead * 10**n) % step for lead in range(step)} for n in n_digits]
    assert remainders(step) == max(
        sum(rest < 10**n for rest in rests) for n, rests in zip(n_digits, needed, strict=True)
    )

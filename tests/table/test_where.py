"""Conditions on one column: what is left of it is what satisfies them, no more and no less."""

from __future__ import annotations

import operator
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.table.amounts import cell_of
from harmonic.table.schema import Column, Schema
from harmonic.table.where import may_hold, narrow, parse_where

SCHEMA = Schema(
    (
        Column("age", "age", "integer", "Int64", lower="17", upper="90", missing=0.1),
        Column("sex", "sex", "categorical", "int64", levels=("1", "2", "10")),
        Column("job", "job", "categorical", "str", levels=("Private", "a, b", "None", "é"), missing=0.2),
        Column(
            "hours-per week", "hours-per week", "decimal", "float64", lower="-2.5", upper="10", decimals=1
        ),
        Column("price", "price", "decimal", "float64", lower="1.1", upper="9", decimals=2, step="0.25"),
        Column("ok", "ok", "boolean", "bool", levels=("false", "true")),
        Column(
            "day",
            "day",
            "datetime",
            "datetime64[s]",
            lower="2011-01-01",
            upper="2011-12-31",
            resolution="day",
        ),
        Column(
            "at",
            "at",
            "datetime",
            "str",
            lower="2011-01-01 00:00",
            upper="2011-01-02 00:00",
            resolution="minute",
            pattern="%d.%m.%Y %H:%M",
        ),
        Column("note", "note", "text", "str", max_bytes=12),
        Column(
            "size",
            "size",
            "categorical",
            "category",
            levels=("L", "S", "M"),
            categories=("S", "M", "L"),
            category_dtype="ordered:str",
        ),
        Column("id", "id", "identifier", "str"),
        Column("year", "year", "constant", "int64", levels=("2011",)),
    )
)
SIGNS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
CELLS = {
    "age": [str(age) for age in range(17, 91)],
    "hours-per week": [f"{n / 10:.1f}".removesuffix(".0").replace("-0", "-0") for n in range(-25, 101)],
    "price": [format(Decimal(n) / 4, "f").rstrip("0").rstrip(".") for n in range(5, 37)],
    "day": [str(day)[:10] for day in pd.date_range("2011-01-01", "2011-12-31")],
}
CELLS["price"] = [cell if "." in cell else str(int(float(cell))) for cell in CELLS["price"]]
CELLS["hours-per week"] = [str(float(cell)).removesuffix(".0") for cell in CELLS["hours-per week"]]


def _left(expression: str) -> Column:
    comparison = parse_where(expression, SCHEMA)
    return narrow(comparison, comparison.column)


@pytest.mark.parametrize("name", ["age", "hours-per week", "price"])
@settings(max_examples=25)
@given(
    sign=st.sampled_from(sorted(SIGNS)),
    bound=st.one_of(st.integers(-5, 100).map(Decimal), st.decimals(-4, 12, places=2)),
)
def test_of_numbers_what_satisfies_a_comparison_is_left(name: str, sign: str, bound: Decimal) -> None:
    kept = [cell for cell in CELLS[name] if SIGNS[sign](Decimal(cell), bound)]
    try:
        column = _left(f"{name} {sign} {bound}")
    except HarmonicError as error:
        # A value that no row can hold is a mistake in == and !=.
        assert not kept or sign == "!="
        assert repr(name) in str(error)
        return
    assert [cell for cell in CELLS[name] if may_hold(column, cell)] == kept
    assert not may_hold(column, None)


@settings(max_examples=25)
@given(
    sign=st.sampled_from(["<", "<=", ">", ">="]),
    bound=st.datetimes(
        min_value=pd.Timestamp("2010-12-30").to_pydatetime(),
        max_value=pd.Timestamp("2012-01-02").to_pydatetime(),
    ),
)
def test_of_dates_what_satisfies_a_comparison_is_left(sign: str, bound: object) -> None:
    kept = [cell for cell in CELLS["day"] if SIGNS[sign](pd.Timestamp(cell), pd.Timestamp(bound))]  # type: ignore[call-overload]
    try:
        column = _left(f"day {sign} {bound}")
    except HarmonicError:
        assert not kept
        return
    assert [cell for cell in CELLS["day"] if may_hold(column, cell)] == kept


@pytest.mark.parametrize(
    ("expression", "left"),
    [
        ("sex == 2", ["2"]),
        ("sex != 2", ["1", "10"]),
        ("sex >= 2", ["2", "10"]),
        ("sex in (1, 10)", ["1", "10"]),
        ("job in ('a, b', \"é\")", ["a, b", "é"]),
        ("job not in ['None']", ["Private", "a, b", "é"]),
        ("job == None", ["None"]),
        ("`job` == 'Private'", ["Private"]),
        ("ok != True", ["false"]),
        ("size >= 'M'", ["L", "M"]),
        ("job is missing", [None]),
        ("job is not missing", ["Private", "a, b", "None", "é"]),
    ],
)
def test_of_levels_what_satisfies_a_comparison_is_left(expression: str, left: list[str | None]) -> None:
    whole = parse_where(expression, SCHEMA).column
    column = _left(expression)
    cells = [*whole.levels, *([None] if whole.can_be_missing else [])]
    assert [cell for cell in cells if may_hold(column, cell)] == left


def test_dates_are_read_as_the_table_writes_them_and_as_iso() -> None:
    for text in ("01.01.2011 12:30", "2011-01-01 12:30", "'2011-01-01T12:30:00'"):
        column = _left(f"at >= {text}")
        assert (column.lower, column.upper) == ("2011-01-01 12:30", "2011-01-02 00:00")


def test_conditions_on_one_column_narrow_it_together() -> None:
    column = SCHEMA.columns[0]
    for expression in ("age >= 30", "age < 40", "age not in (31, 33)", "age > 30", "age <= 35"):
        column = narrow(parse_where(expression, SCHEMA), column)
    assert [cell for cell in CELLS["age"] if may_hold(column, cell)] == ["32", "34", "35"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("agee >= 3", "column 'agee' is not in the table. Did you mean 'age'"),
        ("age ~ 3", "cannot be read. Write a column, a comparison and its values"),
        ("age >= 3 and age < 5", "'3 and age < 5' is not a number.*what compares two columns is a rule"),
        ("age >= 91", "leaves nothing of column 'age', which is an integer from 17 to 90"),
        ("age == 91", "value '91' lies beyond 17 to 90"),
        ("age == 20.5", "value '20.5' has more than 0 decimal places"),
        ("price == 1.1", "value '1.1' is no multiple of 0.25"),
        ("sex == 3", "value '3' is none of its 3 levels. Give one of '1', '2', '10'"),
        ("sex not in (1, 2, 10)", "leaves nothing of column 'sex'"),
        ("sex is missing", "is never true. No training row is missing there"),
        ("age in 3", "'3' is not what follows 'in'"),
        ("age >=", "'' is not what follows '>='"),
        ("job > 'a'", "column 'job' has no order"),
        ("day < soon", "'soon' is no date; write it as 2011-05-01"),
        ("note in ('a', 'b')", "names 2 texts of column 'note', which is free text"),
        ("note != 'a'", "leaves out some of more than 1000 values of column 'note'.*as a rule"),
        ("id == 'a'", "column 'id' is made afresh for every row"),
        ("year == 2011", "column 'year' is the same in every row"),
    ],
)
def test_a_condition_that_cannot_be_is_an_error_with_a_remedy(expression: str, message: str) -> None:
    with pytest.raises(HarmonicError, match=message) as caught:
        _left(expression)
    assert str(caught.value).startswith(f"Condition {expression!r}: ")


@pytest.mark.parametrize(
    ("name", "value", "cell"),
    [
        ("age", 20, "20"),
        ("age", np.int64(20), "20"),
        ("age", "2e1", "20"),
        ("age", None, None),
        ("age", float("nan"), None),
        ("sex", 2.0, "2"),
        ("ok", True, "true"),
        ("hours-per week", 0.1, "0.1"),
        ("day", pd.Timestamp("2011-05-01"), "2011-05-01"),
        ("day", pd.Timestamp("2011-05-01").date(), "2011-05-01"),
        ("at", "01.01.2011 12:30", "2011-01-01 12:30"),
    ],
)
def test_a_given_value_becomes_its_cell(name: str, value: object, cell: str | None) -> None:
    assert cell_of(value, SCHEMA.column(name)) == cell


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sex", None, "a missing cell is asked for, and no training row is missing there"),
        ("hours-per week", 1.25, "value 1.25 has more than 1 decimal places. Give a number from -2.5 to 10"),
        ("day", "2011-05-01 10:00", "is finer than the column's resolution, day"),
        ("day", 5, "is a number; write a date as 2011-05-01"),
        ("note", "x" * 13, "is longer than 12 bytes"),
        ("ok", "yes", "value 'yes' is not true or false. Give one of 'false', 'true'"),
    ],
)
def test_a_value_that_no_row_could_hold_is_an_error(name: str, value: object, message: str) -> None:
    with pytest.raises(HarmonicError, match=f"Column '{name}': .*{message}"):
        cell_of(value, SCHEMA.column(name))


def test_a_zoned_column_reads_a_date_in_its_own_zone() -> None:
    column = Column(
        "at",
        "at",
        "datetime",
        "datetime64[ns, Europe/Berlin]",
        lower="2011-01-01 00:00",
        upper="2011-12-31 00:00",
        resolution="minute",
    )
    assert cell_of("2011-07-01 12:00", column) == "2011-07-01 10:00"  # UTC inside
    assert cell_of("2011-07-01 12:00+00:00", column) == "2011-07-01 12:00"

"""Rules between columns: true, false and unknown as SQL has them, and nothing but rules."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.table.rules import Rules
from harmonic.table.schema import Column, Row, Schema

SCHEMA = Schema(
    (
        Column("a", "a", "integer", "Int64", lower="-9", upper="9", missing=0.1),
        Column(
            "total pay", "total pay", "decimal", "float64", lower="-9", upper="9", decimals=2, missing=0.1
        ),
        Column("class", "class", "categorical", "str", levels=("x", "it's", "B"), missing=0.1),
        Column("ok", "ok", "boolean", "boolean", levels=("false", "true"), missing=0.1),
        Column("sex", "sex", "categorical", "int64", levels=("1", "2")),
        Column(
            "start",
            "start",
            "datetime",
            "datetime64[s]",
            lower="2011-01-01",
            upper="2012-01-01",
            resolution="day",
        ),
        Column(
            "end",
            "end",
            "datetime",
            "datetime64[s]",
            lower="2011-01-01 00:00",
            upper="2012-01-01 00:00",
            resolution="minute",
        ),
        Column("id", "id", "identifier", "str"),
    )
)
ROW: Row = ("3", "2.5", "it's", "true", "1", "2011-05-01", "2011-05-01 00:00")

_numbers = st.one_of(
    st.sampled_from(["a", "`total pay`", "(sex * 1)"]),
    st.integers(-3, 3).map(str),
    st.sampled_from(["0.5", "2.25"]),
)
_sums = st.recursive(
    _numbers,
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=3,
)
_signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
_atoms = st.one_of(
    st.tuples(_sums, _signs, _sums).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    st.tuples(st.sampled_from(["==", "!="]), st.sampled_from(["'x'", "'B'"])).map(
        lambda t: f"(class {t[0]} {t[1]})"
    ),
    st.sampled_from(["(class in ('x', 'B'))", "(a not in (1, 2, 3))", "(sex in (1,))", "ok"]),
)
_rules = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        inner.map(lambda one: f"(not {one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    ),
    max_leaves=5,
)
_rows = st.tuples(
    st.one_of(st.none(), st.integers(-9, 9)),
    st.one_of(st.none(), st.integers(-36, 36).map(lambda n: n / 4)),
    st.one_of(st.none(), st.sampled_from(["x", "it's", "B"])),
    st.one_of(st.none(), st.booleans()),
    st.sampled_from([1, 2]),
)


@settings(max_examples=300)
@given(_rules, _rows)
def test_a_rule_is_broken_just_where_sql_says_false(rule: str, values: tuple[object, ...]) -> None:
    cells = [
        None
        if value is None
        else str(value).lower()
        if value in (True, False) and isinstance(value, bool)
        else str(value).removesuffix(".0")
        for value in values
    ]
    sql = rule.replace("(1,)", "(1)")
    select = f'SELECT {sql} FROM (SELECT ? * 1.0 AS a, ? * 1.0 AS "total pay", ? AS "class", ? AS ok, ? * 1.0 AS sex)'
    with sqlite3.connect(":memory:") as database:
        (truth,) = database.execute(
            select.replace("class", '"class"').replace('""class""', '"class"'), values
        ).fetchone()
    broken = Rules([rule], SCHEMA).broken((*cells, "2011-05-01", "2011-05-01 00:00"))
    assert (broken is None) == (truth is None or bool(truth)), (sql, values, truth)
    assert broken in (None, rule)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("start <= end", True),
        ("start < end", False),
        ("start >= '2011-05-01'", True),
        ("end < '2011-05-01 00:01'", True),
        ("'2011-04-30' < start <= '2011-05-02'", True),
        ('class == "it\'s"', True),
        ('not (sex == 1 and class == "it\'s")', False),
        ("`class` == 'x'", False),
        ("a + 0.1 + 0.2 == 3.3", True),  # exact, not in floats
        ("ok", True),
        ("ok == False", False),
        ("ok == true", True),
        ("a / (a - 3) > 5", True),  # divided by zero: unknown
        ("1 <= a <= 3 <= 4", True),
        ("-a == -3", True),
        ("a in (-3, 4)", False),
        ("start in ('2011-05-01', '2011-06-01')", True),
    ],
)
def test_rules_read_dates_texts_truths_and_chains(rule: str, holds: bool) -> None:
    assert Rules([rule], SCHEMA).broken(ROW) == (None if holds else rule)


def test_the_first_broken_rule_is_named() -> None:
    rules = Rules(["a > 0", "a > 5", "a > 7"], SCHEMA)
    assert rules.broken(ROW) == "a > 5"
    assert rules.broken((None, *ROW[1:])) is None


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("a <", "cannot be read. It takes column names"),
        ("(" * 400 + "a", "cannot be read"),
        ("b > 3", "column 'b' is not in the table"),
        ("id == 'x'", "column 'id' is made afresh for every row"),
        ("a", "is a number, neither true nor false"),
        ("not a", "'a' is a number, neither true nor false"),
        ("class == 'X'", "'X' is no level of column 'class'"),
        ("sex in (1, 3)", "3 is no level of column 'sex'"),
        ("a == 'x'", "compares 'a', a number, with \"'x'\", a text"),
        ("`total pay` > class", "compares 'total pay', a number, with 'class', a text"),
        ("class < 'x'", "a text has no order"),
        ("start < 'soon'", "'soon' is no date"),
        ("start < '05.03.2020'", "'05.03.2020' is no date; write it as 2011-05-01"),
        ("start < 'today'", "'today' is no date; write it as 2011-05-01"),
        (" + ".join(["a"] * 400) + " > 3", "nests too many operators. Write it as several rules"),
        ("not " * 90 + " - ".join(["a"] * 300) + " > 3", "nests too many operators|cannot be read"),
        ("start + 1 < end", "'start' is a date, with which one cannot reckon"),
        ("a in class", "'class' is no list of values"),
        ("a in (sex, 2)", "a list holds more than values"),
        ("a in (sex + 1, 2)", "a list holds more than values"),
        ("a is None", "compares with 'is'. Write =="),
        ("a ** 2 > 1", "'a \\*\\* 2' is no part of a rule"),
        ("__import__('os').system('true')", "is no part of a rule"),
        ("a.real > 1", "'a.real' is no part of a rule"),
        ("(lambda: 1)() > 0", "cannot be read|is no part of a rule"),
        ("f'{a}' == 'x'", "is no part of a rule"),
        ("a[0] > 1", "is no part of a rule"),
        ("(a := 3) > 1", "is no part of a rule"),
    ],
)
def test_what_is_no_rule_is_an_error_before_any_row(rule: str, message: str) -> None:
    with pytest.raises(HarmonicError, match=message):
        Rules([rule], SCHEMA)

from __future__ import annotations

import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from harmonic.errors import HarmonicError
from harmonic.table.cells import conform, from_rows, to_rows, validate
from harmonic.table.infer import infer_schema, observe
from harmonic.table.policy import Policy
from harmonic.table.schema import Schema
from harmonic.table.sources import load_table, to_csv_text

Tables = Callable[[str], tuple[pd.DataFrame, Schema]]


SHEETS = ("adult", "asia", "buddy", "diabetes", "german", "insurance", "magic")
NASTY = [
    "nan",
    "NA",
    "None",
    "null",
    "",
    "no",
    "true",
    'say "hi"',
    "a,b",
    "{}",
    "x\ny",
    "é",
    "שלום",
    "🐍",
    "007",
    "'",
    "\\",
    " x ",
]


def _round_trip(frame: pd.DataFrame, **given: Any) -> tuple[pd.DataFrame, Schema]:
    schema = infer_schema(frame, **given)
    schema = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    return from_rows(to_rows(frame, schema), schema), schema


def _comes_back(frame: pd.DataFrame, **given: Any) -> Schema:
    back, schema = _round_trip(frame, **given)
    assert_frame_equal(back, frame.reset_index(drop=True), check_exact=True)
    return schema


NUMPY_NUMBERS = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
]


@pytest.mark.parametrize("dtype", [*NUMPY_NUMBERS, "bool"])
def test_a_numpy_dtype_comes_back_exactly(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 100, 60).astype(dtype)
    _comes_back(pd.DataFrame({"x": values}))


@pytest.mark.parametrize(
    "dtype", ["Int8", "Int64", "UInt16", "Float32", "Float64", "boolean", "string", "str", "object"]
)
def test_a_nullable_dtype_comes_back_exactly_with_its_missing_cells(dtype: str) -> None:
    values = pd.Series(np.random.default_rng(0).integers(0, 2 if dtype == "boolean" else 50, 60)).astype(
        "Int64"
    )
    if dtype in ("string", "str", "object"):
        values = "level " + values.astype("str").str[:1]
    series = values.astype(dtype)
    series.iloc[[3, 59]] = None
    back = _comes_back(pd.DataFrame({"x": series})).column("x")
    assert back.missing == pytest.approx(2 / 60)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_a_datetime_dtype_comes_back_exactly(unit: str, zone: str | None) -> None:
    index = pd.date_range("2021-10-30 12:00", periods=60, freq="37min", tz=zone).as_unit(unit)
    frame = pd.DataFrame({"when": index})
    frame.loc[7, "when"] = pd.NaT
    assert _comes_back(frame).column("when").resolution == "minute"


def test_periods_durations_and_objects_come_back() -> None:
    n = 40
    frame = pd.DataFrame(
        {
            "month": pd.period_range("2001-01", periods=n, freq="M"),
            "stay": pd.to_timedelta(np.arange(n) * 90, unit="s"),
            "day": pd.Series([dt.date(2020, 1, 1) + dt.timedelta(i) for i in range(n)], dtype=object),
            "at": pd.Series([dt.datetime(2020, 1, 1, 8, i) for i in range(n)], dtype=object),
            "price": pd.Series([Decimal(i) / 8 for i in range(n)], dtype=object),
            "flag": pd.Series([True, False, None, True] * 10, dtype=object),
            "huge": pd.Series([10**25 + i * 7 for i in range(n)], dtype=object),
        }
    )
    schema = _comes_back(frame)
    kinds = [column.kind for column in schema.columns]
    assert kinds == ["datetime", "integer", "datetime", "datetime", "decimal", "boolean", "integer"]


@pytest.mark.parametrize("ordered", [False, True])
def test_a_categorical_keeps_its_order_and_its_unused_levels_outside_the_model(ordered: bool) -> None:
    dtype = pd.CategoricalDtype(["low", "mid", "high", "unheard"], ordered=ordered)
    frame = pd.DataFrame(
        {"x": pd.Series(["mid", "low", "high", None] * 10).astype(dtype), "y": range(100, 140)}
    )
    schema = _comes_back(frame)
    observed = observe(schema, frame)
    assert set(observed.column("x").levels) == {"low", "mid", "high"}
    assert any("1 declared categories stand in no training row" in line for line in observed.decisions)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [1.5, 2.0, 9.25],
        [True, False, True],
        pd.to_datetime(["2020-01-01", "2021-05-05", "1999-09-09"]),
    ],
)
def test_categories_of_any_dtype_come_back(values: Any) -> None:
    assert _comes_back(pd.DataFrame({"x": pd.Categorical(values)})).column("x").kind == "categorical"


def test_missing_stays_missing_beside_texts_that_only_look_so() -> None:
    frame = pd.DataFrame({"x": [*NASTY, None, np.nan] * 3, "y": range(3 * len(NASTY) + 6)})
    schema = _comes_back(frame)
    assert schema.column("x").kind == "categorical"
    assert set(schema.column("x").levels) == set(NASTY)


CELLS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(-9999, 9999).map(lambda value: round(value, 3)),
    "str": st.none()
    | st.sampled_from(NASTY)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    "boolean": st.none() | st.booleans(),
    "datetime64[us]": st.none() | st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)),
}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 12))
    names = draw(st.lists(NAMES | st.integers(0, 99), min_size=1, max_size=4, unique_by=repr))
    columns = []
    for _ in names:
        dtype = draw(st.sampled_from(list(CELLS)))
        columns.append(pd.Series(draw(st.lists(CELLS[dtype], min_size=n, max_size=n)), dtype=dtype))
    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(names)
    return frame


@settings(max_examples=100)
@given(frames())
def test_any_frame_comes_back_exactly(frame: pd.DataFrame) -> None:
    back, schema = _round_trip(frame)
    assert (back.dtypes.to_numpy() == frame.dtypes.to_numpy()).all()
    assert list(back.columns) == list(frame.columns)
    assert validate(frame, schema) == [] == validate(back, schema)
    for position, column in enumerate(schema.columns):
        if column.kind != "identifier":
            assert back.iloc[:, position].equals(frame.iloc[:, position]), column


@settings(max_examples=50)
@given(frames())
def test_any_frame_comes_back_from_its_own_csv(frame: pd.DataFrame) -> None:
    frame.columns = pd.Index([f"c{i}" for i in range(frame.shape[1])])
    schema = infer_schema(frame)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text(to_csv_text(frame, schema), encoding="utf-8", newline="")
        assert_frame_equal(load_table(path, schema, header=True), conform(frame, schema), check_exact=True)


@pytest.mark.parametrize("name", SHEETS)
def test_a_data_sheet_comes_back_with_its_dtypes(name: str, sheet_table: Tables) -> None:
    frame, schema = sheet_table(name)
    rows = to_rows(frame, schema)
    back = from_rows(rows, schema)
    assert (back.dtypes == frame.dtypes).all()
    assert to_rows(back, schema) == rows
    assert_frame_equal(back, conform(frame, schema))
    assert (back.isna().to_numpy() == frame.isna().to_numpy()).all()


def test_adult_becomes_rows_in_seconds(sheet_table: Tables) -> None:
    frame, schema = sheet_table("adult")
    started = time.process_time()
    assert len(to_rows(frame, schema)) == 48842
    assert time.process_time() - started < 3


def test_no_rows_give_an_empty_typed_table() -> None:
    frame = pd.DataFrame({"id": range(1, 31), "x": range(100, 130), "y": ["a", "b", None] * 10, "c": 1.5})
    back = from_rows([], infer_schema(frame))
    assert len(back) == 0 and (back.dtypes == frame.dtypes).all()


def test_odd_column_names_stay_outside_and_are_plain_inside() -> None:
    names = [("a", 1), 7, "7", "", "x\ny", "x y", 'q"{,}', "n" * 300, "🐍", "שלום"]
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 1000, (30, len(names))))
    frame.columns = pd.Index(names, tupleize_cols=False)
    schema = _comes_back(frame)
    labels = [column.label for column in schema.columns]
    assert len(set(labels)) == len(names) and all(label.isprintable() and label for label in labels)
    assert max(map(len, labels)) <= 64


def test_multi_index_columns_come_back() -> None:
    frame = pd.DataFrame(
        np.arange(60).reshape(30, 2) * 3, columns=pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")])
    )
    _comes_back(frame)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"x": [1.0, np.inf, 2.0]}, "'x'.*row 1 is infinite"),
        ({"x": [[1], [2]]}, "'x'.*nested|'x'.*types list"),
        ({"x": pd.Series([1, "a", None], dtype=object)}, "'x'.*types int, str"),
        ({"x": pd.Series([b"a", b"b"], dtype=object)}, "'x'.*bytes"),
        ({"x": [1 + 2j, 3j]}, "'x'.*complex128"),
        ({"x": pd.arrays.SparseArray([1, 0, 0])}, "'x'.*Sparse"),
        ({"x": pd.Series(["\ud800", "b"], dtype=object)}, "'x'.*Unicode"),
    ],
)
def test_what_cannot_come_back_exactly_is_refused_by_name(frame: dict[str, Any], message: str) -> None:
    with pytest.raises(HarmonicError, match=message):
        infer_schema(pd.DataFrame(frame))


def test_mixed_objects_are_texts_once_declared() -> None:
    frame = pd.DataFrame({"x": pd.Series([1, "a", 1.5, None] * 3, dtype=object)})
    back, _ = _round_trip(frame, overrides={"x": {"kind": "categorical"}})
    assert back["x"].tolist()[:4] == ["1", "a", "1.5", None]


def test_an_impossible_date_never_comes_out() -> None:
    schema = infer_schema(pd.DataFrame({"d": pd.date_range("2020-01-01", periods=20)}))
    with pytest.raises(HarmonicError, match="'2020-02-31' in row 0"):
        from_rows([("2020-02-31",)], schema)


def test_a_missing_cell_is_refused_where_the_dtype_has_none() -> None:
    schema = infer_schema(pd.DataFrame({"x": range(100, 130)}))
    with pytest.raises(HarmonicError, match="'x'.*missing cell cannot stand in dtype 'int64'"):
        from_rows([(None,)], schema)


def test_a_row_of_the_wrong_length_is_named() -> None:
    schema = infer_schema(pd.DataFrame({"x": range(100, 130), "y": range(200, 230)}))
    with pytest.raises(HarmonicError, match="Row 1: has 1 cells, expected 2"):
        from_rows([("100", "200"), ("100",)], schema)


def test_an_unreadable_cell_is_named_with_its_row() -> None:
    schema = infer_schema(pd.DataFrame({"age": range(20, 50)}))
    with pytest.raises(HarmonicError, match="Column 'age': value 'abc' in row 2 is not a number"):
        to_rows(pd.DataFrame({"age": ["20", "21", "abc"]}), schema)
    with pytest.raises(HarmonicError, match="'age': not in the table"):
        to_rows(pd.DataFrame({"aged": [1]}), schema)


def test_whole_numbers_beyond_floats_are_read_exactly() -> None:
    largest = 2**53 + 1
    schema = infer_schema(
        pd.DataFrame({"n": range(largest, largest + 60, 2), "c": [largest, largest + 2] * 15})
    )
    texts = pd.DataFrame(
        {"n": [f" {largest}", f"{largest + 2}.0"], "c": [f"{largest}.0 ", f" {largest + 2}"]}
    )
    expected = pd.DataFrame({"n": [largest, largest + 2], "c": [largest, largest + 2]})
    assert_frame_equal(conform(texts, schema), expected)


def test_conform_converts_texts_and_drops_unknown_columns() -> None:
    frame = pd.DataFrame({"n": [1.5, 2.25, None] * 9, "c": ["a", "b", "a"] * 9, "k": 3})
    schema = infer_schema(frame)
    texts = pd.DataFrame({"zzz": 1, "k": "3", "c": ["b", "new"], "n": ["2.2500", None]})
    assert_frame_equal(
        conform(texts, schema), pd.DataFrame({"n": [2.25, None], "c": ["b", "new"], "k": [3, 3]})
    )


def test_rare_levels_are_grouped_alike_in_every_part() -> None:
    train = pd.DataFrame({"c": ["a"] * 20 + ["b"] * 9 + ["x"], "y": range(30)})
    schema = observe(infer_schema(train), train, Policy(rare_levels="group"))
    test = pd.DataFrame({"c": ["b", "never seen"], "y": [0, 1]})
    assert [row[0] for row in to_rows(test, schema)] == ["b", "other"]
    assert from_rows(to_rows(test, schema), schema)["c"].tolist() == ["b", "other"]
    assert schema.column("c").levels == ("a", "b", "other")


def test_every_wrong_cell_is_found() -> None:
    frame = pd.DataFrame(
        {
            "i": range(10, 40),
            "d": np.arange(30) / 4,
            "c": ["a", "b", "c"] * 10,
            "t": pd.date_range("2020-01-01", periods=30),
            "w": [f"word {i} {'z' * i}" for i in range(30)],
            "k": "same",
        }
    )
    schema = infer_schema(frame)
    bad = frame.astype({"i": "Int64"}).copy()
    bad.loc[1, "i"], bad.loc[2, "d"], bad.loc[3, "c"] = 99, 0.125, "q"
    bad.loc[4, "t"], bad.loc[5, "w"], bad.loc[6, "k"] = pd.Timestamp("2030-01-01"), "z" * 99, "other"
    bad.loc[7, "i"] = None
    problems = validate(bad, schema)
    found = {(problem.column, problem.row) for problem in problems}
    assert found == {("i", 1), ("i", 7), ("d", 2), ("c", 3), ("t", 4), ("w", 5), ("k", 6)}
    assert "Column 'i': value 99 in row 1 lies beyond 10 to 39." in [str(problem) for problem in problems]
    absent = validate(frame.drop(columns="c").assign(extra=1), schema)
    assert [(problem.column, problem.row) for problem in absent] == [("extra", -1), ("c", -1)]

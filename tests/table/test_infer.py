from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from harmonic.errors import HarmonicError
from harmonic.table.cells import from_rows, to_rows, validate
from harmonic.table.infer import infer_schema, labels_of, observe, unseen_levels
from harmonic.table.policy import Policy
from harmonic.table.schema import Column, Schema

RNG = np.random.default_rng(0)


def _column(values: Any, **given: Any) -> Column:
    return infer_schema(pd.DataFrame({"x": values}), **given).column("x")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RNG.integers(0, 1000, 100), "integer"),
        (RNG.integers(0, 1000, 100) * 1.0, "integer"),
        (RNG.random(100).round(2), "decimal"),
        ([0, 1] * 20, "categorical"),
        ([1, 2, 3, 4] * 10, "categorical"),
        ([0.0, 0.2, 1.0] * 10, "categorical"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "integer"),
        ([True, False] * 9, "boolean"),
        (["yes", "no"] * 9, "categorical"),
        (["True", "False"] * 9, "categorical"),
        (["007", "008"] * 9, "categorical"),
        ([f"a long remark, number {i}: {'x' * (i % 9)}" for i in range(90)], "text"),
        ([f"name {i % 7}" for i in range(90)], "categorical"),
        (["ann", "bob", "cid", "dora"], "categorical"),
        (["2011-01-01", "2011-02-03"] * 9, "datetime"),
        (pd.date_range("2020-01-01", periods=30), "datetime"),
        ([5] * 30, "constant"),
        ([None] * 30, "constant"),
        (["x", None] * 30, "categorical"),
        ([5.0, None] * 30, "categorical"),
        (range(1, 100), "identifier"),
        (range(100), "identifier"),
        (range(1900, 2000), "integer"),
    ],
)
def test_a_kind_is_what_a_practitioner_expects(values: Any, kind: str) -> None:
    assert _column(list(values)).kind == kind


def test_a_target_of_few_whole_numbers_is_a_class() -> None:
    values = list(range(15)) * 4
    assert _column(values).kind == "integer"
    assert _column(values, target="x").kind == "categorical"
    assert infer_schema(pd.DataFrame({"x": range(60)}), target="x").task == "regression"


@pytest.mark.parametrize(
    ("values", "task"),
    [([0, 1] * 9, "binary"), (["a", "b", "c"] * 9, "multiclass"), ([True, False] * 9, "binary"),
     (RNG.random(30), "regression"), (["only"] * 9, "binary")],
)  # fmt: skip
def test_the_target_decides_the_task(values: Any, task: str) -> None:
    assert infer_schema(pd.DataFrame({"x": range(len(values)), "y": values}), target="y").task == task


def test_the_patients_of_scikit_learn_are_read_as_a_doctor_would() -> None:
    frame = load_diabetes(scaled=False, as_frame=True).frame
    schema = infer_schema(frame, target="target")
    sex = schema.column("sex")
    assert (sex.kind, sex.dtype, sex.levels) == ("categorical", "float64", ("1", "2"))
    assert (schema.task, schema.column("s5").decimals, schema.column("age").kind) == (
        "regression",
        4,
        "integer",
    )
    assert from_rows(to_rows(frame, schema), schema).equals(frame)


def test_every_column_says_why() -> None:
    frame = pd.DataFrame({"a": RNG.random(50), "b": ["x", "y"] * 25})
    decisions = infer_schema(frame).decisions
    assert (
        decisions[0].startswith("Column 'a': decimal, 7 decimal places (rounded") or "rounded" in decisions[0]
    )
    assert decisions[1] == "Column 'b': categorical, 2 distinct texts."


def test_decisions_of_inference_name_no_values() -> None:
    frame = pd.DataFrame({"a": [*range(500, 560)], "b": ["secret level", "y"] * 30})
    assert not any("559" in line or "secret" in line for line in infer_schema(frame).decisions)


def test_what_is_declared_decides() -> None:
    frame = pd.DataFrame(
        {"code": [1, 2, 3] * 9, "n": [f"{i}" for i in range(27)], "x": RNG.random(27), "s": 1}
    )
    overrides = {
        "code": {"kind": "integer", "lower": 0, "upper": 10},
        "n": {"kind": "integer"},
        "x": {"decimals": 2},
        "s": {"kind": "categorical", "levels": [1, 2.0], "label": "stage"},
    }
    schema = infer_schema(frame, overrides=overrides)
    assert [column.kind for column in schema.columns] == ["integer", "integer", "decimal", "categorical"]
    observed = observe(schema, frame)
    code, n, x, s = observed.columns
    assert (code.lower, code.upper, n.dtype, x.decimals, s.levels, s.label) == (
        "0",
        "10",
        "str",
        2,
        ("1", "2"),
        "stage",
    )
    assert from_rows(to_rows(frame, observed), observed)["n"].equals(frame["n"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"kin": "text"}, "override 'kin' is unknown. Did you mean 'kind'"),
        ({"kind": "integral"}, "kind 'integral' is unknown. Did you mean 'integer'"),
        ({"kind": "boolean"}, "kind 'boolean' was declared, but dtype 'str' cannot hold it"),
        ({"kind": "datetime"}, "no known date format fits"),
        ({"levels": ["a"]}, "'b' is none of the 1 declared levels"),
        ({"kind": "integer"}, "value 'a' in row 0 is not a number"),
        ({"resolution": "week"}, "resolution 'week'"),
        ({"kind": "decimal"}, "Column 'x': value 'a' in row 0 is not a number. Fix the cell"),
        ("categorical", "Column 'x': override 'categorical' was given, a mapping of facts is expected"),
        (
            {"decimals": "two"},
            "Column 'x': decimals 'two' was declared, a whole number from 0 to 340 is expected",
        ),
        ({"decimals": -1}, "Column 'x': decimals -1 was declared, a whole number from 0"),
        ({"levels": "ab"}, "Column 'x': levels 'ab' was declared, a list of values is expected"),
        ({"levels": 2}, "Column 'x': levels 2 was declared, a list of values is expected"),
        ({"pattern": 5}, "Column 'x': pattern 5 was declared, a text such as '%d.%m.%Y' is expected"),
        ({"label": "a\nb"}, "was declared, a printable text of one line is expected"),
        ({"missing": 99}, "Column 'x': missing 99 was declared, a text or a list of texts is expected"),
        ({"lower": "abc"}, "lower 'abc' was declared, but the column is categorical. Declare its kind"),
    ],
)
def test_a_wrong_declaration_is_refused(override: dict[str, Any], message: str) -> None:
    with pytest.raises(HarmonicError, match=message):
        infer_schema(pd.DataFrame({"x": ["a", "b"] * 9}), overrides={"x": override})


@pytest.mark.parametrize("key", ["lower", "upper"])
def test_a_declared_bound_that_is_no_value_of_the_column_is_named(key: str) -> None:
    overrides = {"x": {key: "abc"}}
    with pytest.raises(
        HarmonicError, match=f"Column 'x': {key} 'abc' was declared, but 'abc' is not a number"
    ):
        infer_schema(pd.DataFrame({"x": range(100, 130)}), overrides=overrides)
    with pytest.raises(HarmonicError, match=f"Column 'x': {key} 'abc' was declared, but 'abc' is no date"):
        infer_schema(pd.DataFrame({"x": pd.date_range("2019-01-01", periods=30)}), overrides=overrides)


def test_overrides_are_facts_by_column() -> None:
    with pytest.raises(HarmonicError, match=r"Overrides: \['x'\] were given, facts by column are expected"):
        infer_schema(pd.DataFrame({"x": [1, 2]}), overrides=["x"])  # type: ignore[arg-type]


def test_two_columns_of_one_label_are_refused() -> None:
    frame = pd.DataFrame({"a": range(100, 130), "b": range(200, 230)})
    with pytest.raises(HarmonicError, match="Columns 'a', 'b': have the same label 'b'"):
        infer_schema(frame, overrides={"a": {"label": "b"}})
    swapped = infer_schema(frame, overrides={"a": {"label": "b"}, "b": {"label": "a"}})
    assert [column.label for column in swapped.columns] == ["b", "a"]


@pytest.mark.parametrize(
    "name", [pd.Timestamp("2020-01-01"), dt.date(2020, 1, 1), float("nan"), None, np.int64(3), ("a", pd.NaT)]
)
def test_a_column_name_that_a_schema_s_file_could_not_hold_is_refused(name: Any) -> None:
    frame = pd.DataFrame({0: [1, 2], 1: [3, 4]})
    frame.columns = pd.Index([name, "b"], dtype=object, tupleize_cols=False)
    with pytest.raises(HarmonicError, match="its name is a .*, a text or an int is expected. Rename"):
        infer_schema(frame)


def test_a_declared_bound_that_a_row_breaks_is_refused() -> None:
    frame = pd.DataFrame({"x": range(100, 130)})
    with pytest.raises(HarmonicError, match="value 129 lies beyond the declared upper = 120"):
        infer_schema(frame, overrides={"x": {"upper": 120}})


def test_tables_that_are_none_are_refused() -> None:
    with pytest.raises(HarmonicError, match="Columns 'a': stand more than once"):
        infer_schema(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(HarmonicError, match="no rows under its 1 columns"):
        infer_schema(pd.DataFrame({"a": []}))
    with pytest.raises(HarmonicError, match="no columns"):
        infer_schema(pd.DataFrame(index=range(3)))
    with pytest.raises(HarmonicError, match="'outcme': not in the table. Did you mean 'outcome'"):
        infer_schema(pd.DataFrame({"outcome": [1, 2]}), target="outcme")
    with pytest.raises(HarmonicError, match="a list was given"):
        infer_schema([1, 2])  # type: ignore[arg-type]


def test_one_row_is_a_table_of_constants() -> None:
    frame = pd.DataFrame({"a": [1], "b": ["x"], "c": [pd.Timestamp("2020-01-01 05:30")]})
    schema = infer_schema(frame)
    assert schema.modelled == () and to_rows(frame, schema) == [()]
    assert from_rows([(), ()], schema).equals(pd.concat([frame, frame], ignore_index=True))


@pytest.mark.parametrize("values", [[1e300, 2e-300, 5.0], [1e-300, -0.0, 1e300]])
def test_numbers_too_long_to_write_become_levels(values: list[float]) -> None:
    frame = pd.DataFrame({"x": values * 2})
    schema = infer_schema(frame)
    assert schema.column("x").kind == "categorical"
    assert from_rows(to_rows(frame, schema), schema).equals(frame)


def test_thousands_of_numbers_too_long_to_write_are_refused() -> None:
    with pytest.raises(HarmonicError, match="'x'.*Rescale"):
        infer_schema(pd.DataFrame({"x": RNG.random(1500) * 1e100}))


def test_only_training_rows_are_observed() -> None:
    train = pd.DataFrame(
        {"n": [10, 20, 30] * 10, "c": ["a", "b", None] * 10, "d": [0.5] * 30, "e": [None] * 30}
    )
    rest = pd.DataFrame({"n": range(15), "c": ["q"] * 15, "d": RNG.random(15).round(4), "e": [1.5] * 15})
    schema = infer_schema(pd.concat([train, rest], ignore_index=True))
    observed = observe(schema, train)
    n, c, d, e = observed.columns
    assert (n.lower, n.upper) == ("10", "30")
    assert c.levels == ("a", "b") and c.missing == pytest.approx(1 / 3)
    assert (d.decimals, d.lower, d.upper) == (1, "0.5", "0.5")
    assert (e.kind, e.levels, e.missing) == ("constant", (), 1.0)
    assert unseen_levels(observed, rest) == {"c": ("q",)}
    assert any("'e': no training row has a value" in line for line in observed.decisions)


def test_extremes_are_kept_or_rounded_and_said() -> None:
    frame = pd.DataFrame({"n": range(1003, 4999, 37), "d": pd.date_range("2011-01-19", periods=108)})
    kept = observe(infer_schema(frame), frame)
    assert (kept.column("n").lower, kept.column("d").lower) == ("1003", "2011-01-19")
    assert any("extremes='keep'): n, d" in line for line in kept.decisions)
    rounded = observe(infer_schema(frame), frame, Policy(extremes="round"))
    assert (rounded.column("n").lower, rounded.column("n").upper) == ("1000", "5000")
    assert (rounded.column("d").lower, rounded.column("d").upper) == ("2011-01-01", "2011-05-31")
    assert validate(frame, rounded) == []


@pytest.mark.parametrize("low", [-0.037, 0.0, 9998.5])
def test_rounded_bounds_hold_all_rows(low: float) -> None:
    frame = pd.DataFrame({"n": (low + RNG.random(50)).round(3)})
    column = observe(infer_schema(frame), frame, Policy(extremes="round")).column("n")
    assert float(column.lower) <= frame["n"].min() and frame["n"].max() <= float(column.upper)
    assert low < 0 or float(column.lower) >= 0


def test_rare_levels_are_kept_or_grouped_and_said() -> None:
    frame = pd.DataFrame({"c": ["a"] * 20 + ["other"] * 8 + ["x", "y"], "y": [0, 1] * 15})
    kept = observe(infer_schema(frame), frame)
    assert kept.column("c").levels == ("a", "other", "x", "y")
    assert any("2 level(s) in fewer than 5 training rows; kept" in line for line in kept.decisions)
    grouped = observe(infer_schema(frame), frame, Policy(rare_levels="group"))
    assert (grouped.column("c").levels, grouped.column("c").other) == (("a", "other", "(other)"), "(other)")
    as_target = observe(infer_schema(frame, target="c"), frame, Policy(rare_levels="group"))
    assert as_target.column("c").levels == kept.column("c").levels


def test_grouped_categories_are_gone_from_the_dtype() -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["a"] * 20 + ["lonely"]), "y": range(21)})
    schema = observe(infer_schema(frame), frame, Policy(rare_levels="group"))
    back = from_rows(to_rows(frame, schema), schema)
    assert list(back["c"].cat.categories) == ["a", "other"]
    assert "lonely" not in str(schema.to_json())


@pytest.mark.parametrize("setting", [{"rare_levels": "drop"}, {"extremes": "cut"}, {"digits": 0}])
def test_an_unknown_policy_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(HarmonicError, match="Policy"):
        Policy(**setting)


def test_labels_are_unique_printable_and_short() -> None:
    assert labels_of(["a", "", ("a", 1), "a\nb", "a b", 5]) == [
        "a",
        "column 2",
        "a / 1",
        "a b",
        "a b (2)",
        "5",
    ]


def test_a_schema_survives_json() -> None:
    frame = pd.DataFrame({("a", 1): [1, 2] * 9, ("b", 2): ["x", None] * 9})
    schema = infer_schema(frame, target=("a", 1))
    assert Schema.from_json(schema.to_json()) == schema


def test_broken_numbers_are_no_integers_however_declared() -> None:
    with pytest.raises(HarmonicError, match="value 1.5 is not a whole number"):
        infer_schema(pd.DataFrame({"x": [1.5, 2.0, 3.0]}), overrides={"x": {"kind": "integer"}})


def test_inference_leaves_rare_levels_to_the_observation_of_training_rows() -> None:
    frame = pd.DataFrame({"c": ["a"] * 20 + ["rare"], "y": range(21)})
    assert infer_schema(frame, policy=Policy(rare_levels="group")).column("c").levels == ("a", "rare")


@pytest.mark.parametrize(
    "make", [list, np.array, pd.Index, pd.Series, lambda levels: pd.array(levels, dtype="str")]
)
def test_levels_are_any_values_in_an_order(make: Callable[[list[str]], Any]) -> None:
    frame = pd.DataFrame({"sex": ["f", "m"] * 20})
    schema = infer_schema(frame, overrides={"sex": {"levels": make(["m", "f", "x"])}})
    assert schema.columns[0].levels == ("m", "f", "x")
    with pytest.raises(HarmonicError, match="a list of values is expected"):
        infer_schema(frame, overrides={"sex": {"levels": {"m", "f"}}})


def test_a_bound_of_counts_that_are_few_enough_for_levels_may_stand() -> None:
    frame = pd.DataFrame({"kids": [0, 1, 2, 3] * 15, "flag": [0, 1] * 30})
    overrides = {"kids": {"lower": 0}, "flag": {"lower": 0, "upper": 1}}
    assert infer_schema(frame, overrides=overrides).columns[0].kind == "categorical"
    with pytest.raises(HarmonicError, match="the column is categorical"):
        infer_schema(frame, overrides={"kids": {"kind": "categorical", "lower": 0}})


def test_no_markers_may_be_declared_as_none() -> None:
    frame = pd.DataFrame({"sex": ["f", "m"] * 20})
    assert infer_schema(frame, overrides={"sex": {"missing": None}}).columns[0].kind == "categorical"

"""Rows under conditions and imputation, on the embedded base as it is: nothing here depends on training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic import Harmonic
from harmonic.conditional import FEWEST_ANCHORS, anchors, gaps_of
from harmonic.config import PromptSection, SampleSection
from harmonic.decode.conditions import conditions_of
from harmonic.errors import HarmonicError
from harmonic.journey import impute, sample, sample_name
from harmonic.model.load import load_model
from harmonic.run import Run
from harmonic.table.cells import to_rows, validate
from harmonic.table.infer import infer_schema, observe
from harmonic.table.schema import Schema

N = 60


def _table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    jobs = pd.Series(rng.choice(["Private", "State", 'é "b"'], N), dtype="str")
    return pd.DataFrame(
        {
            "age": pd.array(np.where(rng.random(N) < 0.1, None, rng.integers(17, 90, N)), dtype="Int64"),
            "sex": rng.integers(1, 3, N),
            "job": jobs.mask(pd.Series(rng.random(N) < 0.2)),
            "pay": np.round(rng.normal(10, 5, N), 2),
            "class": rng.choice(["yes", "no"], N),
            "day": pd.Timestamp("2011-01-01") + pd.to_timedelta(rng.integers(0, 400, N), unit="D"),
            "site": "x",
            "id": [f"K{number:04d}" for number in range(N)],
        }
    )


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return _table()


@pytest.fixture(scope="module")
def schema(table: pd.DataFrame) -> Schema:
    return observe(infer_schema(table, target="class"), table)


@pytest.fixture(scope="module")
def base(table: pd.DataFrame, schema: Schema) -> Callable[..., Harmonic]:
    """base(**[prompt]): a synthesizer whose model has learnt nothing of the table."""
    loaded = load_model("nano")

    def make(**prompt: Any) -> Harmonic:
        shown = {"contexts": "neighbors", "examples": 2, "fewest": 1, "rows": 4}
        made = Harmonic(prompt=PromptSection(**{**shown, **prompt}))
        made.schema_, made.loaded_ = schema, loaded
        made._take(table)
        made.order_ = made._order_of(len(table))
        made._build(loaded)
        return made

    return make


@pytest.fixture(scope="module")
def model(base: Callable[..., Harmonic]) -> Harmonic:
    return base()


WHERE = ["age >= 65", "day < 2011-03-01", "pay > 0", "job is not missing"]


def _check(rows: pd.DataFrame, schema: Schema) -> None:
    assert validate(rows, schema) == []
    assert (rows["sex"] == 2).all()
    assert (rows["age"] >= 65).all()
    assert (rows["day"] < pd.Timestamp("2011-03-01")).all()
    assert (rows["pay"] > 0).all()
    assert rows["job"].notna().all()


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"codec": "json", "order": "shuffled", "rows": 2},
        {"contexts": "random"},
        {"contexts": "paper", "codec": "paper"},
        {"contexts": "synthetic"},
        {"contexts": "random", "examples": 0, "rows": 1},
    ],
)
def test_every_row_satisfies_its_conditions_under_every_law(
    prompt: dict[str, Any], base: Callable[..., Harmonic], schema: Schema
) -> None:
    _check(base(**prompt).sample(5, seed=1, given={"sex": 2}, where=WHERE), schema)


def test_slots_pieces_and_settings_change_no_conditional_row(model: Harmonic) -> None:
    settings = SampleSection(rows=12, where=("age >= 65",), quotas={"class": {"yes": 0.25, "no": 0.75}})
    whole = model.draw(0, 12, seed=3, settings=settings).rows
    pieces = [model.draw(first, first + 3, seed=3, settings=settings).rows for first in range(0, 12, 3)]
    assert [row for piece in pieces for row in piece] == whole
    one = model.sample(
        12, seed=3, settings=SampleSection(slots=1), where=["age >= 65"], quotas=settings.quotas
    )
    assert to_rows(one, model.schema_) == whole


def test_quotas_are_exact(model: Harmonic) -> None:
    rows = model.sample(
        11, quotas={"class": {"yes": 4, "no": 7}, "job": {"State": 0.5, "Private": 0.5}}, where=["age < 40"]
    )
    assert rows["class"].value_counts().to_dict() == {"no": 7, "yes": 4}
    assert abs(rows["job"].value_counts()["State"] - 5.5) <= 0.5
    assert (rows["age"] < 40).all()


def test_rules_hold_in_every_row_and_rejects_are_counted(model: Harmonic, table: pd.DataFrame) -> None:
    rule = "age <= 4 * pay or class == 'yes'"
    drawn = model.draw(0, 12, settings=SampleSection(rules=(rule,)))
    free = model.draw(0, 12).rows
    frame = model.sample(12, settings=SampleSection(rules=(rule,)))
    holds = (frame["age"] <= 4 * frame["pay"]) | (frame["class"] == "yes") | frame["age"].isna()
    assert holds.all()
    assert drawn.rejects[rule] > 0
    assert drawn.rows != free


def test_rows_that_are_given_throughout_need_no_model(
    model: Harmonic, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmonic.decode.sampler.Sampler.draw", None)
    row = table.drop(columns=["site", "id"]).iloc[3].to_dict()
    rows = model.sample(3, given=row)
    pd.testing.assert_frame_equal(
        rows[list(row)], pd.concat([table.iloc[[3]]] * 3, ignore_index=True)[list(row)]
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"given": {"colour": 1}}, "Given 'colour': column 'colour' is not in the table"),
        ({"given": {"id": "K0001"}}, "column 'id' is made afresh"),
        ({"given": {"sex": 3}}, "Column 'sex': value 3 is none of its 2 levels"),
        ({"where": ["age >= 200"]}, "leaves nothing of column 'age'"),
        ({"where": "sex is missing"}, "is never true"),
        ({"given": {"sex": 1}, "where": ["sex != 1"]}, "value 1 is given"),
        ({"quotas": {"class": {"yes": 3}}}, "add up to 3 rows, 5 are asked for"),
        ({"settings": SampleSection(rules=("age < agee",))}, "Did you mean 'age'"),
        (
            {"settings": SampleSection(rules=("age < 2 * pay",)), "given": {"age": 80, "pay": 1}},
            "Row 0: its given cells break the rule 'age < 2 \\* pay'",
        ),
    ],
)
def test_conditions_that_cannot_be_met_are_an_error_before_any_row(
    asked: dict[str, Any], message: str, model: Harmonic
) -> None:
    with pytest.raises(HarmonicError, match=message):
        model.sample(5, **asked)


# Anchors.


def test_anchors_satisfy_the_conditions_where_rows_do(table: pd.DataFrame, schema: Schema) -> None:
    rows = to_rows(table, schema)
    conditions = conditions_of(schema, {"sex": 2}, ["pay > 2"])
    found = anchors(rows, conditions, seed=0)
    truth = (table["sex"] == 2) & (table["pay"] > 2)
    assert len(found) >= FEWEST_ANCHORS
    assert found.tolist() == np.flatnonzero(truth).tolist()


def test_few_anchors_are_joined_by_rows_that_nearly_satisfy_the_conditions(
    table: pd.DataFrame, schema: Schema
) -> None:
    pay = float(table["pay"].sort_values().iloc[30])
    found = anchors(to_rows(table, schema), conditions_of(schema, {"pay": pay}), seed=0)
    assert 3 <= len(found) <= FEWEST_ANCHORS
    ranks = table["pay"].rank()
    assert abs(ranks[found] - 31).max() <= 0.05 * N + 1


def test_conditions_that_no_row_satisfies_show_the_nearest_and_say_so(
    table: pd.DataFrame, schema: Schema, caplog: pytest.LogCaptureFixture
) -> None:
    old = table["day"].min()
    conditions = conditions_of(
        schema, {"sex": 1, "class": "yes", "day": old}, ["job is missing", "age is missing"]
    )
    with caplog.at_level(logging.WARNING):
        found = anchors(to_rows(table, schema), conditions, seed=0)
    assert "No shown row satisfies all conditions (age, sex, job, class, day)" in caplog.text
    assert len(found) == FEWEST_ANCHORS


def test_gaps_are_zero_just_where_a_condition_holds(table: pd.DataFrame, schema: Schema) -> None:
    rows = to_rows(table, schema)
    for where in (
        "age >= 40",
        "age not in (20, 30)",
        "pay <= 9.5",
        "day >= 2011-06-01",
        "job != 'State'",
        "age is missing",
    ):
        (condition,) = conditions_of(schema, where=[where])
        cells = [row[condition.place] for row in rows]
        gaps = gaps_of(cells, condition)
        assert ((gaps == 0) == [condition.holds(cell) for cell in cells]).all(), where
        assert gaps.max() <= 1


# Imputation.


def _with_holes(table: pd.DataFrame, share: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    holes = table.astype({"sex": "float64"})
    for name in ("age", "sex", "job", "pay", "class", "day"):
        holes.loc[rng.random(len(table)) < share, name] = pd.NaT if name == "day" else None
    holes.loc[2, "site"] = None
    holes.loc[5, "id"] = None
    holes["extra"] = [object() for _ in range(len(table))]
    holes.index = pd.Index(range(100, 100 + len(table)), name="key")
    return holes


@pytest.mark.parametrize(
    "prompt", [{}, {"contexts": "random", "examples": 0}, {"contexts": "synthetic", "codec": "json"}]
)
def test_imputation_fills_every_cell_and_changes_nothing_else(
    prompt: dict[str, Any], base: Callable[..., Harmonic], table: pd.DataFrame, schema: Schema
) -> None:
    holes = _with_holes(table).head(25)
    filled = base(**prompt).impute(holes, seed=1)
    assert (filled.dtypes == holes.dtypes).all()
    pd.testing.assert_index_equal(filled.index, holes.index)
    assert list(filled.columns) == list(holes.columns)
    for name in holes:
        present = holes[name].notna()
        assert filled[name][present].tolist() == holes[name][present].tolist()
        assert name == "id" or filled[name].notna().all()
    assert filled["id"].isna().sum() == 1, "identifiers are left as they are"
    assert filled["extra"].tolist() == holes["extra"].tolist()
    known = filled.drop(columns="extra").astype({"sex": "int64"}).fillna({"id": "K9999"})
    assert validate(known, schema) == []


def test_a_row_is_imputed_alike_whatever_stands_beside_it(model: Harmonic, table: pd.DataFrame) -> None:
    holes = _with_holes(table).head(12)
    whole = model.impute(holes, seed=2)
    pd.testing.assert_frame_equal(model.impute(holes, seed=2, settings=SampleSection(slots=1)), whole)
    others = holes.copy()
    others.iloc[6:, :6] = table.iloc[6:12, :6].to_numpy()
    pd.testing.assert_frame_equal(model.impute(others, seed=2).head(6), whole.head(6))
    assert not model.impute(holes, seed=3).equals(whole)


def test_a_frame_without_holes_comes_back_without_a_model(
    model: Harmonic, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmonic.decode.sampler.Sampler.draw", None)
    whole = table.dropna()
    pd.testing.assert_frame_equal(model.impute(whole), whole)
    assert model.impute(whole.head(0)).empty


def test_cells_that_no_training_row_may_hold_stay_and_are_counted(
    model: Harmonic, table: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    holes = table.head(4).copy()
    holes["job"] = ["Baker", "Baker", "State", None]
    holes["pay"] = [1e6, np.nan, 3.14159, 2.0]
    holes["age"] = pd.array([None, 50, None, 40], dtype="Int64")
    with caplog.at_level(logging.WARNING):
        filled = model.impute(holes)
    assert filled["job"].tolist()[:3] == ["Baker", "Baker", "State"]
    assert filled["pay"].tolist()[0] == 1e6 and filled["pay"].tolist()[2] == 3.14159
    assert filled.notna().all().all()
    assert "Column 'job': 2 cells of incomplete rows hold what no training row may hold" in caplog.text
    assert "Column 'pay': 1 cells" in caplog.text


def test_texts_as_a_csv_holds_them_are_filled_as_texts(model: Harmonic, table: pd.DataFrame) -> None:
    texts = table.head(6).astype(object)
    texts["day"] = table["day"].head(6).astype(str)
    texts = texts.map(lambda value: None if pd.isna(value) else str(value)).astype(object)
    texts.loc[[0, 3], ["sex", "day", "pay"]] = None
    filled = model.impute(texts)
    assert (filled.dtypes == texts.dtypes).all()
    assert all(isinstance(value, str) for value in filled.to_numpy().ravel())
    assert set(filled["sex"]) <= {"1", "2"}
    assert filled["day"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()


def test_imputation_errors_name_the_column_and_the_row(model: Harmonic, table: pd.DataFrame) -> None:
    with pytest.raises(HarmonicError, match="Column 'age': not in the table"):
        model.impute(table.drop(columns="age"))
    narrow = table.head(3).copy()
    narrow["class"] = pd.Categorical(["yes", "no", None], categories=["yes", "no"])
    assert model.impute(narrow)["class"].dtype == narrow["class"].dtype
    narrow["class"] = pd.Categorical([None, None, None], categories=["maybe"])
    with pytest.raises(HarmonicError, match="Column 'class': its dtype category cannot hold"):
        model.impute(narrow)
    broken = table.head(3).assign(job=None, age=[60, 20, 30], pay=[1.0, 22.0, 2.0])
    with pytest.raises(HarmonicError, match="Row 1: its given cells break the rule 'age > pay'"):
        model.impute(broken, settings=SampleSection(rules=("age > pay",)))


# Names.


def test_a_conditional_sample_has_a_name_of_its_own() -> None:
    plain = SampleSection(seed=4)
    names = [
        sample_name(SampleSection(seed=4, **fields))
        for fields in ({}, {"given": {"sex": 2}}, {"given": {"sex": 1}}, {"where": ("age > 3",)})
    ]
    assert names[0] == sample_name(plain) == "seed-4"
    assert len(set(names)) == 4
    assert all(name.startswith("seed-4-") and len(name) == 15 for name in names[1:])


def test_a_sample_begun_or_finished_under_other_conditions_is_refused(
    model: Harmonic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SampleSection(rows=6, given={"sex": 2}, rules=("age < 200",))
    with Run.open(tmp_path / "run", {}) as run:
        with monkeypatch.context() as broken:
            broken.setattr("harmonic.pieces.from_rows", None)
            with pytest.raises(TypeError):
                sample(run, model, settings, name="mine")
        for other in ({"given": {"sex": 1}}, {"where": ("age > 30",)}, {"rules": ()}):
            with pytest.raises(HarmonicError, match=f"was begun with another {next(iter(other))}"):
                sample(run, model, replace(settings, **other), name="mine")
        done = sample(run, model, settings, name="mine")
        assert (pd.read_csv(done)["sex"] == 2).all()
        assert sample(run, model, settings, name="mine") == done
        with pytest.raises(HarmonicError, match="stands already, drawn with another where"):
            sample(run, model, replace(settings, where=("age > 30",)), name="mine")
        with pytest.raises(HarmonicError, match="is no name for a file"):
            sample(run, model, settings, name="../mine")


def test_a_file_is_imputed_into_a_file(model: Harmonic, table: pd.DataFrame, tmp_path: Path) -> None:
    holes = table.head(8).astype({"sex": "Int64"})
    holes.loc[[1, 4], ["sex", "pay", "class"]] = None
    (tmp_path / "holes.csv").write_text(holes.to_csv(index=False))
    given = {"given": {"sex": 1}, "where": ("age > 30",)}
    filled, n_rows = impute(
        model,
        tmp_path / "holes.csv",
        tmp_path / "filled.csv",
        SampleSection(**given),  # type: ignore[arg-type]
    )
    assert (filled, n_rows) == (int(holes.isna().sum().sum()), 8)
    before, after = (pd.read_csv(tmp_path / f"{name}.csv", dtype="str") for name in ("holes", "filled"))
    assert after.notna().all().all()
    assert after[before.notna()].equals(before)

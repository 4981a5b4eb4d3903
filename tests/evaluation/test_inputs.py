"""Files of any tool, hostile ones too: right figures, or an error that says what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.evaluation import Report, evaluate
from harmonic.evaluation.inputs import read_inputs
from harmonic.table.schema import Schema

People = Callable[[int, int], pd.DataFrame]
Write = Callable[..., dict[str, Path]]
Command = Callable[..., None]
pytestmark = pytest.mark.usefixtures("small_models")


@pytest.fixture
def write(people: People, tmp_path: Path) -> Write:
    """write(synthetic=frame, ...): CSV files by role, patients where no frame is given."""

    def files(n_rows: int = 60, **given: pd.DataFrame) -> dict[str, Path]:
        places = {}
        for seed, role in enumerate(("real", "synthetic", "holdout")):
            places[role] = tmp_path / f"{role}.csv"
            given.get(role, people(n_rows, seed)).to_csv(places[role], index=False)
        return places

    return files


def _report(places: dict[str, Path], **declared: Any) -> Report:
    return evaluate(**read_inputs(**places, **{"target": "outcome", **declared}))


def _is_sound(report: Report, *, draw: bool = False) -> None:
    """Every figure of the JSON is finite or says why it is not defined; with `draw` the page can be made, too."""
    for figure in _figures(json.loads(json.dumps(report.to_json(), allow_nan=False))):
        assert (figure["value"] is None) == figure["undefined"].startswith("not defined because ")
    assert not draw or report.to_html().rstrip().endswith("</html>")
    lines = report.summary().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100


def _figures(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if {"value", "low", "undefined"} <= data.keys():
            yield data
        for item in data.values():
            yield from _figures(item)
    elif isinstance(data, list):
        for item in data:
            yield from _figures(item)


def test_a_tool_may_write_whole_numbers_with_a_point_and_further_columns(
    write: Write, people: People
) -> None:
    synthetic = people(60, 1).assign(age=lambda frame: frame["age"].astype(float), score=0.5)
    report = _report(write(synthetic=synthetic))
    assert report.validity.n_valid == 60
    assert "The synthetic table has columns that the schema has not, left out: score." in report.notes
    assert report.title == "real"


def test_files_of_texts_raise_no_note_about_texts(write: Write) -> None:
    report = _report(write())
    assert not any("texts in the" in note for note in report.notes)


def test_cells_that_do_not_fit_are_counted_not_refused(write: Write, people: People) -> None:
    synthetic = people(60, 1).astype({"age": object})
    synthetic.loc[:5, "age"] = "unknown"
    report = _report(write(synthetic=synthetic))
    assert report.validity.problems["age"] == 6
    _is_sound(report)


def test_levels_of_the_test_rows_alone_are_told_and_survived(write: Write, people: People) -> None:
    holdout = people(60, 2)
    holdout.loc[:3, "ward"] = "burns"
    holdout.loc[4, "outcome"] = "dead"
    report = _report(write(holdout=holdout))
    assert (
        "Column ward: 4 cells of the holdout table hold 1 level that the training rows do not have."
        in report.notes
    )
    assert report.utility.source("real").scores["auc"].is_defined
    _is_sound(report)


@pytest.mark.parametrize("role", ["real", "synthetic", "holdout"])
def test_a_target_of_one_class_anywhere(write: Write, people: People, role: str) -> None:
    frame = people(60, ["real", "synthetic", "holdout"].index(role)).assign(outcome="ill")
    report = _report(write(**{role: frame}))
    _is_sound(report)
    if role == "holdout":
        assert "single value of the target" in report.utility.gap.undefined


def test_constant_and_all_missing_columns(write: Write, people: People) -> None:
    def odd(seed: int) -> pd.DataFrame:
        return people(60, seed).assign(hospital="north", remark=np.nan)

    report = _report(write(real=odd(0), synthetic=odd(1), holdout=odd(2)))
    assert any("hospital, remark" in note for note in report.notes)
    _is_sound(report)
    emptied = _report(write(synthetic=people(60, 1).assign(dose=np.nan, ward="general")))
    assert emptied.validity.missing_most.value == 1.0
    _is_sound(emptied, draw=True)


@pytest.mark.parametrize("n_rows", [2, 3, 5])
def test_tiny_tables_say_what_is_not_defined(write: Write, n_rows: int) -> None:
    report = _report(write(n_rows))
    _is_sound(report, draw=n_rows == 2)
    assert "not defined because" in report.fidelity.c2st.undefined


def test_swapped_files_are_refused(write: Write, people: People) -> None:
    with pytest.raises(HarmonicError, match="'holdout' and 'real': hold the same 60 rows"):
        _report(write(holdout=people(60, 0)))


def test_renamed_and_absent_columns_name_file_and_nearest(write: Write, people: People) -> None:
    renamed = people(60, 1).rename(columns={"outcome": "outcomes"})
    with pytest.raises(HarmonicError, match="synthetic file: Column 'outcome'.*Did you mean 'outcomes'"):
        _report(write(synthetic=renamed))
    with pytest.raises(HarmonicError, match="'tarket'"):
        _report(write(), target="tarket")


def test_other_separators_dates_and_dtypes(write: Write, people: People) -> None:
    places = write()
    people(60, 1).to_csv(places["synthetic"], index=False, sep=";")
    people(60, 2).to_parquet(places["holdout"].with_suffix(".parquet"))
    report = _report({**places, "holdout": places["holdout"].with_suffix(".parquet")})
    assert report.validity.n_valid == 60
    disagreeing = people(60, 1).assign(dose="much")
    with pytest.raises(HarmonicError, match="'dose': no cell of the synthetic table is of kind 'decimal'"):
        _report(write(synthetic=disagreeing))


def test_a_data_sheet_says_what_the_columns_are(write: Write, tmp_path: Path) -> None:
    sheet = tmp_path / "patients.toml"
    sheet.write_text(
        'name = "patients"\ntitle = "patients of a ward"\ntarget = "outcome"\n[columns.age]\nkind = "categorical"\n'
    )
    tables = read_inputs(**write(), sheet=sheet)
    assert tables["schema"].title == "patients of a ward"
    assert tables["schema"].target == "outcome"
    assert tables["schema"].column("age").kind == "categorical"


def test_the_command_writes_page_and_data_and_one_screen(
    write: Write,
    tmp_path: Path,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="harmonic")
    files = [argument for role, place in write(30).items() for argument in (f"--{role}", str(place))]
    command(*files, "--target", "outcome", "--out", str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 41 and max(len(line) for line in lines[:-1]) <= 100
    assert "utility: training on synthetic rows" in caplog.text


@pytest.mark.parametrize("emptied", [["dose"], ["age", "dose"], ["age", "dose", "ward", "test", "outcome"]])
def test_columns_that_synthetic_rows_leave_empty_are_reported_as_missing(
    people: People, people_schema: Schema, emptied: list[str]
) -> None:
    """Enough rows for the attack that learns: its trees meet a column of gaps alone."""
    synthetic = people(90, 1).assign(**dict.fromkeys(emptied, np.nan))
    report = evaluate(real=people(90, 0), synthetic=synthetic, holdout=people(90, 2), schema=people_schema)
    assert report.validity.missing_most.value == 1.0
    assert report.privacy.attacks[-1].auc.is_defined
    _is_sound(report)


@pytest.mark.parametrize("target", ["outcome", "dose"])
@pytest.mark.parametrize("number", [1e60, -1e300, np.finfo(float).max])
@pytest.mark.parametrize("role", ["synthetic", "holdout"])
def test_one_huge_number_is_survived(
    people: People, people_schema: Schema, role: str, number: float, target: str
) -> None:
    frames = {"real": people(60, 0), "synthetic": people(60, 1), "holdout": people(60, 2)}
    frames[role].loc[0, "dose"] = number
    _is_sound(evaluate(**frames, schema=replace(people_schema, target=target)), draw=role == "holdout")


def test_a_score_beyond_a_float_says_so_and_a_huge_error_is_short(
    people: People, people_schema: Schema
) -> None:
    synthetic = people(60, 1)
    synthetic.loc[0, "dose"] = 1e300
    schema = replace(people_schema, target="dose")
    report = evaluate(real=people(60, 0), synthetic=synthetic, holdout=people(60, 2), schema=schema)
    assert "so large" in report.utility.gap.undefined
    assert report.utility.source("synthetic").scores["mae"].value > 1e290
    summary = report.summary()
    assert "R² (synthetic) is not defined because a number is so large" in summary
    assert max(map(len, summary.splitlines())) <= 100 and "e+29" in summary

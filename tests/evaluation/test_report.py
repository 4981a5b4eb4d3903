from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import ClassConditionalMarginals, IndependentMarginals
from harmonic.errors import HarmonicError
from harmonic.evaluation import Report, evaluate
from harmonic.evaluation.checks import checks
from harmonic.evaluation.verdict import NO_ECHO, NO_PAIR
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

pytestmark = pytest.mark.usefixtures("small_models")
TRAINING = [
    {"step": 1, "loss": 2.0},
    {"step": 2, "loss": 1.5, "learning_rate": 0.1},
    {"step": 2, "eval_loss": 1.6},
]


def _evaluate(real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame, schema: Schema) -> Report:
    return evaluate(real=real, synthetic=synthetic, holdout=holdout, schema=schema)


@pytest.fixture(scope="module")
def report(people: Callable[[int, int], pd.DataFrame], people_schema: Schema, small_models: None) -> Report:
    real = people(200, 0)
    return evaluate(
        real=real,
        synthetic=ClassConditionalMarginals().fit(real, people_schema).sample(300),
        holdout=people(100, 2),
        schema=people_schema,
        settings={"base": "nano", "lora": {"r": 8}},
        draws={"rejects": {"no end": 2, "copy of a training row": 3}, "seconds": 1.5},
        training=TRAINING,
    )


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.to_html()


def _figures(data: Any) -> list[dict[str, Any]]:
    """Every figure in the JSON."""
    if isinstance(data, list | tuple):
        return [figure for item in data for figure in _figures(item)]
    if not isinstance(data, dict):
        return []
    inner = [figure for item in data.values() for figure in _figures(item)]
    return [data, *inner] if {"value", "low", "undefined"} <= data.keys() else inner


def _is_sound(report: Report, *, draw: bool = False) -> None:
    """Every figure is finite or says why not, and all faces (with `draw`, the page too) can be made."""
    text = json.dumps(report.to_json(), allow_nan=False)
    figures = _figures(json.loads(text))
    assert len(figures) >= 14
    assert all(
        (figure["value"] is None) == figure["undefined"].startswith("not defined") for figure in figures
    )
    assert report.summary()
    assert not draw or report.to_html().rstrip().endswith("</html>")


def test_a_report_is_sound(report: Report) -> None:
    _is_sound(report)


def test_equal_tables_and_seed_give_an_equal_report(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    tables = people(60, 0), people(60, 1), people(40, 2), people_schema
    first, second = _evaluate(*tables), _evaluate(*tables)
    assert first == second


def test_the_report_tells_class_conditional_marginals_apart_though_models_learn_from_them(
    report: Report,
) -> None:
    assert report.fidelity.c2st.low > 0.5
    assert report.fidelity.c2st.noise_floor < report.fidelity.c2st.value < report.fidelity.c2st.worst_case
    assert report.utility.source("synthetic").scores["auc"].value > 0.7
    assert {trained.source for trained in report.utility.sources} == {
        "synthetic", "real", "resampled", "smote", "copula", "class_conditional", "independent",
    }  # fmt: skip


def test_refused_rows_count_and_refused_copies_are_copies(report: Report, page: str) -> None:
    assert report.validity.n_generated == 305
    assert report.validity.valid.value == pytest.approx(300 / 305)
    assert report.privacy.copies.n_synthetic >= 3
    assert "300 of 305 generated rows fit the schema; 5 were refused while sampling." in page


def test_the_summary_is_one_screen(report: Report) -> None:
    lines = report.summary().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert "Verdict: " in report.summary()


def test_the_page_stands_alone_in_light_and_dark(page: str) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!#)|<script|@import|url\((?!#)""", page)
    assert page.count("<svg") == 5 + 5  # columns, pairs, utility, attacks, nearest rows, training
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    assert not re.search(r"(?:fill|stroke): ?#(?!none)", page)  # colours are the page's, in both themes
    assert "&#34;lora&#34;" in page


def test_no_cell_of_a_row_stands_in_the_json(report: Report) -> None:
    near = dataclasses.asdict(report)["privacy"]["nearest"][0]
    assert near.keys() == {"row", "train_row", "distance", "equal", "unequal"}


def test_a_report_is_saved_as_page_or_json_and_nothing_else(
    report: Report, page: str, tmp_path: Path
) -> None:
    report.save(tmp_path / "report.html")
    report.save(str(tmp_path / "report.json"))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert data["settings"] == {"base": "nano", "lora": {"r": 8}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    with pytest.raises(HarmonicError, match="suffix '.pdf', expected .html or .json"):
        report.save(tmp_path / "report.pdf")


def test_names_and_levels_cannot_break_the_page() -> None:
    generator = np.random.default_rng(0)
    nasty = "<script>alert('&')</script> $x_1$ \N{GRINNING FACE}"
    frame = pd.DataFrame(
        {nasty: generator.choice([nasty, 'a"b', "$"], size=60), 7: generator.random(60).round(3)}
    )
    schema = infer_schema(frame, target=nasty, title=nasty)
    report = _evaluate(frame[:30], frame[10:50], frame[30:], schema)
    _is_sound(report, draw=True)
    assert "<script" not in report.to_html()


def test_odd_columns_do_not_crash() -> None:
    generator = np.random.default_rng(0)
    n = 90
    frame = pd.DataFrame(
        {
            "always": "yes",
            "never": np.full(n, np.nan),
            "number": np.where(generator.random(n) < 0.6, np.nan, generator.normal(size=n).round(2)),
            "whole": pd.array(generator.integers(9, size=n), dtype="Int64"),
            "flag": pd.array(generator.random(n) < 0.5, dtype="boolean"),
            "when": pd.Timestamp("2011-01-01") + pd.to_timedelta(generator.integers(300, size=n), unit="D"),
            "level": pd.Categorical(generator.choice(list("abc"), size=n)),
            "note": [f"seen by nurse {i} in ward {i % 7} at noon" for i in range(n)],
        }
    )
    frame.loc[:3, ["whole", "flag", "level"]] = None
    schema = infer_schema(frame, target="flag", overrides={"note": {"kind": "text"}})
    synthetic = IndependentMarginals().fit(frame[:50], schema).sample(40)
    synthetic["number"] = np.nan  # all missing, and constant
    synthetic["level"] = synthetic["level"].cat.categories[0]
    _is_sound(_evaluate(frame[:50], synthetic, frame[50:], schema), draw=True)


@pytest.mark.parametrize("n_rows", [1, 12])
def test_a_handful_of_rows_is_enough_to_say_what_is_not_defined(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema, n_rows: int
) -> None:
    _is_sound(
        _evaluate(people(n_rows, 0), people(n_rows, 1), people(n_rows, 2), people_schema), draw=n_rows == 1
    )


@pytest.mark.parametrize("target", ["outcome", "dose", None])
def test_a_target_with_one_value_or_none_at_all_does_not_crash(
    people: Callable[[int, int], pd.DataFrame], target: str | None
) -> None:
    schema = infer_schema(people(300, 9), target=target)
    fixed = {} if target is None else {target: people(1, 0)[target].iloc[0]}
    tables = (people(40, seed).assign(**fixed) for seed in range(3))
    _is_sound(_evaluate(*tables, schema), draw=target is None)


def test_a_table_of_levels_only_and_one_of_numbers_only(people: Callable[[int, int], pd.DataFrame]) -> None:
    for columns in (["ward", "test", "outcome"], ["age", "dose"]):
        frames = [people(40, seed)[columns] for seed in range(3)]
        _is_sound(_evaluate(*frames, infer_schema(pd.concat(frames), target=columns[-1])))


def test_cells_that_do_not_fit_are_counted_and_the_report_goes_on(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    synthetic = people(40, 1).astype(object)
    synthetic.loc[0, "age"] = "old"
    synthetic.loc[[0, 1], "ward"] = "no such ward"
    report = _evaluate(people(40, 0), synthetic.assign(extra=1), people(40, 2), people_schema)
    _is_sound(report)
    assert report.validity.n_valid == 38
    assert report.validity.problems == {"ward": 2, "age": 1}
    assert "The synthetic table has columns that the schema has not, left out: extra." in report.notes


def test_missing_rates_are_compared_with_the_training_rows(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    real, synthetic = people(100, 0), people(100, 1).assign(test="scan")
    validity = _evaluate(real, synthetic, people(50, 2), people_schema).validity
    assert validity.missing_most.value == pytest.approx(real["test"].isna().mean())
    assert validity.missing.value == pytest.approx(real["test"].isna().mean() / 5)
    assert validity.missing_column == "test"


def test_an_unknown_suite_names_the_nearest(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    frame = people(20, 0)
    with pytest.raises(
        HarmonicError, match="Suite 'fill': not one of 'quick', 'full', 'paper'. Did you mean 'full'?"
    ):
        evaluate(real=frame, synthetic=frame, holdout=frame, schema=people_schema, suite="fill")
    with pytest.raises(HarmonicError, match="rejects"):
        evaluate(
            real=frame,
            synthetic=frame,
            holdout=frame,
            schema=people_schema,
            draws={"rejects": {"no end": "2"}},
        )


def test_an_echo_that_was_not_asked_has_the_reason_of_the_verdict_and_no_word_is_cut(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    report = evaluate(real=people(60, 0), synthetic=people(60, 1), holdout=people(2, 2), schema=people_schema)
    by_name = {check.short: check.figure.undefined for check in checks(report.privacy)}
    assert by_name["values repeated"].endswith(NO_ECHO) and by_name["pairs of values repeated"].endswith(
        NO_PAIR
    )
    assert NO_ECHO in report.privacy.verdict and NO_PAIR in report.privacy.verdict
    line = next(line for line in report.summary().splitlines() if "members by distance" in line)
    said = line.split("AUC")[1].strip()
    assert said.endswith(" …") and set(said.split()[:-1]) <= set(by_name["members by distance, AUC"].split())

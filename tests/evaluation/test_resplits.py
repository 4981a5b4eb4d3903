from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.datasets import load_diabetes

from harmonic.baselines import ClassConditionalMarginals
from harmonic.config import config_from_dict
from harmonic.errors import HarmonicError
from harmonic.evaluation import evaluate
from harmonic.evaluation.resplits import Resplits, corrected_interval, summarize_resplits
from harmonic.repeats import resplit, split_folder
from harmonic.table.schema import Schema

Json = dict[str, object]


@pytest.fixture(scope="module")
def reports(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema, small_models: None
) -> list[Json]:
    """Two splits measured, a third with the figures of the first."""
    made = []
    for seed in (0, 10):
        real = people(60, seed)
        synthetic = ClassConditionalMarginals().fit(real, people_schema).sample(60)
        holdout = people(30, seed + 1)
        report = evaluate(real=real, synthetic=synthetic, holdout=holdout, schema=people_schema)
        made.append(json.loads(json.dumps(report.to_json())))
    return [*made, copy.deepcopy(made[0])]


@pytest.fixture(scope="module")
def resplits(reports: list[Json]) -> Resplits:
    return summarize_resplits(reports, seeds=[0, 1, 2], folders=["s0", "s1", "s2"])


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    values = [0.71, 0.74, 0.69, 0.75, 0.70]
    figure = corrected_interval(values, ratio=0.25)
    variance = (1 / 5 + 0.25) * sum((value - 0.718) ** 2 for value in values) / 4
    assert figure.value == pytest.approx(0.718)
    assert figure.high - figure.value == pytest.approx(2.7764451 * np.sqrt(variance))
    assert figure.value - figure.low == pytest.approx(figure.high - figure.value)


def test_without_shared_rows_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=8)
    low, high = t.interval(0.95, 7, loc=values.mean(), scale=values.std(ddof=1) / np.sqrt(8))
    figure = corrected_interval(values.tolist(), ratio=0.0)
    assert (figure.low, figure.high) == pytest.approx((low, high))


def test_one_split_has_no_interval_and_none_no_value() -> None:
    assert corrected_interval([0.5], 0.25).low is None
    assert corrected_interval([], 0.25).undefined == "not defined because no split defines it"


def test_every_headline_stands_beside_its_baselines_paired(resplits: Resplits, reports: list[Json]) -> None:
    keys = [headline.key for headline in resplits.headlines]
    assert keys == ["shape", "trend", "c2st", "utility", "membership", "copies"]
    utility = resplits.headlines[3]
    assert {other.source for other in utility.differences} >= {"real", "smote", "copula", "class_conditional"}
    gaps = [report["utility"]["gap"]["value"] for report in reports]
    real = next(other for other in utility.differences if other.source == "real")
    assert real.difference.value == pytest.approx(np.mean(gaps))
    ratio = np.mean([test / train for test, train in zip(resplits.n_test, resplits.n_train, strict=True)])
    assert real.difference == corrected_interval(gaps, ratio)


def test_all_faces_can_be_made_and_saved(resplits: Resplits, tmp_path: Path) -> None:
    page = resplits.save(tmp_path / "resplits.html").read_text()
    assert page.count("<svg") == 6 and "<script" not in page
    assert json.loads(resplits.save(tmp_path / "resplits.json").read_text())["seeds"] == [0, 1, 2]
    lines = resplits.summary().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100


def test_a_split_without_a_figure_is_left_out_of_its_mean(reports: list[Json]) -> None:
    holed = copy.deepcopy(reports)
    holed[1]["fidelity"]["c2st"] |= {"value": None, "undefined": "not defined because of few rows"}
    c2st = summarize_resplits(holed, [0, 1, 2], ["a", "b", "c"]).headlines[2]
    assert c2st.values[1] is None
    assert c2st.mean.value == holed[0]["fidelity"]["c2st"]["value"]


def test_reports_that_cannot_be_set_beside_one_another_are_refused(reports: list[Json]) -> None:
    with pytest.raises(HarmonicError, match="differ in their suite: "):
        summarize_resplits([reports[0], {**reports[1], "suite": "full"}], [0, 1], ["a", "b"])
    with pytest.raises(HarmonicError, match="no report was given"):
        summarize_resplits([], [], [])


@pytest.mark.slow
def test_whole_runs_are_made_once_and_only_read_afterwards(repository: Path, tmp_path: Path) -> None:
    load_diabetes(as_frame=True, scaled=False).frame.head(80).to_csv(tmp_path / "patients.csv", index=False)
    table = ["--table", str(tmp_path / "patients.csv"), "--target", "target", "--rows", "24"]
    small = ["--set", "budget.steps=2", "--set", "train={learning_rate=1e-4, per_device_train_batch_size=1}"]
    first = tmp_path / "runs" / "s0"
    _script(repository, "run.py", *table, *small, "--out", str(first))
    printed = _script(repository, "evaluate.py", str(first), "--resplits", "2")
    assert "2 splits of" in printed and (tmp_path / "runs" / "resplits.html").exists()
    second = tmp_path / "runs" / "s1"
    assert (second / "DONE").exists()
    digests = [json.loads((run / "split.json").read_text())["digests"]["test"] for run in (first, second)]
    assert digests[0] != digests[1]
    before = (second / "report.json").stat().st_mtime_ns
    _script(repository, "evaluate.py", str(first), "--resplits", "2")
    assert (second / "report.json").stat().st_mtime_ns == before


def _script(repository: Path, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, f"scripts/{name}", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_split_has_its_own_folder() -> None:
    config = config_from_dict({"table": {"source": "t.csv"}, "run": {"seed": 3}})
    assert split_folder("runs/adult/s3", config, 3) == Path("runs/adult/s3")
    assert split_folder("runs/adult/s3", config, 4) == Path("runs/adult/s4")
    assert split_folder("runs/mine", config, 4) == Path("runs/mine-splits/s4")


def test_splits_are_refused_where_they_would_change_nothing() -> None:
    config = config_from_dict({"table": {"source": "t.csv", "holdout": "h.csv"}})
    with pytest.raises(HarmonicError, match="holdout of this run is the file 'h.csv'"):
        resplit("runs/t/s0", config, None, 3)
    with pytest.raises(HarmonicError, match="1 were asked for, expected at least 2"):
        resplit("runs/t/s0", config, None, 1)

"""`evaluate` end to end: its arguments reach what they are for, from Python and from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.evaluation import evaluate, protocols, suite
from harmonic.evaluation.networks import Network, read_network
from harmonic.evaluation.truth import distance_of_probabilities
from harmonic.evaluation.utility import Extent
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

People = Callable[[int, int], pd.DataFrame]
pytestmark = pytest.mark.usefixtures("small_models")


@pytest.fixture
def _small_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite "paper" with one setting a search, and little else."""
    tiny = suite.Suite(1_000, 200, 1, 100, 200, 20, Extent(), protocols=True)
    monkeypatch.setattr(suite, "SUITES", {**suite.SUITES, "paper": tiny})
    for name, setting in (("FOREST", "n_estimators"), ("BOOSTED", "n_estimators")):
        monkeypatch.setattr(protocols, f"{name}_GRID", {setting: [3]})
    monkeypatch.setattr(protocols, "SVM_GRID", {"C": [1.0], "kernel": ["rbf"]})
    monkeypatch.setattr(protocols, "LOGISTIC_GRID", {"C": [1.0]})


@pytest.mark.usefixtures("_small_grids")
def test_the_papers_protocols_judge_the_holdout_as_given_leaked_rows_too(
    people: People, people_schema: Schema
) -> None:
    pytest.importorskip("xgboost", reason="the extra 'paper' is not installed")
    real, holdout = people(80, 0), people(60, 2)
    leaked = pd.concat([holdout, real[:9]], ignore_index=True)
    report = evaluate(real=real, synthetic=people(80, 1), holdout=leaked, schema=people_schema, suite="paper")
    assert [score.protocol for score in report.protocols] == ["HARMONIC MLE", "MALLM-GAN best of four"]
    assert all((score.n_holdout, score.n_leaked) == (69, 9) for score in report.protocols)
    assert all(score.synthetic.headline.is_defined for score in report.protocols)
    assert report.sizes.holdout == 60
    page = report.to_html()
    assert all(score.protocol in page and score.faults[0] in page for score in report.protocols)


def test_without_the_extra_the_papers_suite_stops_before_it_works(
    people: People, people_schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "find_spec", lambda name: None)
    said: list[str] = []
    with pytest.raises(HarmonicError, match=r"XGBoost: not installed.*harmonic\[paper\]"):
        evaluate(
            real=people(80, 0),
            synthetic=people(80, 1),
            holdout=people(60, 2),
            schema=people_schema,
            suite="paper",
            progress=said.append,
        )
    assert not said


@pytest.fixture(scope="module")
def asia(data_dir: Path) -> Network:
    return read_network(data_dir / "bayesnets/asia.bif")


def test_a_network_is_matched_by_the_names_of_its_columns(asia: Network) -> None:
    real, synthetic, holdout = (asia.sample(100, seed)[list(reversed(asia.names))] for seed in range(3))
    schema = infer_schema(real, target="dysp")
    with np.errstate(divide="ignore"):
        logs = np.log(asia.joint()) + np.log(0.75)
    report = evaluate(
        real=real,
        synthetic=synthetic,
        holdout=holdout,
        schema=schema,
        network=asia,
        log_probabilities=logs,
    )
    law = report.fidelity.network
    assert law is not None and (law.network, law.n_states, law.n_outside) == ("asia", 256, 0)
    assert law.synthetic.low < law.synthetic.noise_floor < law.synthetic.high
    assert law.generator.value == pytest.approx(distance_of_probabilities(asia, logs)) == pytest.approx(0.25)
    assert "network asia" in report.to_html()
    assert "distance to the law" in report.summary()


def test_row_probabilities_need_a_network_and_one_number_a_state(
    asia: Network, people: People, people_schema: Schema
) -> None:
    tables = {role: people(20, seed) for seed, role in enumerate(("real", "synthetic", "holdout"))}
    with pytest.raises(HarmonicError, match="Row probabilities: given without a network.*Pass network="):
        evaluate(**tables, schema=people_schema, log_probabilities=np.zeros(256))
    with pytest.raises(HarmonicError, match=r"shape \(5,\), expected \(256,\)"):
        evaluate(**tables, schema=people_schema, network=asia, log_probabilities=np.zeros(5))
    with pytest.raises(HarmonicError, match="Column 'asia': not in the table"):
        evaluate(**tables, schema=people_schema, network=asia)


def _answers(n: int, seed: int) -> pd.DataFrame:
    """Eight yes/no columns that lean the same way: a third of the rows or so have a twin."""
    generator = np.random.default_rng(seed)
    lean = generator.normal(0.0, 0.4, size=(n, 1))
    return pd.DataFrame(
        np.where(generator.normal(size=(n, 8)) + lean > 0, "yes", "no"), columns=list("abcdefgh")
    )


def test_natural_twins_between_train_and_holdout_raise_no_alarm() -> None:
    """Fresh rows of the law repeat training rows as often as the holdout does, but for the rows left out of it."""
    real, synthetic, holdout = _answers(100, 0), _answers(200, 1), _answers(80, 2)
    report = evaluate(real=real, synthetic=synthetic, holdout=holdout, schema=infer_schema(real, target="h"))
    known = set(real.itertuples(index=False, name=None))
    n_shared = sum(row in known for row in holdout.itertuples(index=False, name=None))
    assert report.roles.is_natural and 15 < report.roles.n_shared == n_shared < 40
    assert report.sizes.holdout == 80 - n_shared
    found = report.privacy
    assert found.copies.n_synthetic > 40
    assert found.copies.holdout.value == pytest.approx(n_shared / 80)
    assert not found.leaks
    repeated = max(found.copies.holdout.value, found.copies.twins.value)
    assert f"no more than chance allows where {100 * repeated:.1f} % of the real rows repeat" in found.verdict
    assert "but for the counts of copies" in report.roles.warnings[0]


@pytest.mark.usefixtures("_small_grids")
def test_the_command_runs_the_papers_suite_beside_a_known_law(
    asia: Network, data_dir: Path, tmp_path: Path, command: Callable[..., None]
) -> None:
    pytest.importorskip("xgboost", reason="the extra 'paper' is not installed")
    files = []
    for seed, role in enumerate(("real", "synthetic", "holdout")):
        asia.sample(80, seed).to_csv(tmp_path / f"{role}.csv", index=False)
        files += [f"--{role}", str(tmp_path / f"{role}.csv")]
    place = tmp_path / "report.json"
    network = str(data_dir / "bayesnets/asia.bif")
    command(*files, "--target", "dysp", "--network", network, "--suite", "paper", "--out", str(place))
    report = json.loads(place.read_text())
    assert report["suite"] == "paper" and len(report["protocols"]) == 2
    assert all(score["n_leaked"] > 40 for score in report["protocols"])  # few distinct rows
    assert report["fidelity"]["network"]["network"] == "asia"
    reason = "not defined because no row probabilities were given"
    assert report["fidelity"]["network"]["generator"]["undefined"] == reason

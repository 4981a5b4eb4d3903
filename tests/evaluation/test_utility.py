from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import ClassConditionalMarginals, IndependentMarginals
from harmonic.evaluation import utility as module
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.utility import MODELS, Utility, measure_utility
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

TRAIN = 300


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_TREES", 20)
    monkeypatch.setattr(module, "N_ROUNDS", 30)


def _measure(
    sources: dict[str, pd.DataFrame], holdout: pd.DataFrame, schema: Schema, n_jobs: int = 1
) -> Utility:
    book = Codebook(schema, [*sources.values(), holdout])
    coded = {name: book.encode(frame) for name, frame in sources.items()}
    return measure_utility(
        coded, book.encode(holdout), schema, seed=0, n_draws=50, n_jobs=n_jobs, progress=lambda _: None
    )


@pytest.fixture(scope="module")
def sources(people: Callable[[int, int], pd.DataFrame], people_schema: Schema) -> dict[str, pd.DataFrame]:
    real = people(TRAIN, 0)
    return {
        "synthetic": people(TRAIN, 1),
        "real": real,
        "class_conditional": ClassConditionalMarginals().fit(real, people_schema).sample(TRAIN),
        "independent": IndependentMarginals().fit(real, people_schema).sample(TRAIN),
    }


def test_fresh_rows_are_worth_as_much_as_real_ones_and_independent_columns_nothing(
    sources: dict[str, pd.DataFrame],
    people: Callable[[int, int], pd.DataFrame],
    people_schema: Schema,
) -> None:
    utility = _measure(sources, people(400, 2), people_schema)
    assert utility.headline == "auc"
    assert utility.gap.low < 0 < utility.gap.high
    real, independent = utility.source("real"), utility.source("independent")
    assert real.scores["auc"].value > 0.75
    assert independent.scores["auc"].value < 0.6
    assert real.scores["auc"].value == pytest.approx(np.mean([real.models[m]["auc"] for m in MODELS]))
    assert real.best["auc"] == max(real.models[m]["auc"] for m in MODELS)


def test_numbers_are_predicted_by_r2_and_threads_change_nothing(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame]
) -> None:
    schema = infer_schema(people(500, 9), target="dose")
    chosen = {name: sources[name] for name in ("synthetic", "real")}
    utility = _measure(chosen, people(200, 2), schema)
    assert utility.headline == "r2"
    assert utility.source("synthetic").scores["r2"].value > 0.7
    assert utility.gain.undefined == "not defined because no class conditional row has a target"
    assert utility == _measure(chosen, people(200, 2), schema, n_jobs=2)


def test_synthetic_rows_of_one_class_predict_that_class(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    lazy = {"synthetic": sources["synthetic"].assign(outcome="ill"), "real": sources["real"]}
    trained = _measure(lazy, people(100, 2), people_schema).source("synthetic")
    assert trained.scores["auc"].value == 0.5
    assert trained.scores["balanced_accuracy"].value == 0.5


def test_a_holdout_of_one_class_leaves_the_auc_undefined(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    utility = _measure({"synthetic": sources["real"]}, people(50, 2).assign(outcome="ill"), people_schema)
    assert "single value of the target" in utility.source("synthetic").scores["auc"].undefined
    assert utility.source("synthetic").scores["f1_weighted"].is_defined


def test_rows_without_a_target_are_left_out_and_a_source_without_any_says_so(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    real = sources["real"].astype({"outcome": object})
    half, none = real.copy(), real.copy()
    half.loc[::2, "outcome"], none["outcome"] = None, None
    holdout = people(100, 2)
    utility = _measure({"synthetic": none, "real": half}, holdout, people_schema)
    assert utility.source("synthetic") is None
    assert utility.gap.undefined == "not defined because no synthetic row has a target"
    kept = _measure({"real": real.iloc[1::2]}, holdout, people_schema)
    assert utility.source("real").scores == kept.source("real").scores


@pytest.mark.parametrize(
    ("columns", "target", "reason"),
    [
        (["age", "outcome"], None, "names no target"),
        (["outcome"], "outcome", "no column to predict the target from"),
        (["age", "same"], "same", "the target 'same' is of kind 'constant'"),
    ],
)
def test_a_table_with_nothing_to_predict_says_so(
    people: Callable[[int, int], pd.DataFrame], columns: list[str], target: str | None, reason: str
) -> None:
    frame = people(50, 0).assign(same=1)[columns]
    utility = _measure({"synthetic": frame}, frame, infer_schema(frame, target=target))
    assert reason in utility.undefined

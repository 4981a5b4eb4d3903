from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import ClassConditionalMarginals, IndependentMarginals
from harmonic.evaluation import alltargets, learners
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.figures import Figure
from harmonic.evaluation.learners import MODELS
from harmonic.evaluation.utility import Extent, Utility, measure_utility
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

TRAIN = 300
NOTHING = Extent()
ALL = Extent(n_targets=3, n_points=4, n_subsets=2, augments=True)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "N_TREES", 10)
    monkeypatch.setattr(learners, "N_ROUNDS", 15)
    monkeypatch.setattr(alltargets, "N_ROUNDS", 5)


def _measure(
    sources: dict[str, pd.DataFrame],
    holdout: pd.DataFrame,
    schema: Schema,
    n_jobs: int = 1,
    extent: Extent = NOTHING,
) -> Utility:
    book = Codebook(schema, [*sources.values(), holdout])
    coded = {name: book.encode(frame) for name, frame in sources.items()}
    return measure_utility(
        coded,
        book.encode(holdout),
        schema,
        seed=0,
        n_draws=50,
        n_jobs=n_jobs,
        progress=lambda _: None,
        extent=extent,
    )


def _figures(part: Any) -> Iterator[Figure]:
    """Every figure of a part of the report."""
    if isinstance(part, Figure):
        yield part
    elif is_dataclass(part):
        for field in fields(part):
            yield from _figures(getattr(part, field.name))
    elif isinstance(part, (tuple, list, dict)):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _figures(inner)


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
    every = _measure(
        {"synthetic": frame, "real": frame, "independent": frame}, frame, infer_schema(frame), 1, ALL
    )
    assert every.undefined
    assert every.all_targets.targets or every.all_targets.share.undefined


def test_permuted_labels_are_worth_nothing_however_good_the_rest(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    real, holdout = sources["real"], people(400, 2)
    shuffled = [
        real.assign(outcome=real["outcome"].sample(frac=1, random_state=seed).to_numpy()) for seed in range(4)
    ]
    found = [_measure({"synthetic": each, "real": real}, holdout, people_schema) for each in shuffled]
    floor = [utility.source("synthetic").scores["auc"].value for utility in found]
    assert np.mean(floor) == pytest.approx(0.5, abs=0.05)  # four trainings of chance, s.d. .04 each
    assert all(utility.gap.high < -0.1 for utility in found)


def test_what_was_not_asked_says_so_and_all_of_it_can_be_asked(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    holdout = people(300, 2)
    plain = _measure(sources, holdout, people_schema)
    for figure in (plain.all_targets.share, plain.sample_size.ratio, plain.augmentation.gain):
        assert figure.undefined == "not defined because this suite does not measure it"
    utility = _measure(sources, holdout, people_schema, 1, ALL)
    assert utility.sources == plain.sources
    assert len(utility.all_targets.targets) == 3
    assert [point.n_rows for point in utility.sample_size.curve] == [37, 75, 150, 300]
    assert utility.sample_size.score == utility.source("synthetic").scores["auc"].value
    assert utility.sample_size.curve[-1].score == utility.source("real").scores["auc"].value
    assert utility.augmentation.n_rows == 2 * TRAIN
    assert utility.augmentation.score.noise_floor == utility.source("real").scores["auc"].value
    independent = _measure({**sources, "synthetic": sources["independent"]}, holdout, people_schema, 1, ALL)
    assert independent.sample_size.bound == "below"
    assert independent.augmentation.gain.value < utility.augmentation.gain.value


def test_more_rows_of_the_law_help_few_real_ones_and_copies_do_not(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    real, holdout = people(40, 3), people(500, 2)
    extent = Extent(augments=True)
    fresh = _measure({"synthetic": people(400, 1), "real": real}, holdout, people_schema, 1, extent)
    copies = _measure({"synthetic": real, "real": real}, holdout, people_schema, 1, extent)
    assert fresh.augmentation.gain.low > 0
    assert copies.augmentation.gain.value < fresh.augmentation.gain.value / 2


def test_levels_that_only_the_holdout_has_are_predicted_wrong_and_nothing_breaks(
    sources: dict[str, pd.DataFrame], people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    holdout = people(100, 2)
    holdout.loc[:19, "outcome"], holdout.loc[20:39, "ward"] = "gone", "attic"
    few = {name: table.head(200) for name, table in sources.items()}
    utility = _measure(few, holdout, people_schema, 1, ALL)
    known = _measure(few, holdout.iloc[20:], people_schema)
    scores = [each.source("real").scores["balanced_accuracy"].value for each in (utility, known)]
    assert scores[0] == pytest.approx(scores[1] * 2 / 3)  # a third class without a hit
    assert all(figure.is_defined or figure.undefined for figure in _figures(utility))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_tiny_tables_have_figures_or_reasons(
    sources: dict[str, pd.DataFrame],
    people: Callable[[int, int], pd.DataFrame],
    people_schema: Schema,
    n: int,
) -> None:
    tiny = {name: table.head(n) for name, table in sources.items()}
    for holdout in (people(n, 2), people(50, 2)):
        utility = _measure(tiny, holdout, people_schema, 1, ALL)
        assert all(figure.is_defined or figure.undefined for figure in _figures(utility))


def test_sick_with_its_empty_and_constant_columns_has_figures_or_reasons(data_dir: Path) -> None:
    whole = pd.read_csv(data_dir / "tables/sick.csv.gz", na_values="?").sample(400, random_state=0)
    real, synthetic, holdout = whole[:150], whole[150:300], whole[300:]
    schema = infer_schema(real, target=whole.columns[-1])
    sources = {
        "synthetic": synthetic,
        "real": real,
        "independent": IndependentMarginals().fit(real, schema).sample(150),
    }
    utility = _measure(sources, holdout, schema, 1, Extent(n_targets=2, n_points=2, augments=True))
    assert utility.gap.is_defined
    assert all(figure.is_defined or figure.undefined for figure in _figures(utility))

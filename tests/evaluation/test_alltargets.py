from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import IndependentMarginals
from harmonic.evaluation.alltargets import AllTargets, choose_targets, measure_all_targets
from harmonic.evaluation.codes import Codebook
from harmonic.table.infer import infer_schema

N = 300
People = Callable[[int, int], pd.DataFrame]


def _measure(
    synthetic: pd.DataFrame, real: pd.DataFrame, holdout: pd.DataFrame, n_targets: int = 99
) -> AllTargets:
    schema = infer_schema(real)
    independent = IndependentMarginals().fit(real, schema).sample(len(real))
    frames = {"real": real, "synthetic": synthetic, "independent": independent, "holdout": holdout}
    book = Codebook(schema, list(frames.values()))
    tables = {name: book.encode(frame) for name, frame in frames.items()}
    holdout_codes = tables.pop("holdout")
    return measure_all_targets(
        tables, holdout_codes, n_targets=n_targets, n_draws=100, seed=0, progress=lambda _: None
    )


def test_fresh_rows_serve_every_question_and_independent_columns_none(people: People) -> None:
    real, holdout = people(N, 0), people(N, 2)
    fresh = _measure(people(N, 1), real, holdout)
    assert fresh.n_columns == len(fresh.targets) == 5
    assert {score.label: score.metric for score in fresh.targets} == {
        "age": "r2", "dose": "r2", "ward": "auc", "test": "auc", "outcome": "auc"
    }  # fmt: skip
    assert fresh.share.low < 1 < fresh.share.high
    assert fresh.gap.low < 0 < fresh.gap.high
    marginals = IndependentMarginals().fit(real, infer_schema(real)).sample(N, 9)
    independent = _measure(marginals, real, holdout)
    assert independent.share.low < 0.1
    assert abs(independent.share.value) < 0.15
    assert independent.gap.high < -0.2


def test_a_table_that_serves_one_target_only_is_seen(people: People) -> None:
    real, holdout = people(N, 0), people(N, 2)
    kept = ["dose", "outcome"]
    lopsided = people(N, 1)
    others = IndependentMarginals().fit(real, infer_schema(real)).sample(N, 9)
    found = _measure(pd.concat([lopsided[kept], others.drop(columns=kept)], axis=1), real, holdout)
    by_label = {score.label: score for score in found.targets}
    assert by_label["outcome"].gap.low > -0.1
    assert by_label["ward"].gap.high < -0.2
    assert found.share.high < 0.7


def test_few_targets_are_always_the_same_ones(people: People) -> None:
    assert list(choose_targets(4, 4)) == [0, 1, 2, 3]
    assert choose_targets(20, 3) == choose_targets(20, 3)
    found = _measure(people(60, 1), people(60, 0), people(60, 2), n_targets=2)
    assert (len(found.targets), found.n_columns) == (2, 5)


def test_columns_that_cannot_be_scored_say_so_and_leave_the_others_be(people: People) -> None:
    real = people(N, 0)
    synthetic = people(N, 1).assign(test=None).astype({"test": object})
    holdout = people(N, 2).assign(ward="general")
    found = _measure(synthetic, real, holdout)
    by_label = {score.label: score for score in found.targets}
    assert by_label["ward"].real is None
    assert "single value" in by_label["ward"].gap.undefined
    assert by_label["test"].synthetic is None
    assert by_label["test"].real is not None
    assert found.share.is_defined
    assert found.gap.is_defined


@pytest.mark.parametrize("n", [1, 2, 3, 12])
def test_tiny_tables_have_finite_figures_or_a_reason(people: People, n: int) -> None:
    real = people(200, 0)
    found = _measure(people(n, 1), real, people(n, 2))
    for figure in (found.share, found.gap, *(score.gap for score in found.targets)):
        assert figure.is_defined != bool(figure.undefined)


def test_noise_has_no_share() -> None:
    generator = np.random.default_rng(0)

    def draw() -> pd.DataFrame:
        return pd.DataFrame(generator.normal(size=(80, 3)).round(3), columns=list("xyz"))

    found = _measure(draw(), draw(), draw())
    assert "no better than independent" in found.share.undefined
    assert "one to predict it from" in _measure(*(draw()[["x"]] for _ in range(3))).share.undefined

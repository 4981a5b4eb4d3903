"""Levels that the training rows do not have: news are noted, another code is warned of or refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.evaluation import evaluate
from harmonic.evaluation.levels import find_unseen
from harmonic.evaluation.roles import assign_roles
from harmonic.table.infer import infer_schema, observe
from harmonic.table.policy import Policy
from harmonic.table.schema import Column

People = Callable[[int, int], pd.DataFrame]


def _column(series: pd.Series) -> Column:
    return infer_schema(series.to_frame("x"), overrides={"x": {"kind": "categorical"}}).columns[0]


@pytest.mark.parametrize("role", ["synthetic", "holdout"])
def test_a_column_that_is_coded_otherwise_is_refused(people: People, role: str) -> None:
    frames = {name: people(60, seed) for seed, name in enumerate(("real", "synthetic", "holdout"))}
    coded = frames[role].assign(ward=lambda frame: frame["ward"].map({"geriatric": 0, "general": 1}))
    with pytest.raises(
        HarmonicError, match=f"'ward': no cell of the {role} table holds a level.*dtype is int64"
    ):
        assign_roles({**frames, role: coded}, infer_schema(frames["real"], target="outcome"))
    blank = frames[role].assign(ward=lambda frame: frame["ward"] + " ")
    with pytest.raises(HarmonicError, match=r"\(60 but for blanks at the ends\).*as in the real table"):
        assign_roles({**frames, role: blank}, infer_schema(frames["real"], target="outcome"))


@pytest.mark.usefixtures("small_models")
def test_where_most_cells_are_coded_otherwise_the_verdict_says_what_it_cannot_see(people: People) -> None:
    frames = {name: people(60, seed) for seed, name in enumerate(("real", "synthetic", "holdout"))}
    frames["synthetic"].loc[:39, "ward"] += " "
    report = evaluate(**frames, schema=infer_schema(frames["real"], target="outcome"))
    assert report.roles.warnings[0].startswith(
        "Column ward: 40 of 60 cells of the synthetic table hold no level of the real one (40 but for blanks"
    )
    assert (
        "Copies could not be seen in rows whose cell in column ward is written otherwise"
        in report.privacy.verdict
    )


def test_a_few_new_levels_are_noted_and_no_more(people: People) -> None:
    real, synthetic = people(60, 0)["ward"], people(60, 1)["ward"].copy()
    synthetic[:5] = "burns"
    found = find_unseen(synthetic, real, _column(real), "synthetic")
    assert (found.n_cells, found.n_levels, found.n_filled, found.is_coded) == (5, 1, 60, False)


def test_a_single_row_or_a_column_of_rare_levels_may_be_new_by_chance() -> None:
    real = pd.Series(["a", "b"] * 30)
    assert not find_unseen(pd.Series(["c"]), real, _column(real), "holdout").is_coded
    towns = pd.Series([f"town {number}" for number in np.random.default_rng(0).integers(5_000, size=400)])
    column, others = _column(towns), pd.Series([f"village {number}" for number in range(60)])
    found = find_unseen(others, towns, column, "synthetic")
    assert (found.n_cells, found.is_coded) == (60, False)


def test_fresh_rows_of_many_levels_are_not_called_coded() -> None:
    called = 0
    for seed in range(50):
        generator = np.random.default_rng(seed)
        real, fresh = (pd.Series(generator.zipf(1.3, size=n).astype(str)) for n in (60, 40))
        called += find_unseen(fresh, real, _column(real), "synthetic").is_coded
    assert called == 0


def test_grouped_rare_levels_hide_no_code() -> None:
    real = pd.Series(["a"] * 30 + ["b"] * 30 + [f"r{number}" for number in range(6)])
    policy = Policy(rare_levels="group")
    frame = real.to_frame("x")
    column = observe(infer_schema(frame, overrides={"x": {"kind": "categorical"}}), frame, policy).columns[0]
    assert column.other
    with pytest.raises(HarmonicError, match="no cell of the synthetic table holds a level"):
        find_unseen(pd.Series([0, 1] * 30), real, column, "synthetic")


def test_levels_of_long_tails_are_seldom_called_another_code() -> None:
    rng, called = np.random.default_rng(0), 0
    for _ in range(200):
        first, second = (pd.Series([f"L{one}" for one in rng.zipf(1.2, n)]) for n in (100, 400))
        called += find_unseen(second, first, _column(first), "holdout").is_coded
    assert called <= 1

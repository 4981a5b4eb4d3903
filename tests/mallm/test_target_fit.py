"""The target's fit: what three columns tell together shows in one number, and the number tells nothing by itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from harmonic.mallm.features import Features
from harmonic.mallm.selection import Growth, select
from harmonic.mallm.target_fit import LEAST_CHANCE, fit_target
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema

Floats = NDArray[np.float64]
NONE: Floats = np.zeros((0, 4))
"""Made rows that nobody asks about."""
PLACES = pytest.mark.parametrize(("place", "is_level"), [(2, False), (3, True)], ids=["amount", "level"])


def _cells(n: int, seed: int) -> Floats:
    """An amount that follows from two others, and a level that follows from their signs together."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    amount = x[:, 0] + 2 * x[:, 1] + rng.normal(0, 0.3, n)
    level = np.where(rng.random(n) < 0.1, rng.integers(0, 2, n), (x[:, 0] > 0) ^ (x[:, 1] > 0))
    return np.column_stack([x, amount, level])


def _costs(n: int, seed: int, *, breaks: bool = False) -> pd.DataFrame:
    """Smokers cost more, above a weight twice as much; `breaks`: twice as much at any weight, as often."""
    rng = np.random.default_rng(seed)
    weight, age, smokes = rng.normal(size=n).round(2), rng.normal(size=n).round(2), rng.random(n) < 0.3
    is_dear = rng.random(n) < 0.5 if breaks else weight > 0
    cost = age + np.where(smokes, np.where(is_dear, 6, 3), 0) + rng.normal(0, 0.4, n)
    smoker = np.where(smokes, "yes", "no")
    return pd.DataFrame({"weight": weight, "age": age, "smoker": smoker, "cost": cost.round(2)})


@PLACES
def test_rows_seen_and_unseen_rows_of_one_law_have_numbers_of_one_law(place: int, is_level: bool) -> None:
    said: list[list[float]] = [[], []]
    for seed in range(3):
        others = _cells(600, 100 + seed)
        _, own, made = fit_target(_cells(150, seed), others, place, is_level=is_level, seed=seed)
        said[0] += own.tolist()
        said[1] += made.tolist()
    assert ks_2samp(*said).pvalue > 0.01


@PLACES
def test_rows_whose_target_belongs_to_other_rows_stand_out(place: int, is_level: bool) -> None:
    judge, own, _ = fit_target(_cells(150, 0), NONE, place, is_level=is_level, seed=0)
    broken = _cells(400, 1)
    broken[:, place] = np.random.default_rng(2).permutation(broken[:, place])
    misfit = judge(broken)
    if is_level:
        assert misfit.mean() < own.mean() - 0.3
    else:
        assert misfit.mean() < 2 * own.mean() < 0


def test_levels_that_are_missing_or_unheard_of_are_judged() -> None:
    cells = _cells(60, 0)
    cells[:20, 3] = np.nan
    cells[20:25, 0] = np.nan
    judge, own, _ = fit_target(cells, NONE, 3, is_level=True, seed=0)
    assert np.isfinite(own).all()
    asked = cells[:2].copy()
    asked[:, 3] = [7.0, np.nan]
    unheard, missing = judge(asked)
    assert unheard == pytest.approx(np.log(LEAST_CHANCE))
    assert missing > unheard


@PLACES
def test_a_row_is_judged_alike_whatever_stands_beside_it(place: int, is_level: bool) -> None:
    judge, _, _ = fit_target(_cells(60, 0), NONE, place, is_level=is_level, seed=0)
    cells = _cells(40, 1)
    assert np.array_equal(judge(cells)[:1], judge(cells[:1]))


def test_an_amount_that_is_missing_has_no_number_and_misleads_none() -> None:
    cells = _cells(120, 0)
    holed = np.vstack([cells, cells[:40]])
    holed[120:, 2] = np.nan
    judge, own, _ = fit_target(holed, NONE, 2, is_level=False, seed=0)
    assert np.isnan(own[120:]).all()
    assert np.isfinite(own[:120]).all()
    plain = fit_target(cells, NONE, 2, is_level=False, seed=0)[1]
    assert own[:120].mean() == pytest.approx(plain.mean(), rel=0.2)
    assert np.isnan(judge(holed)).tolist() == np.isnan(own).tolist()


@pytest.mark.parametrize("unit", [1e-12, 1e9, 1e40])
def test_units_do_not_matter(unit: float) -> None:
    cells = _cells(80, 0)
    scaled = cells * np.array([unit, 1.0, unit, 1.0]) + np.array([unit * 1e3, 0.0, unit * 1e3, 0.0])
    own, same = (fit_target(table, NONE, 2, is_level=False, seed=0)[1] for table in (cells, scaled))
    assert same == pytest.approx(own, rel=0.05, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_where_equal_rows_abound_real_rows_fit_no_better_than_made_ones(seed: int) -> None:
    """A row is missing from its own count: that made, and may make, it fit less well, but never better."""
    rng = np.random.default_rng(seed)

    def rows(n: int) -> Floats:
        x = rng.integers(0, 2, (n, 2)).astype(float)
        return np.column_stack([x, np.where(rng.random(n) < 0.8, x[:, 0], 1 - x[:, 0])])

    _, own, made = fit_target(rows(100), rows(4000), 2, is_level=True, seed=seed)
    assert own.mean() < made.mean() + 0.12
    assert len(set(made.round(9))) > 50  # not one number for all equal rows


def test_selection_sees_what_shows_in_three_columns_together() -> None:
    train, made, fresh = _costs(150, 0), _costs(1000, 50, breaks=True), _costs(3000, 90, breaks=True)
    smokers = fresh[fresh["smoker"] == "yes"]
    fits = ((smokers["cost"] - smokers["age"] > 4.5) == (smokers["weight"] > 0)).to_numpy()

    def share(target: str | None) -> float:
        schema = infer_schema(train, target=target)
        # How many rounds are of use is found, and tested, elsewhere, and takes longer.
        growth = Growth(30, 0.67, (0.0,) * len(train))
        selection = select(train, to_rows(made, schema), schema, seed=0, growth=growth)
        chances = np.exp(selection(to_rows(smokers, schema)))
        return float((chances * fits).sum() / chances.sum())

    assert fits.mean() == pytest.approx(0.5, abs=0.05)
    assert share(None) < 0.6
    assert share("cost") > 0.65


@pytest.mark.parametrize("target", [None, "cost"])
def test_a_table_without_a_target_has_plain_columns_alone(target: str | None) -> None:
    train, others = _costs(60, 0), _costs(60, 1)
    features = Features(infer_schema(train, target=target), train, others, seed=0)
    n_columns = 4 if target is None else 5
    assert features.n_plain == 4
    assert features.train.shape == (60, n_columns)
    assert features.of(others).shape == (60, n_columns)
    assert len(features.is_level) == n_columns

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr

from harmonic.baselines import IndependentMarginals
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.fidelity import (
    ks_distance,
    measure_fidelity,
    shape_errors,
    shape_figure,
    spearman,
    total_variation,
    trend_errors,
    trend_figure,
)
from harmonic.evaluation.overlays import overlay
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


# scipy's own: beside a single row its asymptotic p, which is not looked at, divides by no row at all
@pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning:scipy")
@given(NUMBERS, NUMBERS)
def test_the_distance_of_shapes_is_that_of_scipy(real: list[float], synthetic: list[float]) -> None:
    expected = ks_2samp(real, synthetic, method="asymp").statistic
    assert ks_distance(np.array(real), np.array(synthetic)) == pytest.approx(expected)


def test_a_missing_number_lies_below_all_others() -> None:
    real, synthetic = np.array([1.0, 2.0, 3.0, 4.0]), np.array([np.nan, np.nan, 3.0, 4.0])
    assert ks_distance(real, synthetic) == 0.5
    assert ks_distance(np.full(3, np.nan), np.full(5, np.nan)) == 0.0


@given(NUMBERS, NUMBERS)
def test_total_variation_is_half_the_summed_difference(real: list[float], synthetic: list[float]) -> None:
    first, second = np.abs(real), np.abs(synthetic)
    by_hand = sum(abs((first == level).mean() - (second == level).mean()) for level in range(6)) / 2
    assert total_variation(first, second) == pytest.approx(by_hand)


def test_missing_is_a_level() -> None:
    assert total_variation(np.array([0.0, np.nan]), np.array([0.0, 0.0])) == 0.5


def test_rank_correlations_are_those_of_scipy_with_gaps_left_out_pair_by_pair() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(80, 3)).round(1)
    values[:, 1] += values[:, 0]
    values[generator.random((80, 3)) < 0.1] = np.nan
    rho = spearman(values, np.ones(3, dtype=bool))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = ~np.isnan(values[:, [i, j]]).any(axis=1)
        assert rho[i, j] == pytest.approx(spearmanr(values[both, i], values[both, j]).statistic)


def test_a_pair_of_level_and_number_is_a_contingency_table(
    people: Callable[[int, int], pd.DataFrame],
) -> None:
    real, synthetic = people(400, 0), people(300, 1)
    schema = infer_schema(real, target="outcome")
    book = Codebook(schema, [real, synthetic])
    errors = trend_errors(book.encode(real), book.encode(synthetic))
    cuts = np.unique(np.quantile(real["dose"], np.linspace(0, 1, 11)[1:-1]))
    tables = [
        pd.crosstab(np.searchsorted(cuts, frame["dose"]), frame["ward"], normalize="all")
        for frame in (real, synthetic)
    ]
    gap = tables[0].subtract(tables[1], fill_value=0).abs().to_numpy().sum() / 2
    assert errors[schema.names.index("ward"), schema.names.index("dose")] == pytest.approx(gap)
    assert np.array_equal(errors, errors.T)


def test_equal_tables_are_perfect_and_independent_columns_keep_shapes_but_no_trends(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    real, fresh = people(1500, 0), people(1500, 1)
    independent = IndependentMarginals().fit(real, people_schema).sample(1500)
    book = Codebook(people_schema, [real, fresh, independent])
    a, b, c = (book.encode(frame) for frame in (real, fresh, independent))
    assert shape_errors(a, a).max() == trend_errors(a, a).max() == 0.0
    assert shape_figure(shape_errors(a, c)).value > 0.96
    assert trend_figure(trend_errors(a, b)).value > 0.94
    assert trend_figure(trend_errors(a, c)).value < 0.80


@pytest.mark.usefixtures("small_models")
def test_the_noise_floor_is_that_of_as_many_fresh_rows(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    """5,000 training rows have less noise than 150 synthetic ones: no generator could reach their floor."""
    gaps = []
    for seed in range(3):
        frames = {
            "real": people(5_000, seed),
            "synthetic": people(150, 10 + seed),
            "holdout": people(2_000, 20 + seed),
        }
        frames["independent"] = frames["real"]
        book = Codebook(people_schema, list(frames.values()))
        tables = {name: book.encode(frame) for name, frame in frames.items()}
        found = measure_fidelity(tables, seed=0, c2st_rows=100, c2st_repeats=1, progress=lambda _: None)
        plain = shape_figure(shape_errors(tables["holdout"], tables["synthetic"])).value
        trend = trend_figure(trend_errors(tables["holdout"], tables["synthetic"])).value
        gaps.append([found.shape.noise_floor - plain, found.trend.noise_floor - trend])
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.01


def test_one_column_has_a_shape_and_no_trend() -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5, 4.25]})
    coded = Codebook(infer_schema(frame), [frame]).encode(frame)
    assert shape_figure(shape_errors(coded, coded)).value == 1.0
    assert "two modelled columns" in trend_figure(trend_errors(coded, coded)).undefined


def test_a_picture_shows_every_row_and_does_not_end_at_an_extreme() -> None:
    amount = np.append(np.random.default_rng(0).normal(50, 5, 999).round(2), 4000.0)
    frame = pd.DataFrame({"x": amount, "who": [None, "b", *["a"] * 998]})
    coded = Codebook(infer_schema(frame), [frame]).encode(frame)
    bins, levels = overlay(coded, coded, 0), overlay(coded, coded, 1)
    assert sum(bins.real) == pytest.approx(1.0)
    assert bins.edges[-1] < 100
    assert levels.labels == ("a", "b", "missing")
    assert sum(levels.synthetic) == pytest.approx(1.0)

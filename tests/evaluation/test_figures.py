from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, mannwhitneyu, norm, sem
from sklearn.metrics import roc_auc_score

from harmonic.evaluation.figures import (
    Figure,
    auc_figure,
    compare,
    holm,
    mean_figure,
    n_allowed,
    n_caught,
    p_above,
    p_auc,
    p_caught,
    p_more,
    p_sign,
    percentile_interval,
    rate_figure,
    roc,
    smallest_share,
    smallest_tpr,
    tpr_figure,
    undefined,
)

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20)


@given(SCORES, SCORES)
def test_the_auc_is_that_of_scikit_learn_with_ties(first: list[float], second: list[float]) -> None:
    truth = [1] * len(first) + [0] * len(second)
    comparison = compare(first, second)
    assert comparison.auc == pytest.approx(roc_auc_score(truth, first + second))
    assert 1 - comparison.below.mean() == pytest.approx(1 - comparison.auc)


def test_the_interval_of_delong_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    truth = 0.7602499389065233  # chance that N(1, 1) exceeds N(0, 1)
    covered = 0
    for _ in range(400):
        figure = auc_figure(compare(generator.normal(1, 1, 60), generator.normal(0, 1, 90)))
        covered += figure.low <= truth <= figure.high
    assert 0.91 <= covered / 400 <= 0.98


def test_a_perfect_auc_still_has_an_interval() -> None:
    figure = auc_figure(compare([2.0] * 30, [1.0] * 60))
    assert (figure.value, figure.low, figure.high) == (1.0, pytest.approx(0.9), 1.0)


def test_a_rate_has_the_exact_interval() -> None:
    figure = rate_figure(3, 200)
    assert binom.sf(2, 200, figure.low) == pytest.approx(0.025)
    assert binom.cdf(3, 200, figure.high) == pytest.approx(0.025)
    assert rate_figure(0, 0).undefined == "not defined because there are no rows to count"


def test_corrected_p_values_never_fall_and_never_pass_one() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_no_excess_is_no_evidence() -> None:
    assert p_above(-0.1, 0.01) == 1.0
    assert p_above(0.1, 0.0) == 0.0
    assert p_above(0.196, 0.01) == pytest.approx(0.025, abs=1e-4)


def test_a_bootstrap_with_few_defined_draws_has_no_interval() -> None:
    assert percentile_interval(np.full(100, np.nan)) == (None, None)
    assert percentile_interval(np.arange(101.0)) == (pytest.approx(2.5), pytest.approx(97.5))


def test_a_figure_is_finite_or_says_why_not() -> None:
    assert not undefined("it rains").is_defined
    with pytest.raises(ValueError, match="not finite"):
        Figure(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        Figure(0.5, high=float("inf"))
    with pytest.raises(ValueError, match="exactly one"):
        Figure(None)


@pytest.mark.parametrize(("n", "smallest"), [(100, 0.11), (500, 0.04), (1_000, 0.028), (2_000, 0.021)])
def test_the_smallest_leak_that_so_many_controls_show(n: int, smallest: float) -> None:
    assert smallest_tpr(n, n).value == pytest.approx(smallest, abs=0.0006)


def test_below_a_hundred_controls_one_percent_means_nothing() -> None:
    assert tpr_figure(np.ones(50), np.zeros(99)).undefined.startswith(
        "not defined because a false positive rate"
    )
    assert not smallest_tpr(50, 99).is_defined
    assert not smallest_tpr(1, 100).is_defined


@given(st.lists(st.integers(0, 5), min_size=100, max_size=250), SCORES)
def test_no_more_than_one_percent_of_the_controls_are_accused(
    controls: list[int], members: list[float]
) -> None:
    scores = np.array(controls, dtype=float)
    threshold = np.sort(scores)[-1 - n_allowed(len(scores))]
    assert (scores > threshold).mean() <= 0.01
    assert n_caught(np.array(members), scores) == sum(member > threshold for member in members)


@pytest.mark.parametrize(("n_controls", "shift"), [(100, 1.0), (200, 0.5), (500, 1.0), (2_500, 1.0)])
def test_the_limits_of_the_rate_at_one_percent_hold_though_the_threshold_is_random(
    n_controls: int, shift: float
) -> None:
    """Normal scores, so the rate at exactly 1 % is known; of an interval of 95 % a side misses in 2.5 % at most."""
    generator = np.random.default_rng(n_controls)
    truth = norm.sf(norm.ppf(0.99) - shift)
    below = above = 0
    for _ in range(400):
        found = tpr_figure(
            generator.normal(shift, 1, max(n_controls, 500)), generator.normal(size=n_controls)
        )
        assert found.low <= found.value <= found.high
        below, above = below + (found.high < truth), above + (found.low > truth)
    assert max(below, above) <= 10
    assert (found.low > 0) == (n_controls >= 500)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_on_few_scores_the_chance_of_an_auc_is_no_less_than_the_exact_one(n: int) -> None:
    generator = np.random.default_rng(n)
    level, alarms = 0.01, 0
    for _ in range(300):
        members, controls = generator.normal(size=n), generator.normal(size=n)
        p_value = p_auc(members, controls)
        assert p_value >= mannwhitneyu(members, controls, alternative="greater", method="exact").pvalue
        alarms += p_value < level
    assert alarms <= 9  # 3 are expected of an exact test
    many = generator.normal(0.3, 1, 60), generator.normal(size=60)
    found = compare(*many)
    assert p_auc(*many) == p_above(found.auc - 0.5, found.variance)


def test_the_chance_of_catching_so_many_is_exact() -> None:
    """Every order of 2 members among 100 controls (one may be accused), counted."""
    counts = [0] * 3
    for places in combinations(range(102), 2):
        is_member = np.zeros(102, dtype=bool)
        is_member[list(places)] = True
        second_control = np.flatnonzero(~is_member[:4])[1]
        counts[int(is_member[:second_control].sum())] += 1
    for caught in range(3):
        assert p_caught(caught, 2, 100) == pytest.approx(sum(counts[caught:]) / comb(102, 2))


def test_a_roc_curve_rises_from_the_strictest_threshold_to_one() -> None:
    generator = np.random.default_rng(0)
    members, controls = generator.normal(1, 1, 300), generator.normal(0, 1, 500)
    curve = roc(members, controls)
    assert len(curve.fpr) == len(curve.tpr) <= 65
    assert np.all(np.diff(curve.fpr) > 0) and np.all(np.diff(curve.tpr) >= 0)
    assert (curve.fpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 1, 1)
    at = curve.fpr.index(0.01)
    assert curve.tpr[at] == tpr_figure(members, controls).value


@pytest.mark.parametrize(("total", "control"), [(400, (0, 700)), (1_000, (3, 1_000)), (50, (20, 40))])
def test_the_smallest_share_that_raises_an_alarm_is_that_of_a_plain_search(
    total: int, control: tuple[int, int]
) -> None:
    first = next(n for n in range(total + 1) if p_more(n, total, *control) < 0.01)
    assert smallest_share(total, *control, 0.01).value == first / total


def test_of_few_rows_not_even_all_are_too_many() -> None:
    assert smallest_share(2, 1, 3, 0.01).undefined
    assert smallest_share(0, 0, 3, 0.01).undefined == "not defined because there are no rows to count"


def test_the_sign_test_and_the_mean_are_those_of_scipy() -> None:
    assert p_sign(9, 1) == pytest.approx(binom.sf(8, 10, 0.5))
    assert p_sign(0, 0) == 1.0
    values = np.random.default_rng(0).normal(size=50)
    found = mean_figure(values)
    assert (found.low, found.high) == pytest.approx(norm.interval(0.95, np.mean(values), sem(values)))
    assert mean_figure(values[:1]).low is None
    assert not mean_figure(values[:0]).is_defined

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from harmonic.evaluation.figures import (
    Figure,
    auc_figure,
    compare,
    holm,
    p_above,
    percentile_interval,
    rate_figure,
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

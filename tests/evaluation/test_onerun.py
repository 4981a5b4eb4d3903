"""The bound from one training: against a closed form, and on mechanisms whose epsilon is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from harmonic.errors import HarmonicError
from harmonic.evaluation.onerun import GUESSED, bound_epsilon, epsilon_low


@given(st.integers(1, 400), st.floats(0.0, 1.0), st.sampled_from([0.05, 0.01, 0.001]))
def test_the_bound_is_the_logit_of_clopper_and_pearsons_limit(n: int, share: float, error: float) -> None:
    n_right = round(share * n)
    low = beta.ppf(error, n_right, n - n_right + 1) if n_right else 0.0
    expected = max(0.0, float(np.log(low / (1 - low)))) if low > 0 else 0.0
    assert epsilon_low(n_right, n, error) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0, 4.0])
def test_the_bound_stays_below_a_known_epsilon(epsilon: float) -> None:
    """Randomised response: each coin is told truly with e^epsilon / (1 + e^epsilon), the best epsilon allows."""
    held = 0
    bounds = []
    for seed in range(100):
        rng = np.random.default_rng([seed, round(100 * epsilon)])
        is_in = rng.random(400) < 0.5
        is_told = rng.random(400) < np.exp(epsilon) / (1 + np.exp(epsilon))
        scores = np.where(is_told, is_in, ~is_in) + 0.1 * rng.random(400)
        bounds.append(bound_epsilon({"told": scores}, is_in).bound)
        held += bounds[-1] <= epsilon
    assert held >= 95
    assert np.mean(bounds) > epsilon / 3, "a bound that says nothing always holds"


def test_an_attack_pays_for_its_company() -> None:
    rng = np.random.default_rng(0)
    is_in = rng.random(200) < 0.5
    scores = is_in + rng.normal(0, 0.8, 200)
    alone = bound_epsilon({"one": scores}, is_in)
    among = bound_epsilon({"one": scores, **{str(k): rng.random(200) for k in range(4)}}, is_in)
    assert among.attack == alone.attack == "one"
    assert 0 < among.bound < alone.bound
    assert among.audits[0].n_guesses == round(GUESSED * 200)


def test_guessing_at_random_refutes_nothing() -> None:
    rng = np.random.default_rng(1)
    is_in = rng.random(200) < 0.5
    found = bound_epsilon({"noise": rng.random(200)}, is_in)
    assert found.bound == 0.0
    assert found.audits[0].right.low < 0.5 < found.audits[0].right.high


def test_all_guesses_right_is_a_finite_bound() -> None:
    is_in = np.arange(100) % 2 == 0
    found = bound_epsilon({"sure": is_in.astype(float)}, is_in)
    assert found.audits[0].right.value == 1.0
    assert found.bound == pytest.approx(np.log(0.025 ** (1 / 50) / (1 - 0.025 ** (1 / 50))), abs=1e-6)


def test_too_few_records_are_refused() -> None:
    with pytest.raises(HarmonicError, match="3 records, expected at least 4"):
        bound_epsilon({"one": np.arange(3.0)}, np.array([True, False, True]))

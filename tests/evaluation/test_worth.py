from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.worth import (
    SampleSize,
    Scorer,
    curve_sizes,
    measure_augmentation,
    measure_sample_size,
)
from harmonic.table.infer import infer_schema

N_DRAWS = 200


def _rows(n: int) -> Codes:
    frame = pd.DataFrame({"x": np.arange(n) / 4, "y": np.arange(n) / 8})
    return Codebook(infer_schema(frame), [frame]).encode(frame)


def _law(spread: float = 0.0, slope: float = 0.05) -> Scorer:
    """A learning curve known in advance: the score grows by `slope` each time the rows double, with noise that falls
    as the root of the rows."""

    def score(train: Codes) -> np.ndarray:
        generator = np.random.default_rng(int(train.cells[:, 0].sum() * 4) + len(train))
        noise = spread * generator.normal() / np.sqrt(len(train))
        return np.full(1 + N_DRAWS, 0.3 + slope * np.log2(len(train)) + noise)

    return score


def _measure(score: Scorer, synthetic: float, n: int = 1024) -> SampleSize:
    real = _rows(n)
    return measure_sample_size(
        real,
        score,
        real_draws=score(real),
        synthetic_draws=np.full(1 + N_DRAWS, synthetic),
        n_synthetic=n,
        n_points=6,
        n_subsets=3,
        seed=0,
    )


def test_subsets_are_halved_down_to_the_smallest_that_is_worth_training_on() -> None:
    assert curve_sizes(1000, 4) == [125, 250, 500, 1000]
    assert curve_sizes(100, 9) == [25, 50, 100]
    assert curve_sizes(20, 9) == [20]


@pytest.mark.parametrize("worth", [64, 100, 512, 1000])
def test_the_equivalent_sample_size_is_read_off_a_known_curve(worth: int) -> None:
    found = _measure(_law(), 0.3 + 0.05 * np.log2(worth))
    assert (found.n_eq, found.bound) == (worth, "")
    for value in (found.ratio.low, found.ratio.value, found.ratio.high):
        assert value == pytest.approx(worth / 1024, abs=1e-3)
    assert [point.n_rows for point in found.curve] == [32, 64, 128, 256, 512, 1024]
    assert found.curve[-1].score == pytest.approx(0.8)


def test_beyond_the_curve_stands_a_bound() -> None:
    above, below = _measure(_law(), 0.95), _measure(_law(), 0.1)
    assert (above.ratio.value, above.bound, above.n_eq) == (1.0, "at least", 1024)
    assert (below.ratio.value, below.bound, below.n_eq) == (32 / 1024, "below", 32)


def test_the_chance_of_the_training_rows_widens_the_interval() -> None:
    steady, shaky = (_measure(_law(spread), 0.3 + 0.05 * 9) for spread in (0.0, 0.4))
    assert steady.ratio.high - steady.ratio.low < 1e-9
    assert shaky.ratio.high - shaky.ratio.low > 0.1
    assert shaky.ratio.low < 0.5 < shaky.ratio.high


def test_where_more_rows_do_not_help_or_rows_are_few_nothing_is_read_off() -> None:
    assert "do not score better" in _measure(_law(slope=0.0), 0.3).ratio.undefined
    assert "do not score better" in _measure(_law(slope=-0.05), 0.3).ratio.undefined
    assert "too few to halve" in _measure(_law(), 0.5, n=20).ratio.undefined
    assert "single value" in _measure(_law(), np.nan).ratio.undefined


def test_a_gain_is_paired_and_stands_beside_the_real_rows() -> None:
    generator = np.random.default_rng(0)
    shared = generator.normal(0.8, 0.1, size=1 + N_DRAWS)
    found = measure_augmentation(_rows(30), shared, lambda rows: shared + 0.02)
    assert (found.gain.value, found.n_rows) == (pytest.approx(0.02), 30)
    assert found.gain.high - found.gain.low < 1e-9 < found.score.high - found.score.low
    assert found.score.noise_floor == pytest.approx(shared[0])


def test_uneven_curves_are_made_monotone_but_shown_as_measured() -> None:
    heights = {32: 0.5, 64: 0.7, 128: 0.6, 256: 0.8, 512: 0.8, 1024: 0.9}
    found = _measure(lambda rows: np.full(1 + N_DRAWS, heights[len(rows)]), 0.575)
    assert [point.score for point in found.curve] == pytest.approx(list(heights.values()))
    assert found.n_eq == round(32 * 2**0.5)  # half way up to .65, where 64 and 128 both stand
    assert found.bound == ""


def test_the_interval_holds_the_truth_in_about_nineteen_of_twenty_draws() -> None:
    """Tables of 256 rows of one law, the synthetic ones worth 256, 128 or 64 rows: the score of each is its height on
    the curve and the chance of its training rows."""
    held = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        worth = [256, 128, 64][seed % 3]

        def score(train: Codes | int, generator: np.random.Generator = generator) -> np.ndarray:
            n = train if isinstance(train, int) else len(train)
            return np.full(1 + N_DRAWS, 0.3 + 0.05 * np.log2(n) + 0.5 * generator.normal() / np.sqrt(n))

        found = measure_sample_size(
            _rows(256),
            score,
            real_draws=score(256),
            synthetic_draws=score(worth),
            n_synthetic=worth,
            n_points=5,
            n_subsets=3,
            seed=seed,
        )
        held.append(found.ratio.low <= worth / 256 <= found.ratio.high + 1e-9)
    assert np.mean(held) >= 0.85

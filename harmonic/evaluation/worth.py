"""How many real rows are the synthetic ones worth, and do they help beside the real ones?

What enters is scores on one holdout; what leaves is the equivalent sample size, read off the real rows' own
learning curve, and the gain of real and synthetic rows together over the real rows alone. Both are paired: the
same holdout rows, the same models, the same bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, percentile_interval, undefined
from harmonic.evaluation.learners import SINGLE_VALUE, TOO_LARGE, difference_figure, draws_figure, finite

Floats = NDArray[np.float64]
STREAM_SUBSETS = 525
N_POOLED = 3
MIN_SUBSET = 16
"""Rows of the smallest subset on the learning curve."""

Scorer = Callable[[Codes], Floats]
"""The headline of models trained on a table: one number a bootstrap draw, the plain one first."""


@dataclass(frozen=True)
class CurvePoint:
    """One point of the real rows' learning curve. `score`: the headline's mean over random subsets of this size."""

    n_rows: int
    score: float | None


@dataclass(frozen=True)
class SampleSize:
    """How many real rows train as good a model as the synthetic ones do."""

    ratio: Figure
    """n_eq / n real rows, 1 = worth as much as all of them. At the ends of the curve only a bound: see `bound`. The
    interval holds the chance of the holdout rows and of the rows trained on; it ends where the curve ends."""
    bound: str
    """"" (read off the curve), "at least" (above the whole curve: ratio 1) or "below" (below the smallest subset:
    ratio is that subset's share)."""
    n_eq: int | None
    """In rows; with the same `bound`."""
    score: float | None
    """The synthetic rows' headline, which was looked up."""
    curve: tuple[CurvePoint, ...]
    """Smallest subset first, all real rows last; as measured, before it was made monotone."""


@dataclass(frozen=True)
class Augmentation:
    """Models trained on real and synthetic rows together, against real rows alone."""

    gain: Figure
    """Headline of both minus real alone, paired bootstrap: above 0 the synthetic rows add something."""
    score: Figure
    """Headline of both; noise floor: real rows alone."""
    n_rows: int
    """Real and synthetic rows together."""


def no_sample_size(reason: str) -> SampleSize:
    """A part without a figure, and why."""
    return SampleSize(undefined(reason), "", None, None, ())


def no_augmentation(reason: str) -> Augmentation:
    """A part without a figure, and why."""
    return Augmentation(undefined(reason), undefined(reason), 0)


def measure_augmentation(both: Codes, real: Floats, score: Scorer) -> Augmentation:
    """Of real and synthetic rows stacked, against the draws of the real ones."""
    draws = score(both)
    alone = draws_figure(real, SINGLE_VALUE)
    gain = difference_figure(draws, real, SINGLE_VALUE)
    return Augmentation(gain, draws_figure(draws, SINGLE_VALUE).beside(noise_floor=alone), len(both))


def measure_sample_size(
    real: Codes,
    score: Scorer,
    *,
    real_draws: Floats,
    synthetic_draws: Floats,
    n_synthetic: int,
    n_points: int,
    n_subsets: int,
    seed: int,
) -> SampleSize:
    """Train on up to `n_subsets` disjoint subsets of each of `n_points` sizes, halved each time from all real rows,
    and read off where the synthetic rows' score falls.

    The curve is made monotone (isotonic regression), and runs straight between its points over log rows. Bootstrap
    draws of the holdout rows hold the models fixed, and other training rows of the same law would have made others:
    every draw also shifts each score by normal noise, whose variance the disjoint subsets show, falling as 1 / rows.
    """
    sizes = curve_sizes(len(real), n_points)
    if len(sizes) < 2:
        return no_sample_size(f"{len(real)} real rows are too few to halve down to {MIN_SUBSET}")
    for draws in (synthetic_draws, real_draws):
        if not np.isfinite(draws[0]):
            return no_sample_size(SINGLE_VALUE if np.isnan(draws[0]) else TOO_LARGE)
    generator = np.random.default_rng([seed, STREAM_SUBSETS])
    scores = []
    for size in sizes[:-1]:
        blocks = generator.permutation(len(real))[: size * n_subsets]
        parts = [blocks[start : start + size] for start in range(0, len(blocks) - size + 1, size)]
        scores.append(np.array([score(real.take(part)) for part in parts]))
    curve = np.array([*(found.mean(axis=0) for found in scores), real_draws])
    points = tuple(
        CurvePoint(size, finite(value)) for size, value in zip(sizes, curve[:, 0].tolist(), strict=True)
    )
    spread = _training_spread(sizes, scores)
    counts = np.array(
        [*(size * len(found) for size, found in zip(sizes[:-1], scores, strict=True)), len(real)]
    )
    curve[:, 1:] += generator.normal(size=curve[:, 1:].shape) * spread / np.sqrt(counts)[:, None]
    asked = synthetic_draws.copy()
    asked[1:] += generator.normal(size=len(asked) - 1) * spread / np.sqrt(n_synthetic)
    ratio, bound = _read_off(sizes, curve, asked)
    n_eq = None if ratio.value is None else round(ratio.value * len(real))
    return SampleSize(ratio, bound, n_eq, finite(synthetic_draws[0]), points)


def _training_spread(sizes: Sequence[int], scores: Sequence[Floats]) -> float:
    """Standard deviation of a plain score over training tables of one size, times the root of that size.

    Pooled over the `N_POOLED` largest sizes, as smaller ones vary more than 1 / rows; 0 where no size has two subsets.
    """
    pairs = [pair for pair in zip(sizes[:-1], scores, strict=True) if len(pair[1]) > 1][-N_POOLED:]
    if not pairs:
        return 0.0
    squares = sum(size * float(((found[:, 0] - found[:, 0].mean()) ** 2).sum()) for size, found in pairs)
    return float(np.sqrt(squares / sum(len(found) - 1 for _, found in pairs)))


def curve_sizes(n_rows: int, n_points: int) -> list[int]:
    """Row counts, smallest first: all rows, half of them, a quarter ..., none below `MIN_SUBSET`."""
    sizes = [n_rows // 2**step for step in range(n_points)]
    return [size for size in reversed(sizes) if size >= MIN_SUBSET]


def _read_off(sizes: Sequence[int], curve: Floats, asked: Floats) -> tuple[Figure, str]:
    """Ratio and bound from `curve` [n_points, n_draws] at the scores `asked` [n_draws]."""
    heights = np.array([_monotone(column) for column in curve.T])
    if heights[0, 0] >= heights[0, -1]:
        return undefined("more real rows do not score better here, so there is nothing to read off"), ""
    found = np.array([_rows_at(sizes, row, score) for row, score in zip(heights, asked, strict=True)])
    low, high = percentile_interval(found[1:] / sizes[-1])
    bound = "at least" if asked[0] > heights[0, -1] else "below" if asked[0] < heights[0, 0] else ""
    return replace(Figure(float(found[0] / sizes[-1])), low=low, high=high), bound


def _monotone(heights: Floats) -> Floats:
    """The nearest curve that never falls; NaN where a point is."""
    if not np.isfinite(heights).all():
        return np.full(len(heights), np.nan)
    return np.asarray(isotonic_regression(heights).x)


def _rows_at(sizes: Sequence[int], heights: Floats, score: float) -> float:
    """The fewest rows whose height reaches the score, between the smallest and the largest; NaN where undefined."""
    if not np.isfinite(heights[0] + score):
        return float("nan")
    after = int(np.searchsorted(heights, score, side="left"))
    if after == 0 or after == len(sizes):
        return float(sizes[min(after, len(sizes) - 1)])
    part = (score - heights[after - 1]) / (heights[after] - heights[after - 1])
    return float(np.exp(np.log(sizes[after - 1]) * (1 - part) + np.log(sizes[after]) * part))

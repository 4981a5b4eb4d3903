"""Laws of numbers: a standardised signal becomes ages, counts, money, percentages, measurements.

What enters is a generator and a signal for all rows; what leaves is a `Law`: values in the units of a real table,
the decimal places they are written with, and a hint of what they are about. Most laws keep the signal's order, so
that the dependence which the causal model made survives. `quirks` then adds what real columns suffer: heaping, popular
values, extra zeros, caps, coarse grids, few digits, sentinels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from harmonic.nano.mechanisms import Array, log_uniform, pick, unit_ranks, weighted

_GRID = (np.arange(1025) + 0.5) / 1025
_QUANTILES = np.array([NormalDist().inv_cdf(float(u)) for u in _GRID])


class Law(NamedTuple):
    values: Array
    decimals: int
    hint: str


Maker = Callable[[Generator, Array], Law]


def rounded(values: Array, decimals: int) -> Array:
    """Rounded, without the minus of -0."""
    return np.round(values, decimals) + 0.0


def normal(rng: Generator, signal: Array) -> Array:
    """The signal bent to the normal law, order kept."""
    return np.interp(unit_ranks(rng, signal), _GRID, _QUANTILES)


def _base(rng: Generator, signal: Array) -> Array:
    """The signal as its mechanism left it, or bent to the normal law."""
    return signal if rng.random() < 0.5 else normal(rng, signal)


def _skewed(rng: Generator, signal: Array, sigma: float) -> Array:
    """Positive values of median about 1: log-normal."""
    return np.exp(np.minimum(sigma * _base(rng, signal), 9.0))


def _logistic(values: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-values))


def _quantile(rng: Generator, signal: Array, mass: Array) -> Array:
    """Whole numbers 0, 1, ... with these masses, in the signal's order."""
    cumulative = np.cumsum(mass)
    return np.searchsorted(cumulative, unit_ranks(rng, signal) * cumulative[-1]).astype(float)


def _places(scale: float, digits: int, most: int = 4) -> int:
    """Decimal places that show about `digits` significant digits of values of this scale."""
    return int(min(most, max(0, np.ceil(digits - np.log10(scale) - 1))))


def age(rng: Generator, signal: Array) -> Law:
    low, high = (
        pick(rng, (0, 1, 10, 15, 16, 18, 18, 20, 21, 25)),
        pick(rng, (45, 60, 64, 65, 70, 80, 85, 90, 99)),
    )
    if rng.random() < 0.5:
        share = unit_ranks(rng, signal) ** log_uniform(rng, 0.7, 2.0)
    else:
        share = np.minimum(np.maximum(rng.uniform(0.2, 0.6) + 0.2 * _base(rng, signal), 0.0), 1.0)
    return Law(np.floor(low + (high - low) * share), 0, "age")


def count(rng: Generator, signal: Array) -> Law:
    """Poisson or negative binomial, sometimes with extra zeros, sometimes from 1."""
    mean = log_uniform(rng, 0.2, 25.0)
    k = np.arange(1, int(mean * 4 + 25))
    if rng.random() < 0.5:
        ratios, first = mean / k, np.exp(-mean)
    else:
        r = log_uniform(rng, 0.5, 10.0)
        p = mean / (mean + r)
        ratios, first = (k - 1 + r) / k * p, (1 - p) ** r
    mass = np.concatenate(([first], first * np.cumprod(ratios)))
    if rng.random() < 0.25:
        mass[0] += rng.random()
    return Law(_quantile(rng, signal, mass) + (rng.random() < 0.2), 0, "count")


def code_number(rng: Generator, signal: Array) -> Law:
    """A few whole numbers: 0/1, 1 to 4, grades, rooms."""
    k = weighted(rng, {2: 3.0, 3: 2.0, 4: 2.0, 5: 1.5, 6: 0.7, 7: 0.5, 10: 0.5, 12: 0.5})
    start = 0 if rng.random() < (0.8 if k == 2 else 0.4) else 1
    mass = rng.dirichlet(np.full(k, log_uniform(rng, 0.7, 5.0)))
    return Law(_quantile(rng, signal, mass) + start, 0, "flag" if k == 2 and not start else "grade")


def score(rng: Generator, signal: Array) -> Law:
    top = pick(rng, (5, 7, 10, 10, 20, 100, 100, 850))
    share = _logistic(rng.normal(0, 1) + (0.6 + rng.random()) * _base(rng, signal))
    decimals = 1 if top <= 100 and rng.random() < 0.25 else 0
    return Law(rounded(top * share, decimals), decimals, "score")


def big_count(rng: Generator, signal: Array) -> Law:
    """Populations, views, weights of a survey: wide log-normal whole numbers."""
    scale = log_uniform(rng, 50, 300_000)
    return Law(np.floor(scale * _skewed(rng, signal, rng.uniform(0.3, 1.4))), 0, "volume")


def money(rng: Generator, signal: Array) -> Law:
    scale = log_uniform(rng, 5, 200_000)
    values = scale * _skewed(rng, signal, rng.uniform(0.2, 1.1))
    if rng.random() < 0.3:
        values = scale * np.maximum(0.0, 1 + rng.uniform(0.1, 0.45) * _base(rng, signal))
    style = rng.random()
    if style < 0.35:
        return Law(rounded(values, 2), 2, "money")
    if style < 0.42 and scale < 1000:
        return Law(np.floor(values) + pick(rng, (0.99, 0.95, 0.5, 0.9)), 2, "money")
    if style < 0.72:
        return Law(rounded(values, 0), 0, "money")
    step = np.floor(10.0 ** (int(np.log10(scale)) - int(rng.integers(0, 3))) * pick(rng, (1, 1, 2.5, 5)))
    step = max(1.0, step)
    return Law(np.round(values / step) * step, 0, "money")


def percentage(rng: Generator, signal: Array) -> Law:
    share = _logistic(1.3 * rng.standard_normal() + (0.3 + rng.random()) * _base(rng, signal))
    if rng.random() < 0.5:
        decimals = int(rng.integers(0, 3))
        return Law(rounded(100 * share, decimals), decimals, "percent")
    decimals = int(rng.integers(2, 5))
    return Law(rounded(share, decimals), decimals, "share")


def measurement(rng: Generator, signal: Array, fixed: int | None = None) -> Law:
    """A physical quantity: any scale, two to five significant digits, or a fixed number of decimal places."""
    scale = log_uniform(rng, 0.01, 5_000)
    digits = pick(rng, (1, 1, 2, 2, 3, 4))
    spread = log_uniform(rng, 0.03, 0.5)
    if rng.random() < 0.55:
        values = scale * (1 + spread * _base(rng, signal))
        if rng.random() < 0.6:
            values = np.maximum(values, 0.0 if rng.random() < 0.3 else scale * 0.05)
    else:
        spread = 0.5
        values = scale * _skewed(rng, signal, rng.uniform(0.2, 1.2))
    decimals = _places(scale * spread, digits) if fixed is None else fixed
    if fixed is None and rng.random() < 0.04:
        decimals = int(rng.integers(5, 10)) if scale < 100 else 5
    return Law(rounded(values, decimals), decimals, "measure")


def centred(rng: Generator, signal: Array, fixed: int | None = None) -> Law:
    """Both signs: temperatures, changes, principal components, coordinates."""
    scale = log_uniform(rng, 0.05, 100)
    shift = 0.0 if rng.random() < 0.5 else scale * 2 * rng.standard_normal()
    decimals = _places(scale, pick(rng, (1, 2, 3, 4))) if fixed is None else fixed
    return Law(rounded(shift + scale * _base(rng, signal), decimals), decimals, "signed")


_RANGES = (
    (0, 23, 0),
    (0, 90, 0),
    (0, 359, 0),
    (1, 31, 0),
    (0, 100, 0),
    (0, 1, 3),
    (-1, 1, 3),
    (0, 10, 2),
    (0, 360, 2),
    (0, 90, 4),
)


def flat(rng: Generator, signal: Array) -> Law:
    """A bounded range, evenly filled or piled up at one end: angles, hours, settings of a simulation."""
    low, high, decimals = pick(rng, _RANGES)
    share = unit_ranks(rng, signal) ** (1.0 if rng.random() < 0.6 else log_uniform(rng, 0.4, 3.0))
    if decimals == 0:
        return Law(np.floor(low + (high + 1 - low) * np.minimum(share, 0.9999)), 0, "flat")
    return Law(rounded(low + (high - low) * share, decimals), decimals, "flat")


def year(rng: Generator, signal: Array) -> Law:
    high, span = int(rng.integers(1990, 2025)), log_uniform(rng, 4, 90)
    return Law(high - np.floor(span * (1 - unit_ranks(rng, signal)) ** log_uniform(rng, 0.6, 2.5)), 0, "year")


def zero_inflated(rng: Generator, signal: Array) -> Law:
    """Mostly zero, else an amount; sometimes only a few amounts occur."""
    u, zero = unit_ranks(rng, signal), rng.uniform(0.2, 0.97)
    scale, sigma = log_uniform(rng, 1, 20_000), rng.uniform(0.3, 1.4)
    amount = scale * np.exp(sigma * np.interp((u - zero) / (1 - zero), _GRID, _QUANTILES))
    if rng.random() < 0.35:
        amount = np.exp(np.round(np.log(amount) / 0.35) * 0.35 + 0.2 * rng.random())
    decimals = 0 if scale > 50 or rng.random() < 0.4 else int(rng.integers(1, 4))
    return Law(
        np.where(u > zero, np.maximum(rounded(amount, decimals), 10.0**-decimals), 0.0), decimals, "amount"
    )


def heaped(rng: Generator, signal: Array) -> Law:
    """People round: multiples of 5, 10 or 100, and one popular value."""
    step = pick(rng, (5, 5, 10, 10, 50, 100))
    middle = step * rng.uniform(3, 12)
    values = np.round(np.maximum(middle * (1 + rng.uniform(0.1, 0.5) * _base(rng, signal)), 1.0))
    rounders = rng.random(len(values)) < rng.uniform(0.3, 1.0)
    values = np.where(rounders, np.round(values / step) * step, values)
    if rng.random() < 0.5:
        popular = np.round(middle / step) * step
        values = np.where(rng.random(len(values)) < rng.uniform(0.1, 0.6), popular, values)
    return Law(np.maximum(values, 0.0), 0, "heaped")


def grid_values(rng: Generator, signal: Array) -> Law:
    """A decimal that takes few values: settings of a machine, shoe sizes, half points."""
    k, decimals = int(rng.integers(3, 30)), int(rng.integers(1, 4))
    start, step = float(rng.integers(0, 30)), float(rng.integers(1, 10))
    u = np.minimum(np.floor(k * unit_ranks(rng, signal) ** log_uniform(rng, 0.6, 1.6)), k - 1)
    return Law(rounded((start + step * u) * 10.0**-decimals, decimals), decimals, "measure")


def places(rng: Generator, signal: Array) -> Law:
    """Two or three centres with points around them: coordinates, bimodal machines."""
    centres = np.sort(rng.standard_normal(int(rng.integers(2, 5)))) * log_uniform(rng, 2.0, 20.0)
    at = np.minimum((unit_ranks(rng, signal) * len(centres)).astype(int), len(centres) - 1)
    values = centres[at] + rng.uniform(0.2, 0.8) * rng.standard_normal(len(signal))
    decimals, shift = int(rng.integers(1, 5)), pick(rng, (0.0, 50.0, -100.0))
    return Law(rounded(values + shift, decimals), decimals, "signed")


LAWS: dict[Maker, float] = {
    age: 1.2,
    count: 1.6,
    code_number: 1.5,
    score: 1.0,
    big_count: 1.0,
    money: 1.5,
    percentage: 1.2,
    measurement: 4.0,
    centred: 1.2,
    flat: 0.6,
    year: 0.4,
    zero_inflated: 0.9,
    heaped: 0.9,
    grid_values: 0.7,
    places: 0.3,
}


def instrument(rng: Generator) -> dict[Maker, float]:
    """The laws of a table of measurements, maybe all written with the same decimal places."""
    fixed = pick(rng, (None, 1, 2, 3, 4, 4))
    rest = {percentage: 0.5, big_count: 0.2, count: 0.3, flat: 0.2} if fixed is None else {}
    return {
        partial(measurement, fixed=fixed): 4.0,
        partial(centred, fixed=fixed): rng.uniform(0.0, 4.0),
        **rest,
    }


TARGETS: dict[Maker, float] = {
    money: 3.0,
    measurement: 3.0,
    count: 1.5,
    big_count: 1.0,
    score: 1.0,
    percentage: 0.7,
    centred: 1.0,
    heaped: 0.3,
    zero_inflated: 0.2,
    age: 0.3,
}


# --- what real columns suffer ---------------------------------------------------------------------


def _coarse(rng: Generator, signal: Array, law: Law) -> Law:
    step = 10.0**-law.decimals * pick(rng, (2, 5, 5, 10, 20, 25))
    return law._replace(values=rounded(np.round(law.values / step) * step, law.decimals))


def _converted(rng: Generator, signal: Array, law: Law) -> Law:
    """A coarse grid in another unit: inches in centimetres, knots in km/h, values divided by their maximum."""
    span = float(np.ptp(law.values)) or 1.0
    steps = np.round(law.values / span * log_uniform(rng, 10, 120))
    decimals = max(law.decimals, int(rng.integers(1, 5)))
    factor = 1.0 / max(1.0, float(np.abs(steps).max())) if rng.random() < 0.4 else log_uniform(rng, 0.1, 3.0)
    return law._replace(values=rounded(steps * factor, decimals), decimals=decimals)


def _few_digits(rng: Generator, signal: Array, law: Law) -> Law:
    """Two or three significant digits, as laboratories write them."""
    size = np.floor(np.log10(np.maximum(np.abs(law.values), 1e-6))) - pick(rng, (1, 1, 2))
    unit = 10.0 ** np.maximum(size, -law.decimals)
    return law._replace(values=rounded(np.round(law.values / unit) * unit, law.decimals))


def _partly_rounded(rng: Generator, signal: Array, law: Law) -> Law:
    chosen = rng.random(len(law.values)) < rng.uniform(0.1, 0.7)
    step = 10.0 ** (1 - law.decimals) * pick(rng, (0.5, 1, 1, 10))
    return law._replace(
        values=np.where(chosen, rounded(np.round(law.values / step) * step, law.decimals), law.values)
    )


def _ragged(rng: Generator, signal: Array, law: Law) -> Law:
    """Every cell has its own number of decimal places, some more than the law gave."""
    most = max(law.decimals, min(8, law.decimals + int(rng.integers(1, 4))))
    finer = law.values + (rng.random(len(law.values)) - 0.5) * 10.0**-law.decimals
    unit = 10.0 ** -rng.integers(law.decimals, most + 1, len(law.values))
    return law._replace(values=rounded(np.round(finer / unit) * unit, most), decimals=most)


def _spiked(rng: Generator, signal: Array, law: Law) -> Law:
    """One to three popular values."""
    values = law.values
    for _ in range(pick(rng, (1, 1, 1, 2, 3))):
        popular = values[int(rng.random() * len(values))]
        values = np.where(rng.random(len(values)) < rng.uniform(0.03, 0.5), popular, values)
    return law._replace(values=values)


def _capped(rng: Generator, signal: Array, law: Law) -> Law:
    """Everything above a cut is written as the cut, or as the cut and one."""
    cut = np.round(float(np.quantile(law.values, rng.uniform(0.8, 0.99))), law.decimals) + 0.0
    beyond = cut + (10.0**-law.decimals if rng.random() < 0.3 else 0.0)
    return law._replace(values=np.where(law.values > cut, beyond, law.values))


def _few_values(rng: Generator, signal: Array, law: Law) -> Law:
    """Only values from a short list occur."""
    listed = np.sort(law.values[rng.integers(0, len(law.values), int(log_uniform(rng, 4, 60)))])
    return law._replace(values=listed[np.minimum(np.searchsorted(listed, law.values), len(listed) - 1)])


def _zeroed(rng: Generator, signal: Array, law: Law) -> Law:
    """Zeros that mean "not measured" or "none", at random or where the signal is low."""
    share = log_uniform(rng, 0.005, 0.6)
    low = unit_ranks(rng, signal) < share if rng.random() < 0.5 else rng.random(len(signal)) < share
    return law._replace(values=np.where(low, 0.0, law.values))


def _sentinel(rng: Generator, signal: Array, law: Law) -> Law:
    chosen = rng.random(len(signal)) < log_uniform(rng, 0.02, 0.9)
    return law._replace(values=np.where(chosen, float(pick(rng, (-1, -1, 99, 999, -9, -999))), law.values))


Quirk = Callable[[Generator, Array, Law], Law]
QUIRKS: dict[Quirk, float] = {
    _coarse: 2.0,
    _converted: 1.0,
    _few_digits: 1.5,
    _partly_rounded: 2.0,
    _ragged: 0.5,
    _spiked: 2.0,
    _capped: 1.5,
    _few_values: 1.0,
    _zeroed: 1.5,
    _sentinel: 0.4,
}
_PLAIN: frozenset[Maker] = frozenset((code_number, flat, grid_values, year))
"""Laws that stay as they are."""


def number_law(rng: Generator, signal: Array, laws: dict[Maker, float], quirk_share: float) -> Law:
    """A law of the mapping applied to the signal, with its quirks."""
    maker = weighted(rng, laws)
    law = maker(rng, signal)
    if maker not in _PLAIN:
        while rng.random() < quirk_share:
            law = weighted(rng, QUIRKS)(rng, signal, law)
    return law

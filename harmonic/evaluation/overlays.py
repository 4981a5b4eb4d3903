"""Column pictures as numbers: the shares of rows in bins or levels, real and synthetic side by side.

What enters is a column of two coded tables; what leaves is an `Overlay`, small enough for report.json. The
bins span the central 99 % of the real rows, so that a picture does not print a person's extreme value as
its axis limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codes

Floats = NDArray[np.float64]
N_BARS = 12
"""Levels shown one by one, and half the bins of an amount."""
WIDEST = 1e300
"""No axis reaches beyond: with margins it would overflow."""


@dataclass(frozen=True)
class Overlay:
    """A column's picture: shares of all rows in bins (amounts) or levels, holdout and synthetic."""

    labels: tuple[str, ...]
    """Names of the levels; empty for an amount."""
    edges: tuple[float, ...]
    """Edges of the bins, one more than shares; a datetime's in days since 1970. Empty for levels."""
    real: tuple[float, ...]
    synthetic: tuple[float, ...]


def overlay(real: Codes, synthetic: Codes, column: int) -> Overlay:
    """The picture of a column of `measures`."""
    a, b = real.measures[:, column], synthetic.measures[:, column]
    if real.is_level[column]:
        return _level_overlay(a, b, real.levels[column])
    seen = a[~np.isnan(a)]
    edges = _edges(seen if len(seen) else np.zeros(1))
    return Overlay((), tuple(edges.tolist()), _histogram(a, edges), _histogram(b, edges))


def _level_overlay(real: Floats, synthetic: Floats, levels: tuple[str, ...]) -> Overlay:
    """The commonest levels one by one, then the others together, then missing; what no row has is left out."""
    names = [*levels[:N_BARS], *[""] * (N_BARS - len(levels)), "other levels", "missing"]
    shares = np.zeros((2, len(names)))
    for i, codes in enumerate((real, synthetic)):
        slots = np.where(np.isnan(codes), N_BARS + 1, np.minimum(codes, N_BARS)).astype(np.intp)
        shares[i] = np.bincount(slots, minlength=len(names)) / len(codes)
    used = np.flatnonzero(shares.any(axis=0))
    return Overlay(
        tuple(names[slot] for slot in used),
        (),
        tuple(shares[0, used].tolist()),
        tuple(shares[1, used].tolist()),
    )


def _edges(seen: Floats) -> Floats:
    """A bin a value for few whole numbers, else equal bins over the central 99 %."""
    low, high = np.quantile(np.clip(seen, -WIDEST, WIDEST), [0.005, 0.995])
    if np.all(seen == np.round(seen)) and high - low < 2 * N_BARS:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    return np.linspace(low, high, 2 * N_BARS + 1) if high > low else np.array([low - 0.5, low + 0.5])


def _histogram(values: Floats, edges: Floats) -> tuple[float, ...]:
    """Shares per bin. What lies outside counts at the rim, so nothing vanishes; missing cells are left out."""
    seen = np.clip(values[~np.isnan(values)], edges[0], edges[-1])
    return tuple((np.histogram(seen, bins=edges)[0] / max(1, len(values))).tolist())

"""Class balance of selected rows, where the generator chooses their classes.

What enters is training rows, and the pool's rows with their log-ratios; what leaves is with what probability any row is
taken, so that classes are taken in their shares of the table. The log-ratio itself should set shares right, and may
move them farther off: trees of a few hundred rows are luck in part. So each class has a cap of its own, its rows are
taken by how real they look among those of their class, and a factor by class does the rest. Right on average for calls
that write one row, as far as the pool is like later draws; calls of several rows write as many as asked, whatever
classes they show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harmonic.table.schema import Row

Floats = NDArray[np.float64]
CAP = 0.95
"""Ratios above this quantile of the pool's are as good as it."""
LEAST_ROWS = 5
"""Of fewer rows, real ones or made, a share says nothing: such classes together keep the share that they have."""
MOST = 3.0
"""A class is taken so many times as often, or as seldom, as without balance at most: drawing costs that much."""


def cap_of(ratios: Floats) -> float:
    """The log-ratio from which on every draw is taken."""
    return float(np.quantile(ratios, CAP))


@dataclass(frozen=True)
class Balance:
    """`balance_of` makes one."""

    place: int
    """The target's, in a row."""
    caps: Mapping[str | None, float]
    """By class: the log-ratio from which on its rows are as good as any."""
    factors: Mapping[str | None, float]
    """By class: with what probability such rows are taken."""
    other: tuple[float, float]
    """Cap and factor of all other classes."""

    def __call__(self, rows: Sequence[Row], ratios: Floats, *, is_given: bool = False) -> Floats:
        """The natural logarithms of the probabilities with which rows are taken: float64 [n_rows]. ratios: the rows'
        log-ratios; is_given: their class was asked for, so that no factor is due."""
        cap, factor = self.other
        classes = [row[self.place] for row in rows]
        within = np.minimum(0.0, ratios - [self.caps.get(one, cap) for one in classes])
        return within if is_given else within + np.log([self.factors.get(one, factor) for one in classes])

    def to_words(self) -> str:
        """By what factors classes are taken, as one sentence."""
        by_class = ", ".join(f"{one} {factor:.2f}" for one, factor in self.factors.items())
        return f"Classes keep their shares: {by_class}."


def balance_of(real: Sequence[Row], made: Sequence[Row], place: int, ratios: Floats) -> Balance:
    """real, made: training and pool rows; place: of the target in them; ratios: of the latter, float64 [n_made]."""
    classes = [row[place] for row in made]
    counts, n_made = Counter(row[place] for row in real), Counter(classes)
    known = [one for one, n in counts.items() if min(n, n_made[one]) >= LEAST_ROWS]
    cap = cap_of(ratios)
    free = np.exp(np.minimum(0.0, ratios - cap))
    codes = np.array([known.index(one) if one in known else -1 for one in classes], dtype=np.intp)
    # What would be taken without balance, of all known classes together and of each.
    total, n_real = free[codes >= 0].sum(), sum(counts[one] for one in known)
    caps, factors = {}, {}
    for code, one in enumerate(known):
        mine = codes == code
        caps[one] = cap_of(ratios[mine])
        wanted = float(np.clip(counts[one] / n_real * total / free[mine].sum(), 1 / MOST, MOST))
        factors[one] = wanted * free[mine].sum() / np.exp(np.minimum(0.0, ratios[mine] - caps[one])).sum()
    most = float(max([1.0, *factors.values()]))
    return Balance(place, caps, {one: float(f / most) for one, f in factors.items()}, (cap, 1.0 / most))

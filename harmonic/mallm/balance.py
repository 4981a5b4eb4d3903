"""Class balance of selected rows.

What enters is the classes of the training rows, and classes and log-ratios of the pool's rows; what leaves is a number
for each class, to be added to the log-ratios of its rows, after which classes are taken in their shares of the table.
Where a model writes the target last, its class is as it falls: the ratio should set that right and does so by half, for
few rounds of trees on few rows shrink it, and what lies above the cap counts no further.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harmonic.table.schema import Row

Floats = NDArray[np.float64]
CAP = 0.95
"""Ratios above this quantile of the pool's are as good as it."""
LEAST_ROWS = 5
"""Of fewer rows, real ones or made, a share says nothing, and the class is left as it is."""
MOST = 2.0
"""Nats that a class may be moved by: a class seven times too rare is not made up for by drawing."""
ROUNDS = 50


def cap_of(ratios: Floats) -> float:
    """The log-ratio from which on every draw is taken."""
    return float(np.quantile(ratios, CAP))


def chances(ratios: Floats) -> Floats:
    """With what probability rows of the pool are taken: float64 [n_rows]."""
    return np.asarray(np.exp(np.minimum(0.0, ratios - cap_of(ratios))))


@dataclass(frozen=True)
class Balance:
    """`balance_of` makes one; without offsets it leaves all as it is."""

    place: int = 0
    """The target's, in a row."""
    offsets: Mapping[str | None, float] = field(default_factory=dict)
    """Nats by class."""

    def __call__(self, rows: Sequence[Row]) -> Floats:
        """What is added to the log-ratio of each row: float64 [n_rows]."""
        return np.array([self.offsets.get(row[self.place], 0.0) for row in rows])


def balance_of(real: Sequence[Row], made: Sequence[Row], place: int, ratios: Floats) -> Balance:
    """real, made: training and pool rows; place: of the target in them; ratios: of the latter, float64 [n_made].

    Shares are made equal by proportional fitting: what is taken of a class grows at most as fast as its offset does, so
    that rounds approach the shares and do not swing around them.
    """
    classes = [row[place] for row in made]
    wanted = _shares(Counter(row[place] for row in real), Counter(classes))
    numbers = {one: number for number, one in enumerate(wanted)}
    codes = np.array([numbers.get(one, len(numbers)) for one in classes], dtype=np.intp)
    offsets = np.zeros(len(numbers) + 1)
    for _ in range(ROUNDS if len(numbers) > 1 else 0):
        taken = np.bincount(codes, chances(ratios + offsets[codes]), len(offsets))[:-1]
        offsets[:-1] += np.log(np.array(list(wanted.values())) * taken.sum() / taken)
        offsets = np.clip(offsets, -MOST, MOST)
    return Balance(place, {one: float(offsets[number]) for one, number in numbers.items()})


def _shares(real: Mapping[str | None, int], made: Mapping[str | None, int]) -> dict[str | None, float]:
    """The shares of the training rows that classes are to have, among those of which enough rows are known."""
    counts = {one: n for one, n in real.items() if min(n, made.get(one, 0)) >= LEAST_ROWS}
    total = sum(counts.values())
    return {one: n / total for one, n in counts.items()}

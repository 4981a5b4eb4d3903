"""Examples: which training rows a call of the generator shows, drawn anew for each.

What enters is training rows and how they are chosen; what leaves is the row numbers that call i shows. The published
loop shows each row once, in five fixed companies, so that as many rows come out as went in. Here any number of calls
draws its own, and a call depends on (seed, its number) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.table.classes import Classes
from harmonic.table.schema import Row, Schema

Choice = Literal["uniform", "balanced", "scarce", "by_class"]
STREAM_EXAMPLES = 702
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it fill the unit interval evenly, however many there are."""


class Examples:
    """Draws examples from the training rows.

    `uniform`: any rows. `balanced`: each call shows the classes of the target (a quantity: its fifths) in their shares
    of the table, to within one row. `scarce`: rows of classes that `made`, the synthetic rows so far, hold too few of
    are the likelier. `by_class`: each call shows rows of one class, calls in the shares of the classes: what a class
    means is then read from the prompt as plainly as it can be. Raises HarmonicError where there are fewer rows than a
    call shows beside one more to write.
    """

    def __init__(
        self, rows: Sequence[Row], schema: Schema, n: int, choice: Choice = "balanced", *, seed: int
    ) -> None:
        if not 0 <= n < len(rows):
            raise HarmonicError(
                f"Examples: a call shows {n}, the table has {len(rows)} training rows, expected more rows than that. "
                "Show fewer examples, or give more rows."
            )
        self.rows, self.n, self.choice = rows, n, choice
        self._seed = seed
        self._classes = Classes(rows, schema)
        self._class_of = self._classes.of(rows)

    def of_call(self, number: int, made: Sequence[Row] = (), like: Row | None = None) -> list[int]:
        """The numbers of the rows that call `number` shows, in random order, none of them twice.

        like: a row whose class is shown, where examples go by class; None = the call's own.
        """
        rng = np.random.default_rng([self._seed, STREAM_EXAMPLES, number])
        if self.choice == "balanced":
            return self._balanced(rng)
        if self.choice == "by_class":
            pool = self.pool(number, like)
            return rng.choice(pool, size=min(self.n, len(pool)), replace=False).tolist()
        weights = self._scarcity(made) if self.choice == "scarce" and made else None
        return rng.choice(len(self.rows), size=self.n, replace=False, p=weights).tolist()

    def pool(self, number: int, like: Row | None = None) -> list[int]:
        """The rows that call `number` may show; all of them where none has the class of `like`."""
        if self.choice != "by_class":
            return list(range(len(self.rows)))
        wanted = self._class_of_call(number) if like is None else int(self._classes.of([like])[0])
        found = np.flatnonzero(self._class_of == wanted).tolist()
        return found or list(range(len(self.rows)))

    def range_of(self, row: int) -> tuple[str, str]:
        """The least and the greatest target, as canonical texts, of the rows of this one's class."""
        place = self._classes.place
        assert place is not None
        same = np.flatnonzero(self._class_of == self._class_of[row]).tolist()
        cells = [self.rows[number][place] for number in same]
        values = self._classes.values(cells)
        return str(cells[int(np.argmin(values))]), str(cells[int(np.argmax(values))])

    def _class_of_call(self, number: int) -> int:
        """Classes in their shares among any calls in a row."""
        start = np.random.default_rng([self._seed, STREAM_EXAMPLES]).random()
        ends = np.cumsum(np.bincount(self._class_of)) / len(self.rows)
        return int(np.searchsorted(ends, (start + number * _GOLDEN) % 1.0, side="right"))

    def _balanced(self, rng: np.random.Generator) -> list[int]:
        """Every k-th row of a random order in which classes lie together, from a random start."""
        order = rng.permutation(len(self.rows))
        ranks = rng.permutation(self._class_of.max() + 1)
        order = order[np.argsort(ranks[self._class_of[order]], kind="stable")]
        step = len(order) / self.n if self.n else 1.0
        places = (rng.uniform(0.0, step) + step * np.arange(self.n)).astype(np.intp)
        return rng.permutation(order[np.minimum(places, len(order) - 1)]).tolist()

    def _scarcity(self, made: Sequence[Row]) -> NDArray[np.float64]:
        """Chances of the rows: by how many times likelier their class is in the table than among the rows made."""
        n_classes = int(self._class_of.max()) + 1
        real = np.bincount(self._class_of, minlength=n_classes) / len(self.rows)
        found = self._classes.of(made)
        shares = (np.bincount(found[found < n_classes], minlength=n_classes) + 1.0) / (len(made) + n_classes)
        weights = (real / shares)[self._class_of]
        return np.asarray(weights / weights.sum())

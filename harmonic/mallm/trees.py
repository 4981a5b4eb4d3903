"""Trees that tell real rows from made ones.

What enters is the numbers of rows (`features`) and which of them are real; what leaves is boosted trees whose mean says
how many times likelier a row is among real ones. Each learns from all real rows and from another part of the others.
The first, third, ... fit sees the target's fit, too, the others see the columns alone: where all saw it, in
an earlier form, rows of housing, shoppers and bike_hour of 100 rows were told from real ones a little more easily;
what they are worth where none does, `scripts/benchmark.py selection` measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
STREAM_SELECTION = 708
SHOWN = 4
"""Trees learn from so many made rows for each real one: many more would leave a leaf next to no real one."""
RATE, DEPTH = 0.1, 3
LEAST_LEAF, MOST_LEAF, LEAVES = 3, 20, 25
"""A leaf holds a 25th of the rows at least, within these bounds: twenty would leave trees of a hundred rows blind."""


@dataclass(frozen=True)
class Boosted:
    """One fit, and how many of the columns it looks at: the first ones."""

    model: HistGradientBoostingClassifier
    n_columns: int

    def log_ratio(self, cells: Floats) -> Floats:
        """float64 [n_rows]."""
        return np.asarray(self.model.decision_function(cells[:, : self.n_columns]))

    def stages(self, cells: Floats) -> Iterator[Floats]:
        """The log-ratios after 1, 2, ... rounds."""
        for ratios in self.model.staged_decision_function(cells[:, : self.n_columns]):
            yield np.asarray(ratios).reshape(-1)


@dataclass(frozen=True)
class Labelled:
    """Real and made rows."""

    cells: Floats
    is_real: Bools
    is_level: Bools
    n_plain: int
    """Columns that all trees look at: all of them, or all but the last."""

    def bag(self, seen: Ints, rounds: int, key: Sequence[int], n: int) -> tuple[Boosted, ...]:
        """n fits on the real rows among `seen` and as many others of them as trees can use, drawn anew for each."""
        real, made = seen[self.is_real[seen]], seen[~self.is_real[seen]]
        n_shown = min(len(made), SHOWN * len(real))
        found = []
        for number, state in enumerate(states(key, n)):
            shown = np.concatenate([real, np.random.default_rng(state).choice(made, n_shown, replace=False)])
            weights = np.where(self.is_real[shown], n_shown / len(real), 1.0)
            n_columns = self.n_plain if number % 2 else self.cells.shape[1]
            model = _model(rounds, len(shown), self.is_level[:n_columns], self.n_plain, state)
            model.fit(self.cells[shown, :n_columns], self.is_real[shown], sample_weight=weights)
            found.append(Boosted(model, n_columns))
        return tuple(found)


def log_ratio(trees: Sequence[Boosted], cells: Floats) -> Floats:
    """The mean over the trees: float64 [n_rows]. One after another: a row's sum must not depend on how many rows are
    asked beside it."""
    total = np.zeros(len(cells))
    for one in trees:
        total += one.log_ratio(cells)
    return total / len(trees)


def states(key: Sequence[int], n: int) -> list[int]:
    """Seeds of n fits. key: the seed, and what for."""
    seed, *purpose = key
    return np.random.default_rng([seed, STREAM_SELECTION, 1, *purpose]).integers(2**31, size=n).tolist()


def _model(
    rounds: int, n_rows: int, is_level: Bools, n_plain: int, state: int
) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=RATE,
        max_depth=DEPTH,
        max_features=0.5,
        min_samples_leaf=int(np.clip(n_rows // LEAVES, LEAST_LEAF, MOST_LEAF)),
        l2_regularization=1.0,
        categorical_features=is_level,
        # That the target fits well may speak for a row, never against it: `target_fit` says why.
        monotonic_cst=(np.arange(len(is_level)) >= n_plain).astype(int),
        early_stopping=False,
        random_state=state,
    )

"""How well the target of a row fits its other columns, as forests of real rows say.

What enters is rows as trees see them, one column of which is the target; what leaves is one number a row: of an amount
by how much it is off what is expected, of a level the logarithm of its probability. Trees that tell real rows from made
ones split on one column at a time, so that of a hundred rows they do not see what shows in three columns together, such
as that smokers above some weight cost twice as much; forests that are asked for the target alone do, and with their
number in a column it takes one split. A real row is judged by forests that have not seen it, a made one by as many that
have seen no more rows: so the numbers of both follow one law wherever the rows do, and tell nothing by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import KFold

Floats = NDArray[np.float64]
N_FOLDS, N_REPEATS = 5, 5
N_TREES, LEAST_LEAF = 60, 3
LEAST_CHANCE = 0.01
"""Added to every probability: below it forests of some hundred rows know nothing."""
_MISSING = -1
"""The code of a missing level, a class of its own."""


@dataclass(frozen=True)
class TargetFit:
    """Forests of four fifths of the real rows each. `fit_target` makes one."""

    place: int
    """The target's column."""
    is_level: bool
    forests: tuple[RandomForestClassifier | RandomForestRegressor, ...]

    def __call__(self, cells: Floats) -> Floats:
        """The numbers of rows that no forest has seen, their mean over the forests: float64 [n_rows]."""
        return np.mean([_said(forest, cells, self.place, self.is_level) for forest in self.forests], axis=0)


def fit_target(cells: Floats, place: int, *, is_level: bool, seed: int) -> tuple[TargetFit, Floats]:
    """The judge of other rows, and the numbers of these rows themselves, of forests that have not seen them.

    cells: float64 [n_rows, n_columns], levels as codes, NaN where missing; five rows at least.
    """
    own, forests = np.zeros(len(cells)), []
    for repeat in range(N_REPEATS):
        parts = KFold(N_FOLDS, shuffle=True, random_state=_state(seed, repeat)).split(cells)
        for number, (seen, asked) in enumerate(parts):
            forest = _forest(cells[seen], place, is_level, _state(seed, repeat, number))
            own[asked] += _said(forest, cells[asked], place, is_level) / N_REPEATS
            if number == 0:
                forests.append(forest)
    return TargetFit(place, is_level, tuple(forests)), own


def _forest(
    cells: Floats, place: int, is_level: bool, state: int
) -> RandomForestClassifier | RandomForestRegressor:
    kind = RandomForestClassifier if is_level else RandomForestRegressor
    forest = kind(N_TREES, min_samples_leaf=LEAST_LEAF, random_state=state)
    target = _codes(cells[:, place]) if is_level else cells[:, place]
    return forest.fit(np.delete(cells, place, axis=1), target)


def _said(
    forest: RandomForestClassifier | RandomForestRegressor, cells: Floats, place: int, is_level: bool
) -> Floats:
    """What one forest says of rows that it has not seen."""
    others = np.delete(cells, place, axis=1)
    if not is_level:
        return np.asarray(cells[:, place] - forest.predict(others))
    chances = forest.predict_proba(others)
    # A level that no row of the forest has is as good as impossible.
    same = _codes(cells[:, place])[:, None] == forest.classes_[None, :]
    return np.log((chances * same).sum(axis=1) + LEAST_CHANCE)


def _codes(levels: Floats) -> NDArray[np.intp]:
    return np.nan_to_num(levels, nan=_MISSING).astype(np.intp)


def _state(seed: int, *purpose: int) -> int:
    return int(np.random.default_rng([seed, *purpose]).integers(2**31))

"""How well the target of a row fits its other columns, as forests of real rows say.

What enters is rows as trees see them, one column of which is the target; what leaves is one number a row, the higher
the better it fits: of an amount (or a text's length) minus the distance to what is expected, in standard deviations, of
a level the logarithm of its probability. An amount that is missing has no number. Forests read ranks among the real
rows' values, to whatever power of ten a table's units go.
Trees that tell real rows from made ones split on one column at a time, so that of a hundred rows they do not see what
shows in three columns together, such as that smokers above some weight cost twice as much; forests that are asked for
the target alone do, and with their number in a column it takes one split.

Real rows are judged by forests that have not seen them. That makes a difference by itself where equal rows abound: each
real row is missing from its own count, so that it fits a little less well than an equal row that was made. So trees may
only take a better fit for a sign of a real row, never for one of a made row; and made rows from which trees learn are
judged by a fold of the forests each, as real ones are, lest all that are equal have one number which no real row has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import KFold

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Forest: TypeAlias = RandomForestClassifier | RandomForestRegressor
STREAM_TARGET_FIT = 709
N_FOLDS, N_REPEATS = 5, 5
N_TREES, LEAST_LEAF = 60, 3
MOST_SHOWN = 1000
"""A tree sees so many rows at most: what a fit costs is bounded."""
LEAST_CHANCE = 0.01
"""Added to every probability: below it forests of some hundred rows know nothing."""
_MISSING = -1
"""The code of a missing level, a class of its own."""
_FOLDS, _FOREST, _OTHERS = 0, 1, 2
"""What random numbers are for."""


@dataclass(frozen=True)
class TargetFit:
    """Forests of four fifths of the real rows each, one of each repeat. `fit_target` makes one."""

    columns: _Columns
    forests: tuple[Forest, ...]

    def __call__(self, cells: Floats) -> Floats:
        """The numbers of rows that are no training rows: float64 [n_rows]."""
        asked, total = self.columns.of(cells), np.zeros(len(cells))
        for forest in self.forests:  # one after another: a row's sum must not depend on the rows beside it
            total += asked.said(forest)
        return total / N_REPEATS


def fit_target(
    cells: Floats, made: Floats, place: int, *, is_level: bool, seed: int
) -> tuple[TargetFit, Floats, Floats]:
    """The judge of further rows; the numbers of these real rows themselves, of forests that have not seen them; and
    those of the made rows, each by one fold of each repeat, drawn by lot.

    cells, made: float64 [n_rows, n_columns], levels as codes, NaN where missing; place: the target's column. N_FOLDS
    real rows whose target is known at least (`is_known`).
    """
    columns = _Columns.learnt(cells, place, is_level)
    real, others = columns.of(cells), columns.of(made)
    known = np.flatnonzero(is_known(cells[:, place], is_level=is_level))
    of_real, of_made = np.full(len(cells), np.nan), np.zeros(len(made))
    of_real[known] = 0.0
    kept = []
    for repeat in range(N_REPEATS):
        state = _state(seed, _FOLDS, repeat)
        lots = _rng(seed, _OTHERS, repeat).integers(N_FOLDS, size=len(made))
        for fold, (seen, held) in enumerate(KFold(N_FOLDS, shuffle=True, random_state=state).split(known)):
            forest = real.take(known[seen]).forest(_state(seed, _FOREST, repeat, fold))
            of_real[known[held]] += real.take(known[held]).said(forest)
            mine = np.flatnonzero(lots == fold)
            of_made[mine] += others.take(mine).said(forest)
            if fold == 0:
                kept.append(forest)
    return TargetFit(columns, tuple(kept)), of_real / N_REPEATS, of_made / N_REPEATS


def is_known(target: Floats, *, is_level: bool) -> Bools:
    """Whose target can be expected: that a level is missing can be, a missing amount is no amount. bool [n_rows]"""
    return np.ones(len(target), dtype=bool) if is_level else ~np.isnan(target)


@dataclass(frozen=True)
class _Columns:
    """How forests read rows."""

    place: int
    is_level: bool
    values: tuple[Floats, ...]
    """Of each other column, the real rows' values, ascending, NaN last."""
    scale: tuple[float, float]
    """Mean and standard deviation of the target's amounts."""

    @classmethod
    def learnt(cls, cells: Floats, place: int, is_level: bool) -> _Columns:
        target = cells[:, place]
        spread = 0.0 if is_level else float(np.nanstd(target))
        scale = (float(np.nanmean(target)), spread) if spread > 0 else (0.0, 1.0)
        values = tuple(np.sort(column) for column in np.delete(cells, place, axis=1).T)
        return cls(place, is_level, values, scale)

    def of(self, cells: Floats) -> _Asked:
        others = np.delete(cells, self.place, axis=1)
        # A value between two of the real rows' stands between their ranks.
        ranks = [
            np.searchsorted(values, column, "left") + np.searchsorted(values, column, "right")
            for values, column in zip(self.values, others.T, strict=True)
        ]
        target = cells[:, self.place]
        if self.is_level:
            return _Asked(np.column_stack(ranks), np.nan_to_num(target, nan=_MISSING), True)
        return _Asked(np.column_stack(ranks), (target - self.scale[0]) / self.scale[1], False)


@dataclass(frozen=True)
class _Asked:
    """Rows as forests read them."""

    others: Ints
    target: Floats
    is_level: bool

    def take(self, numbers: Ints) -> _Asked:
        return _Asked(self.others[numbers], self.target[numbers], self.is_level)

    def forest(self, state: int) -> Forest:
        """A forest of these rows. Of an amount's forecast each split looks at all columns, of a level's at a few: the
        library's defaults."""
        kind = RandomForestClassifier if self.is_level else RandomForestRegressor
        n_shown = min(MOST_SHOWN, len(self.target))
        forest = kind(N_TREES, min_samples_leaf=LEAST_LEAF, max_samples=n_shown, random_state=state)
        return forest.fit(self.others, self.target)

    def said(self, forest: Forest) -> Floats:
        """What one forest says of these rows: float64 [n_rows]."""
        if not len(self.target):
            return np.zeros(0)
        if not self.is_level:
            return -np.abs(self.target - forest.predict(self.others))
        # A level that no row of the forest has is as good as impossible.
        same = self.target[:, None] == forest.classes_[None, :]
        return np.log((forest.predict_proba(self.others) * same).sum(axis=1) + LEAST_CHANCE)


def _state(seed: int, *purpose: int) -> int:
    return int(_rng(seed, *purpose).integers(2**31))


def _rng(seed: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, STREAM_TARGET_FIT, *purpose])

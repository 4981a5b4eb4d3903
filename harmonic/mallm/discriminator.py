"""The discriminator: how far synthetic rows are from the training rows, and by which columns one tells.

What enters is the training rows and some synthetic ones; what leaves is a `Judgement`: how well boosted trees tell
them apart, and what cheap ways to fool the trees would cost. Trees alone reward copies, which are real rows, and do not
mind a class balance that drifts by ten points; the published loop suffers from both. One AUC of a hundred rows is good
to +-.04, far more than one edit of a prompt changes. So candidates are judged on the same real rows in the same folds,
and compared fold by fold: what they share cancels out. No test row ever comes here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from harmonic.errors import HarmonicError
from harmonic.evaluation.codes import Codebook, Codes, stack
from harmonic.evaluation.figures import compare
from harmonic.evaluation.twosample import tree_features
from harmonic.table.cells import to_rows
from harmonic.table.classes import Classes
from harmonic.table.schema import Row, Schema

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
STREAM_JUDGE = 701
N_FOLDS = 5
N_ROUNDS, RATE = 30, 0.2
"""Half the trees at twice the rate: a judgement is asked for dozens of times a step."""
LEAST_LEAF = 3
"""Rows a leaf at least; more where there are more: the default of twenty would leave trees of fifty rows blind."""
N_SHUFFLES = 3


@dataclass(frozen=True)
class Judgement:
    """How far rows are from real ones; 0 is best in every part."""

    tells: Floats
    """|AUC - .5| of each fold, [n_repeats * 5]: the same folds for all candidates of one discriminator."""
    copies: float
    """Share of the rows that equal a training row, beyond the share of training rows that have a twin."""
    repeats: float
    """Share of the rows that equal an earlier one, beyond the same share of the training rows."""
    drift: float
    """Total variation between the classes of the target and those of the training rows; 0 without a target."""
    error: float = 0.0
    """The standard error of the mean of `tells` that other rows of the same candidate would show (DeLong 1988)."""

    @property
    def penalty(self) -> float:
        """What is added to how well trees tell."""
        return self.copies + self.repeats + self.drift

    @property
    def score(self) -> float:
        return float(np.mean(self.tells)) + self.penalty

    def ahead_of(self, other: Judgement) -> tuple[float, float]:
        """(by how much this one's score is lower, its standard error): paired, fold by fold.

        The error is that of the folds or that of drawing other rows, whichever is larger: folds share the rows, so they
        alone would call every lucky draw of a hundred rows a better graph.
        """
        gaps = other.tells - self.tells
        of_folds = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
        error = max(of_folds, float(np.hypot(self.error, other.error)))
        return float(np.mean(gaps)) + other.penalty - self.penalty, error


class Discriminator:
    """Judges candidates against one set of training rows. Raises HarmonicError for fewer than ten of them."""

    def __init__(self, train: pd.DataFrame, schema: Schema, *, seed: int, n_repeats: int = 3) -> None:
        if len(train) < 2 * N_FOLDS:
            raise HarmonicError(
                f"Discriminator: {len(train)} training rows, expected {2 * N_FOLDS} at least: each of {N_FOLDS} folds "
                "needs some. Give more rows."
            )
        self.schema = schema
        self.seed = seed
        self.n_repeats = n_repeats
        self._book = Codebook(schema, [train])
        self._real = self._book.encode(train)
        self._real_rows = rows = to_rows(train, schema)
        self._rows, counts = set(rows), Counter(rows)
        self._twins = sum(count for count in counts.values() if count > 1) / len(rows)
        self._repeats = 1.0 - len(counts) / len(rows)
        self._classes = Classes(rows, schema)

    def judge(self, made: pd.DataFrame) -> Judgement:
        """The judgement on synthetic rows; candidates of equal length are judged alike, fold by fold.

        Raises HarmonicError for fewer than ten rows.
        """
        rows = to_rows(made, self.schema)
        with threadpool_limits(1):  # some hundred rows: threads would wait for each other
            placed = [fold.placements() for fold in self._folds(self._encode(made), self.n_repeats)]
        return Judgement(
            np.array([abs(np.mean(found) - 0.5) for found in placed]),
            max(0.0, sum(row in self._rows for row in rows) / len(rows) - self._twins),
            max(0.0, 1.0 - len(set(rows)) / len(rows) - self._repeats),
            self._drift(rows),
            _row_error(placed, self.n_repeats),
        )

    def told_by(self, made: pd.DataFrame, most: int = 4) -> list[str]:
        """Labels of the columns by which the trees tell, the most telling first: those whose cells, shuffled among the
        rows that a fold is tested on, cost it AUC (Breiman 2001)."""
        with threadpool_limits(1):
            folds = self._folds(self._encode(made), 1)
            drops = [self._drops(fold, number) for number, fold in enumerate(folds)]
        mean, spread = np.mean(drops, axis=0), np.std(drops, axis=0) / np.sqrt(len(drops))
        telling = [
            int(column) for column in np.argsort(-mean, kind="stable") if mean[column] > spread[column]
        ]
        return [self.schema.modelled[column].label for column in telling[:most]]

    def _drops(self, fold: _Fold, number: int) -> Floats:
        """By how much each column's cells, shuffled, lower a fold's AUC: float64 [n_columns]."""
        rng, n_columns = (
            np.random.default_rng([self.seed, STREAM_JUDGE, 1, number]),
            len(self.schema.modelled),
        )
        shuffled = [
            _shuffled(fold.asked, column, rng) for column in range(n_columns) for _ in range(N_SHUFFLES)
        ]
        whole, *others = fold.aucs([fold.asked, *shuffled])
        return np.asarray(whole - np.reshape(others, (n_columns, N_SHUFFLES)).mean(axis=1))

    def _encode(self, made: pd.DataFrame) -> Codes:
        if len(made) < 2 * N_FOLDS:
            raise HarmonicError(
                f"Discriminator: {len(made)} synthetic rows, expected {2 * N_FOLDS} at least. Draw more rows."
            )
        return self._book.encode(made, strict=False)

    def _folds(self, made: Codes, n_repeats: int) -> list[_Fold]:
        """Fitted folds of each repeat: as many real rows as synthetic ones."""
        n = min(len(self._real), len(made))
        labels, folds = np.repeat([0.0, 1.0], n), []
        for repeat in range(n_repeats):
            rng = np.random.default_rng([self.seed, STREAM_JUDGE, 0, repeat])
            both = stack(self._real.take(_some(len(self._real), n, rng)), made.take(_some(len(made), n, rng)))
            state = int(rng.integers(2**31))
            parts = StratifiedKFold(N_FOLDS, shuffle=True, random_state=state).split(labels, labels)
            folds += [_Fold(both, seen, asked, labels, state) for seen, asked in parts]
        return folds

    def _drift(self, made: Sequence[Row]) -> float:
        real, found = (np.bincount(self._classes.of(part)) for part in (self._real_rows, made))
        n = max(len(real), len(found))
        shares = [np.pad(part, (0, n - len(part))) / part.sum() for part in (real, found)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)


class _Fold:
    """Trees fitted on most rows, and the rows they are asked about."""

    def __init__(self, both: Codes, seen: Ints, asked: Ints, labels: Floats, state: int) -> None:
        known, self.asked = tree_features(both.measures[seen], both.measures[asked])
        self._is_made = labels[asked] == 1.0
        leaf = max(LEAST_LEAF, len(seen) // 50)
        trees = HistGradientBoostingClassifier(
            max_iter=N_ROUNDS,
            learning_rate=RATE,
            min_samples_leaf=leaf,
            categorical_features=both.is_level,
            early_stopping=False,
            random_state=state,
        )
        self._trees = trees.fit(known, labels[seen])

    def placements(self) -> Floats:
        """For each synthetic row asked about, the share of real ones that look less so; their mean is the AUC."""
        (scores,) = self._scores([self.asked])
        made, real = scores[self._is_made], scores[~self._is_made]
        return np.asarray((made[:, None] > real).mean(axis=1) + (made[:, None] == real).mean(axis=1) / 2)

    def aucs(self, variants: Sequence[Floats]) -> list[float]:
        """How well the trees tell by each of these features of the rows asked about."""
        return [
            compare(scores[self._is_made], scores[~self._is_made]).auc for scores in self._scores(variants)
        ]

    def _scores(self, variants: Sequence[Floats]) -> Floats:
        """float64 [n_variants, n_asked]: asked at once, for a question costs more than its rows."""
        found = self._trees.predict_proba(np.concatenate(variants))[:, 1]
        return np.asarray(found.reshape(len(variants), -1))


def _row_error(placed: Sequence[Floats], n_repeats: int) -> float:
    """The standard error over synthetic rows of their mean placement; repeats place the same rows once more."""
    found = np.concatenate(placed)
    n_rows = len(found) / n_repeats
    return float(np.std(found, ddof=1) / np.sqrt(n_rows))


def _some(n_rows: int, n: int, rng: np.random.Generator) -> Ints:
    return np.sort(rng.choice(n_rows, size=n, replace=False))


def _shuffled(features: Floats, column: int, rng: np.random.Generator) -> Floats:
    moved = features.copy()
    moved[:, column] = rng.permutation(moved[:, column])
    return moved

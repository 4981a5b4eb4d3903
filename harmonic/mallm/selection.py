"""Selection: rows are taken by how real the discriminator finds them.

What enters is the training rows and a pool of rows that the generator wrote; what leaves is a weight for any row, with
which a draw is taken (`candidates`). A discriminator knows how many times likelier a row is among real rows than among
the generator's, and a generator whose rows are taken in that ratio writes the real law (discriminator rejection
sampling, Azadi et al. 2019): a prompt cannot say that two columns depend on each other, but rows that break it are
seldom taken. Of few rows trees learn luck, too. So they grow only as long as training rows that they have not seen
say that the ratio gets better, which may be not at all, and a ratio beyond that of the pool's top twentieth counts no
further. No held-out row comes here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from harmonic.evaluation.codes import Codebook, Codes, stack
from harmonic.evaluation.twosample import tree_features
from harmonic.table.cells import from_rows
from harmonic.table.schema import Row, Schema

Floats = NDArray[np.float64]
STREAM_SELECTION = 708
POOL, FEWEST_POOL, MOST_POOL = 4, 200, 2000
"""The pool holds so many rows for each training row, within these bounds."""
MOST_ROUNDS, RATE, DEPTH = 150, 0.1, 3
N_FOLDS, N_REPEATS, N_BAGS = 5, 2, 5
CAP = 0.95
"""Ratios above this quantile of the pool's are as good as it."""
_LEAST = 1e-6


def pool_size(n_train: int) -> int:
    """How many rows the generator writes for the discriminator to learn from."""
    return int(np.clip(POOL * n_train, FEWEST_POOL, MOST_POOL))


@dataclass(frozen=True)
class Selection:
    """What the discriminator has learnt. `select` makes one."""

    schema: Schema
    book: Codebook
    seen: Floats
    trees: tuple[HistGradientBoostingClassifier, ...]
    """A few of them, whose log-ratios are averaged; none where no tree was of use: all rows are taken."""
    cap: float
    n_rounds: int
    loss: float
    """Cross-entropy of rows not seen, nats a row, real and made ones weighing the same: log 2 = cannot tell."""
    rate: float
    """The share of draws that is taken, of the pool's."""

    def __call__(self, rows: Sequence[Row]) -> Floats:
        """The natural logarithm of the probability with which each row is taken: float64 [n_rows]."""
        if not self.trees:
            return np.zeros(len(rows))
        measures = self.book.encode(from_rows(rows, self.schema)).measures
        return np.minimum(0.0, _log_ratio(self.trees, tree_features(self.seen, measures)[1]) - self.cap)

    def facts(self) -> dict[str, float]:
        """What it found, as plain data."""
        return {"rounds": self.n_rounds, "loss": self.loss, "rate": self.rate}

    def to_words(self) -> str:
        """What it found, as one sentence."""
        if not self.trees:
            return "Selection: training rows not seen say that no tree helps; every draw is taken."
        return (
            f"Selection: trees of {self.n_rounds} rounds, which tell rows not seen by {self.loss:.3f} nats "
            f"(0.693: cannot tell); {100 * self.rate:.0f} % of the draws are taken."
        )


def select(train: pd.DataFrame, pool: Sequence[Row], schema: Schema, *, seed: int) -> Selection:
    """What tells training rows from rows of the generator; five of either at least."""
    made = from_rows(pool, schema)
    book = Codebook(schema, [train, made])
    both = stack(book.encode(train), book.encode(made))
    is_real = np.repeat([1.0, 0.0], [len(train), len(pool)])
    weights = np.where(is_real == 1.0, len(pool) / len(train), 1.0)
    with threadpool_limits(1):  # some hundred rows: threads would wait for each other
        losses = np.mean(list(_held_out(both, is_real, weights, seed)), axis=0)
        n_rounds = int(np.argmin(losses))
        features, _ = tree_features(both.measures, both.measures)
        trees = tuple(
            _trees(both, n_rounds, state).fit(features, is_real, sample_weight=weights)
            for state in (_states(seed, N_BAGS, 1) if n_rounds else ())
        )
        ratios = _log_ratio(trees, features[is_real == 0.0]) if trees else np.zeros(len(pool))
    cap = float(np.quantile(ratios, CAP))
    rate = float(np.exp(np.minimum(0.0, ratios - cap)).mean())
    return Selection(schema, book, both.measures, trees, cap, n_rounds, float(losses[n_rounds]), rate)


def _held_out(both: Codes, is_real: Floats, weights: Floats, seed: int) -> Iterator[Floats]:
    """Of each fold of each repeat, the loss of its rows after 0, 1, 2, ... rounds: float64 [MOST_ROUNDS + 1]."""
    for state in _states(seed, N_REPEATS, 0):
        parts = StratifiedKFold(N_FOLDS, shuffle=True, random_state=state).split(is_real, is_real)
        for seen, asked in parts:
            known, unknown = tree_features(both.measures[seen], both.measures[asked])
            trees = _trees(both, MOST_ROUNDS, state).fit(known, is_real[seen], sample_weight=weights[seen])
            chances = np.array([found[:, 1] for found in trees.staged_predict_proba(unknown)])
            right = np.where(is_real[asked] == 1.0, chances, 1.0 - chances)
            losses = -np.average(np.log(np.maximum(right, _LEAST)), axis=1, weights=weights[asked])
            yield np.concatenate([[np.log(2.0)], losses])


def _trees(both: Codes, n_rounds: int, state: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=n_rounds,
        learning_rate=RATE,
        max_depth=DEPTH,
        max_features=0.5,
        l2_regularization=1.0,
        categorical_features=both.is_level,
        early_stopping=False,
        random_state=state,
    )


def _log_ratio(trees: Sequence[HistGradientBoostingClassifier], features: Floats) -> Floats:
    return np.asarray(np.mean([one.decision_function(features) for one in trees], axis=0))


def _states(seed: int, n: int, purpose: int) -> list[int]:
    return np.random.default_rng([seed, STREAM_SELECTION, purpose]).integers(2**31, size=n).tolist()

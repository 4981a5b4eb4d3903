"""Selection: rows are taken by how real the discriminator finds them.

What enters is the training rows and a pool of rows that the generator wrote; what leaves is a weight for any row, with
which a draw is taken (`candidates`). A discriminator knows how many times likelier a row is among real rows than among
the generator's, and a generator whose rows are taken in that ratio writes the real law (discriminator rejection
sampling, Azadi et al. 2019): a prompt cannot say that two columns depend on each other, but rows that break it are
seldom taken. Of few rows trees learn luck, too. So the mean of several is taken, each from another part of the pool;
they grow only as long as training rows that they have not seen say that the ratio gets better, which may be not at
all; and a ratio beyond that of the pool's top twentieth counts no further. No held-out row comes here.
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
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
STREAM_SELECTION = 708
POOL, FEWEST_POOL, MOST_POOL = 20, 500, 2000
"""The pool holds so many rows for each training row, within these bounds."""
SHOWN = 4
"""Trees learn from so many rows of the pool for each training row: many more would leave a leaf next to no real one."""
MOST_ROUNDS, RATE, DEPTH = 150, 0.1, 3
N_FOLDS, N_REPEATS = 5, 2
N_BAGS, N_BAGS_OF_FOLD = 10, 3
CAP = 0.95
"""Ratios above this quantile of the pool's are as good as it."""


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
    """Those whose log-ratios are averaged; none where no tree was of use: all rows are taken."""
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


def select(
    train: pd.DataFrame,
    pool: Sequence[Row],
    schema: Schema,
    *,
    seed: int,
    found: tuple[int, float] | None = None,
) -> Selection:
    """What tells training rows from rows of the generator; five of either at least.

    found: the rounds and their loss, where these rows were asked before; None = they are looked for.
    """
    made = from_rows(pool, schema)
    book = Codebook(schema, [train, made])
    both = stack(book.encode(train), book.encode(made))
    is_real = np.repeat([True, False], [len(train), len(pool)])
    everything = np.arange(len(is_real))
    features, _ = tree_features(both.measures, both.measures)
    with threadpool_limits(1):  # some hundred rows: threads would wait for each other
        n_rounds, loss = found or _best_rounds(both, is_real, seed)
        trees = _bag(both, features, is_real, everything, n_rounds, [seed, 1], N_BAGS) if n_rounds else ()
        ratios = _log_ratio(trees, features[~is_real]) if trees else np.zeros(len(pool))
    cap = float(np.quantile(ratios, CAP))
    rate = float(np.exp(np.minimum(0.0, ratios - cap)).mean())
    return Selection(schema, book, both.measures, trees, cap, n_rounds, loss, rate)


def _best_rounds(both: Codes, is_real: Bools, seed: int) -> tuple[int, float]:
    losses = np.mean(list(_held_out(both, is_real, seed)), axis=0)
    return int(np.argmin(losses)), float(np.min(losses))


def _held_out(both: Codes, is_real: Bools, seed: int) -> Iterator[Floats]:
    """Of each fold of each repeat, the loss of its rows after 0, 1, 2, ... rounds: float64 [MOST_ROUNDS + 1]."""
    for repeat in range(N_REPEATS):
        state = _states([seed, 0, repeat], 1)[0]
        parts = StratifiedKFold(N_FOLDS, shuffle=True, random_state=state).split(is_real, is_real)
        for number, (seen, asked) in enumerate(parts):
            known, unknown = tree_features(both.measures, both.measures[asked])
            key = [seed, 2, repeat, number]
            trees = _bag(both, known, is_real, seen, MOST_ROUNDS, key, N_BAGS_OF_FOLD)
            ratios = np.mean([list(one.staged_decision_function(unknown)) for one in trees], axis=0)
            ratios = ratios.reshape(MOST_ROUNDS, len(asked))
            signs, n_real = np.where(is_real[asked], 1.0, -1.0), int(is_real[asked].sum())
            weights = np.where(is_real[asked], 0.5 / n_real, 0.5 / (len(asked) - n_real))
            yield np.concatenate([[np.log(2.0)], np.logaddexp(0.0, -signs * ratios) @ weights])


def _bag(
    both: Codes, features: Floats, is_real: Bools, seen: Ints, n_rounds: int, key: Sequence[int], n: int
) -> tuple[HistGradientBoostingClassifier, ...]:
    """n fits on the real rows among `seen` and as many others of them as trees can use, drawn anew for each."""
    real, made = seen[is_real[seen]], seen[~is_real[seen]]
    n_shown = min(len(made), SHOWN * len(real))
    found = []
    for state in _states(key, n):
        shown = np.concatenate([real, np.random.default_rng(state).choice(made, n_shown, replace=False)])
        weights = np.where(is_real[shown], n_shown / len(real), 1.0)
        trees = _trees(both, n_rounds, state)
        found.append(trees.fit(features[shown], is_real[shown], sample_weight=weights))
    return tuple(found)


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


def _states(key: Sequence[int], n: int) -> list[int]:
    seed, *purpose = key
    return np.random.default_rng([seed, STREAM_SELECTION, 1, *purpose]).integers(2**31, size=n).tolist()

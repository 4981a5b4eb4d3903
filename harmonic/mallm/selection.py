"""Selection: rows are taken by how real the discriminator finds them.

What enters is the training rows and a pool of rows that the generator wrote; what leaves is a weight for any row, with
which a draw is taken (`candidates`). A discriminator knows how many times likelier a row is among real rows than among
the generator's, and a generator whose rows are taken in that ratio writes the real law (discriminator rejection
sampling, Azadi et al. 2019): a prompt cannot say that two columns depend on each other, but rows that break it are
seldom taken. That holds for the rows of one call; calls write as many rows as they are asked for, whatever they show.
Of few rows trees learn luck, too. So the mean of several is taken, each from another part of the pool where that is
large; they grow only as long as training rows that they have not seen say that the ratio gets better, which may be not
at all; every other one sees how well the target fits the other columns, too (`target_fit`); a ratio beyond that of the
pool's top twentieth counts no further; classes that the generator chooses are taken in their shares (`balance`); and a
draw that equals a training row weighs what it does for trees that have not seen that row: copies look real to those
that have. No held-out row comes here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from harmonic.mallm.balance import Balance, balance_of, cap_of
from harmonic.mallm.features import Features
from harmonic.mallm.trees import Boosted, Labelled, log_ratio, states
from harmonic.table.cells import from_rows, to_rows
from harmonic.table.schema import Row, Schema

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
MOST_ROUNDS = 150
FEWEST_TRAIN = 30
"""Of fewer training rows trees learn nothing but luck, even where rows that they have not seen seem to say otherwise:
of 25 rows of the network asia, selected draws were farther from its law."""
N_FOLDS, N_REPEATS = 5, 2
N_BAGS, N_BAGS_OF_FOLD = 10, 4
LEAST_GAIN = 0.001
"""Trees that tell rows not seen by less than this, in nats, are of no use."""


@dataclass(frozen=True)
class Growth:
    """How far trees may grow, as training rows that they have not seen say."""

    rounds: int
    loss: float
    """Cross-entropy of rows not seen, nats a row, real and made ones weighing the same: log 2 = cannot tell."""
    held_out: tuple[float, ...]
    """Of each training row, the log-ratio that trees give it that have not seen it."""


@dataclass(frozen=True)
class DensityRatio:
    """How many times likelier rows are among real ones than among the generator's."""

    schema: Schema
    features: Features
    """How trees see rows."""
    trees: tuple[Boosted, ...]
    """Those whose log-ratios are averaged."""
    known: Mapping[Row, float]
    """The log-ratios of training rows, of trees that have not seen them; of equal rows their mean."""

    def __call__(self, rows: Sequence[Row]) -> Floats:
        """Its natural logarithm: float64 [n_rows]."""
        found = self.of_trees(from_rows(rows, self.schema))
        return np.array([self.known.get(row, ratio) for row, ratio in zip(rows, found, strict=True)])

    def of_trees(self, rows: pd.DataFrame) -> Floats:
        """The same, of trees that may have seen the rows."""
        return log_ratio(self.trees, self.features.of(rows))


@dataclass(frozen=True)
class Selection:
    """What the discriminator has learnt. `select` makes one."""

    growth: Growth
    ratio: DensityRatio | None
    """None where no tree was of use."""
    cap: float
    balance: Balance | None
    """None where classes are not to be balanced."""
    rate: float
    """The share of the pool that would be taken."""

    def __call__(self, rows: Sequence[Row]) -> Floats:
        """The natural logarithm of the probability with which each row is taken: float64 [n_rows]."""
        ratios = self._ratios(rows)
        return np.minimum(0.0, ratios - self.cap) if self.balance is None else self.balance(rows, ratios)

    def of_given_class(self, rows: Sequence[Row]) -> Floats:
        """The same for rows whose class was asked for."""
        return self(rows) if self.balance is None else self.balance(rows, self._ratios(rows), is_given=True)

    @property
    def takes_all(self) -> bool:
        """Whether no row is ever refused, so that nothing need be weighed."""
        return self.ratio is None and self.balance is None

    def facts(self) -> dict[str, Any]:
        """What it found, as plain data."""
        return {
            "rounds": self.growth.rounds,
            "loss": self.growth.loss,
            "rate": self.rate,
            "held_out": list(self.growth.held_out),
        }

    def to_words(self) -> str:
        """What it found, in a sentence or two."""
        found = "Selection: training rows not seen say that no tree helps; "
        if self.ratio is not None:
            found = (
                f"Selection: trees of {self.growth.rounds} rounds, which tell rows not seen by "
                f"{self.growth.loss:.3f} nats (0.693: cannot tell); "
            )
        took = (
            "every draw is taken."
            if self.takes_all
            else f"{100 * self.rate:.0f} % of the pool would be taken."
        )
        return found + took + ("" if self.balance is None else f" {self.balance.to_words()}")

    def _ratios(self, rows: Sequence[Row]) -> Floats:
        return np.zeros(len(rows)) if self.ratio is None else self.ratio(rows)


def select(
    train: pd.DataFrame,
    pool: Sequence[Row],
    schema: Schema,
    *,
    seed: int,
    growth: Growth | None = None,
    balances: bool = False,
) -> Selection:
    """What tells training rows from rows of the generator; five of either at least.

    growth: as it was found of these rows before; None = it is looked for. balances: classes of the target, which the
    schema then has, are to be taken in their shares among the training rows.
    """
    made = from_rows(pool, schema)
    growth, ratio = _density_ratio(train, made, schema, seed, growth)
    cap, rate, balance = 0.0, 1.0, None
    if ratio is not None:
        ratios = ratio.of_trees(made)
        cap = cap_of(ratios)
        rate = float(np.exp(np.minimum(0.0, ratios - cap)).mean())
    if balances:
        place = [column.name for column in schema.modelled].index(schema.target)
        ratios = np.zeros(len(pool)) if ratio is None else ratio(pool)
        balance = balance_of(to_rows(train, schema), pool, place, ratios)
        rate = float(np.exp(balance(pool, ratios)).mean())
    return Selection(growth, ratio, cap, balance, rate)


def _density_ratio(
    train: pd.DataFrame, made: pd.DataFrame, schema: Schema, seed: int, growth: Growth | None
) -> tuple[Growth, DensityRatio | None]:
    if growth is not None and not growth.rounds:
        return growth, None
    is_real = np.repeat([True, False], [len(train), len(made)])
    with threadpool_limits(1):  # some hundred rows: threads would wait for each other
        features = Features(schema, train, made, seed=states([seed, 3], 1)[0])
        cells = np.vstack([features.train, features.others])
        data = Labelled(cells, is_real, features.is_level, features.n_plain)
        growth = growth or _growth(data, seed)
        if not growth.rounds:
            return growth, None
        trees = data.bag(np.arange(len(is_real)), growth.rounds, [seed, 1], N_BAGS)
    known = _mean_of_twins(to_rows(train, schema), growth.held_out)
    return growth, DensityRatio(schema, features, trees, known)


def _mean_of_twins(rows: Sequence[Row], ratios: Sequence[float]) -> dict[Row, float]:
    found: dict[Row, list[float]] = {}
    for row, ratio in zip(rows, ratios, strict=True):
        found.setdefault(row, []).append(ratio)
    return {row: float(np.mean(some)) for row, some in found.items()}


def _growth(data: Labelled, seed: int) -> Growth:
    """After how many rounds rows not seen are told best."""
    losses, ratios = [], np.zeros((MOST_ROUNDS + 1, int(data.is_real.sum())))
    for asked, found in _held_out(data, seed):
        signs, n_real = np.where(data.is_real[asked], 1.0, -1.0), int(data.is_real[asked].sum())
        weights = np.where(data.is_real[asked], 0.5 / n_real, 0.5 / (len(asked) - n_real))
        losses.append(np.logaddexp(0.0, -signs * found) @ weights)
        ratios[:, asked[data.is_real[asked]]] += found[:, data.is_real[asked]] / N_REPEATS
    means = np.mean(losses, axis=0)
    best = int(np.argmin(means))
    rounds = best if means[best] < means[0] - LEAST_GAIN else 0
    return Growth(rounds, float(means[rounds]), tuple(ratios[rounds].tolist()))


def _held_out(data: Labelled, seed: int) -> Iterator[tuple[Ints, Floats]]:
    """Of each fold of each repeat, the rows asked about and their log-ratios after 0, 1, 2, ... rounds: float64
    [MOST_ROUNDS + 1, n_asked]. Real rows stand first among all rows."""
    for repeat in range(N_REPEATS):
        state = states([seed, 0, repeat], 1)[0]
        parts = StratifiedKFold(N_FOLDS, shuffle=True, random_state=state).split(data.is_real, data.is_real)
        for number, (seen, asked) in enumerate(parts):
            trees = data.bag(seen, MOST_ROUNDS, [seed, 2, repeat, number], N_BAGS_OF_FOLD)
            ratios = np.mean([list(one.stages(data.cells[asked])) for one in trees], axis=0)
            yield asked, np.vstack([np.zeros(len(asked)), ratios])

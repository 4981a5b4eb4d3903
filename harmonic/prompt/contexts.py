"""Contexts: which rows are shown and which are asked for, by one law in training and in sampling.

What enters is a list of rows (training rows, or synthetic rows of an earlier wave) with their nearest neighbours; what
leaves is an endless, seeded sequence of contexts. Each pass over the rows asks for every row exactly once, in fresh
company: were a row's neighbours simply added to it, rows in dense regions would be asked for too often. No context is a
fixed trigger for a memorised answer, and the contexts of sampling are unseen draws of the law of training. `paper` is
the published pairing: the five nearest rows in training, five random rows in sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmonic.table.schema import Row

Purpose = Literal["train", "val", "sample"]
Order = Literal["fixed", "target_first", "target_last", "target_either", "shuffled", "target_then_shuffled"]
"""In which order columns are written. `fixed`: as in the schema. `target_first`: the target before what may depend on
it, the others as in the schema; `target_last`: after all others, which predict it best; `target_either`: one or the
other, by turns. `shuffled`: in many random orders, so that no row is learnt by heart in one of them;
`target_then_shuffled`: the same behind the target."""
ONE_ORDER: tuple[Order, ...] = ("fixed", "target_first", "target_last")
"""Those that write all rows in one order, so that a model learns no other."""
_STREAMS: dict[Purpose, int] = {"train": 11, "val": 12, "sample": 13}
TURN = 16
"""So many contexts of training in a row write their columns in one random order: then a batch shares its header."""
N_ORDERS = 8
"""So many random orders take turns in sampling: their headers are read once for all rows."""


@dataclass(frozen=True, slots=True)
class ContextLaw:
    """How contexts are drawn; the run file's [prompt] section holds the same names."""

    contexts: Literal["neighbors", "random", "synthetic", "paper"] = "random"
    examples: int = 0
    """At most this many examples (k)."""
    fewest: int = 0
    """At least this many, where as many neighbours exist."""
    rows: int = 1
    """Rows asked for in one context."""
    pool: int = 1
    """Examples come from the nearest pool * k rows."""
    order: Order = "target_first"
    related: bool = True
    """Whether the rows of one context are neighbours of each other where they can be."""

    @property
    def shows_training_rows(self) -> bool:
        """Whether a prompt of sampling holds rows of the training table."""
        return self.contexts != "synthetic" and self.examples > 0


class Context(NamedTuple):
    """Row numbers of the examples shown and of the rows asked for, and the column order."""

    examples: tuple[int, ...]
    members: tuple[int, ...]
    order: tuple[int, ...]


class Contexts:
    """An endless sequence of contexts over `rows`; element i depends on (law, rows, seed, purpose, i) alone.

    asked: the rows that contexts ask for; None = `rows` themselves. neighbors: int [n_asked, p], the nearest of `rows`
    to each row asked for, itself and its twins excluded, -1 where fewer exist; None for `random`.
    target: the target's place among the columns.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        neighbors: NDArray[np.int64] | None,
        law: ContextLaw,
        *,
        seed: int,
        purpose: Purpose,
        asked: Sequence[Row] | None = None,
        target: int | None = None,
    ) -> None:
        self.rows = rows
        self.asked = rows if asked is None else asked
        self.law = law
        self.neighbors = neighbors
        # Neighbours point into `rows`: rows from elsewhere cannot be grouped by them.
        self._related = law.related and asked is None and neighbors is not None
        self._among = np.arange(len(self.asked))
        self._key = [seed, _STREAMS[purpose]]
        self._purpose: Purpose = purpose
        self._seed, self._target = seed, target
        twins: dict[Row, int] = {}
        self._twin = np.array([twins.setdefault(row, len(twins)) for row in rows], dtype=np.int64)
        self._asked_twin = np.array([twins.setdefault(row, len(twins)) for row in self.asked], dtype=np.int64)
        self._groups = lru_cache(maxsize=2)(self._make_groups)

    @property
    def per_pass(self) -> int:
        """How many contexts ask for every row once."""
        return -(-len(self._among) // self._size)

    @property
    def _size(self) -> int:
        return 1 if self.law.contexts == "paper" else min(self.law.rows, len(self._among))

    def __getitem__(self, index: int) -> Context:
        visit, number = divmod(index, self.per_pass)
        members = self._groups(visit)[number]
        rng = np.random.default_rng([*self._key, 1, index])
        return Context(self._examples(members, rng), members, self._order(index))

    def left_out(self, index: int) -> tuple[int, ...]:
        """Row numbers that chance kept out of the examples of context `index`, though they were as likely to be
        shown: the fair control for what a prompt gives away. Empty where all that could be shown were."""
        visit, number = divmod(index, self.per_pass)
        rng = np.random.default_rng([*self._key, 1, index])
        pool, wanted = self._pool(self._groups(visit)[number], rng)
        return tuple(pool[wanted:])

    def only(self, among: NDArray[np.int64]) -> Contexts:
        """Contexts that ask for some of the rows alone: int [n], their numbers."""
        chosen = copy(self)
        chosen._among = among
        chosen._groups = lru_cache(maxsize=2)(chosen._make_groups)
        return chosen

    def around(self, member: int, number: int) -> Context:
        """The context of one row asked for; it depends on `number`, and not on what else is asked for."""
        rng = np.random.default_rng([*self._key, 2, number])
        return Context(self._examples((member,), rng), (member,), self._order(number))

    def _make_groups(self, visit: int) -> list[tuple[int, ...]]:
        rng = np.random.default_rng([*self._key, 0, visit])
        order = self._among[rng.permutation(len(self._among))]
        size = self._size
        if size == 1 or not self._related:
            return [tuple(order[at : at + size].tolist()) for at in range(0, len(order), size)]
        return self._related_groups(order, size, rng)

    def _related_groups(
        self, order: NDArray[np.int64], size: int, rng: np.random.Generator
    ) -> list[tuple[int, ...]]:
        """Each group: an unvisited row, unvisited ones of its nearest, then unvisited rows at random."""
        assert self.neighbors is not None
        free = np.zeros(len(self.asked), dtype=bool)
        free[order] = True
        waiting = iter(order.tolist())
        groups: list[tuple[int, ...]] = []
        left = len(order)
        while left:
            anchor = next(row for row in waiting if free[row])
            free[anchor] = False
            near = self.neighbors[anchor]
            near = near[near >= 0]
            near = rng.permutation(near[free[near]])[: size - 1]
            free[near] = False
            members = [anchor, *near.tolist()]
            left -= len(members)
            while len(members) < size and left:
                other = next(row for row in waiting if free[row])
                free[other] = False
                members.append(other)
                left -= 1
            # The anchor's place must not tell which row it was.
            groups.append(tuple(rng.permutation(np.array(members)).tolist()))
        return groups

    def _examples(self, members: tuple[int, ...], rng: np.random.Generator) -> tuple[int, ...]:
        pool, wanted = self._pool(members, rng)
        return tuple(pool[:wanted])

    def _pool(self, members: tuple[int, ...], rng: np.random.Generator) -> tuple[list[int], int]:
        """The rows that may be shown, in random order, and how many of them are."""
        law = self.law
        if law.contexts == "paper":
            return self._paper_pool(members[0], rng), law.examples
        wanted = int(rng.integers(min(law.fewest, law.examples), law.examples + 1))
        if law.contexts == "random" or self.neighbors is None:
            pool = rng.choice(
                len(self.rows), size=min(len(self.rows), wanted + 2 * len(members)), replace=False
            )
        else:
            pool = self.neighbors[members[int(rng.integers(len(members)))]][: law.pool * law.examples]
            pool = rng.permutation(pool[pool >= 0])
        return self._without_twins(pool, members), wanted

    def _paper_pool(self, member: int, rng: np.random.Generator) -> list[int]:
        """In training the nearest rows, nearest first; in sampling random ones."""
        order, k = rng.permutation(len(self.rows)), self.law.examples
        if self._purpose == "sample":
            return [int(row) for row in order[: 2 * k]]
        if self.neighbors is None:
            return self._without_twins(order[: k + 1], (member,))
        near = self.neighbors[member]
        return [int(row) for row in near[near >= 0][:k]]

    def _without_twins(self, pool: NDArray[np.int64], members: tuple[int, ...]) -> list[int]:
        asked = {int(self._asked_twin[member]) for member in members}
        return [int(row) for row in pool if int(self._twin[row]) not in asked]

    def _order(self, index: int) -> tuple[int, ...]:
        n_columns = len(self.asked[0]) if self.asked else 0
        return column_order(
            self.law.order, n_columns, self._target, seed=self._seed, purpose=self._purpose, index=index
        )


def column_order(
    order: Order, n_columns: int, target: int | None, *, seed: int, purpose: Purpose, index: int
) -> tuple[int, ...]:
    """The order in which context `index` writes its columns; `target` is the target's place among them."""
    columns = np.arange(n_columns)
    if order in ("shuffled", "target_then_shuffled"):
        turn = index % N_ORDERS if purpose == "sample" else index // TURN
        columns = np.random.default_rng([seed, _STREAMS[purpose], 3, turn]).permutation(columns)
    if order == "fixed" or order == "shuffled" or target is None:
        return tuple(columns.tolist())
    others, is_last = columns[columns != target], order == "target_last"
    if order == "target_either":
        turn = index % N_ORDERS if purpose == "sample" else index // TURN
        is_last = turn % 2 == 1
    columns = np.concatenate([others, [target]] if is_last else [[target], others])
    return tuple(columns.tolist())


def last_columns(order: Order, n_columns: int, target: int | None) -> list[int]:
    """The columns that may be the last of a row."""
    if order in ("fixed", "target_first", "target_last", "target_either"):
        turns = (0, TURN) if order == "target_either" else (0,)
        found = (
            column_order(order, n_columns, target, seed=0, purpose="train", index=turn) for turn in turns
        )
        return sorted({columns[-1] for columns in found if columns})
    is_first = order == "target_then_shuffled" and n_columns > 1
    return [column for column in range(n_columns) if not (is_first and column == target)]

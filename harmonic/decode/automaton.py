"""Token automata: the language of a segment in a tokenizer's own ids.

What enters are nodes made bottom-up (`TokenNodes`; equal nodes are one); what leaves is a `TokenAutomaton`, flat arrays
that an engine can put on a device: from each state the sorted ids allowed next and the state after each. Every state
is reachable and can end, and every path is finite, so a decoder that follows the arrays always finishes a row. Free
text would need a copy of its states for each length; instead its edges have costs, and a path may spend only so much.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.bytes_automaton import trie

NONE = -1
"""The node, or state, that does not exist."""

_FEW = 8
"""Fewer edges than this are kept as plain integers."""

Ids = NDArray[np.int32] | Sequence[int]


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """Deterministic and trimmed; state 0 starts; every path that keeps within `limit` is finite.

    indptr: int32 [n_states + 1]; tokens, targets: int32 [n_edges], tokens sorted within a state; accepting: bool
    [n_states]; longest: the longest path in tokens; exact: whether it holds the tokenizer's own ids of each text and
    nothing else. Where it is not exact (free text), it also holds other ids of the same texts: check while drawing.
    costs: int32 [n_edges], None where all are 0; a path's costs add up to `limit` at most, and what remains is always
    enough to end.
    """

    indptr: NDArray[np.int32]
    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    accepting: NDArray[np.bool_]
    longest: int
    exact: bool = True
    costs: NDArray[np.int32] | None = None
    limit: int = 0

    @property
    def n_states(self) -> int:
        return len(self.accepting)

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """bool [n_states]: whether free text may go on from a state: nearly the whole vocabulary is allowed there."""
        return open_states(self.indptr, self.costs)

    def edges(self, state: int, spent: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids allowed in a state, sorted, and the states after them."""
        span = slice(self.indptr[state], self.indptr[state + 1])
        tokens, targets = self.tokens[span], self.targets[span]
        if self.costs is None:
            return tokens, targets
        fits = self.costs[span] <= self.limit - spent
        return tokens[fits], targets[fits]

    def step(self, state: int, token: int, spent: int = 0) -> tuple[int, int]:
        """(state, spent) after one id; state -1 where it is not allowed."""
        first = int(self.indptr[state])
        tokens = self.tokens[first : self.indptr[state + 1]]
        at = int(np.searchsorted(tokens, token))
        if at == len(tokens) or tokens[at] != token:
            return NONE, spent
        if self.costs is not None:
            spent += int(self.costs[first + at])
        return (int(self.targets[first + at]) if spent <= self.limit else NONE), spent

    def walk(self, ids: Sequence[int]) -> tuple[int, int]:
        """(state, spent) after these ids from the start; state -1 where one is not allowed."""
        state, spent = 0, 0
        for token in ids:
            if state < 0:
                break
            state, spent = self.step(state, token, spent)
        return state, spent

    def accepts(self, ids: Sequence[int]) -> bool:
        state, _ = self.walk(ids)
        return state >= 0 and bool(self.accepting[state])

    def draw(self, rng: np.random.Generator) -> list[int]:
        """A random accepted path: each next id, or the end, with equal chance."""
        ids: list[int] = []
        state, spent = 0, 0
        while True:
            tokens, _ = self.edges(state, spent)
            pick = int(rng.integers(len(tokens) + bool(self.accepting[state])))
            if pick == len(tokens):
                return ids
            ids.append(int(tokens[pick]))
            state, spent = self.step(state, ids[-1], spent)


def open_states(indptr: NDArray[np.int32], costs: NDArray[np.int32] | None) -> NDArray[np.bool_]:
    """bool [n_states]: which states have an edge that costs something."""
    if costs is None:
        return np.zeros(len(indptr) - 1, dtype=np.bool_)
    paid = np.append(0, np.cumsum(costs > 0))
    return paid[indptr[1:]] > paid[indptr[:-1]]  # type: ignore[no-any-return]


def fixed(ids: Sequence[int]) -> TokenAutomaton:
    """The automaton of one path: a given cell, or what opens and closes a row."""
    size = len(ids)
    return TokenAutomaton(
        indptr=np.minimum(np.arange(size + 2), size).astype(np.int32),
        tokens=np.array(ids, dtype=np.int32),
        targets=np.arange(1, size + 1, dtype=np.int32),
        accepting=np.arange(size + 1) == size,
        longest=size,
    )


class TokenNodes:
    """Nodes of acyclic token automata, made from the end backwards; equal nodes are one node."""

    def __init__(self) -> None:
        self._accepting: list[bool] = []
        self._tokens: list[Ids] = []
        self._targets: list[Ids] = []
        self._longest = array("i")
        self._ids: dict[Any, int] = {}

    def add(self, accepting: bool, tokens: Sequence[int], targets: Sequence[int]) -> int:
        """The node with these edges, tokens sorted; NONE if it neither ends nor goes on."""
        if not accepting and not tokens:
            return NONE
        if len(tokens) == 1:
            key: Any = (accepting, tokens[0], targets[0])
        else:
            key = (accepting, tuple(tokens), tuple(targets))
        found = self._ids.get(key)
        if found is None:
            longest = 1 + max([self._longest[target] for target in targets]) if targets else 0
            found = self._ids[key] = self._append(accepting, tokens, targets, longest)
        return found

    def add_array(
        self, accepting: bool, tokens: NDArray[np.int32], targets: NDArray[np.int32], share: bool = True
    ) -> int:
        """`add` for many edges; those to NONE are dropped. share=False spares the search for an equal node."""
        if (targets < 0).any():
            tokens, targets = tokens[targets >= 0], targets[targets >= 0]
        if len(tokens) < _FEW:
            return self.add(accepting, tokens.tolist(), targets.tolist())
        key: Any = (accepting, tokens.tobytes(), targets.tobytes()) if share else len(self._accepting)
        if key not in self._ids:
            longest = 1 + int(np.frombuffer(self._longest, dtype=np.int32)[targets].max())
            self._ids[key] = self._append(accepting, tokens, targets, longest)
        return self._ids[key]

    def add_path(self, ids: Sequence[int], node: int) -> int:
        """The node that reads these ids and goes on as `node`."""
        for token in reversed(ids):
            node = self.add(False, [token], [node]) if node != NONE else NONE
        return node

    def add_words(self, words: Sequence[Sequence[int]]) -> int:
        """The node that accepts exactly these sequences of ids."""
        return trie(sorted(set(map(tuple, words))), self.add)

    def union(self, one: int, other: int) -> int:
        """The node that accepts what either of two nodes accepts; recursion as deep as their paths agree."""
        if one == other or other == NONE:
            return one
        if one == NONE:
            return other
        edges = self._edges(one)
        theirs = self._edges(other)
        # The smaller side is walked in Python.
        if len(theirs[0]) > len(edges[0]):
            edges, theirs = theirs, edges
        tokens, targets = edges
        targets = targets.copy()
        fresh: list[tuple[int, int]] = []
        for token, target in zip(theirs[0].tolist(), theirs[1].tolist(), strict=True):
            at = int(np.searchsorted(tokens, token))
            if at < len(tokens) and tokens[at] == token:
                targets[at] = self.union(int(targets[at]), target)
            else:
                fresh.append((token, target))
        if fresh:
            added = np.array(fresh, dtype=np.int32).T
            tokens, targets = np.concatenate([tokens, added[0]]), np.concatenate([targets, added[1]])
            order = np.argsort(tokens)
            tokens, targets = tokens[order], targets[order]
        return self.add_array(self._accepting[one] or self._accepting[other], tokens, targets)

    def automaton(self, start: int) -> TokenAutomaton:
        """The automaton of a node."""
        reached = np.zeros(len(self._accepting), dtype=np.bool_)
        reached[start] = True
        for node in range(start, -1, -1):
            if reached[node]:
                reached[np.asarray(self._targets[node], dtype=np.int64)] = True
        # A node is made after those it leads to: descending order is topological.
        kept = np.flatnonzero(reached)[::-1].tolist()
        states = np.full(len(reached), NONE, dtype=np.int32)
        states[kept] = np.arange(len(kept), dtype=np.int32)
        degrees = [0, *(len(self._tokens[node]) for node in kept)]
        return TokenAutomaton(
            indptr=np.cumsum(degrees, dtype=np.int32),
            tokens=_flat([self._tokens[node] for node in kept]),
            targets=states[_flat([self._targets[node] for node in kept])],
            accepting=np.array([self._accepting[node] for node in kept], dtype=np.bool_),
            longest=self._longest[start],
        )

    def _edges(self, node: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        return np.asarray(self._tokens[node], dtype=np.int32), np.asarray(self._targets[node], dtype=np.int32)

    def _append(self, accepting: bool, tokens: Ids, targets: Ids, longest: int) -> int:
        self._accepting.append(accepting)
        self._tokens.append(tokens)
        self._targets.append(targets)
        self._longest.append(longest)
        return len(self._accepting) - 1


def _flat(parts: list[Ids]) -> NDArray[np.int32]:
    if any(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate([np.asarray(part, dtype=np.int32) for part in parts])
    return np.fromiter(chain.from_iterable(parts), dtype=np.int32)

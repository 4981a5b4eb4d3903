"""Acyclic automata over bytes: the exact language of one segment's text, before any tokenizer.

What enters are nodes, made bottom-up and shared where they are equal, so an automaton is minimal as soon as it is
built; what leaves is a `ByteAutomaton`, a plain transition table in topological order (every edge leads to a higher
state). Tokenizers come later: a table can be walked by a whole vocabulary at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

DEAD = 0
"""The node from which nothing can be accepted."""


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """Deterministic, trimmed and acyclic; state 0 starts; edges lead from lower to higher states.

    table: int32 [n_states, 256], the state after a byte or -1; accepting: bool [n_states].
    """

    table: NDArray[np.int32]
    accepting: NDArray[np.bool_]

    @property
    def n_states(self) -> int:
        return len(self.accepting)

    def walk(self, text: bytes, state: int = 0) -> int:
        """The state after `text`, -1 where it leaves the language."""
        for byte in text:
            if state < 0:
                break
            state = int(self.table[state, byte])
        return state

    def accepts(self, text: bytes) -> bool:
        state = self.walk(text)
        return state >= 0 and bool(self.accepting[state])

    @cached_property
    def counts(self) -> list[int]:
        """How many words each state can still accept; exact, whatever their number."""
        counts = [int(accepting) for accepting in self.accepting]
        for state in range(self.n_states - 1, -1, -1):
            counts[state] += sum(counts[to] for _, to in self.edges[state])
        return counts

    @property
    def n_words(self) -> int:
        return self.counts[0]

    def words(self, state: int = 0) -> Iterator[bytes]:
        """All words from `state` on, in byte order."""
        waiting = [(state, b"")]
        while waiting:
            state, text = waiting.pop()
            if self.accepting[state]:
                yield text
            waiting += [(to, text + bytes([byte])) for byte, to in reversed(self.edges[state])]

    @cached_property
    def edges(self) -> list[list[tuple[int, int]]]:
        """(byte, state after it) of each state, bytes ascending."""
        edges: list[list[tuple[int, int]]] = [[] for _ in range(self.n_states)]
        states, read = np.nonzero(self.table >= 0)
        for state, byte, to in zip(
            states.tolist(), read.tolist(), self.table[states, read].tolist(), strict=True
        ):
            edges[state].append((byte, to))
        return edges

    def draw(self, rng: np.random.Generator, state: int = 0) -> bytes:
        """A random word from `state` on: each next byte, or the end, with equal chance."""
        text = bytearray()
        while True:
            choices = self.edges[state]
            n_choices = len(choices) + bool(self.accepting[state])
            pick = int(rng.random() * n_choices) if n_choices > 1 else 0
            if pick == len(choices):
                return bytes(text)
            byte, state = choices[pick]
            text.append(byte)


class ByteNodes:
    """Nodes of acyclic automata, made from the end backwards; equal nodes are one node."""

    def __init__(self) -> None:
        self._nodes: list[tuple[bool, tuple[tuple[int, int], ...]]] = []
        self._ids: dict[tuple[bool, tuple[tuple[int, int], ...]], int] = {}
        self._unions: dict[tuple[int, int], int] = {}
        assert self.node(False, {}) == DEAD
        self.end = self.node(True, {})

    def node(self, accepting: bool, edges: Mapping[int, int]) -> int:
        """The node with these edges (byte -> node); edges to DEAD are dropped."""
        key = (accepting, tuple(sorted((byte, to) for byte, to in edges.items() if to != DEAD)))
        found = self._ids.setdefault(key, len(self._nodes))
        if found == len(self._nodes):
            self._nodes.append(key)
        return found

    def text(self, text: bytes, after: int) -> int:
        """The node that reads `text` and goes on as `after`."""
        for byte in reversed(text):
            after = self.node(False, {byte: after})
        return after

    def union(self, one: int, other: int) -> int:
        """The node that accepts what either of two nodes accepts."""
        if one == other or other == DEAD:
            return one
        if one == DEAD:
            return other
        key = (one, other) if one < other else (other, one)
        if key not in self._unions:
            edges = dict(self._nodes[one][1])
            for byte, to in self._nodes[other][1]:
                edges[byte] = self.union(edges[byte], to) if byte in edges else to
            self._unions[key] = self.node(self._nodes[one][0] or self._nodes[other][0], edges)
        return self._unions[key]

    def then(self, node: int, after: int, known: dict[int, int] | None = None) -> int:
        """The node that goes on as `after` wherever `node` may end."""
        known = {} if known is None else known
        if node not in known:
            accepting, edges = self._nodes[node]
            rest = self.node(False, {byte: self.then(to, after, known) for byte, to in edges})
            known[node] = self.union(rest, after) if accepting else rest
        return known[node]

    def within(self, node: int, lower: bytes | None, upper: bytes | None) -> int:
        """The part of a node's language between two texts in byte order, both included; None is unbounded."""
        return self._within(node, 0, lower, upper, {})

    def _within(
        self,
        node: int,
        at: int,
        lower: bytes | None,
        upper: bytes | None,
        known: dict[tuple[int, int, bool, bool], int],
    ) -> int:
        if lower is not None and at == len(lower):
            lower = None
        if lower is None and upper is None:
            return node
        key = (node, at, lower is not None, upper is not None)
        if key in known:
            return known[key]
        accepting, edges = self._nodes[node]
        kept: dict[int, int] = {}
        first = -1 if lower is None else lower[at]
        last = 256 if upper is None else upper[at] if at < len(upper) else -1
        for byte, to in edges:
            if first <= byte <= last:
                below, above = lower if byte == first else None, upper if byte == last else None
                kept[byte] = self._within(to, at + 1, below, above, known)
        known[key] = self.node(accepting and lower is None, kept)
        return known[key]

    def automaton(self, start: int) -> ByteAutomaton:
        """The automaton of a node."""
        reached, waiting = {start}, [start]
        while waiting:
            for _, to in self._nodes[waiting.pop()][1]:
                if to not in reached:
                    reached.add(to)
                    waiting.append(to)
        # A node is made after those it leads to: descending order is topological.
        order = {node: state for state, node in enumerate(sorted(reached, reverse=True))}
        table = np.full((len(order), 256), -1, dtype=np.int32)
        for node, state in order.items():
            for byte, to in self._nodes[node][1]:
                table[state, byte] = order[to]
        return ByteAutomaton(table, np.array([self._nodes[node][0] for node in order], dtype=np.bool_))


class AddNode(Protocol):
    def __call__(self, accepting: bool, labels: list[int], targets: list[int], /) -> int: ...


def trie(words: Iterable[Sequence[int]], add: AddNode | Callable[[bool, list[int], list[int]], int]) -> int:
    """The root of the minimal automaton of sorted distinct words, its nodes made bottom-up by `add`.

    Source: Daciuk et al., Incremental Construction of Minimal Acyclic Finite-State Automata, 2000, section 3.
    """
    ends, labels, targets = [False], [list[int]()], [list[int]()]

    def close(depth: int) -> None:
        while len(ends) > depth + 1:
            node = add(ends.pop(), labels.pop(), targets.pop())
            targets[-1].append(node)

    previous: Sequence[int] = ()
    for word in words:
        common = 0
        while common < min(len(word), len(previous)) and word[common] == previous[common]:
            common += 1
        close(common)
        for label in word[common:]:
            labels[-1].append(label)
            ends.append(False)
            labels.append([])
            targets.append([])
        ends[-1] = True
        previous = word
    close(0)
    return add(ends[0], labels[0], targets[0])


def literal_automaton(texts: Iterable[bytes]) -> ByteAutomaton:
    """The automaton that accepts exactly these texts."""
    nodes = ByteNodes()
    words = sorted(set(texts))
    return nodes.automaton(
        trie(words, lambda end, labels, to: nodes.node(end, dict(zip(labels, to, strict=True))))
    )


def union(one: ByteAutomaton, other: ByteAutomaton) -> ByteAutomaton:
    """The automaton that accepts what either accepts: new states only where both are alive."""
    pairs = {(0, 0): 0}
    waiting = [(0, 0)]
    while waiting:
        left, right = waiting.pop()
        both = (one.table[left] >= 0) & (other.table[right] >= 0)
        for pair in zip(one.table[left, both].tolist(), other.table[right, both].tolist(), strict=True):
            if pair not in pairs:
                pairs[pair] = 0
                waiting.append(pair)
    # Along an edge both members of a pair grow, so their sum sorts pairs topologically.
    for number, pair in enumerate(sorted(pairs, key=sum)):
        pairs[pair] = number
    first, second = len(pairs), len(pairs) + one.n_states
    shifted_one, shifted_other = _shift(one.table, first), _shift(other.table, second)
    rows = np.full((len(pairs), 256), -1, dtype=np.int32)
    ends = np.zeros(len(pairs), dtype=np.bool_)
    for (left, right), state in pairs.items():
        rows[state] = np.maximum(shifted_one[left], shifted_other[right])
        for byte in np.flatnonzero((one.table[left] >= 0) & (other.table[right] >= 0)).tolist():
            rows[state, byte] = pairs[int(one.table[left, byte]), int(other.table[right, byte])]
        ends[state] = one.accepting[left] or other.accepting[right]
    table = np.concatenate([rows, shifted_one, shifted_other])
    return trim(table, np.concatenate([ends, one.accepting, other.accepting]))


def trim(table: NDArray[np.int32], accepting: NDArray[np.bool_]) -> ByteAutomaton:
    """The automaton of a topologically ordered table without states that are unreachable or cannot end."""
    n_states = len(accepting)
    ending = np.append(accepting, False)
    for state in range(n_states - 1, -1, -1):
        ending[state] |= ending[table[state]].any()
    reached = np.zeros(n_states + 1, dtype=np.bool_)
    reached[0] = True
    for state in range(n_states):
        if reached[state]:
            reached[table[state]] = True
    kept = reached[:-1] & ending[:-1]
    numbers = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
    return ByteAutomaton(numbers[table[kept]], accepting[kept])


def _shift(table: NDArray[np.int32], by: int) -> NDArray[np.int32]:
    return np.where(table >= 0, table + by, -1).astype(np.int32)

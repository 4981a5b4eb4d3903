"""Free text in tokens: a bounded JSON string read by every token that fits.

What enters is how the text is framed, its length and a vocabulary; what leaves is a token automaton whose states are
the places inside a JSON string, whatever has been read so far: a token costs the bytes that it begins, and a text may
spend so many. Any split of a text into tokens is kept, the tokenizer's own among them. Which one that is depends on
more of the text than an automaton can remember: the engine asks the tokenizer (`decode.canonical`) as it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.automaton import NONE, TokenAutomaton
from harmonic.decode.grammar import BETWEEN, TEXT_STATES, text_moves
from harmonic.decode.vocabulary import Vocabulary
from harmonic.errors import HarmonicError

Edges = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
"""(tokens, targets, costs) of a state."""


@dataclass
class _Node:
    """A place in the words that are encoded in whole: what opens the text, and the literals beside it."""

    edges: dict[int, _Node]
    is_end: bool = False
    is_text: bool = False
    """Whether the text's frame begins here."""


class FreeText:
    """What a vocabulary reads inside a frame, kept for texts of every length."""

    def __init__(self, vocabulary: Vocabulary, opening: bytes, closing: bytes, can_be_empty: bool) -> None:
        """opening, closing: what stands before and after the text, quotes included; opening may be empty."""
        moves, costs = _framed(opening, closing, can_be_empty)
        self._reads = [vocabulary.walk_costs(place, moves, costs) for place in range(len(moves))]
        self._start = _first_place(opening)
        self._n_framing = len(opening) + len(closing)
        self._is_inside = np.ones(len(moves), dtype=np.bool_)
        self._is_inside[_FRESH + 1 : _FRESH + 1 + len(opening)] = False

    def automaton(
        self,
        head: Sequence[int],
        literals: Iterable[Sequence[int]],
        limit: int,
        first: set[int],
        subject: str,
    ) -> TokenAutomaton:
        """The automaton of `head` and a text of at most `limit` bytes in its frame, and of literals.

        first: ids with which the tokenizer begins to read the frame; others that stop inside the opening are none of
        its own and left out. Raises HarmonicError, naming `subject`, if a literal cannot be told from a text.
        """
        root = _trie(head, literals)
        nodes = _preorder(root)
        numbers = {id(node): number for number, node in enumerate(nodes)}
        places = [
            self._place(place, limit, first if place == self._start else set())
            for place in range(len(self._reads))
        ]
        base = len(nodes)
        states = [
            _edges(node, numbers, places[self._start] if node.is_text else None, base, subject)
            for node in nodes
        ]
        states += [(tokens, targets + base, costs) for tokens, targets, costs in places]
        accepting = [node.is_end for node in nodes] + [False] * (len(places) - 1) + [True]
        indptr = np.cumsum([0, *(len(tokens) for tokens, _, _ in states)]).astype(np.int32)
        tokens, targets, costs = (np.concatenate(part).astype(np.int32) for part in zip(*states, strict=True))
        longest = max(len(head) + self._n_framing + limit, *(len(ids) for ids in [*literals, []]))
        return _trimmed(
            TokenAutomaton(indptr, tokens, targets, np.array(accepting), longest, False, costs, limit)
        )

    def _place(self, place: int, limit: int, first: set[int]) -> Edges:
        """What can be read from a place: nothing that costs more than there is, nothing that dawdles in the opening."""
        tokens, then, costs = self._reads[place]
        kept = (costs <= limit) & (self._is_inside[then] | np.isin(tokens, list(first)))
        return tokens[kept], then[kept], costs[kept]


_FRESH = len(TEXT_STATES)
"""The place between characters before the first one."""


def _first_place(opening: bytes) -> int:
    return _FRESH + 1 if opening else _FRESH


def _framed(
    opening: bytes, closing: bytes, can_be_empty: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`text_moves` with the place before the first character, those of the opening, and those of the closing."""
    inside, prices = text_moves()
    extra = np.full((1 + len(opening) + len(closing), 256), NONE, dtype=np.int32)
    moves, costs = np.concatenate([inside, extra]), np.concatenate([prices, np.zeros_like(extra)])
    moves[_FRESH], costs[_FRESH] = inside[BETWEEN], prices[BETWEEN]
    for number, byte in enumerate(opening, start=1):
        moves[_FRESH + number, byte] = _FRESH + number + 1 if number < len(opening) else _FRESH
    before = [BETWEEN, _FRESH] if can_be_empty else [BETWEEN]
    for place, byte in enumerate(closing, start=_FRESH + 1 + len(opening)):
        moves[before, byte] = place
        before = [place]
    return moves, costs


def _trie(head: Sequence[int], literals: Iterable[Sequence[int]]) -> _Node:
    root = _Node({})
    for ids in literals:
        _grow(root, ids).is_end = True
    _grow(root, head).is_text = True
    return root


def _grow(node: _Node, ids: Sequence[int]) -> _Node:
    for token in ids:
        node = node.edges.setdefault(token, _Node({}))
    return node


def _preorder(root: _Node) -> list[_Node]:
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += node.edges.values()
    return found


def _edges(node: _Node, numbers: dict[int, int], text: Edges | None, base: int, subject: str) -> Edges:
    """A node's edges, and those into the text where its frame begins."""
    tokens = np.array(sorted(node.edges), dtype=np.int32)
    targets = np.array([numbers[id(node.edges[token])] for token in tokens.tolist()], dtype=np.int32)
    costs = np.zeros_like(tokens)
    if text is None:
        return tokens, targets, costs
    if np.isin(tokens, text[0]).any():
        raise HarmonicError(
            f"{subject}: its missing cells begin with the same token as its texts. "
            "Use the codec 'json', or leave the column out."
        )
    merged = np.concatenate([tokens, text[0]])
    order = np.argsort(merged)
    return (
        merged[order],
        np.concatenate([targets, text[1] + base])[order],
        np.concatenate([costs, text[2]])[order],
    )


def _trimmed(automaton: TokenAutomaton) -> TokenAutomaton:
    """The automaton without states that are never reached, their order kept."""
    reached = np.zeros(automaton.n_states, dtype=np.bool_)
    waiting = [0]
    while waiting:
        state = waiting.pop()
        if not reached[state]:
            reached[state] = True
            waiting += np.unique(
                automaton.targets[automaton.indptr[state] : automaton.indptr[state + 1]]
            ).tolist()
    numbers = np.cumsum(reached, dtype=np.int32) - 1
    degrees = np.diff(automaton.indptr)
    kept = np.repeat(reached, degrees)
    assert automaton.costs is not None
    return TokenAutomaton(
        indptr=np.append(0, np.cumsum(degrees[reached])).astype(np.int32),
        tokens=automaton.tokens[kept],
        targets=numbers[automaton.targets[kept]],
        accepting=automaton.accepting[reached],
        longest=automaton.longest,
        exact=False,
        costs=automaton.costs[kept],
        limit=automaton.limit,
    )

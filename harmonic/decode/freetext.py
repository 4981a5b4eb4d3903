"""Free text in tokens: a bounded JSON string read by every token that fits.

What enters is how the text is framed and its greatest length; what leaves is a node of a token automaton. The texts are
exactly those of the grammar, but any split into tokens is kept, the tokenizer's own among them: which one that is
depends on more of the text than an automaton of this size can remember.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.automaton import NONE, TokenNodes
from harmonic.decode.grammar import BETWEEN, TEXT_STATES, text_moves
from harmonic.decode.vocabulary import Vocabulary
from harmonic.errors import HarmonicError
from harmonic.table.schema import Column

_Read = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
"""The tokens that can be read at a place, where they lead, and how many bytes of text they begin."""

MOST_EDGES = 2**26
"""More than this (half a gigabyte) is refused."""


def add_free_text(
    nodes: TokenNodes, vocabulary: Vocabulary, opening: bytes, closing: bytes, column: Column, subject: str
) -> int:
    """The node that reads `opening`, the column's min_bytes to max_bytes bytes of text in a JSON string, and `closing`.

    Raises HarmonicError, naming `subject`, if the automaton would be too large.
    """
    n_text, max_bytes = len(TEXT_STATES), column.max_bytes
    n_open, n_close = len(opening), len(closing)
    moves, costs = _framed(opening, closing)
    reads = [vocabulary.walk_costs(place, moves, costs) for place in range(n_text + n_open + n_close)]
    _check_size(sum(len(read[0]) for read in reads[:n_text]) * (max_bytes + 1), max_bytes, subject)
    made = np.full((max_bytes + 1, n_text + n_open + n_close), NONE, dtype=np.int32)
    # The closing has its own places, whatever is left of the length; the opening only stands at its full.
    for place in range(n_text + n_open + n_close - 1, n_text + n_open - 1, -1):
        tokens, then, _ = reads[place]
        is_end = place == n_text + n_open + n_close - 1
        made[:, place] = nodes.add_array(is_end, tokens, made[0, then])
    for left in range(max_bytes + 1):
        if left == max_bytes and column.min_bytes:
            # Nothing of the text has been read: its closing would make it empty.
            reads = [_without_closing(read, n_text + n_open) for read in reads]
        for place in range(n_text - 1, -1, -1):
            made[left, place] = _add_place(nodes, reads[place], made, left)
    for place in range(n_text + n_open - 1, n_text - 1, -1):
        made[max_bytes, place] = _add_place(nodes, reads[place], made, max_bytes)
    return int(made[max_bytes, n_text if n_open else BETWEEN])


def _without_closing(read: _Read, first: int) -> _Read:
    """The tokens that do not go from before the text right into its closing, whose places begin at `first`."""
    tokens, then, costs = read
    kept = (costs > 0) | (then < first)
    return tokens[kept], then[kept], costs[kept]


def _add_place(
    nodes: TokenNodes,
    read: _Read,
    made: NDArray[np.int32],
    left: int,
) -> int:
    """The node of one place with so many bytes of text left."""
    tokens, then, costs = read
    if len(costs) and costs.max() > left:
        fits = costs <= left
        tokens, then, costs = tokens[fits], then[fits], costs[fits]
    return nodes.add_array(False, tokens, made[left - costs, then], share=False)


def _framed(opening: bytes, closing: bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`text_moves` with the places of the opening, then those after each byte of the closing, behind its own."""
    inside, prices = text_moves()
    n_text = len(inside)
    extra = np.full((len(opening) + len(closing), 256), NONE, dtype=np.int32)
    moves, costs = np.concatenate([inside, extra]), np.concatenate([prices, np.zeros_like(extra)])
    for number, byte in enumerate(opening):
        moves[n_text + number, byte] = n_text + number + 1 if number + 1 < len(opening) else BETWEEN
    place = BETWEEN
    for number, byte in enumerate(closing, start=n_text + len(opening)):
        moves[place, byte] = number
        place = number
    return moves, costs


def _check_size(n_edges: int, max_bytes: int, subject: str) -> None:
    if n_edges > MOST_EDGES:
        raise HarmonicError(
            f"{subject}: text of up to {max_bytes} bytes makes {n_edges} edges in this vocabulary, more than "
            f"{MOST_EDGES}. Shorten the column's texts, leave it out, or use a base model with a smaller vocabulary."
        )

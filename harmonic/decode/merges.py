"""Merges: what byte-pair encoding does at the seam of two tokens, worked out without encoding.

What enters is the merges of a byte-pair vocabulary; what leaves is which pairs of tokens stay apart. Two tokens stay
apart if no merge takes a piece of each before both pieces have become part of larger ones of their own token. Pieces
at a seam are few, so a million pairs are settled by the few merges that join such pieces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Span:
    """A piece's life at one end of tokens: the rank of the merge that made it and of the one that took it up."""

    made: int
    until: float
    tokens: NDArray[np.int64]
    """The numbers of the tokens in which it lives so."""


@dataclass(frozen=True, slots=True)
class _Seams:
    """What stands at one end of many tokens while they are put together."""

    pieces: dict[int, list[_Span]]
    whole: set[int]
    """The tokens that merging their own bytes ends with."""


class Merges:
    """The merges of a byte-pair vocabulary (the "model" of a tokenizer's JSON); none for other models."""

    def __init__(self, model: dict[str, Any], texts: Sequence[bytes]) -> None:
        self._ranks: dict[tuple[int, int], tuple[int, int]] = {}
        self._after: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._single: dict[bytes, int] = {text: token for token, text in enumerate(texts) if len(text) == 1}
        self._texts = texts
        if model.get("type") == "BPE":
            vocabulary = model["vocab"]
            for rank, merge in enumerate(model["merges"]):
                one, other = merge.split(" ") if isinstance(merge, str) else merge
                pair = (vocabulary.get(one, -1), vocabulary.get(other, -1))
                if self._ranks.setdefault(pair, (rank, vocabulary.get(one + other, -1)))[0] == rank:
                    self._after[pair[0]].append((pair[1], rank))

    def block(self, lefts: list[int], rights: list[int]) -> NDArray[np.bool_] | None:
        """bool [n_lefts, n_rights]: whether each pair stays apart; None without merges."""
        if not self._ranks:
            return None
        seams_left, seams_right = self._seams(lefts, -1), self._seams(rights, 0)
        apart = np.isin(lefts, list(seams_left.whole))[:, None] & np.isin(rights, list(seams_right.whole))
        for piece, spans in seams_left.pieces.items():
            for other, rank in self._after.get(piece, ()):
                for one in spans:
                    for two in seams_right.pieces.get(other, ()):
                        # Both pieces are there at once, and join before either goes into its own token;
                        # of equal merges the left one comes first.
                        together = max(one.made, two.made) < min(one.until, two.until)
                        if together and rank < one.until and rank <= two.until:
                            apart[one.tokens[:, None], two.tokens] = False
        return apart

    def _seams(self, tokens: list[int], side: int) -> _Seams:
        """The pieces that stand at one end (0 first, -1 last) of the tokens while they are put together."""
        pieces: dict[int, dict[tuple[int, float], list[int]]] = defaultdict(lambda: defaultdict(list))
        whole: set[int] = set()
        for number, token in enumerate(tokens):
            history = self._history(token, side)
            if history[-1][0] == token:
                whole.add(token)
            for at, (piece, made) in enumerate(history):
                until = history[at + 1][1] if at + 1 < len(history) else np.inf
                pieces[piece][made, until].append(number)
        spans = {
            piece: [_Span(made, until, np.array(numbers)) for (made, until), numbers in lives.items()]
            for piece, lives in pieces.items()
        }
        return _Seams(spans, whole)

    def _history(self, token: int, side: int) -> list[tuple[int, int]]:
        """(piece, rank of the merge that made it) at one end of a token, in order, by plain byte-pair encoding."""
        pieces = [self._single.get(bytes([byte]), -1) for byte in self._texts[token]]
        history = [(pieces[side], -1)]
        while len(pieces) > 1:
            found = [self._ranks.get(pair) for pair in pairwise(pieces)]
            ranks = [(known[0], at) for at, known in enumerate(found) if known]
            if not ranks:
                return [*history, (-1, -1)]
            rank, at = min(ranks)
            pieces[at : at + 2] = [self._ranks[pieces[at], pieces[at + 1]][1]]
            if pieces[side] != history[-1][0]:
                history.append((pieces[side], rank))
        return history

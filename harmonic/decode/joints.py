"""Joints: may one token stand right after another in a tokenizer's own encoding?

What enters is a tokenizer; what leaves are answers for all tokens of two *shapes* at once, where a token's shape is its
bytes with every digit written as 0 ("12" and "47" are of shape "00"). Vocabularies split runs of digits singly, in
threes from either end, or by merges that depend on the digits. Nothing is assumed: pairs of tokens are encoded, and
where a sample of pairs of two shapes disagrees, each pair is settled on its own, by the merges of a byte-pair
vocabulary or by encoding them all.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.vocabulary import Vocabulary
from harmonic.prompt.tokens import TextTokenizer

Block = bool | NDArray[np.bool_]
"""Whether tokens of one shape may follow those of another: one answer for all, or bool [n_left, n_right]."""

_SAMPLE = 64
_EXHAUSTIVE = 256
"""Up to so many pairs of two shapes are all encoded, of more a sample."""
_DIGITS = bytes.maketrans(b"123456789", b"000000000")


class Joints:
    """Answers, kept for the life of the object, for one tokenizer."""

    def __init__(self, tokenizer: TextTokenizer, vocabulary: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._texts = vocabulary.texts
        self._kinds = np.full(len(vocabulary.texts), -1, dtype=np.int64)
        self._numbers: dict[bytes, int] = {}
        self._members: list[NDArray[np.int64]] = []
        self._blocks: dict[tuple[int, int], Block] = {}
        self._merges: Merges | None = None
        self._rng = np.random.default_rng(0)
        digits = np.isin(np.arange(256), list(b"0123456789"))
        self._number(vocabulary.holding(digits))

    def kinds(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each id's shape. Ids of the same bytes must come together."""
        self._number(ids[self._kinds[ids] < 0])
        return self._kinds[ids]

    def members(self, kind: int) -> NDArray[np.int64]:
        """All ids of a shape, sorted."""
        return self._members[kind]

    def _number(self, ids: NDArray[np.int64]) -> None:
        members: dict[bytes, list[int]] = defaultdict(list)
        for token in ids.tolist():
            members[self._texts[token].translate(_DIGITS)].append(token)
        for shape, tokens in members.items():
            self._kinds[tokens] = self._numbers.setdefault(shape, len(self._numbers))
            self._members.append(np.array(tokens, dtype=np.int64))

    def prepare(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Finds the blocks of these pairs of shapes together: one batch of encodings."""
        unknown = [pair for pair in pairs if pair not in self._blocks]
        if not unknown:
            return
        samples = [self._sample(*pair) for pair in unknown]
        answers = self._probe([joint for sample in samples for joint in sample])
        cuts = np.cumsum([len(sample) for sample in samples])[:-1]
        seen = np.split(answers, cuts)
        # Once digits matter anywhere, a sample that agrees proves little.
        agree = [found.all() == found.any() for found in seen]
        for pair, sample, found, alike in zip(unknown, samples, seen, agree, strict=True):
            certain = alike and (all(agree) or len(sample) == self._size(*pair))
            self._blocks[pair] = bool(found[0]) if certain else self._settle(*pair, sample, found)

    def block(self, left: int, right: int) -> Block:
        """The block of two shapes, over their members; `prepare` found it."""
        return self._blocks[left, right]

    def _sample(self, left: int, right: int) -> list[tuple[int, int]]:
        lefts, rights = self._members[left].tolist(), self._members[right].tolist()
        if self._size(left, right) <= _EXHAUSTIVE:
            return [(one, other) for one in lefts for other in rights]
        drawn = self._rng.integers((len(lefts), len(rights)), size=(_SAMPLE, 2)).tolist()
        ends = [(one, other) for one in (lefts[0], lefts[-1]) for other in (rights[0], rights[-1])]
        return ends + [(lefts[one], rights[other]) for one, other in drawn]

    def _size(self, left: int, right: int) -> int:
        return len(self._members[left]) * len(self._members[right])

    def _settle(
        self, left: int, right: int, sample: list[tuple[int, int]], seen: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Each pair on its own: by the merges where they agree with the sample, else by encoding."""
        lefts, rights = self._members[left].tolist(), self._members[right].tolist()
        if len(sample) == len(lefts) * len(rights):
            return seen.reshape(len(lefts), len(rights))
        if self._merges is None:
            self._merges = Merges(json.loads(self._tokenizer.backend.to_str())["model"], self._texts)
        block = self._merges.block(lefts, rights)
        rows, columns = np.searchsorted(lefts, [one for one, _ in sample]), np.searchsorted(rights, [two for _, two in sample])
        if block is not None and (block[rows, columns] == seen).all():
            return block
        return self._probe([(one, other) for one in lefts for other in rights]).reshape(len(lefts), len(rights))

    def _probe(self, joints: list[tuple[int, int]]) -> NDArray[np.bool_]:
        """bool [n_joints]: whether the two tokens' text is encoded as these two tokens."""
        raw = [self._texts[one] + self._texts[other] for one, other in joints]
        ids = self._tokenizer.encode_batch([text.decode("utf-8", errors="ignore") for text in raw])
        return np.array([found == list(joint) for found, joint in zip(ids, joints, strict=True)], dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class _Seams:
    """What stands at one end of many tokens."""

    pieces: dict[int, list[tuple[int, float, list[int]]]]
    """piece -> [(rank that made it, rank that took it up, numbers of the tokens)]."""
    whole: set[int]
    """The tokens that merging their own bytes ends with."""


class Merges:
    """The merges of a byte-pair vocabulary: which pairs stay apart, worked out without encoding.

    Two tokens stay apart if no merge takes a piece of each before both pieces have become part of larger ones of their
    own token: pieces on the seam are few, so all pairs are settled by the few merges that join such pieces.
    """

    def __init__(self, model: dict[str, Any], texts: Sequence[bytes]) -> None:
        self._ranks: dict[tuple[int, int], tuple[int, int]] = {}
        self._single: dict[bytes, int] = {text: token for token, text in enumerate(texts) if len(text) == 1}
        self._texts = texts
        if model.get("type") == "BPE":
            vocabulary = model["vocab"]
            for rank, merge in enumerate(model["merges"]):
                one, other = merge.split(" ") if isinstance(merge, str) else merge
                pair = (vocabulary.get(one, -1), vocabulary.get(other, -1))
                self._ranks.setdefault(pair, (rank, vocabulary.get(one + other, -1)))

    def block(self, lefts: list[int], rights: list[int]) -> NDArray[np.bool_] | None:
        """bool [n_lefts, n_rights]: whether each pair stays apart; None without merges."""
        if not self._ranks:
            return None
        seams_left, seams_right = self._seams(lefts, -1), self._seams(rights, 0)
        apart = np.ones((len(lefts), len(rights)), dtype=np.bool_)
        for row, token in enumerate(lefts):
            apart[row] &= token in seams_left.whole
        apart &= np.array([token in seams_right.whole for token in rights])
        for (one, other), (rank, _) in self._ranks.items():
            for made, until, rows in seams_left.pieces.get(one, ()):
                for made_other, until_other, columns in seams_right.pieces.get(other, ()):
                    # Both pieces are there at once, and join before either goes into its own token;
                    # of equal merges the left one comes first.
                    together = max(made, made_other) < min(until, until_other)
                    if together and rank < until and rank <= until_other:
                        apart[np.ix_(rows, columns)] = False
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
        return _Seams(
            {piece: [(*times, rows) for times, rows in spans.items()] for piece, spans in pieces.items()}, whole
        )

    def _history(self, token: int, side: int) -> list[tuple[int, int]]:
        """(piece, rank of the merge that made it) at one end of a token, in order, by plain byte-pair encoding."""
        pieces = [self._single.get(bytes([byte]), -1) for byte in self._texts[token]]
        history = [(pieces[side], -1)]
        while len(pieces) > 1:
            found = [self._ranks.get(pair) for pair in zip(pieces, pieces[1:], strict=False)]
            ranks = [(known[0], at) for at, known in enumerate(found) if known]
            if not ranks:
                return [*history, (-1, -1)]
            rank, at = min(ranks)
            pieces[at : at + 2] = [self._ranks[pieces[at], pieces[at + 1]][1]]
            if pieces[side] != history[-1][0]:
                history.append((pieces[side], rank))
        return history

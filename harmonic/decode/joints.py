"""Joints: may one token stand right after another in a tokenizer's own encoding?

What enters is a tokenizer; what leaves are answers for all tokens of two *shapes* at once, where a token's shape is
its bytes with every digit written as 0 ("12" and "47" are of shape "00"). Vocabularies split runs of digits singly,
in threes from either end, or by merges that depend on the digits. Nothing is assumed: pairs of tokens are encoded.
Where a sample of pairs disagrees, or some choices of digits have no token, each pair is settled on its own, by the
merges of a byte-pair vocabulary or by encoding all pairs.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.merges import Merges
from harmonic.decode.vocabulary import Vocabulary
from harmonic.prompt.tokens import TextTokenizer

Block = bool | NDArray[np.bool_]
"""Whether tokens of one shape may follow those of another: one answer for all, or bool [n_left, n_right]."""

_SAMPLE = 64
_EXHAUSTIVE = 256
"""Up to so many pairs of two shapes are all encoded, of more a sample."""
_LETTERS = frozenset(byte for byte in range(256) if byte > 127 or chr(byte).isalpha())
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
        self._rng = np.random.default_rng(0)
        digits = np.isin(np.arange(256), list(b"0123456789"))
        self._number(vocabulary.holding(digits))

    def kinds(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each id's shape."""
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

    @cached_property
    def are_regular(self) -> bool:
        """Whether shapes have a token for each choice of digits: only then does a sample speak for all its kind."""
        return all(
            len(self._members[kind]) == 10 ** shape.count(b"0")
            for shape, kind in self._numbers.items()
            if b"0" in shape and not any(letter in _LETTERS for letter in shape)
        )

    def prepare(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Finds the blocks of these pairs of shapes together: one batch of encodings."""
        unknown = [pair for pair in pairs if pair not in self._blocks]
        if not unknown:
            return
        samples = [self._sample(*pair) for pair in unknown]
        answers = self._probe([joint for sample in samples for joint in sample])
        cuts = np.cumsum([len(sample) for sample in samples])[:-1]
        for pair, sample, seen in zip(unknown, samples, np.split(answers, cuts), strict=True):
            self._blocks[pair] = self._settle(*pair, sample, seen)

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

    def _settle(self, left: int, right: int, sample: list[tuple[int, int]], seen: NDArray[np.bool_]) -> Block:
        """One answer for all pairs if they are alike, else each pair on its own."""
        lefts, rights = self._members[left].tolist(), self._members[right].tolist()
        alike = bool(seen.all() == seen.any())
        if alike and (len(sample) == self._size(left, right) or self.are_regular):
            return bool(seen[0])
        if len(sample) == self._size(left, right):
            return seen.reshape(len(lefts), len(rights))
        block = self._merges.block(lefts, rights)
        rows = np.searchsorted(lefts, [one for one, _ in sample])
        columns = np.searchsorted(rights, [other for _, other in sample])
        if block is None or (block[rows, columns] != seen).any():
            block = self._probe([(one, other) for one in lefts for other in rights])
        return bool(block.flat[0]) if block.all() == block.any() else block.reshape(len(lefts), len(rights))

    @cached_property
    def _merges(self) -> Merges:
        return Merges(json.loads(self._tokenizer.backend.to_str())["model"], self._texts)

    def _probe(self, joints: list[tuple[int, int]]) -> NDArray[np.bool_]:
        """bool [n_joints]: whether the two tokens' text is encoded as these two tokens."""
        raw = [self._texts[one] + self._texts[other] for one, other in joints]
        ids = self._tokenizer.encode_batch([text.decode("utf-8", errors="ignore") for text in raw])
        return np.array(
            [found == list(joint) for found, joint in zip(ids, joints, strict=True)], dtype=np.bool_
        )

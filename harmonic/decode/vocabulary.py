"""A vocabulary as arrays: which tokens can be read from which places of a byte automaton.

What enters is the bytes of each id; what leaves are ids and where each of them leads, found for all tokens and all
places at once, since a vocabulary has up to 150,000 ids and a table many columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Vocabulary:
    """The tokens that have bytes, packed: one run of bytes, a start and a length for each id."""

    def __init__(self, token_bytes: Sequence[bytes | None]) -> None:
        texts = [text or b"" for text in token_bytes]
        self.texts = texts
        self.lengths = np.array([len(text) for text in texts], dtype=np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._bytes = np.frombuffer(b"".join(texts), dtype=np.uint8)
        self.ids = np.flatnonzero(self.lengths > 0)
        self._masks = self._byte_sets()

    def text(self, ids: Sequence[int]) -> bytes:
        """The bytes of ids, one after another."""
        return b"".join(self.texts[token] for token in ids)

    def over(self, alphabet: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The ids, sorted, all of whose bytes are in the alphabet (bool [256])."""
        return self.ids[~self._meets(~alphabet)]

    def walk(self, ids: NDArray[np.int64], table: NDArray[np.int32]) -> NDArray[np.int32]:
        """int32 [n_states, n_ids]: the state after reading each token from each state of a table, or -1."""
        n_states = len(table)
        # One more state, in which tokens stay that have left the language.
        steps = np.full((n_states + 1, 256), n_states, dtype=np.int32)
        steps[:-1] = np.where(table >= 0, table, n_states)
        flat = steps.ravel()
        at = np.repeat(np.arange(n_states, dtype=np.int32)[None, :], len(ids), axis=0)
        lengths = self.lengths[ids]
        for place in range(int(lengths.max(initial=0))):
            going = np.flatnonzero(lengths > place)
            read = self._bytes[self._starts[ids[going]] + place].astype(np.int32)
            at[going] = flat.take((at[going] << 8) + read[:, None])
        at[at == n_states] = -1
        return np.ascontiguousarray(at.T)

    def holding(self, alphabet: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The ids, sorted, any of whose bytes is in the alphabet (bool [256])."""
        return self.ids[self._meets(alphabet)]

    def walk_costs(
        self, state: int, moves: NDArray[np.int32], costs: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """(ids, states, sums of costs) of the tokens that can be read from one state, ids sorted."""
        ids = self.ids
        at = np.full(len(ids), state, dtype=np.int32)
        total = np.zeros(len(ids), dtype=np.int32)
        going = np.arange(len(ids))
        for place in range(int(self.lengths.max(initial=0))):
            going = going[(at[going] >= 0) & (self.lengths[ids[going]] > place)]
            if not len(going):
                break
            read = self._bytes[self._starts[ids[going]] + place]
            total[going] += costs[at[going], read]
            at[going] = moves[at[going], read]
        return ids[at >= 0].astype(np.int32), at[at >= 0], total[at >= 0]

    def _meets(self, alphabet: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each of `ids` holds a byte of the alphabet."""
        inside = np.packbits(alphabet, bitorder="little").view("<u8")
        found = np.zeros(len(self.ids), dtype=np.bool_)
        for mask, word in zip(self._masks, inside, strict=True):
            found |= (mask & word) != 0
        return found

    def _byte_sets(self) -> list[NDArray[np.uint64]]:
        """For each quarter of the byte range, the bytes that each of `ids` holds as 64 bits."""
        starts = self._starts[self.ids]
        bits = np.uint64(1) << (self._bytes & 63).astype(np.uint64)
        return [
            np.bitwise_or.reduceat(np.where(self._bytes >> 6 == quarter, bits, np.uint64(0)), starts)
            for quarter in range(4)
        ]

"""Choices among few tokens: levels, numbers, dates, what opens and closes a row.

What enters is where each slot stands in its program and the model's last hidden states; what leaves is a pick for each.
All allowed edges are looked at side by side, and the largest logit plus keyed Gumbel noise wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from harmonic.decode.choice import Choice, Pick, keys, log_kept, log_shares, truncated
from harmonic.decode.head import Heads
from harmonic.decode.known import agreeing
from harmonic.decode.noise import gumbel
from harmonic.decode.program import RowProgram
from harmonic.decode.slot import Slot


@dataclass(frozen=True, slots=True)
class _Edges:
    """A program's edges on the device."""

    indptr: Tensor
    tokens: Tensor
    places: Tensor
    """Where each token stands in the logits; meaningless for the edges of open states."""
    targets: Tensor


class ClosedChooser:
    """Chooses for slots of one program, none of them inside free text."""

    def __init__(self, heads: Heads, device: torch.device, choice: Choice, seed: int, weighs: bool) -> None:
        """weighs: whether the kept mass is wanted (exact mode)."""
        self._heads = heads
        self._device = device
        self._choice = choice
        self._seed = seed
        self._weighs = weighs
        self._edges: WeakKeyDictionary[RowProgram, _Edges] = WeakKeyDictionary()

    def choose(self, slots: Sequence[Slot], hidden: Tensor) -> list[Pick | None]:
        """A pick for each slot, hidden [n, d] being what the model last said; None where nothing agrees with what is
        known."""
        edges = self._table(slots[0].job.program)
        logits = (self._heads.full if self._weighs else self._heads.closed).logits(hidden)
        at, allowed = self._options(slots, edges)
        places = edges.tokens if self._weighs else edges.places
        scores = logits.gather(1, places[at]).double().masked_fill(~allowed, -torch.inf)
        within = self._within(slots, scores)
        cut = truncated(within, self._choice)
        # One slot among a thousand numbers, the others before a tag: only what is allowed is worth a number.
        noise = gumbel(self._seed, *keys(slots, self._device), edges.tokens[at], allowed)
        best = (cut + noise).argmax(dim=1, keepdim=True)
        everything = scores.logsumexp(1)
        log_probs = scores.gather(1, best)[:, 0] - everything
        log_known = log_shares(within, scores, everything)
        edge = at.gather(1, best)[:, 0]
        # What is known is not what the mask cut: it has a weight of its own.
        free = cut if within is scores else truncated(scores, self._choice)
        kept = log_kept(free, logits, self._choice) if self._weighs else [0.0] * len(slots)
        tokens, states = edges.tokens[edge].tolist(), edges.targets[edge].tolist()
        made = zip(slots, tokens, states, log_probs.tolist(), kept, log_known, strict=True)
        return [
            None if known == -math.inf else Pick(token, state, _spent(slot, state), log_prob, mass, known)
            for slot, token, state, log_prob, mass, known in made
        ]

    def _within(self, slots: Sequence[Slot], scores: Tensor) -> Tensor:
        """The scores [n, width] of edges that agree with what rows are known to hold, minus infinity elsewhere."""
        if not any(slot.job.known for slot in slots):
            return scores
        within = scores.clone()
        for place, slot in enumerate(slots):
            if slot.job.known:
                program = slot.job.program
                span = slice(int(program.indptr[slot.state]), int(program.indptr[slot.state + 1]))
                agrees = torch.from_numpy(agreeing(slot, program.tokens[span], program.targets[span]))
                within[place, : len(agrees)].masked_fill_(~agrees.to(self._device), -torch.inf)
        return within

    def _options(self, slots: Sequence[Slot], edges: _Edges) -> tuple[Tensor, Tensor]:
        """(at, allowed), [n, width]: which edges each slot may choose from, padded to one width."""
        states = torch.tensor([slot.state for slot in slots], device=self._device)
        first = edges.indptr[states]
        width = edges.indptr[states + 1] - first
        columns = torch.arange(int(width.max()), device=self._device)
        allowed = columns < width[:, None]
        return torch.where(allowed, first[:, None] + columns, first[:, None]), allowed

    def _table(self, program: RowProgram) -> _Edges:
        if program not in self._edges:
            tokens, indptr, targets = (
                torch.from_numpy(part.astype(np.int64)).to(self._device)
                for part in (program.tokens, program.indptr, program.targets)
            )
            self._edges[program] = _Edges(indptr, tokens, self._heads.closed.places(tokens), targets)
        return self._edges[program]


def _spent(slot: Slot, state: int) -> int:
    """What a free text has spent when a choice that costs nothing leads to `state`: inside a character, what it had."""
    segment = slot.job.program.segment
    return slot.spent if slot.spent and segment[state] == segment[slot.state] else 0

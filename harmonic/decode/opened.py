"""Choices inside free text, where nearly the whole vocabulary is allowed.

What enters is where each slot stands in its text and the model's last hidden states; what leaves is a pick for each,
or none where the text cannot go on. One keyed uniform number picks a token from the cumulated shares, again and again
until the tokenizer itself would have written the text so: this is sampling under the mask of such tokens, without ever
asking about those that are not drawn. The normaliser of log-probabilities counts all tokens that fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from harmonic.decode.canonical import Canonical
from harmonic.decode.choice import Choice, Pick, keys, log_kept, log_shares, truncated
from harmonic.decode.head import Heads
from harmonic.decode.known import agreeing
from harmonic.decode.noise import uniform
from harmonic.decode.program import RowProgram
from harmonic.decode.slot import Slot

TRIES = 64
"""So many tokens are drawn before none is held to be the tokenizer's own."""
_NEVER = 2**30


class OpenChooser:
    """Chooses for slots of one program that stand in free text, or where it may begin."""

    def __init__(
        self,
        heads: Heads,
        device: torch.device,
        choice: Choice,
        seed: int,
        weighs: bool,
        canonical: Canonical | None,
    ) -> None:
        """canonical: None = whatever fits is taken; weighs: whether the kept mass is wanted (exact mode)."""
        self._heads = heads
        self._device = device
        self._choice = choice
        self._seed = seed
        self._weighs = weighs
        self._canonical = canonical
        self._costs: WeakKeyDictionary[RowProgram, dict[int, Tensor]] = WeakKeyDictionary()

    def choose(self, slots: Sequence[Slot], hidden: Tensor) -> list[Pick | None]:
        """A pick for each slot, hidden [n, d] being what the model last said."""
        head = self._heads.full if self._weighs else self._heads.open
        logits = head.logits(hidden)
        left = [int(slot.job.program.limits[slot.state]) - slot.spent for slot in slots]
        costs = torch.stack([self._costs_of(slot) for slot in slots])
        fits = costs <= torch.tensor(left, device=self._device)[:, None]
        scores = logits.masked_fill(~fits, -torch.inf)
        within = self._within(slots, scores)
        cut = truncated(within, self._choice)
        picked = self._pick(slots, cut.softmax(1).double().cumsum_(1))
        everything = scores.logsumexp(1)
        log_probs = scores.gather(1, picked[:, None].clamp(min=0))[:, 0] - everything
        log_known = log_shares(within, scores, everything)
        # What is known is not what the mask cut: it has a weight of its own.
        free = cut if within is scores else truncated(scores, self._choice)
        kept = log_kept(free, logits, self._choice) if self._weighs else [0.0] * len(slots)
        tokens = head.tokens(picked.clamp(min=0)).tolist()
        made = zip(slots, picked.tolist(), tokens, log_probs.tolist(), kept, log_known, strict=True)
        return [
            None
            if place < 0 or known == -math.inf
            else Pick(token, *_step(slot, token), log_prob, mass, known)
            for slot, place, token, log_prob, mass, known in made
        ]

    def _within(self, slots: Sequence[Slot], scores: Tensor) -> Tensor:
        """The scores [n, u] of tokens that agree with what rows are known to hold, minus infinity elsewhere."""
        if not any(slot.job.known for slot in slots):
            return scores
        head, within = self._heads.full if self._weighs else self._heads.open, scores.clone()
        for place, slot in enumerate(slots):
            if slot.job.known:
                tokens, targets = slot.job.program.edges(slot.state, slot.spent)
                agrees = agreeing(slot, tokens, targets)
                chosen = torch.from_numpy(tokens[agrees].astype(np.int64)).to(self._device)
                kept = torch.full_like(within[place], -torch.inf)
                at = head.places(chosen)
                kept[at] = scores[place, at]
                within[place] = kept
        return within

    def _pick(self, slots: Sequence[Slot], shares: Tensor) -> Tensor:
        """int64 [n]: places in the logits, by cumulated shares [n, u]; -1 where no token was the tokenizer's own."""
        rows, attempts, steps = keys(slots, self._device)
        picked = torch.full_like(rows, -1)
        waiting = torch.arange(len(slots), device=self._device)
        # In exact mode what is not the tokenizer's own costs the row: a second try would bend its weight.
        for number in range(1 if self._weighs else TRIES):
            draws = torch.full_like(waiting, number)[:, None]
            noise = uniform(self._seed, rows[waiting], attempts[waiting], steps[waiting], draws)
            held = shares if len(waiting) == len(slots) else shares[waiting]
            places = torch.searchsorted(held, noise * held[:, -1:], right=True)[:, 0]
            places = places.clamp_(max=held.shape[1] - 1)
            own = torch.tensor(
                self._are_own([slots[i] for i in waiting.tolist()], places), device=self._device
            )
            picked[waiting[own]] = places[own]
            waiting = waiting[~own]
            if not len(waiting):
                break
        return picked

    def _are_own(self, slots: Sequence[Slot], places: Tensor) -> list[bool]:
        """Whether the tokenizer would have written these tokens after what the slots hold."""
        if self._canonical is None:
            return [True] * len(slots)
        tokens = (self._heads.full if self._weighs else self._heads.open).tokens(places).tolist()
        pairs = zip(slots, tokens, strict=True)
        return self._canonical.hold(
            [slot.segment_with(token, _step(slot, token)[0]) for slot, token in pairs]
        )

    def _costs_of(self, slot: Slot) -> Tensor:
        """int32 [u]: what each token of the logits costs in the slot's state."""
        known = self._costs.setdefault(slot.job.program, {})
        if slot.state not in known:
            known[slot.state] = self._made(slot.job.program, slot.state)
        return known[slot.state]

    def _made(self, program: RowProgram, state: int) -> Tensor:
        assert program.costs is not None
        span = slice(program.indptr[state], program.indptr[state + 1])
        goes_on = program.segment[program.targets[span]] == program.segment[state]
        # What begins a text is within its limit, or would not have been compiled.
        prices = torch.from_numpy(np.where(goes_on, program.costs[span], 0).astype(np.int32))
        head = self._heads.full if self._weighs else self._heads.open
        costs = torch.full((head.size,), _NEVER, dtype=torch.int32, device=self._device)
        tokens = torch.from_numpy(program.tokens[span].astype(np.int64)).to(self._device)
        costs[head.places(tokens)] = prices.to(self._device)
        return costs


def _step(slot: Slot, token: int) -> tuple[int, int]:
    return slot.job.program.step(slot.state, token, slot.spent)

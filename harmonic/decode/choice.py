"""What every choice is made of: settings, what was picked, and the order mask, temperature, top-k, top-p, noise.

What enters is scores over allowed tokens; what leaves is scores that are cut as the settings say, the integers that
noise is keyed by, and the share of the whole vocabulary that a mask has kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harmonic.decode.slot import Slot


@dataclass(frozen=True, slots=True)
class Choice:
    """How an allowed token is chosen; the defaults are the distribution that was learnt."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Pick:
    """What was chosen for a slot."""

    token: int
    state: int
    spent: int
    """What a free text has spent after it."""
    log_prob: float
    """Under the mask, at temperature 1."""
    log_kept: float = 0.0
    """Of the whole vocabulary's mass, what the mask kept, at the choice's temperature; 0 where it is not asked for."""
    log_known: float = 0.0
    """Under the mask, of all tokens that agree with what the row is known to hold; 0 where nothing is known here."""


def truncated(scores: Tensor, choice: Choice) -> Tensor:
    """Scores [n, k] under temperature, top-k and top-p; what is cut is minus infinity."""
    scores = scores if choice.temperature == 1.0 else scores / choice.temperature
    if choice.top_k and choice.top_k < scores.shape[1]:
        least = scores.topk(choice.top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if choice.top_p < 1.0:
        ordered, order = scores.sort(dim=1, descending=True)
        share = ordered.softmax(dim=1)
        # A token stays while those before it hold less than top_p, so the first always does.
        beyond = share.cumsum(dim=1) - share >= choice.top_p
        scores = scores.masked_fill(beyond.scatter(1, order, beyond), -torch.inf)
    return scores


def keys(slots: Sequence[Slot], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What noise is keyed by, int64 [n] each: rows, attempts, steps."""
    made = torch.tensor([(slot.number, slot.attempt, slot.step) for slot in slots], device=device)
    return made[:, 0], made[:, 1], made[:, 2]


def log_kept(scores: Tensor, logits: Tensor, choice: Choice) -> list[float]:
    """Logarithm of the mass that the mask kept: allowed scores at temperature [n, k] against all logits [n, v]."""
    everything = (logits.double() / choice.temperature).logsumexp(1)
    kept: list[float] = (scores.double().logsumexp(1) - everything).tolist()
    return kept


def log_shares(within: Tensor, scores: Tensor, everything: Tensor) -> list[float]:
    """Logarithm of the share of all scores [n, k], whose logsumexp is `everything`, that some of them hold."""
    if within is scores:
        return [0.0] * len(scores)
    # Rows of which nothing is known hold all: their sums are the same to the last bit.
    shares: list[float] = (within.logsumexp(1) - everything).tolist()
    return shares

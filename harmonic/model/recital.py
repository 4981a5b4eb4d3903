"""Given text under a model as it is: how likely each token, and would the model have written it?

What enters is token ids, each passage with its own beginning that is only read; what leaves is, token by token, the
logarithm of its probability and whether nothing was likelier. No mask, no sampling: one teacher-forced pass. A passage
of which every token is the likeliest one is what greedy decoding would write, so that nothing needs to be decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harmonic.model.load import LoadedModel

_CELLS = 2**26
"""So many logits are held at a time: a quarter of a gigabyte."""
_BATCH_TOKENS = 2**13
"""So many tokens are read at a time, padding included; at least one passage."""


@dataclass(frozen=True, slots=True)
class Recited:
    """The asked tokens of one passage."""

    log_probs: NDArray[np.float64]
    """Natural logarithms of their probabilities over the whole vocabulary: [n]."""
    is_top: NDArray[np.bool_]
    """Whether no token was likelier in its place: [n]."""

    @property
    def log_prob(self) -> float:
        """Of the whole text, in nats."""
        return float(self.log_probs.sum())

    @property
    def is_written(self) -> bool:
        """Whether greedy decoding writes this text, token by token."""
        return bool(self.is_top.all())


@torch.inference_mode()
def recite(loaded: LoadedModel, passages: Sequence[tuple[list[int], list[int]]]) -> list[Recited]:
    """What the model says of each passage's asked ids. passages: (ids before, ids asked), neither empty."""
    loaded.model.eval()
    texts = [before + asked for before, asked in passages]
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    found: dict[int, Recited] = {}
    while order:
        # The longest first: what does not fit in memory fails at once. Alike lengths together: less padding.
        size = max(1, _BATCH_TOKENS // len(texts[order[-1]]))
        numbers, order = order[-size:], order[:-size]
        starts = [len(passages[number][0]) for number in numbers]
        found |= zip(numbers, _read(loaded, [texts[number] for number in numbers], starts), strict=True)
    return [found[number] for number in range(len(texts))]


def _read(loaded: LoadedModel, texts: list[list[int]], starts: list[int]) -> list[Recited]:
    """Texts of alike lengths, asked from `starts` on; the logits before each token decide about it."""
    width, first = max(map(len, texts)), min(starts) - 1
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts], device=loaded.device)
    seen = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=loaded.device)
    logits: Tensor = loaded.model(
        input_ids=ids, attention_mask=seen, use_cache=False, logits_to_keep=width - first
    ).logits
    return [
        _recited(row[start - 1 - first : len(text) - 1 - first], ids[place, start : len(text)])
        for place, (row, text, start) in enumerate(zip(logits, texts, starts, strict=True))
    ]


def _recited(logits: Tensor, asked: Tensor) -> Recited:
    """logits: [n, vocabulary], asked: [n]."""
    log_probs, is_top = [], []
    size = max(1, _CELLS // logits.shape[1])
    for place in range(0, len(asked), size):
        part, tokens = logits[place : place + size].double(), asked[place : place + size, None]
        chosen = part.gather(1, tokens)[:, 0]
        log_probs.append(chosen - part.logsumexp(1))
        is_top.append(chosen >= part.amax(1))
    return Recited(torch.cat(log_probs).cpu().numpy(), torch.cat(is_top).cpu().numpy())

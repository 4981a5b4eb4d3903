"""How probable are given rows: one teacher-forced pass over contexts with their rows.

What enters is contexts, each with the ids of its rows; what leaves is two logarithms for each row: its probability
under the mask (the product of renormalised choices) and under the model alone (the product over all positions of the
whole vocabulary). Their difference is what the mask kept. Over rows drawn under the mask its mean is the share of valid
rows that the model would write without a mask, and one minus that bounds the total variation between masked sampling
and the model's own distribution over valid rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from harmonic.decode.head import Head
from harmonic.decode.program import RowProgram
from harmonic.errors import HarmonicError

_CELLS = 2**26
"""So many logits are held at a time: a quarter of a gigabyte."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A context and the rows that follow it, as ids; `given`: how many ids at each row's beginning are conditions."""

    prompt: list[int]
    rows: list[list[int]]
    program: RowProgram
    given: list[int]


@dataclass(frozen=True, slots=True)
class RowScore:
    """Natural logarithms of a row's probability."""

    masked: float
    """Under the mask, at temperature 1: what a draw of this row would report."""
    full: float
    """Under the model alone, over its whole vocabulary."""

    @property
    def kept(self) -> float:
        """Logarithm of the mass that the mask kept, over all positions: at most 0."""
        return self.full - self.masked


@dataclass(frozen=True, slots=True)
class Audit:
    """What the mask costs, from rows that were drawn under it."""

    rows: int
    kept_mass: float
    """Mean over the rows; an estimate of the share of valid rows without the mask."""
    standard_error: float

    @property
    def bias_bound(self) -> float:
        """Total variation between masked sampling and the model's own distribution over valid rows, at most."""
        return 1.0 - self.kept_mass

    @classmethod
    def of(cls, scores: Sequence[RowScore]) -> Audit:
        """Raises HarmonicError without rows."""
        if not scores:
            raise HarmonicError("Audit: there are no rows to score. Draw at least one.")
        kept = np.exp([score.kept for score in scores])
        error = float(kept.std(ddof=1) / np.sqrt(len(kept))) if len(kept) > 1 else float("nan")
        return cls(len(kept), float(kept.mean()), error)


@torch.inference_mode()
def score(
    model: PreTrainedModel, passages: Sequence[Passage], *, batch_size: int = 8
) -> list[list[RowScore]]:
    """For each passage the scores of its rows. Raises HarmonicError where a row is none of its program's."""
    model.eval()
    head = Head(model, None)
    device = next(model.parameters()).device
    # Alike lengths together: less padding.
    order = sorted(range(len(passages)), key=lambda number: _length(passages[number]))
    scored: dict[int, list[RowScore]] = {}
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        chosen = [passages[number] for number in numbers]
        hidden = _read(model, chosen, device)
        for number, passage, states in zip(numbers, chosen, hidden, strict=True):
            scored[number] = list(_scores(passage, states, head))
    return [scored[number] for number in range(len(passages))]


def _length(passage: Passage) -> int:
    return len(passage.prompt) + sum(map(len, passage.rows))


def _read(model: PreTrainedModel, passages: Sequence[Passage], device: torch.device) -> Tensor:
    """Hidden states [b, width, d] of the whole passages."""
    texts = [[*passage.prompt, *chain.from_iterable(passage.rows)] for passage in passages]
    width = max(map(len, texts))
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts], device=device)
    seen = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=device)
    hidden: Tensor = model.get_decoder()(
        input_ids=ids, attention_mask=seen, use_cache=False
    ).last_hidden_state
    return hidden


def _scores(passage: Passage, hidden: Tensor, head: Head) -> Iterator[RowScore]:
    """The scores of a passage's rows; the logits before each token decide about it."""
    at = len(passage.prompt)
    for row, given in zip(passage.rows, passage.given, strict=True):
        yield _row_score(row[given:], hidden[at + given - 1 : at + len(row) - 1], passage.program, head)
        at += len(row)


def _row_score(ids: list[int], hidden: Tensor, program: RowProgram, head: Head) -> RowScore:
    masked = full = 0.0
    allowed = list(_allowed(ids, program))
    size = max(1, _CELLS // max(1, head.size))
    for first in range(0, len(ids), size):
        logits = head.logits(hidden[first : first + size]).double()
        everything = logits.logsumexp(1)
        for place, tokens in enumerate(allowed[first : first + size]):
            chosen = float(logits[place, ids[first + place]])
            full += chosen - float(everything[place])
            if len(tokens) > 1:
                masked += chosen - float(logits[place, tokens].logsumexp(0))
    return RowScore(masked, full)


def _allowed(ids: list[int], program: RowProgram) -> Iterator[Tensor]:
    """The ids that the program allows at each position of a row."""
    state, spent = program.start, 0
    for place, token in enumerate(ids):
        tokens, _ = program.edges(state, spent)
        state, spent = program.step(state, token, spent)
        if state < 0:
            raise HarmonicError(
                f"Row: its token {token} at place {place} is not allowed by the schema. "
                "Score rows of the table that the schema was observed on, or of a draw."
            )
        yield torch.from_numpy(tokens.astype(np.int64))
    if state != program.end:
        raise HarmonicError(
            f"Row: it ends after {len(ids)} tokens, before all its columns. Score whole rows."
        )

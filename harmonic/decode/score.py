"""How probable are given rows: one teacher-forced pass over contexts with their rows.

What enters is contexts, each with the ids of its rows; what leaves is two logarithms for each row: its probability
under the mask (the product of renormalised choices) and under the model alone (the product over all positions of the
whole vocabulary); and, under the mask, what stands at each choice. Their difference is what the mask kept. Over rows
drawn under the mask its mean is the share of valid rows that the model would write without a mask, and one minus that
bounds the total variation between masked sampling and the model's own distribution over valid rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor
from transformers import PreTrainedModel

from harmonic.decode.head import Head
from harmonic.decode.program import RowProgram
from harmonic.errors import HarmonicError
from harmonic.model.quiet import quiet

_CELLS = 2**26
"""So many logits are held at a time: a quarter of a gigabyte."""
_SHARING = 4
"""So many times as many passages are read at once where all have one prompt: what is left of each is short."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A context and the rows that follow it, as ids; `given`: how many ids at each row's beginning are conditions."""

    prompt: list[int]
    rows: list[list[int]]
    program: RowProgram
    given: list[int]


class TokenScore(NamedTuple):
    """One token of a row where the schema allows several, under the mask at temperature 1."""

    log_prob: float
    """Natural logarithm of its probability."""
    mean: float
    deviation: float
    """Mean and standard deviation of that logarithm over what might have stood here."""
    is_top: bool
    """Whether nothing was likelier."""


@dataclass(frozen=True, slots=True)
class RowScore:
    """Natural logarithms of a row's probability."""

    full: float
    """Under the model alone, over its whole vocabulary."""
    n_tokens: int
    """The tokens of the row that were scored: given ones are not."""
    choices: NDArray[np.float64]
    """What stands where the schema leaves a choice: a `TokenScore` each, [n_choices, 4]."""

    @property
    def masked(self) -> float:
        """Under the mask, at temperature 1: what a draw of this row would report."""
        return float(self.choices[:, 0].sum())

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
    scored: dict[int, list[RowScore]] = {}
    for numbers in _batches(passages, batch_size):
        chosen = [passages[number] for number in numbers]
        with quiet():  # of transformers' names for what is cached
            hidden = _read_shared(model, chosen, device) if _share(chosen) else _read(model, chosen, device)
        for number, passage, states in zip(numbers, chosen, hidden, strict=True):
            scored[number] = list(_scores(passage, states, head))
    return [scored[number] for number in range(len(passages))]


def _batches(passages: Sequence[Passage], batch_size: int) -> Iterator[list[int]]:
    """Numbers of passages that are read at once: those of one prompt, which is then read once; the others by length,
    for less padding."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for number, passage in enumerate(passages):
        by_prompt.setdefault(tuple(passage.prompt), []).append(number)
    alone = [numbers[0] for numbers in by_prompt.values() if len(numbers) == 1]
    groups = [
        (alone, batch_size),
        *((found, _SHARING * batch_size) for found in by_prompt.values() if len(found) > 1),
    ]
    for numbers, size in groups:
        order = sorted(numbers, key=lambda number: _length(passages[number]))
        yield from (order[first : first + size] for first in range(0, len(order), size))


def _share(passages: Sequence[Passage]) -> bool:
    return len(passages) > 1 and all(passage.prompt == passages[0].prompt for passage in passages)


def _length(passage: Passage) -> int:
    return len(passage.prompt) + sum(map(len, passage.rows))


def _read(model: PreTrainedModel, passages: Sequence[Passage], device: torch.device) -> list[Tensor]:
    """Hidden states of each passage from the last token of its prompt on, [1 + tokens of its rows or more, d]."""
    ids, seen = _padded(
        [[*passage.prompt, *chain.from_iterable(passage.rows)] for passage in passages], device
    )
    hidden: Tensor = model.get_decoder()(
        input_ids=ids, attention_mask=seen, use_cache=False
    ).last_hidden_state
    return [states[len(passage.prompt) - 1 :] for states, passage in zip(hidden, passages, strict=True)]


def _read_shared(model: PreTrainedModel, passages: Sequence[Passage], device: torch.device) -> list[Tensor]:
    """As `_read` where all have one prompt: it is read once, and its keys and values serve every passage."""
    prompt = torch.tensor([passages[0].prompt], device=device)
    begun = model.get_decoder()(input_ids=prompt, use_cache=True)
    begun.past_key_values.batch_repeat_interleave(len(passages))
    ids, seen = _padded([list(chain.from_iterable(passage.rows)) for passage in passages], device)
    seen = torch.cat([seen.new_ones(len(passages), prompt.shape[1]), seen], dim=1)
    hidden: Tensor = model.get_decoder()(
        input_ids=ids, attention_mask=seen, past_key_values=begun.past_key_values, use_cache=True
    ).last_hidden_state
    last = begun.last_hidden_state[:, -1:].expand(len(passages), -1, -1)
    return list(torch.cat([last, hidden], dim=1))


def _padded(texts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids on the right of which zeros stand, and where there are none, both int64 [b, width]."""
    width = max(map(len, texts))
    ids = [text + [0] * (width - len(text)) for text in texts]
    seen = [[1] * len(text) + [0] * (width - len(text)) for text in texts]
    return torch.tensor(ids, device=device), torch.tensor(seen, device=device)


def _scores(passage: Passage, hidden: Tensor, head: Head) -> Iterator[RowScore]:
    """The scores of a passage's rows; the logits before each token decide about it."""
    at = 1
    for row, given in zip(passage.rows, passage.given, strict=True):
        yield _row_score(row[given:], hidden[at + given - 1 : at + len(row) - 1], passage.program, head)
        at += len(row)


def _row_score(ids: list[int], hidden: Tensor, program: RowProgram, head: Head) -> RowScore:
    full = 0.0
    choices: list[TokenScore] = []
    allowed = list(_allowed(ids, program))
    size = max(1, _CELLS // max(1, head.size))
    for first in range(0, len(ids), size):
        logits = head.logits(hidden[first : first + size]).double()
        everything, numbers = logits.logsumexp(1).tolist(), logits.cpu().numpy()
        for place, tokens in enumerate(allowed[first : first + size]):
            token = ids[first + place]
            full += float(numbers[place, token]) - everything[place]
            if len(tokens) > 1:
                choices.append(_token_score(numbers[place], tokens, token))
    return RowScore(full, len(ids), np.array(choices, dtype=np.float64).reshape(-1, len(TokenScore._fields)))


def _token_score(logits: NDArray[np.float64], tokens: NDArray[np.int64], token: int) -> TokenScore:
    """What stands at one position, logits [vocabulary], of which the program allows `tokens`."""
    kept = logits[tokens]
    log_probs = kept - logsumexp(kept)
    probs = np.exp(log_probs)
    mean = float(probs @ log_probs)
    spread = float(np.sqrt(probs @ (log_probs - mean) ** 2))
    taken = float(log_probs[tokens == token][0])
    return TokenScore(taken, mean, spread, taken >= float(log_probs.max()))


def _allowed(ids: list[int], program: RowProgram) -> Iterator[NDArray[np.int64]]:
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
        yield tokens.astype(np.int64)
    if state != program.end:
        raise HarmonicError(
            f"Row: it ends after {len(ids)} tokens, before all its columns. Score whole rows."
        )

"""Visits: what training reads, in the order in which it reads it.

What enters is an endless sequence of instructions as tokens, each a function of its number alone; what leaves is a
data set of the first n of them and the collator that pads a batch. No row of a table is ever written to a cache, the
order is ours, and a resumed run meets the very visits it would have met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from harmonic.prompt.instructions import IGNORED, Tokens, check_length


class Visits(Protocol):
    """Endless instructions: element i depends on i alone; `per_pass` of them ask for every row once."""

    @property
    def per_pass(self) -> int: ...

    def __getitem__(self, index: int) -> Tokens: ...


class RepeatedVisits:
    """The same instructions pass after pass, in their order."""

    def __init__(self, tokens: Sequence[Tokens]) -> None:
        self.tokens = tokens

    @property
    def per_pass(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> Tokens:
        return self.tokens[index % len(self.tokens)]


class VisitSet(Dataset[dict[str, list[int]]]):
    """The first `n_visits` of `visits` for a torch DataLoader."""

    def __init__(self, visits: Visits | Sequence[Tokens], n_visits: int) -> None:
        self.visits = visits
        self.n_visits = n_visits

    def __len__(self) -> int:
        return self.n_visits

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        tokens = self.visits[index]
        return {"input_ids": tokens.input_ids, "labels": tokens.labels}


def measure(visits: Visits | Sequence[Tokens], n_visits: int, limit: int, subject: str) -> NDArray[np.int64]:
    """The lengths in tokens of the first visits, int64 [n_visits].

    Raises HarmonicError for a visit of more than `limit` tokens: nothing is ever truncated.
    """
    lengths = np.empty(n_visits, dtype=np.int64)
    for index in range(n_visits):
        tokens = visits[index]
        check_length(tokens, limit, f"{subject} {index}")
        lengths[index] = len(tokens.input_ids)
    return lengths


class Padding:
    """The collator: lists of ids to tensors [batch, longest], padded on the right where no loss is."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        ids = [torch.tensor(example["input_ids"]) for example in examples]
        labels = [torch.tensor(example["labels"]) for example in examples]
        return {
            "input_ids": _padded(ids, self.pad_id),
            "labels": _padded(labels, IGNORED),
            "attention_mask": _padded([torch.ones_like(row) for row in ids], 0),
        }


def _padded(rows: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)

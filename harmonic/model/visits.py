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

Example = dict[str, list[int]]
"""`input_ids` and `labels` of one instruction."""


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


class VisitSet(Dataset[Example]):
    """The first `n_visits` of `visits` for a torch DataLoader."""

    def __init__(self, visits: Visits | Sequence[Tokens], n_visits: int) -> None:
        self.visits = visits
        self.n_visits = n_visits

    def __len__(self) -> int:
        return self.n_visits

    def __getitem__(self, index: int) -> Example:
        tokens = self.visits[index]
        return {"input_ids": tokens.input_ids, "labels": tokens.labels}


class Reader(Protocol):
    """A collator that knows how many tokens a model reads of each instruction of a batch."""

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]: ...

    def lengths(self, examples: Sequence[Example]) -> list[int]: ...


class Padding:
    """The collator: lists of ids to tensors [batch, longest], padded on the right where no loss is."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        ids = [torch.tensor(example["input_ids"]) for example in examples]
        labels = [torch.tensor(example["labels"]) for example in examples]
        return {
            "input_ids": _padded(ids, self.pad_id),
            "labels": _padded(labels, IGNORED),
            "attention_mask": _padded([torch.ones_like(row) for row in ids], 0),
        }

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Every token is read."""
        return [len(example["input_ids"]) for example in examples]


def measure(visits: VisitSet, limit: int, subject: str, reader: Reader, batch: int) -> NDArray[np.int64]:
    """How many tokens are read of each visit, int64 [n_visits], `batch` of them at a time.

    Raises HarmonicError for a visit of more than `limit` tokens: nothing is ever truncated.
    """
    lengths: list[int] = []
    for first in range(0, len(visits), batch):
        examples = [visits[index] for index in range(first, min(first + batch, len(visits)))]
        for index, example in enumerate(examples, start=first):
            check_length(len(example["input_ids"]), limit, f"{subject} {index}")
        lengths += reader.lengths(examples)
    return np.array(lengths, dtype=np.int64)


def _padded(rows: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)

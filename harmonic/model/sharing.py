"""Sharing: instructions that begin alike are read as one sequence, what they share once.

What enters is a batch of instructions as ids and labels; what leaves is tensors for a model: their common beginning,
then the rest of each, which sees the beginning and itself and nothing else. Losses are those of the instructions one by
one. Where a header of 130 tokens stands before a row of 25, a step takes a sixth of the time. A batch that would gain
nothing is padded as usual.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from harmonic.model.load import LoadedModel
from harmonic.model.visits import Example, Padding, Reader
from harmonic.prompt.instructions import IGNORED

_OF_ALL, _OF_NONE = -1, -2
"""Owners of the tokens that all share and of padding; other tokens belong to the instruction of that number."""
_HIDDEN_SIZES = 2
"""The width in hidden sizes, as measured on CPUs with bfloat16."""


class Sharing:
    """The collator: lists of ids to tensors [groups, longest group], each group one shared beginning and its rests.

    `width` is the number of tokens whose attention costs as much as the rest of a layer.
    """

    def __init__(self, pad_id: int, width: int) -> None:
        self.pad_id = pad_id
        self.width = width
        self._padding = Padding(pad_id)

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        shared, size = self._layout(examples)
        if not shared:
            return self._padding(examples)
        groups = [_group(examples[at : at + size], shared, first=at) for at in range(0, len(examples), size)]
        ids, labels, positions, owners = (
            torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=value)
            for parts, value in zip(
                zip(*groups, strict=True), (self.pad_id, IGNORED, 0, _OF_NONE), strict=True
            )
        )
        return {
            "input_ids": ids,
            "labels": labels,
            "position_ids": positions,
            "attention_mask": _visible(owners),
            "owners": owners,
        }

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """The first instruction of a group is read whole, of the others what follows the beginning."""
        shared, size = self._layout(examples)
        return [
            length - (shared if number % size else 0)
            for number, length in enumerate(self._padding.lengths(examples))
        ]

    def _layout(self, examples: Sequence[Example]) -> tuple[int, int]:
        """Tokens to share (0 = none) and instructions a group, at the least estimated cost."""
        lengths = np.array([len(example["input_ids"]) for example in examples])
        shared = _common(examples)
        if not shared:
            return 0, 1
        sizes = np.arange(2, len(examples) + 1)
        read = shared + sizes * (lengths.mean() - shared)
        costs = read * (1.0 + read / self.width) / sizes
        # Causal attention looks at half of what stands there.
        plain = lengths.max() * (1.0 + lengths.max() / (2.0 * self.width))
        best = int(costs.argmin())
        return (shared, int(sizes[best])) if costs[best] < plain else (0, 1)


def lean_losses(model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Summed nats and number of labels by instruction, each [batch]; logits only where some row has a label.

    No attention mask but that of shared beginnings: padding stands on the right, where no token of a row looks.
    """
    targets = inputs["labels"][:, 1:]
    columns = (targets != IGNORED).any(dim=0).nonzero().flatten()
    owners = inputs.get("owners")
    seen = {} if owners is None else {key: inputs[key] for key in ("position_ids", "attention_mask")}
    logits = model(input_ids=inputs["input_ids"], use_cache=False, logits_to_keep=columns, **seen).logits
    wanted = targets[:, columns]
    nats = cross_entropy(
        logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(wanted.shape)
    counts = (wanted != IGNORED).to(nats.dtype)
    if owners is None:
        return nats.sum(dim=1), counts.sum(dim=1)
    n, owners_wanted = int(owners.max()) + 1, owners[:, 1:][:, columns]
    return _by_owner(nats, owners_wanted, n), _by_owner(counts, owners_wanted, n)


def reader_for(loaded: LoadedModel, settings: Mapping[str, Any]) -> Reader:
    """How training under these [train] settings reads a batch: sharing beginnings where our own loss is used."""
    pad_id, model = loaded.tokenizer.eos_id, loaded.model
    if not (is_lean(loaded, settings) and can_share(model)):
        return Padding(pad_id)
    return Sharing(pad_id, _HIDDEN_SIZES * model.config.get_text_config().hidden_size)


def is_lean(loaded: LoadedModel, settings: Mapping[str, Any]) -> bool:
    """Whether the loss is a plain mean on a CPU, which we compute at less cost than TRL."""
    return (
        loaded.device.type == "cpu"
        and settings.get("loss_type", "nll") == "nll"
        and not settings.get("label_smoothing_factor")
        and not getattr(loaded.model.config.get_text_config(), "output_router_logits", False)
        and "logits_to_keep" in inspect.signature(loaded.model.forward).parameters
    )


def can_share(model: Any) -> bool:
    """Whether the model takes a mask of its own for every token, and all its layers would heed it."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return config._attn_implementation == "sdpa" and layers == {"full_attention"}


def _common(examples: Sequence[Example]) -> int:
    """How many tokens all instructions begin with, without labels, but for the last of them: each rest begins with it,
    because what follows it differs."""
    if len(examples) < 2:
        return 0
    shortest = min(len(example["input_ids"]) for example in examples)
    ids = np.array([example["input_ids"][:shortest] for example in examples])
    labels = np.array([example["labels"][:shortest] for example in examples])
    alike = (ids == ids[0]).all(axis=0) & (labels == IGNORED).all(axis=0)
    n_alike = shortest if alike.all() else int(alike.argmin())
    return max(0, n_alike - 1)


def _group(examples: Sequence[Example], shared: int, first: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids, labels, positions and owners of one group, each int64 [length]."""
    ids = list(examples[0]["input_ids"][:shared])
    labels, positions, owners = [IGNORED] * shared, list(range(shared)), [_OF_ALL] * shared
    for number, example in enumerate(examples, start=first):
        rest = example["input_ids"][shared:]
        ids += rest
        labels += example["labels"][shared:]
        positions += range(shared, shared + len(rest))
        owners += [number] * len(rest)
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(positions), torch.tensor(owners)


def _visible(owners: Tensor) -> Tensor:
    """Which tokens each token sees, bool [groups, 1, length, length]: those before it that all share or that are of its
    own instruction."""
    length = owners.shape[1]
    before = torch.ones(length, length, dtype=torch.bool).tril()
    own = owners[:, None, :] == owners[:, :, None]
    return ((own | (owners == _OF_ALL)[:, None, :]) & before)[:, None]


def _by_owner(values: Tensor, owners: Tensor, n: int) -> Tensor:
    """Sums of values [groups, length] by the instruction that each token belongs to, [n]."""
    is_own = owners >= 0
    return values.new_zeros(n).index_add(0, owners[is_own], values[is_own])

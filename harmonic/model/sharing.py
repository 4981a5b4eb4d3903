"""Sharing: instructions that begin alike are read as one sequence, what they share once.

What enters is a batch of instructions as ids and labels; what leaves is tensors for a model: their common beginning,
then the rest of each, which sees the beginning and itself and nothing else. Losses are those of the instructions one by
one. Attention goes from the rests to the beginning and within each rest, as plain products of matrices: what a mask
would hide is never computed. A batch that begins differently is padded as usual.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.nn.functional import dropout as dropped
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from harmonic.model.load import LoadedModel
from harmonic.model.visits import Example, Padding, Reader
from harmonic.prompt.instructions import IGNORED

ATTENTION = "shared_beginnings"
"""What transformers knows our attention as."""
_OF_ALL, _OF_NONE = -1, -2
"""Owners of the tokens that all share and of padding; other tokens belong to the instruction of that number."""


class Sharing:
    """The collator: lists of ids to tensors [1, beginning + instructions * longest rest], rests padded on the right."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id
        self._padding = Padding(pad_id)

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        shared = _common(examples)
        if not shared:
            return self._padding(examples)
        width = max(len(example["input_ids"]) for example in examples) - shared
        rests = len(examples) * width
        ids, labels = torch.full((shared + rests,), self.pad_id), torch.full((shared + rests,), IGNORED)
        owners = torch.full((shared + rests,), _OF_NONE)
        ids[:shared], owners[:shared] = torch.tensor(examples[0]["input_ids"][:shared]), _OF_ALL
        for number, example in enumerate(examples):
            at, length = shared + number * width, len(example["input_ids"]) - shared
            ids[at : at + length] = torch.tensor(example["input_ids"][shared:])
            labels[at : at + length] = torch.tensor(example["labels"][shared:])
            owners[at : at + length] = number
        positions = torch.arange(shared, shared + width).repeat(len(examples))
        return {
            "input_ids": ids[None],
            "labels": labels[None],
            "position_ids": torch.cat([torch.arange(shared), positions])[None],
            "attention_mask": torch.ones(width, width, dtype=torch.bool).tril()[None, None],
            "owners": owners[None],
        }

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """The first instruction is read whole, of the others what follows the beginning."""
        shared = _common(examples)
        whole = self._padding.lengths(examples)
        return [length - (shared if number else 0) for number, length in enumerate(whole)]


def shared_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    shared_length: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one sequence that `Sharing` laid out; of any other what "sdpa" computes.

    query [1, heads, length, d], key and value [1, key heads, length, d]; shared_length: tokens of the beginning;
    attention_mask: which tokens of its rest each token sees, bool [1, 1, width, width]. Returns [1, length, heads, d].
    """
    if shared_length is None or attention_mask is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    width, (n_keys, _, d) = attention_mask.shape[-1], key.shape[1:]
    groups, n_rests = query.shape[1] // n_keys, (query.shape[2] - shared_length) // width
    scale = d**-0.5 if scaling is None else scaling
    keys, values = key[0, :, :shared_length], value[0, :, :shared_length]
    own_keys, own_values = (
        whole[0, :, shared_length:].unflatten(1, (n_rests, width)) for whole in (key, value)
    )
    beginning = scaled_dot_product_attention(
        query[:, :, :shared_length],
        keys[None],
        values[None],
        None,
        dropout,
        True,
        scale=scale,
        enable_gqa=True,
    )
    # [key heads, rests, heads of a key head, width, d]: one product a key head, however many heads look at it.
    asked = query[0, :, shared_length:].view(n_keys, groups, n_rests, width, d).transpose(1, 2)
    flat, by_rest = asked.reshape(n_keys, -1, d), asked.reshape(n_keys, n_rests, groups * width, d)
    before = (flat @ keys.mT).view(n_keys, n_rests, groups, width, shared_length)
    within = (by_rest @ own_keys.mT).view(n_keys, n_rests, groups, width, width)
    within = within.masked_fill(~attention_mask[0, 0], -torch.inf)
    weights = torch.cat([before, within], dim=-1).mul(scale).softmax(-1, dtype=torch.float32).to(values.dtype)
    weights = dropped(weights, dropout, module.training)
    before, within = weights.split([shared_length, width], dim=-1)
    read = (before.reshape(n_keys, -1, shared_length) @ values).view(asked.shape)
    read = read + (within.reshape(n_keys, n_rests, -1, width) @ own_values).view(asked.shape)
    rests = read.transpose(1, 2).reshape(1, -1, n_rests * width, d)
    return torch.cat([beginning, rests], dim=2).transpose(1, 2), None


AttentionInterface.register(ATTENTION, shared_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def lean_losses(model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Summed nats and number of labels by instruction, each [batch]; logits only where some row has a label.

    No attention mask but that of shared beginnings: padding stands on the right, where no token of a row looks.
    """
    targets = inputs["labels"][:, 1:]
    columns = (targets != IGNORED).any(dim=0).nonzero().flatten()
    owners = inputs.get("owners")
    seen: dict[str, Any] = {}
    if owners is not None:
        seen = {key: inputs[key] for key in ("position_ids", "attention_mask")}
        seen["shared_length"] = int((owners == _OF_ALL).sum())
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
    pad_id = loaded.tokenizer.eos_id
    return Sharing(pad_id) if is_lean(loaded, settings) and can_share(loaded.model) else Padding(pad_id)


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
    """Whether the model's layers take an attention of our own, and would compute the same by themselves."""
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    is_plain = not getattr(config, "attn_logit_softcapping", None) and model._supports_attention_backend
    return config._attn_implementation in ("sdpa", ATTENTION) and layers == {"full_attention"} and is_plain


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


def _by_owner(values: Tensor, owners: Tensor, n: int) -> Tensor:
    """Sums of values [groups, length] by the instruction that each token belongs to, [n]."""
    is_own = owners >= 0
    return values.new_zeros(n).index_add(0, owners[is_own], values[is_own])

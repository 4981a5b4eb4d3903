"""Attention of short sequences on a CPU, as plain products of matrices.

What enters is what transformers hands to an attention; what leaves is the same as from its "sdpa". PyTorch's fused
kernel for CPUs spends four times as long backwards as forwards; up to some 512 tokens, products that keep all scores
take less than half of its time. Longer sequences, and masks other than "what came before", go to the fused kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "short_causal"
"""What transformers knows it as."""
LONGEST = 512


def short_causal_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention; query [batch, heads, length, d], key and value [batch, key heads, length, d]. Returns
    [batch, length, heads, d]."""
    n, heads, length, d = query.shape
    is_short = length <= LONGEST and key.shape[2] == length
    if attention_mask is not None or dropout or not is_short or query.device.type != "cpu":
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    n_keys = key.shape[1]
    groups = heads // n_keys
    scale = d**-0.5 if scaling is None else scaling
    # All heads that look at one key head are rows of one product: [batch * key heads, heads of a key head * length, d].
    asked = (query * scale).reshape(n * n_keys, groups * length, d)
    keys, values = key.reshape(n * n_keys, length, d), value.reshape(n * n_keys, length, d)
    later = torch.full((length, length), -torch.inf, dtype=asked.dtype).triu(1).repeat(groups, 1)
    weights = torch.baddbmm(later, asked, keys.mT).softmax(-1)
    read = (weights.to(values.dtype) @ values).view(n, heads, length, d)
    return read.transpose(1, 2), None


AttentionInterface.register(ATTENTION, short_causal_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

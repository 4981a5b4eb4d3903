"""The attention of pretraining gives what "sdpa" gives, forwards and backwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from harmonic.nano.attention import LONGEST, short_causal_attention


@pytest.mark.parametrize(
    ("heads", "key_heads", "length"), [(3, 1, 40), (4, 2, 7), (2, 2, LONGEST), (2, 1, 600)]
)
def test_outputs_and_gradients_are_those_of_sdpa(heads: int, key_heads: int, length: int) -> None:
    module = nn.Module()
    module.num_key_value_groups = heads // key_heads
    draws = torch.Generator().manual_seed(0)
    shapes = [(2, heads, length, 8), (2, key_heads, length, 8), (2, key_heads, length, 8)]
    found = []
    inputs = [torch.randn(shape, generator=draws) for shape in shapes]
    for attention in (short_causal_attention, sdpa_attention_forward):
        leaves = [given.clone().requires_grad_() for given in inputs]
        read, _ = attention(module, *leaves, None, is_causal=True)
        (read * torch.linspace(-1, 1, read.numel()).view(read.shape)).sum().backward()
        found.append([read.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=1e-4)

from __future__ import annotations

import torch

from harmonic.decode.limits import Limit, limit_of


def test_few_slots_wait_for_memory_and_many_for_arithmetic() -> None:
    """An 8B model in bf16 on an H200: figures worked out by hand."""
    limit = Limit(4.3e12, 790e12, 16e9, 16e9)
    assert round(limit.tokens_per_second(1)) == round(4.3e12 / 16e9)
    assert round(limit.tokens_per_second(1000)) == round(790e12 / 16e9)
    ridge = 790 / 4.3
    assert limit.tokens_per_second(ridge) <= limit.tokens_per_second(2 * ridge) * 1.0001


def test_a_known_device_has_a_limit_and_another_none() -> None:
    model = torch.nn.Linear(10, 20, bias=False)
    limit = limit_of(model, "NVIDIA H200")
    assert limit is not None
    assert (limit.weight_bytes, limit.token_flops) == (800, 400)
    assert limit_of(model, "cpu") is None

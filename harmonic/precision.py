"""What training multiplies matrices in: bfloat16 where the device has instructions for it, else float32.

What enters is a device, what leaves the name of a dtype. Weights and their updates stay float32 either way.
"""

from __future__ import annotations

from typing import Literal

import torch


def fast_dtype(device: torch.device) -> Literal["float32", "bfloat16"]:
    """The faster of the two that training bears. CPUs without instructions for bfloat16 emulate it slowly."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu":
        return "float32"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("avx512_bf16") or has.get("amx_bf16") else "float32"

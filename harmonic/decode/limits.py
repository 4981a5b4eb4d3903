"""The physical limit of decoding: what a device could do if memory and arithmetic were all there is.

What enters is a device's name and a model's size; what leaves is tokens a second, for a step reads every weight once
and multiplies every slot by it, whichever takes longer. Figures of devices are measured ones, dense bf16; a device that
is not listed has no limit here, and nothing is said about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

_DEVICES = {"H200": (4.3e12, 790e12)}
"""By a part of the name: bytes and floating-point operations a second."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A device and a model: bytes and operations a second, bytes of weights, operations a token."""

    bandwidth: float
    rate: float
    weight_bytes: float
    token_flops: float

    def tokens_per_second(self, slots: float) -> float:
        """Decoded tokens a second with so many slots busy; keys and values, which grow, are not counted."""
        return slots / max(self.weight_bytes / self.bandwidth, slots * self.token_flops / self.rate)


def device_name(device: torch.device) -> str:
    """What the device calls itself: "NVIDIA H200", "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def limit_of(model: Any, device_name: str) -> Limit | None:
    """The limit of a model on a device; None where the device is unknown."""
    known = next((figures for part, figures in _DEVICES.items() if part in device_name), None)
    if known is None:
        return None
    tied = {parameter.data_ptr(): parameter for parameter in model.parameters()}
    n_bytes = sum(parameter.numel() * parameter.element_size() for parameter in tied.values())
    return Limit(*known, n_bytes, 2.0 * sum(parameter.numel() for parameter in tied.values()))

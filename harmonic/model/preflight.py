"""Preflight: what a training will cost, said before it begins.

What enters is a loaded base, the lengths of the instructions and the settings; what leaves is the number of steps that
the budget buys, with tokens, time and memory. Time is measured on a few real-sized passes where that takes seconds, and
reckoned from the machine's matrix speed where it does not: 4 FLOPs a weight and token for LoRA (forward, and backward
through activations only), 6 for full fine-tuning.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.model.load import LoadedModel
from harmonic.model.lora import Method, as_trained, count_trainable, lora_config
from harmonic.model.plan import Shape, plan_steps, training_shape
from harmonic.model.quiet import quiet

FLOPS_A_WEIGHT: Mapping[Method, int] = {"lora": 4, "full": 6}
_PROBE_FLOPS = 4e11  # some seconds on one core
_UTILIZATION = 0.4  # share of the matrix speed that training reaches, where it is not measured
_LAYER_FLOATS = 24
"""Activations kept a layer, token and hidden unit without checkpointing: attention, norms and the gated MLP."""
_LOGITS_BYTES = 1 << 30


class Pace(NamedTuple):
    """Seconds of training a token in one process, whether measured on the model itself, and the weights that train."""

    seconds: float
    is_measured: bool
    trainable: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """The cost of a training. Times in seconds, memory in bytes a process."""

    steps: int
    visits: int
    tokens: int
    longest: int
    context_length: int
    trainable: int
    weights: int
    seconds: float
    is_measured: bool
    memory: int
    device: str

    def __str__(self) -> str:
        how = "measured" if self.is_measured else "reckoned"
        return "\n".join(
            [
                f"Training: {self.steps:,} steps, {self.visits:,} instructions, {self.tokens:,} tokens",
                f"Longest instruction: {self.longest:,} of {self.context_length:,} tokens of context",
                f"Weights: {self.weights:,}, of which {self.trainable:,} train",
                f"Expected on {self.device}: {_duration(self.seconds)} ({how}), {_size(self.memory)} of memory",
            ]
        )


def preflight(
    loaded: LoadedModel,
    lengths: Sequence[int] | NDArray[np.int64],
    train_settings: Mapping[str, Any] | None = None,
    budget: BudgetSection | None = None,
    *,
    method: Method = "lora",
    lora_settings: Mapping[str, Any] | None = None,
    per_pass: int | None = None,
    world: int = 1,
) -> Preflight:
    """The cost of training on instructions of these lengths in tokens, in `world` processes.

    lengths: of one pass, or of a part of it where `per_pass` says how many there are. The other settings are those of
    `finetune`. Raises HarmonicError where the longest does not fit into the context.
    """
    if not len(lengths):
        raise HarmonicError(
            "Training: there are no instructions. Give a table with at least two training rows."
        )
    longest, mean = int(max(lengths)), float(sum(lengths)) / len(lengths)
    if longest > loaded.context_length:
        raise HarmonicError(
            f"Instructions: the longest has {longest} tokens, the model's context {loaded.context_length}. "
            "Use the codec 'compact', fewer examples or rows in [prompt], or leave out long text columns."
        )
    shape = training_shape(train_settings or {}, world)
    pace = measure_pace(loaded, method, lora_settings, round(mean), shape.batch)
    steps, visits = plan_steps(budget or BudgetSection(), shape, per_pass or len(lengths), mean, pace.seconds)
    tokens = round(visits * mean)
    return Preflight(
        steps=steps,
        visits=visits,
        tokens=tokens,
        longest=longest,
        context_length=loaded.context_length,
        trainable=pace.trainable,
        weights=count_weights(loaded),
        seconds=tokens / world * pace.seconds,
        is_measured=pace.is_measured,
        memory=_memory(loaded, longest * shape.batch, pace.trainable, shape),
        device=str(loaded.device),
    )


def measure_pace(
    loaded: LoadedModel, method: Method, lora_settings: Mapping[str, Any] | None, length: int, batch: int
) -> Pace:
    """How fast this process trains `loaded` on `batch` instructions of `length` tokens at once."""
    flops = FLOPS_A_WEIGHT[method] * count_weights(loaded)
    rows = max(1, min(batch, int(_PROBE_FLOPS / flops / length)))
    config = lora_config(lora_settings, loaded.model) if method == "lora" else None
    with quiet(), as_trained(loaded.model, method, config) as model:
        trainable = count_trainable(model)
        if loaded.device.type == "cpu" and flops * length * rows > _PROBE_FLOPS:
            return Pace(flops / (_UTILIZATION * _matrix_speed(loaded)), False, trainable)
        ids = (
            torch.arange(rows * length, device=loaded.device).view(rows, length) % loaded.tokenizer.vocab_size
        )
        seconds = min(_timed(model, ids) for _ in range(3))
    return Pace(seconds / ids.numel(), True, trainable)


def count_weights(loaded: LoadedModel) -> int:
    """Weights of the base; those packed in four bits count as what they stand for."""
    return int(loaded.model.num_parameters())


def _timed(model: Any, ids: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    started = time.perf_counter()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    if ids.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _matrix_speed(loaded: LoadedModel) -> float:
    """FLOPs a second of square matrix products on the device, at the model's precision."""
    size = 512 if loaded.device.type == "cpu" else 4096
    left = torch.ones(size, size, device=loaded.device, dtype=loaded.dtype)
    left @ left
    started = time.perf_counter()
    for _ in range(10):
        left @ left
    return 10 * 2 * size**3 / (time.perf_counter() - started)


def _memory(loaded: LoadedModel, tokens: int, trainable: int, shape: Shape) -> int:
    """Weights, gradients and two moments of what trains, kept activations, and the logits of one micro-batch."""
    config = loaded.model.config.get_text_config()
    on_cpu = loaded.device.type == "cpu"
    is_checkpointed = shape.checkpointing if shape.checkpointing is not None else not on_cpu
    kept = (2 if is_checkpointed else _LAYER_FLOATS) * config.num_hidden_layers + _LAYER_FLOATS
    activations = tokens * config.hidden_size * (4 if on_cpu else 2) * kept
    logits = min(2 * 4 * tokens * config.vocab_size, _LOGITS_BYTES)
    return int(loaded.model.get_memory_footprint()) + 12 * trainable + activations + logits


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"

"""LoRA: which weights train, and the proof that they can.

What enters is the [lora] section and a base; what leaves is a peft.LoraConfig, checked so that no embedding ever
trains: where input and output embeddings are tied, as in small models, training one unties them with only a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model

from harmonic.errors import HarmonicError
from harmonic.model.vendor import build

Method = Literal["lora", "full"]
DEFAULT_LORA: Mapping[str, Any] = {
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "target_modules": "all-linear",
}
_REMEDY = 'Write target_modules = "all-linear", or leave the key out.'


def lora_config(settings: Mapping[str, Any] | None, model: Any) -> LoraConfig:
    """[lora] as peft.LoraConfig, over DEFAULT_LORA. Raises HarmonicError where it would train embeddings or nothing."""
    config = build("lora", LoraConfig, {**DEFAULT_LORA, **(settings or {})}, {"task_type": "CAUSAL_LM"})
    linear = sorted({name.rpartition(".")[2] for name, module in model.named_modules() if _is_linear(module)})
    _refuse_embeddings(config, model)
    if isinstance(config.target_modules, set):
        unknown = sorted(config.target_modules - {name for name, _ in model.named_modules()} - set(linear))
        if unknown:
            raise HarmonicError(
                f"Key 'target_modules' in [lora]: {unknown[0]!r} is no linear layer of this base, which has "
                f'{", ".join(linear)}. Take some of these, or write target_modules = "all-linear".'
            )
    return config


def count_trainable(model: Any) -> int:
    """How many weights take gradients. Raises HarmonicError if none does: such a training would say nothing."""
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    if not trainable:
        raise HarmonicError(
            f"Training: no weight of the model takes gradients, so nothing would train. {_REMEDY}"
        )
    return trainable


@contextmanager
def as_trained(model: Any, method: Method, config: LoraConfig | None) -> Iterator[Any]:
    """The model as training would see it; on leaving it is as it was, and so are torch's random numbers."""
    wanted = {name: weight.requires_grad for name, weight in model.named_parameters()}
    with torch.random.fork_rng():
        wrapped = (
            get_peft_model(model, config) if config is not None else model.requires_grad_(method == "full")
        )
        try:
            yield wrapped
        finally:
            model = wrapped.unload() if config is not None else wrapped
            for name, weight in model.named_parameters():
                weight.requires_grad_(wanted[name])
                weight.grad = None


def _refuse_embeddings(config: LoraConfig, model: Any) -> None:
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if any(module is end for end in ends)
    }
    listed: set[str] = config.target_modules if isinstance(config.target_modules, set) else set()
    for key, given in (("target_modules", listed), ("modules_to_save", set(config.modules_to_save or ()))):
        caught = sorted(name for name in given if name.rpartition(".")[2] in names)
        if caught:
            raise HarmonicError(
                f"Key {key!r} in [lora]: {caught[0]!r} holds the embeddings, which are never trained: tied ones would "
                "come apart. Leave it out."
            )
    if config.trainable_token_indices:
        raise HarmonicError(
            "Key 'trainable_token_indices' in [lora]: embeddings are never trained. Leave it out."
        )


def _is_linear(module: Any) -> bool:
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"

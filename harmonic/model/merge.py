"""Base and adapter as one plain model, faster to sample from and readable by any other tool.

What enters is a loaded model with its adapter; what leaves is the same model without a trace of LoRA. A 4-bit base is
first written out in full, as the very values its four bits stand for, and merged there: merged into the original
16-bit base, the adapter would correct errors that base does not have. Before and after are compared token by token.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from harmonic.errors import HarmonicError
from harmonic.files import atomic_folder
from harmonic.model.identity import ADAPTER_WEIGHTS, weight_files, weights_digest
from harmonic.model.load import LoadedModel
from harmonic.model.quiet import quiet

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
_CHECKED = 128
"""Tokens on which both models are compared."""
_EXACT, _ROUNDED = 1e-3, 0.05
"""Largest mean difference of next-token distributions: in float32, and where 16 or 4 bits round."""


@dataclass(frozen=True)
class Merged:
    """A merged model, and how far it is from the unmerged one: total variation of next-token distributions, 0 to 1."""

    loaded: LoadedModel
    mean_difference: float
    largest_difference: float


def merge(loaded: LoadedModel) -> Merged:
    """`loaded` (its model is used up) with its adapter in its weights, in memory; 4-bit weights written out.

    Raises HarmonicError if there is no adapter, or if the merged model says something else.
    """
    if not isinstance(loaded.model, PeftModel) or loaded.adapter is None:
        raise HarmonicError(
            f"Base {loaded.base!r}: it is loaded without a LoRA adapter, so there is nothing to merge. "
            "Give the adapter/ of a finished run; full fine-tuning needs no merging."
        )
    before = _distributions(loaded)
    with quiet():
        merged = replace(
            loaded,
            model=_merged_weights(loaded).eval(),
            # Other weights than the base's: an adapter trained on these must not pass for one of the base.
            digest=weights_digest([*weight_files(loaded.folder), loaded.adapter / ADAPTER_WEIGHTS]),
            adapter=None,
            quantization=None,
        )
    apart = 0.5 * (_distributions(merged) - before).abs().sum(dim=-1)
    result = Merged(merged, float(apart.mean()), float(apart.max()))
    rounds = loaded.quantization or loaded.dtype != torch.float32
    if not result.mean_difference <= (_ROUNDED if rounds else _EXACT):
        raise HarmonicError(
            f"Adapter {str(loaded.adapter)!r}: merged, the model's next-token distributions differ by "
            f"{result.mean_difference:.3f} on average, expected {_ROUNDED if rounds else _EXACT} at most. "
            "Sample from base and adapter unmerged, or merge with dtype = 'float32'."
        )
    return result


def save_merged(merged: Merged, folder: Path) -> Path:
    """Writes a plain model folder (config, safetensors, tokenizer), whole or not at all, and returns it."""
    with quiet(), atomic_folder(folder) as partial:
        merged.loaded.model.save_pretrained(partial)
        for name in _TOKENIZER_FILES:
            if (merged.loaded.folder / name).is_file():
                shutil.copyfile(merged.loaded.folder / name, partial / name)
    return folder


def _merged_weights(loaded: LoadedModel) -> Any:
    model: Any = loaded.model
    if loaded.quantization and loaded.adapter is not None:
        dense = model.unload().dequantize(dtype=loaded.dtype)
        model = PeftModel.from_pretrained(dense, loaded.adapter, use_safetensors=True)
    return model.merge_and_unload(safe_merge=True)


@torch.no_grad()
def _distributions(loaded: LoadedModel) -> Tensor:
    """Next-token probabilities after each of some tokens, float32 [tokens, vocabulary], on the CPU."""
    ids = (
        torch.arange(min(_CHECKED, loaded.context_length), device=loaded.device) % loaded.tokenizer.vocab_size
    )
    logits = loaded.model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0]
    return torch.softmax(logits.float(), dim=-1).cpu()

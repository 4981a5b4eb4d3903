"""[train] as trl.SFTConfig: what a run file says, over our defaults and under what harmonic decides itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig

from harmonic.errors import HarmonicError
from harmonic.model.load import LoadedModel
from harmonic.model.quiet import quiet
from harmonic.model.vendor import build, check_keys
from harmonic.precision import fast_dtype


def sft_config(
    loaded: LoadedModel, folder: Path, settings: Mapping[str, Any], seed: int, has_val: bool
) -> SFTConfig:
    """The settings of a training whose state stands in `folder`. settings: keys of trl.SFTConfig, verbatim; has_val:
    whether the weights of the lowest validation loss are kept. Raises HarmonicError for keys that SFTConfig does not
    know or that harmonic decides, and for states saved at other steps than those validated."""
    on_cpu = loaded.device.type == "cpu"
    ours: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "max_length": None,
        "packing": False,
        "padding_free": False,
        "shuffle_dataset": False,
        "train_sampling_strategy": "sequential",
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "use_cpu": on_cpu,
        "save_strategy": "steps",
        "save_only_model": False,
        "eval_strategy": "steps" if has_val else "no",
        "load_best_model_at_end": has_val,
        "metric_for_best_model": "eval_loss" if has_val else None,
        "greater_is_better": False if has_val else None,
        "disable_tqdm": True,
        "push_to_hub": False,
        "auto_find_batch_size": False,
    }
    planned = {"max_length", "max_steps", "num_train_epochs"}
    check_keys("train", SFTConfig, settings, {})
    given = {
        key: value for key, value in settings.items() if key not in planned and ours.get(key, ...) != value
    }
    every = given.get("eval_steps", 0.05)
    defaults = {
        "report_to": "none",
        "bf16": _is_half(loaded) and not given.get("fp16"),
        "fp16": loaded.dtype == torch.float16 and not on_cpu and not given.get("bf16"),
        "gradient_checkpointing": not on_cpu,
        "logging_steps": 0.01,
        "ddp_find_unused_parameters": False,
        "logging_nan_inf_filter": False,
        "save_total_limit": 2,
        "save_steps": every if has_val else 0.1,
        "eval_steps": every if has_val else None,
        "per_device_eval_batch_size": settings.get("per_device_train_batch_size", 8),
    }
    if has_val and given.get("save_steps", every) != every:
        raise HarmonicError(
            f"Key 'save_steps' in [train]: value {given['save_steps']!r}, but with validation the best state is kept, "
            f"so each validation saves (eval_steps = {every!r}). Leave it out."
        )
    with quiet():
        return build("train", SFTConfig, {**defaults, **given}, {**ours, "num_train_epochs": 1})


def _is_half(loaded: LoadedModel) -> bool:
    """Whether matrices are multiplied in bfloat16 by default: on GPUs as the weights are, on CPUs if it is faster."""
    if loaded.device.type == "cpu":
        is_whole = loaded.dtype == torch.float32 and not loaded.quantization
        return is_whole and fast_dtype(loaded.device) == "bfloat16"
    return loaded.dtype == torch.bfloat16

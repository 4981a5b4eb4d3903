"""Bases that have seen nothing, for what pretraining and size are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from harmonic.model.load import base_path


class Width(NamedTuple):
    """How wide a model of nano's depth, vocabulary and head size is."""

    heads: int = 3
    intermediate: int = 512


def random_base(folder: Path, width: Width | None = None) -> Sequence[str]:
    """The settings of a base of random weights in `folder`, trained as nano is; None = nano's own width."""
    if not (folder / "config.json").exists():
        nano = base_path("nano")
        config = AutoConfig.from_pretrained(nano)
        if width is not None:
            config.num_attention_heads = config.num_key_value_heads = width.heads
            config.hidden_size = width.heads * config.head_dim
            config.intermediate_size = width.intermediate
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        AutoTokenizer.from_pretrained(nano).save_pretrained(folder)
    return [f'model.base="{folder}"', 'model.method="full"']

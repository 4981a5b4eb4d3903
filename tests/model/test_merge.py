from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.model.finetune import finetune
from harmonic.model.load import load_model
from harmonic.model.merge import merge, save_merged
from harmonic.model.visits import RepeatedVisits

NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 60).unsqueeze(0), use_cache=False).logits


@pytest.mark.parametrize("quantization", [None, NF4])
def test_a_merged_model_says_what_base_and_adapter_said(
    save_base: Callable[..., Path],
    visits: Callable[..., RepeatedVisits],
    tmp_path: Path,
    quantization: dict[str, Any] | None,
) -> None:
    base = str(save_base(hidden_size=96))
    loaded = load_model(base, quantization=quantization)
    bare = logits(loaded.model)
    result = finetune(
        loaded,
        visits(loaded.tokenizer),
        out=tmp_path / "run",
        train_settings={"learning_rate": 0.02},
        budget=BudgetSection(steps=4),
        progress=False,
    )
    trained = logits(load_model(base, quantization=quantization, adapter=result.adapter).model)
    merged = merge(load_model(base, quantization=quantization, adapter=result.adapter))
    folder = save_merged(merged, tmp_path / "merged")
    plain = load_model(str(folder))
    assert (trained - bare).abs().max() > 0.05
    assert torch.allclose(logits(plain.model), trained, atol=2e-3)
    assert merged.mean_difference < 1e-3
    assert plain.quantization is None and plain.tokenizer.fingerprint == loaded.tokenizer.fingerprint


def test_a_bare_base_has_nothing_to_merge(base: str) -> None:
    with pytest.raises(HarmonicError, match="nothing to merge"):
        merge(load_model(base))

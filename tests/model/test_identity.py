from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from harmonic.model.identity import weight_files, weights_digest


def digest(folder: Path) -> str:
    return weights_digest(weight_files(folder))


def test_the_digest_sees_weights_only_and_not_how_they_are_cut(tmp_path: Path) -> None:
    one, two = {"b": torch.arange(6.0).view(2, 3)}, {"a": torch.ones(4, dtype=torch.bfloat16)}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    save_file({**one, **two}, whole / "model.safetensors", metadata={"format": "pt"})
    save_file(one, cut / "1.safetensors")
    save_file(two, cut / "2.safetensors", metadata={"made": "elsewhere"})
    index = '{"weight_map": {"b": "1.safetensors", "a": "2.safetensors"}}'
    (cut / "model.safetensors.index.json").write_text(index)
    assert digest(whole) == digest(cut)


def test_any_change_of_name_type_shape_or_value_changes_the_digest(tmp_path: Path) -> None:
    weight = torch.arange(6.0)
    variants = [
        {"a": weight},
        {"b": weight},
        {"a": weight.view(2, 3)},
        {"a": weight.view(torch.int32)},
        {"a": weight + 1e-6},
    ]
    digests = set()
    for number, tensors in enumerate(variants):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_file(tensors, folder / "model.safetensors")
        digests.add(digest(folder))
    assert len(digests) == len(variants)

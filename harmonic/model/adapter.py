"""The adapter on disk: written whole, read back, compared.

What enters is a trainer that has trained; what leaves is a folder with the weights in safetensors and the note about
their base. Saving is where distributed training goes wrong quietly (one process's slice instead of the whole), so what
was written is read again: every tensor in its full shape, equal to the one in memory, and not what it was at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from harmonic.errors import HarmonicError
from harmonic.files import atomic_folder, read_json, remove, write_json
from harmonic.model.identity import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BaseNote, weight_files, write_note

Prints = Mapping[str, tuple[tuple[int, ...], float]]
"""Shape and sum of each tensor that trains, by its name on disk."""


def trained_tensors(model: Any) -> dict[str, Tensor]:
    """The tensors that are saved, by their names on disk: LoRA's, or the whole model's."""
    if isinstance(model, PeftModel):
        return get_peft_model_state_dict(model, save_embedding_layers=False)
    return dict(model.state_dict())


def fingerprints(tensors: Mapping[str, Tensor]) -> Prints:
    """What to tell moved weights by, without a second copy of them."""
    return {name: (tuple(tensor.shape), _sum(tensor)) for name, tensor in tensors.items()}


def save_adapter(trainer: Any, folder: Path, note: BaseNote, before: Prints) -> None:
    """Writes what `trainer` (transformers.Trainer) has trained as `folder`. Every process has to call it.

    Raises HarmonicError if nothing has moved since `before`, or if what was written does not read back.
    """
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    if not trainer.is_world_process_zero():
        trainer.save_model(str(folder))  # takes its part in gathering; only the main process writes
    else:
        with atomic_folder(folder) as partial:
            trainer.save_model(str(partial))
            _tidy(partial, note)
            _check(_read(partial), before, trainer)
    trainer.accelerator.wait_for_everyone()


def _tidy(folder: Path, note: BaseNote) -> None:
    for name in ("training_args.bin", "README.md"):  # a pickle, and a card that says nothing
        remove(folder / name)
    if (folder / ADAPTER_CONFIG).is_file():
        # The base's place on this machine is nobody else's; the note says which base it is.
        config = read_json(folder / ADAPTER_CONFIG)
        write_json(folder / ADAPTER_CONFIG, {**config, "base_model_name_or_path": note.base})
    write_note(folder, note)


def _read(folder: Path) -> dict[str, Tensor]:
    if (folder / ADAPTER_WEIGHTS).is_file():
        return load_file(folder / ADAPTER_WEIGHTS)
    return {name: tensor for path in weight_files(folder) for name, tensor in load_file(path).items()}


def _check(saved: Mapping[str, Tensor], before: Prints, trainer: Any) -> None:
    lost = [name for name in saved if name in before and tuple(saved[name].shape) != before[name][0]]
    known = [name for name in saved if name in before]
    if lost or not known:
        raise HarmonicError(
            f"Adapter: {lost[0] if lost else 'its weights'} was not saved whole. Train on one GPU or with DDP "
            "(configs/accelerate), whose saving is tested."
        )
    if not trainer.is_fsdp_enabled and not trainer.is_deepspeed_enabled:
        memory = trained_tensors(trainer.accelerator.unwrap_model(trainer.model))
        differing = [name for name in known if not torch.equal(saved[name], memory[name].cpu())]
        if differing:
            raise HarmonicError(
                f"Adapter: {differing[0]!r} reads back otherwise than it was saved. Check the disk."
            )
    if all(_sum(saved[name]) == before[name][1] for name in known):
        raise HarmonicError(
            "Training: no weight has moved, so nothing was learnt. Raise learning_rate in [train] or the number of "
            "steps in [budget]."
        )


def _sum(tensor: Tensor) -> float:
    return float(tensor.detach().double().abs().sum())

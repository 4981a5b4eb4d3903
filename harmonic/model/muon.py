"""Muon for full fine-tuning: the layers' matrices learn by it, embeddings and norms by AdamW.

What enters is a model and a learning rate; what leaves is one optimizer with one state, which saves, loads and takes a
schedule like any other. Muon's steps are of the same size in all directions of a matrix (Jordan et al. 2024), so that
what few rows say faintly, such as what one column means for another, is learnt before digits are learnt by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from harmonic.model.lora import Method


class MuonAdamW(Optimizer):
    """Two optimizers as one: param_groups[0] are Muon's matrices, param_groups[1] AdamW's other weights."""

    def __init__(
        self, matrices: list[Tensor], others: list[Tensor], lr: float, weight_decay: float = 0.0
    ) -> None:
        # Rates that are right for AdamW are then right for Muon, too.
        muon = Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self._parts: tuple[Optimizer, ...] = (muon, AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0))
        super().__init__([group for part in self._parts for group in part.param_groups], {})
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both; returns what `closure` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Both parts work on this optimizer's own groups and state."""
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups, part.state = [group], self.state


def muon_for(model: Any, lr: float, weight_decay: float) -> MuonAdamW:
    """The optimizer for all weights of `model` that train."""
    ends = {
        id(end.weight)
        for end in (model.get_input_embeddings(), model.get_output_embeddings())
        if end is not None
    }
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in weights if weight.ndim == 2 and id(weight) not in ends]
    chosen = {id(weight) for weight in matrices}
    return MuonAdamW(matrices, [weight for weight in weights if id(weight) not in chosen], lr, weight_decay)


def uses_muon(method: Method, settings: Mapping[str, Any]) -> bool:
    """Whether training under these [train] settings is Muon's: all weights train, and no optimizer is named."""
    return method == "full" and "optim" not in settings

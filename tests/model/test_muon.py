"""Muon and AdamW as one optimizer: each drives its weights, and the state comes back whole."""

from __future__ import annotations

import copy

import torch
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR

from harmonic.model.load import load_model
from harmonic.model.muon import MuonAdamW, muon_for


def _weights(seed: int = 0) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    draws = torch.Generator().manual_seed(seed)
    matrices = [torch.nn.Parameter(torch.randn(shape, generator=draws)) for shape in ((4, 6), (8, 3))]
    return matrices, [torch.nn.Parameter(torch.randn(5, generator=draws))]


def _give_gradients(weights: list[torch.nn.Parameter], seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=draws)


def test_steps_are_those_of_both_optimizers_under_one_schedule() -> None:
    ours, theirs = _weights(), _weights()
    both = MuonAdamW(*ours, lr=0.1)
    apart = [
        Muon(theirs[0], lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        AdamW(theirs[1], lr=0.1, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    schedules = [LambdaLR(each, lambda step: 1 / (1 + step)) for each in (both, *apart)]
    for seed in range(4):
        for weights, steps in ((ours, [both]), (theirs, apart)):
            _give_gradients([*weights[0], *weights[1]], seed)
            for each in steps:
                each.step()
        for schedule in schedules:
            schedule.step()
    for ours_, theirs_ in zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True):
        assert torch.equal(ours_, theirs_)


def test_a_loaded_state_goes_on_as_if_nothing_had_happened() -> None:
    whole = _weights()
    first = MuonAdamW(*whole, lr=0.1)
    _give_gradients([*whole[0], *whole[1]], 0)
    first.step()
    resumed = copy.deepcopy(whole)
    second = MuonAdamW(*resumed, lr=0.5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [group["lr"] for group in second.param_groups] == [0.1, 0.1]
    for weights, optimizer in ((whole, first), (resumed, second)):
        _give_gradients([*weights[0], *weights[1]], 1)
        optimizer.step()
    for ours, theirs in zip([*whole[0], *whole[1]], [*resumed[0], *resumed[1]], strict=True):
        assert torch.equal(ours, theirs)


def test_embeddings_and_norms_are_not_muons() -> None:
    model = load_model("nano", device="cpu", trainable=True).model
    optimizer = muon_for(model, 0.01, 0.0)
    matrices, others = (group["params"] for group in optimizer.param_groups)
    assert len(matrices) == 7 * model.config.num_hidden_layers
    assert {weight.ndim for weight in matrices} == {2}
    assert any(weight is model.get_input_embeddings().weight for weight in others)
    assert len(matrices) + len(others) == len(list(model.parameters()))

"""Shared beginnings: the same losses and gradients as instructions read one by one, in fewer tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from harmonic.model.load import load_model
from harmonic.model.sharing import ATTENTION, Sharing, can_share, lean_losses, reader_for
from harmonic.model.visits import Example, Padding
from harmonic.prompt.instructions import IGNORED

LOADED = load_model("nano", device="cpu", dtype="float32")
LOADED.model.set_attn_implementation(ATTENTION)


def _examples(rng: np.random.Generator, n: int, shared: int, lengths: tuple[int, int]) -> list[Example]:
    opening = rng.integers(5, 500, shared).tolist()
    found = []
    for _ in range(n):
        rest = rng.integers(5, 500, int(rng.integers(*lengths))).tolist()
        found.append({"input_ids": opening + rest, "labels": [IGNORED] * shared + rest})
    return found


def _alone(example: Example) -> torch.Tensor:
    logits = LOADED.model(input_ids=torch.tensor([example["input_ids"]])).logits[0, :-1]
    return cross_entropy(logits, torch.tensor(example["labels"][1:]), ignore_index=IGNORED, reduction="sum")


def _together(reader: Any, examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    return lean_losses(LOADED.model, reader(examples))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 60))
def test_losses_are_those_of_the_instructions_one_by_one(seed: int, n: int, shared: int) -> None:
    examples = _examples(np.random.default_rng(seed), n, shared, (2, 15))
    with torch.no_grad():
        sums, counts = _together(Sharing(0), examples)
        expected = torch.stack([_alone(example) for example in examples])
    assert torch.allclose(sums, expected, atol=1e-3)
    assert counts.tolist() == [sum(i != IGNORED for i in example["labels"]) for example in examples]


def test_gradients_are_those_of_the_instructions_one_by_one() -> None:
    examples = _examples(np.random.default_rng(0), 8, 40, (5, 12))
    gradients = []
    for losses in (
        lambda: _together(Sharing(0), examples)[0].sum(),
        lambda: torch.stack([_alone(example) for example in examples]).sum(),
    ):
        LOADED.model.zero_grad()
        losses().backward()
        gradients.append(
            torch.cat([w.grad.flatten() for w in LOADED.model.parameters() if w.grad is not None])
        )
    LOADED.model.zero_grad()
    assert torch.allclose(gradients[0], gradients[1], atol=1e-3 * float(gradients[1].abs().max()))


def test_what_all_begin_with_is_read_once() -> None:
    examples = _examples(np.random.default_rng(1), 32, 130, (20, 28))
    reader = Sharing(0)
    tensors = reader(examples)
    rests = [len(example["input_ids"]) - 129 for example in examples]
    assert tensors["input_ids"].shape == (1, 129 + 32 * max(rests))
    assert sum(reader.lengths(examples)) == 129 + sum(rests) == int((tensors["owners"] != -2).sum())
    assert sum(reader.lengths(examples)) < sum(Padding(0).lengths(examples)) / 3


def test_a_batch_that_begins_differently_is_padded() -> None:
    rng = np.random.default_rng(2)
    strangers = [*_examples(rng, 3, 30, (5, 9)), *_examples(rng, 3, 30, (5, 9))]
    for examples in (strangers, strangers[:1]):
        assert "owners" not in Sharing(0)(examples)
        assert Sharing(0).lengths(examples) == Padding(0).lengths(examples)


def test_a_beginning_with_loss_is_not_shared() -> None:
    examples = _examples(np.random.default_rng(3), 6, 50, (5, 9))
    for example in examples:
        example["labels"] = list(example["input_ids"])
    assert "owners" not in Sharing(0)(examples)


@pytest.mark.parametrize(("key", "value"), [("loss_type", "dft"), ("label_smoothing_factor", 0.1)])
def test_only_our_own_loss_shares(key: str, value: object) -> None:
    assert isinstance(reader_for(LOADED, {}), Sharing)
    assert isinstance(reader_for(LOADED, {key: value}), Padding)


def test_layers_with_a_window_do_not_share() -> None:
    config = LOADED.model.config
    assert can_share(LOADED.model)
    config.layer_types = ["sliding_attention"] * config.num_hidden_layers
    try:
        assert not can_share(LOADED.model)
    finally:
        del config.layer_types

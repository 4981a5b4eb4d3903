from __future__ import annotations

import pytest
import torch

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.model import preflight as room
from harmonic.model.load import load_model
from harmonic.model.plan import plan_steps, training_shape
from harmonic.model.preflight import preflight


def test_preflight_says_steps_tokens_time_and_memory(base: str) -> None:
    found = preflight(
        load_model(base), [40] * 30, {"per_device_train_batch_size": 4}, BudgetSection(steps=10)
    )
    assert (found.steps, found.visits, found.tokens) == (10, 40, 1600)
    assert found.is_measured and 0 < found.seconds < 60 and found.memory > 0
    assert found.trainable == 2 * 16 * (4 * 64 + 3 * 96)
    assert "10 steps, 40 instructions, 1,600 tokens" in str(found)


def test_a_four_bit_base_counts_the_weights_it_stands_for(base: str) -> None:
    nf4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    whole, packed = (preflight(load_model(base, quantization=q), [40] * 30) for q in (None, nf4))
    assert (packed.weights, packed.trainable) == (whole.weights, whole.trainable)
    assert packed.is_measured and packed.memory < whole.memory


def test_a_model_too_large_to_try_is_reckoned(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PROBE_FLOPS", 1.0)
    found = preflight(load_model(base), [40] * 30, method="full")
    assert not found.is_measured and found.trainable == found.weights and "reckoned" in str(found)


def test_preflight_leaves_the_model_and_the_random_numbers_as_they_were(base: str) -> None:
    loaded = load_model(base)
    before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
    state = torch.random.get_rng_state()
    preflight(loaded, [40] * 30)
    after = dict(loaded.model.named_parameters())
    assert torch.equal(torch.random.get_rng_state(), state) and set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) and after[name].requires_grad for name in before)
    assert all(weight.grad is None for weight in after.values())


def test_an_instruction_over_the_context_and_no_instruction_are_refused(base: str) -> None:
    loaded = load_model(base)
    with pytest.raises(HarmonicError, match="300 tokens, the model's context 256"):
        preflight(loaded, [40, 300])
    with pytest.raises(HarmonicError, match="no instructions"):
        preflight(loaded, [])


@pytest.mark.parametrize(
    ("budget", "settings", "expected"),
    [
        (BudgetSection(steps=7), {}, (7, 56)),
        (BudgetSection(tokens=8000), {}, (10, 80)),
        (BudgetSection(minutes=1), {}, (67, 536)),  # 54 s at 1 ms a token, 800 tokens a step
        (BudgetSection(), {"num_train_epochs": 2}, (25, 200)),
        (BudgetSection(), {"num_train_epochs": 1.01}, (13, 101)),
        (BudgetSection(), {"max_steps": 5}, (5, 40)),
        (BudgetSection(tokens=8000), {"gradient_accumulation_steps": 5}, (2, 80)),
    ],
)
def test_a_budget_buys_steps(
    budget: BudgetSection, settings: dict[str, int], expected: tuple[int, int]
) -> None:
    shape = training_shape({"per_device_train_batch_size": 8, **settings})
    assert plan_steps(budget, shape, per_pass=100, mean_length=100.0, pace=1e-3) == expected


def test_more_processes_take_fewer_steps_over_the_same_visits() -> None:
    shape = training_shape({"per_device_train_batch_size": 4, "num_train_epochs": 1}, world=2)
    assert plan_steps(BudgetSection(), shape, 100, 50.0, 0.0) == (13, 100)
    assert plan_steps(BudgetSection(most_tokens=2000), shape, 100, 50.0, 0.0) == (5, 40)
    assert plan_steps(BudgetSection(most_tokens=10**9), shape, 100, 50.0, 0.0) == (13, 100)

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.model.finetune import FinetuneResult, finetune
from harmonic.model.load import LoadedModel, load_model
from harmonic.model.sharing import Sharing
from harmonic.model.visits import RepeatedVisits, VisitSet
from harmonic.prompt.instructions import IGNORED, Tokens

SETTINGS = {
    "learning_rate": 1e-2,
    "per_device_train_batch_size": 4,
    "lr_scheduler_type": "cosine",
    "bf16": False,
}
"""In float32, where equal sums are equal numbers."""
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
STEPS = BudgetSection(steps=6)
Make = Callable[..., RepeatedVisits]


class Killed(BaseException):
    """Stands for a kill: nobody catches it."""


class Trapped(RepeatedVisits):
    """Visits that do something when training reads the n-th of them (the plan and the check have read all before)."""

    def __init__(self, tokens: list[Tokens], at: int, act: Callable[[], Any]) -> None:
        super().__init__(tokens)
        self.at, self.act = at + 2 * len(tokens), act

    def __getitem__(self, index: int) -> Tokens:
        self.at -= 1
        if self.at == 0:
            self.act()
        return super().__getitem__(index)


def kill() -> None:
    raise Killed


def tokens_read(made: RepeatedVisits, n: int) -> int:
    """Tokens of the first n instructions, where what the four of a step begin with is read once."""
    visits = VisitSet(made, n)
    batches = [[visits[i] for i in range(at, min(at + 4, n))] for at in range(0, n, 4)]
    return sum(sum(Sharing(0).lengths(batch)) for batch in batches)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def train(base: str, visits: Any, out: Path, **options: Any) -> FinetuneResult:
    options = {"train_settings": SETTINGS, "budget": STEPS, "progress": False, **options}
    return finetune(load_model(base), visits, out=out, **options)


@pytest.mark.parametrize("fast", ["bfloat16", "float32"])
def test_a_cpu_trains_in_what_it_is_fast_at_unless_the_run_file_says(
    base: str, visits: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: str
) -> None:
    monkeypatch.setattr("harmonic.model.finetune_arguments.fast_dtype", lambda device: fast)
    made = visits(load_model(base).tokenizer)
    own = {key: value for key, value in SETTINGS.items() if key != "bf16"}
    whole = train(base, made, tmp_path / "whole").train_losses
    found = train(base, made, tmp_path / "own", train_settings=own).train_losses
    assert (found == whole) == (fast == "float32")
    assert np.allclose(found, whole, atol=1e-2)


def test_lora_trains_and_the_loss_falls(base: str, visits: Make, tmp_path: Path) -> None:
    loaded = load_model(base)
    made = visits(loaded.tokenizer)
    result = train(base, made, tmp_path, budget=BudgetSection(steps=24))
    losses = [loss for _, loss in result.train_losses]
    assert result.steps == result.best_step == 24 and result.stop == "steps"
    assert np.mean(losses[-4:]) < losses[0] - 0.1
    assert result.tokens == tokens_read(made, 24 * 4)
    moved = [
        name for name, weight in weights(tmp_path).items() if "lora_B" in name and weight.abs().sum() > 0
    ]
    assert len(moved) == 2 * 7
    assert not list((tmp_path / "trainer").glob("checkpoint-*"))


def test_the_adapter_folder_holds_no_pickle_and_no_place_of_this_machine(
    base: str, visits: Make, tmp_path: Path
) -> None:
    train(base, visits(load_model(base).tokenizer), tmp_path)
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "harmonic_base.json"}
    assert json.loads((tmp_path / "adapter" / "harmonic_base.json").read_text())["base"] == base


def test_nothing_is_truncated_and_the_last_label_is_the_end_token(base: str, visits: Make) -> None:
    tokenizer = load_model(base).tokenizer
    made = visits(tokenizer)
    rows = VisitSet(made, 48)
    assert all(rows[i]["input_ids"] == made[i].input_ids for i in range(48))
    assert all(rows[i]["labels"][-1] == tokenizer.eos_id for i in range(48))


def test_the_first_loss_is_the_mean_over_label_tokens(base: str, visits: Make, tmp_path: Path) -> None:
    loaded = load_model(base)
    made = visits(loaded.tokenizer)
    result = train(base, made, tmp_path, budget=BudgetSection(steps=1))
    assert result.train_losses[0][1] == pytest.approx(_loss(loaded, made.tokens[:4]), abs=1e-5)


def test_accumulated_micro_batches_train_as_one_batch(base: str, visits: Make, tmp_path: Path) -> None:
    made = visits(load_model(base).tokenizer)
    train(base, made, tmp_path / "one")
    split = {**SETTINGS, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    train(base, made, tmp_path / "four", train_settings=split)
    one, four = weights(tmp_path / "one"), weights(tmp_path / "four")
    assert all(torch.allclose(one[name], four[name], atol=1e-4) for name in one)


def test_trls_own_loss_trains_alike(
    base: str, visits: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = visits(load_model(base).tokenizer)
    lean = train(base, made, tmp_path / "lean")
    monkeypatch.setattr("harmonic.model.finetune_trainer._LEAN_BYTES", 0)
    fused = train(base, made, tmp_path / "fused")
    assert np.allclose(lean.train_losses, fused.train_losses, atol=1e-4)


def test_a_killed_training_resumes_to_the_same_adapter(base: str, visits: Make, tmp_path: Path) -> None:
    tokenizer = load_model(base).tokenizer
    made = visits(tokenizer)
    options = {"lora_settings": {"lora_dropout": 0.1}, "train_settings": {**SETTINGS, "save_steps": 2}}
    whole = train(base, made, tmp_path / "whole", val=made.tokens[:3], **_with_val(options))
    trapped = Trapped(made.tokens, at=18, act=kill)
    with pytest.raises(Killed):
        train(base, trapped, tmp_path / "cut", val=made.tokens[:3], **_with_val(options))
    (tmp_path / "cut" / "trainer" / "checkpoint-99").mkdir()
    assert (tmp_path / "cut" / "trainer" / "checkpoint-2" / "WHOLE").exists()
    resumed = train(base, made, tmp_path / "cut", val=made.tokens[:3], resume=True, **_with_val(options))
    before, after = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert resumed.val_losses == whole.val_losses and resumed.best_step == whole.best_step
    again = train(base, made, tmp_path / "cut", val=made.tokens[:3], resume=True, **_with_val(options))
    assert again == resumed


def _with_val(options: dict[str, Any]) -> dict[str, Any]:
    settings = {**options["train_settings"], "eval_steps": 2}
    return {**options, "train_settings": settings}


@pytest.fixture
def default_ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal gives it: a job in the background inherits one that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_ctrl_c")
def test_ctrl_c_saves_and_the_rest_follows_on_resuming(base: str, visits: Make, tmp_path: Path) -> None:
    made = visits(load_model(base).tokenizer)
    train(base, made, tmp_path / "whole")
    trapped = Trapped(made.tokens, at=10, act=lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="after step 2 of 6.*--resume"):
        train(base, trapped, tmp_path / "cut")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train(base, made, tmp_path / "cut", resume=True)
    before, after = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_training_is_not_resumed_with_other_settings(base: str, visits: Make, tmp_path: Path) -> None:
    made = visits(load_model(base).tokenizer)
    with pytest.raises(Killed):
        train(base, Trapped(made.tokens, at=10, act=kill), tmp_path)
    with pytest.raises(HarmonicError, match="begun here.*--resume"):
        train(base, made, tmp_path)
    with pytest.raises(HarmonicError, match="seed = 0, not 1"):
        train(base, made, tmp_path, seed=1, resume=True)


def test_early_stopping_keeps_the_best_state(base: str, visits: Make, tmp_path: Path) -> None:
    made = visits(load_model(base).tokenizer)
    harmful = {**SETTINGS, "learning_rate": 3.0, "max_grad_norm": 0.0, "optim": "sgd", "eval_steps": 1}
    result = train(
        base,
        made,
        tmp_path,
        val=made.tokens[:6],
        train_settings=harmful,
        budget=BudgetSection(steps=20, patience=2),
    )
    losses = dict(result.val_losses)
    assert result.stop == "patience" and result.steps < 20
    assert result.best_step == min(losses, key=lambda step: losses[step])
    loaded = load_model(base, adapter=result.adapter)
    assert _loss(loaded, made.tokens[:6]) == pytest.approx(losses[result.best_step], abs=1e-4)


def test_a_training_of_two_steps_moves_weights_though_it_has_a_warm_up(
    base: str, visits: Make, tmp_path: Path
) -> None:
    made = visits(load_model(base).tokenizer)
    settings = {**SETTINGS, "learning_rate": 3.0, "optim": "sgd", "warmup_steps": 0.03, "eval_steps": 1}
    result = train(
        base, made, tmp_path, val=made.tokens[:6], train_settings=settings, budget=BudgetSection(steps=2)
    )
    assert result.steps == 2
    assert _loss(load_model(base, adapter=result.adapter), made.tokens) != _loss(
        load_model(base), made.tokens
    )


def _loss(loaded: LoadedModel, part: list[Tokens]) -> float:
    sums = count = 0.0
    with torch.no_grad():
        for tokens in part:
            logits = loaded.model(input_ids=torch.tensor([tokens.input_ids])).logits[0, :-1]
            labels = torch.tensor(tokens.labels[1:])
            sums += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
            count += int((labels != IGNORED).sum())
    return sums / count


def test_a_budget_in_minutes_ends_by_the_clock_and_says_so(base: str, visits: Make, tmp_path: Path) -> None:
    made = visits(load_model(base).tokenizer)
    result = train(base, made, tmp_path, budget=BudgetSection(minutes=0.01))
    assert 1 <= result.steps <= result.planned_steps
    assert result.stop == ("steps" if result.steps == result.planned_steps else "minutes")
    assert result.seconds < 5


def test_a_budget_in_tokens_or_passes_buys_that_many(base: str, visits: Make, tmp_path: Path) -> None:
    made = visits(load_model(base).tokenizer)
    tokens = train(base, made, tmp_path / "tokens", budget=BudgetSection(tokens=500))
    assert 400 < tokens.tokens < 600
    passes = {**SETTINGS, "num_train_epochs": 1.25}
    one = train(base, made, tmp_path / "passes", budget=None, train_settings=passes)
    assert one.steps == 8 and one.tokens == tokens_read(made, 30)


def test_qlora_trains_and_loads_on_a_cpu(
    save_base: Callable[..., Path], visits: Make, tmp_path: Path
) -> None:
    base = str(save_base(hidden_size=160))  # no multiple of bitsandbytes' block of 64, as in nano
    loaded = load_model(base, quantization=NF4)
    made = visits(loaded.tokenizer)
    result = finetune(
        loaded,
        made,
        made.tokens[:8],
        out=tmp_path,
        train_settings={**SETTINGS, "eval_steps": 5},
        budget=BudgetSection(steps=20),
        progress=False,
    )
    assert result.train_losses[-1][1] < result.train_losses[0][1]
    again = load_model(base, quantization=NF4, adapter=result.adapter)
    assert _loss(again, made.tokens[:8]) == pytest.approx(dict(result.val_losses)[result.best_step], abs=1e-3)
    with pytest.raises(HarmonicError, match="another model"):
        load_model(base, adapter=result.adapter)


def test_full_fine_tuning_writes_a_model_that_takes_the_bases_place(
    base: str, visits: Make, tmp_path: Path
) -> None:
    made = visits(load_model(base).tokenizer)
    result = train(base, made, tmp_path, method="full")
    assert result.trainable == load_model(base).model.num_parameters()
    again = load_model(base, adapter=result.adapter)
    assert _loss(again, made.tokens) < _loss(load_model(base), made.tokens)
    assert again.digest == load_model(base).digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_settings": {"learning_rates": 1e-3}}, "learning_rates.*Did you mean 'learning_rate'"),
        ({"train_settings": {"packing": True}}, "packing.*sets it itself"),
        ({"train_settings": {"optim": "adamm"}}, "SFTConfig refuses it"),
        ({"lora_settings": {"lora_alfa": 3}}, "lora_alfa.*Did you mean 'lora_alpha'"),
        ({"lora_settings": {"target_modules": ["q_prj"]}}, "'q_prj' is no linear layer.*q_proj"),
        ({"lora_settings": {"target_modules": ["lm_head"]}}, "lm_head.*never trained"),
        ({"lora_settings": {"modules_to_save": ["embed_tokens"]}}, "embed_tokens.*never trained"),
        ({"train_settings": {**SETTINGS, "learning_rate": 0.0}}, "no weight has moved"),
        ({"train_settings": {**SETTINGS, "max_length": 40}}, "42 tokens.*40"),
        ({"method": "full", "lora_settings": {"r": 4}}, "'full'.*lora.*Leave out"),
    ],
)
def test_bad_settings_are_refused_by_name(
    base: str, visits: Make, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(HarmonicError, match=f"(?s){message}"):
        train(base, visits(load_model(base).tokenizer), tmp_path, **options)
    assert not (tmp_path / "adapter").exists()


def test_an_instruction_over_the_context_is_refused_before_training(
    base: str, visits: Make, tmp_path: Path
) -> None:
    made = visits(load_model(base).tokenizer)
    long = Tokens([5] * 257, [5] * 257)
    with pytest.raises(HarmonicError, match="instruction 7: .*257 tokens.*256"):
        train(base, replace_at(made, 7, long), tmp_path)


def replace_at(made: RepeatedVisits, index: int, tokens: Tokens) -> RepeatedVisits:
    changed = list(made.tokens)
    changed[index] = tokens
    return RepeatedVisits(changed)


def test_an_adapter_is_not_trained_on_top_of_another(base: str, visits: Make, tmp_path: Path) -> None:
    loaded = replace(load_model(base), adapter=Path("somewhere"))
    with pytest.raises(HarmonicError, match="merge the adapter first"):
        finetune(loaded, visits(loaded.tokenizer), out=tmp_path, budget=STEPS)

"""Fine-tuning: instructions in, an adapter out. Only its parts `finetune_trainer` and `finetune_arguments` know TRL.

What enters is a loaded base, an endless sequence of instructions as tokens and the run's settings; what leaves is
`adapter/`, written whole at the end, and `trainer/`, from which a killed training goes on to the very same adapter.
TRL's trainer does the training. Around it stand a plan (how many steps the budget buys), our own order of visits,
a loss on CPUs that computes logits only where labels are, and three checks: something can train, something did, and
what was saved reads back as it was.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.files import explained, read_json, remove, write_json
from harmonic.model.adapter import fingerprints, save_adapter, trained_tensors
from harmonic.model.finetune_arguments import sft_config
from harmonic.model.finetune_trainer import VisitTrainer
from harmonic.model.load import LoadedModel
from harmonic.model.lora import Method, count_trainable, lora_config
from harmonic.model.muon import uses_muon
from harmonic.model.plan import (
    Plan,
    plan_steps,
    sample_lengths,
    save_plan,
    saved_plan,
    settle,
    training_shape,
)
from harmonic.model.preflight import measure_pace
from harmonic.model.quiet import quiet
from harmonic.model.sharing import reader_for
from harmonic.model.visits import Reader, Visits, VisitSet, measure
from harmonic.model.watch import Stop, Watch, interruptible, last_checkpoint
from harmonic.prompt.instructions import Tokens

_RESULT = "result.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinetuneResult:
    """What training did. Losses are (step, nats a label token); memory in bytes, of this process at its peak."""

    adapter: Path
    steps: int
    planned_steps: int
    best_step: int
    """The step whose weights were kept: of the lowest validation loss, or the last."""
    tokens: int
    seconds: float
    stop: Stop
    train_losses: list[tuple[int, float]]
    val_losses: list[tuple[int, float]]
    peak_memory: int
    trainable: int

    def to_json(self) -> dict[str, Any]:
        """Everything but the adapter's place, as plain JSON data."""
        return {key: value for key, value in asdict(self).items() if key != "adapter"}

    @classmethod
    def from_json(cls, adapter: Path, data: Mapping[str, Any]) -> FinetuneResult:
        """The result that `to_json` wrote."""
        curves = {key: [(step, loss) for step, loss in data[key]] for key in ("train_losses", "val_losses")}
        return cls(adapter=adapter, **{**data, **curves})


def finetune(
    loaded: LoadedModel,
    train: Visits,
    val: Sequence[Tokens] | None = None,
    *,
    out: Path,
    method: Method = "lora",
    train_settings: Mapping[str, Any] | None = None,
    lora_settings: Mapping[str, Any] | None = None,
    budget: BudgetSection | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
) -> FinetuneResult:
    """Trains `loaded` (its model is used up) on `train` until `budget` is spent; writes out/adapter and out/trainer.

    train_settings: keys of trl.SFTConfig, lora_settings: of peft.LoraConfig, both verbatim. With `val`, the weights of
    the lowest validation loss are kept, and budget.patience ends training. "full" trains all weights, by Muon unless
    [train] names an optim, and writes a model folder. Raises HarmonicError for bad settings, an instruction longer than
    the context, a foreign out/trainer, and a training after which nothing has moved; KeyboardInterrupt on Ctrl-C, its
    state saved.
    """
    settings, budget, folder = dict(train_settings or {}), budget or BudgetSection(), out / "trainer"
    _check_base(loaded, method, lora_settings, budget, val)
    args = sft_config(loaded, folder, settings, seed, has_val=bool(val))
    adapter_config = lora_config(lora_settings, loaded.model) if method == "lora" else None
    limit = min(loaded.context_length, settings.get("max_length") or loaded.context_length)
    reader = reader_for(loaded, settings)
    plan = _plan(loaded, train, limit, reader, folder, method, settings, lora_settings, budget, seed, resume)
    if (folder / _RESULT).is_file() and (out / "adapter").is_dir():
        return FinetuneResult.from_json(out / "adapter", read_json(folder / _RESULT))
    visits, asked = VisitSet(train, plan.visits), VisitSet(val, len(val)) if val else None
    batch = args.per_device_train_batch_size
    tokens = plan.tokens_by_step(measure(visits, limit, "Training instruction", reader, batch))
    if asked:
        measure(asked, limit, "Validation instruction", reader, args.per_device_eval_batch_size)
    watch = Watch(
        tokens, minutes=budget.minutes, patience=budget.patience, is_validated=bool(val), is_shown=progress
    )
    settle(args, plan.steps)
    if PartialState().is_main_process:
        _log.info("Training: %s steps, %s instructions, %s tokens", plan.steps, plan.visits, tokens[-1])
    with explained(folder), quiet():
        trainer = VisitTrainer(
            loaded, args, visits, asked, reader, adapter_config, watch, uses_muon(method, settings)
        )
        trainable = count_trainable(trainer.model)
        before = fingerprints(trained_tensors(trainer.model))
        _run(trainer, watch, plan, folder)
        save_adapter(trainer, out / "adapter", loaded.note, before)
    result = _result(trainer, watch, plan, out / "adapter", trainable)
    if trainer.is_world_process_zero():
        write_json(folder / _RESULT, result.to_json())
        for left in folder.glob("checkpoint-*"):
            remove(left)
    return result


def _run(trainer: VisitTrainer, watch: Watch, plan: Plan, folder: Path) -> None:
    """Trains on from the last state that stands in `folder`. Raises KeyboardInterrupt on Ctrl-C, once that is saved."""
    with interruptible(watch):
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    if watch.stop == "interrupt":
        raise KeyboardInterrupt(
            f"Training ended on Ctrl-C after step {trainer.state.global_step} of {plan.steps}, and is saved in "
            f"{str(folder)!r}. Go on with --resume."
        )


def _check_base(
    loaded: LoadedModel,
    method: Method,
    lora_settings: Mapping[str, Any] | None,
    budget: BudgetSection,
    val: Sequence[Tokens] | None,
) -> None:
    if loaded.adapter is not None:
        raise HarmonicError(
            f"Base {loaded.base!r}: it is loaded with adapter {str(loaded.adapter)!r}, and training begins from a bare "
            "base. Load it without, or merge the adapter first (scripts/merge.py)."
        )
    if method == "full" and (loaded.quantization or lora_settings):
        section = "quantization" if loaded.quantization else "lora"
        raise HarmonicError(
            f"[model] method is 'full', and [{section}] is set: all weights train, undiminished. "
            f'Leave out [{section}], or set method = "lora".'
        )
    if budget.patience is not None and not val:
        _log.info("No validation rows: [budget] patience = %d has nothing to wait for.", budget.patience)


def _plan(
    loaded: LoadedModel,
    train: Visits,
    limit: int,
    reader: Reader,
    folder: Path,
    method: Method,
    settings: Mapping[str, Any],
    lora_settings: Mapping[str, Any] | None,
    budget: BudgetSection,
    seed: int,
    resume: bool,
) -> Plan:
    """The plan that stands in `folder`, or a new one, which then stands there."""
    shape = training_shape(settings, PartialState().num_processes)
    wish = {
        "base": loaded.digest,
        "method": method,
        "quantization": loaded.quantization,
        "train": dict(settings),
        "lora": dict(lora_settings or {}),
        "budget": asdict(budget),
        "seed": seed,
    }
    plan = saved_plan(folder, wish, shape.per_step, resume)
    PartialState().wait_for_everyone()  # nobody writes a plan while another process looks for one
    if plan is None:
        mean = float(np.mean(sample_lengths(train, limit, reader, shape.batch)))
        pace = 0.0
        if budget.minutes is not None:
            pace = measure_pace(loaded, method, lora_settings, round(mean), shape.batch).seconds
        steps, visits = plan_steps(budget, shape, train.per_pass, mean, pace)
        # Clocks differ between processes, and all must take the same number of steps.
        steps, visits = broadcast_object_list([steps, visits])
        plan = Plan(steps, visits, shape.per_step, wish)
        if PartialState().is_main_process:
            save_plan(folder, plan)
    return plan


def _result(trainer: VisitTrainer, watch: Watch, plan: Plan, adapter: Path, trainable: int) -> FinetuneResult:
    state = trainer.state
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if trainer.accelerator.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return FinetuneResult(
        adapter=adapter,
        steps=state.global_step,
        planned_steps=plan.steps,
        best_step=(state.best_global_step if state.best_model_checkpoint else None) or state.global_step,
        tokens=int(watch.tokens[state.global_step - 1]),
        seconds=round(watch.seconds, 3),
        stop=watch.stop,
        train_losses=[(int(entry["step"]), entry["loss"]) for entry in state.log_history if "loss" in entry],
        val_losses=[
            (int(entry["step"]), entry["eval_loss"]) for entry in state.log_history if "eval_loss" in entry
        ],
        peak_memory=peak,
        trainable=trainable,
    )

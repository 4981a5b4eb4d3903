"""Fine-tuning: instructions in, an adapter out. The only module that knows TRL.

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
from datasets import Dataset
from peft import LoraConfig, PeftModel
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import SFTConfig, SFTTrainer

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.files import explained, read_json, remove, write_json
from harmonic.model.adapter import fingerprints, save_adapter, trained_tensors
from harmonic.model.load import LoadedModel
from harmonic.model.lora import Method, count_trainable, lora_config
from harmonic.model.muon import muon_for, uses_muon
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
from harmonic.model.sharing import ATTENTION, Sharing, is_lean, lean_losses, reader_for
from harmonic.model.vendor import build, check_keys
from harmonic.model.visits import Reader, Visits, VisitSet, measure
from harmonic.model.watch import Stop, Watch, interruptible, last_checkpoint
from harmonic.precision import fast_dtype
from harmonic.prompt.instructions import Tokens

_LEAN_BYTES = 1 << 29
"""Largest logits of a micro-batch that the CPU's own loss holds at once; above, TRL's chunked one takes over."""
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
    args = _arguments(loaded, folder, settings, seed, has_val=bool(val))
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
        trainer = _Trainer(
            loaded, args, visits, asked, reader, adapter_config, watch, uses_muon(method, settings)
        )
        trainable = count_trainable(trainer.model)
        before = fingerprints(trained_tensors(trainer.model))
        with interruptible(watch):
            trainer.train(resume_from_checkpoint=last_checkpoint(folder))
        if watch.stop == "interrupt":
            raise KeyboardInterrupt(
                f"Training ended on Ctrl-C after step {trainer.state.global_step} of {plan.steps}, and is saved in "
                f"{str(folder)!r}. Go on with --resume."
            )
        save_adapter(trainer, out / "adapter", loaded.note, before)
    result = _result(trainer, watch, plan, out / "adapter", trainable)
    if trainer.is_world_process_zero():
        write_json(folder / _RESULT, result.to_json())
        for left in folder.glob("checkpoint-*"):
            remove(left)
    return result


class _Trainer(SFTTrainer):
    """TRL's trainer on our visits in our order, without its telemetry, model cards and per-step statistics."""

    def __init__(
        self,
        loaded: LoadedModel,
        args: SFTConfig,
        train: VisitSet,
        val: VisitSet | None,
        reader: Reader,
        peft_config: LoraConfig | None,
        watch: Watch,
        has_muon: bool,
    ) -> None:
        self._has_muon = has_muon
        # TRL wants datasets.Dataset, of which one row has to do: rows stay out of Arrow tables and their caches.
        sample = Dataset.from_list([train[0]])
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=loaded.tokenizer.backend,
            eos_token=loaded.tokenizer.backend.id_to_token(loaded.tokenizer.eos_id),
        )
        super().__init__(
            model=loaded.model,
            args=args,
            train_dataset=sample,
            eval_dataset=sample if val else None,
            processing_class=tokenizer,
            data_collator=reader,
            callbacks=[watch],
            peft_config=peft_config,
        )
        self.train_dataset = train
        self.eval_dataset = val
        self.processing_class = None  # else a copy of the tokenizer lies in every checkpoint
        self.remove_callback(PrinterCallback)
        base: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        if isinstance(reader, Sharing):
            base.set_attn_implementation(ATTENTION)
        self._vocab_size = int(base.config.get_text_config().vocab_size)
        self._is_lean = is_lean(loaded, args.to_dict())

    def create_optimizer(self, model: Any = None) -> Optimizer:
        """The vendor's, or Muon where `uses_muon` says so."""
        if self._has_muon and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise HarmonicError(
                "[model] method is 'full' under FSDP or DeepSpeed, where Muon would see parts of matrices. "
                'Name an optimizer in [train], such as optim = "adamw_torch".'
            )
        if self.optimizer is None and self._has_muon:
            self.optimizer = muon_for(self.model, self.args.learning_rate, self.args.weight_decay)
        return super().create_optimizer(model)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Nats a label token. On CPUs without TRL's entropy and accuracy, which cost a third of a step."""
        if return_outputs or not self._fits(inputs):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        sums, counts = lean_losses(model, inputs)
        loss = sums.sum() / (counts.sum() if num_items_in_batch is None else num_items_in_batch)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Nats a label token over the whole validation part, not the mean over its batches."""
        model = self.model_wrapped
        model.eval()
        totals = torch.zeros(2, dtype=torch.float64)
        for batch in self.get_eval_dataloader():
            inputs = self._prepare_inputs(batch)
            with torch.no_grad(), self.compute_loss_context_manager():
                losses = lean_losses if self._fits(inputs) else _fused_losses
                both = self.accelerator.gather_for_metrics(torch.stack(losses(model, inputs), dim=1))
            totals += both.double().sum(0).cpu()
        metrics = {"eval_loss": float(totals[0] / totals[1])}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _fits(self, inputs: Mapping[str, Tensor]) -> bool:
        is_small = 4 * inputs["labels"].numel() * self._vocab_size <= _LEAN_BYTES
        return "owners" in inputs or (self._is_lean and is_small)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        return None

    def _send_telemetry(self) -> None:
        return None


def _fused_losses(model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    output = model(**inputs, fused_lm_head=True)
    return -output.log_probs.sum(dim=1), output.label_mask.sum(dim=1)


def _arguments(
    loaded: LoadedModel, folder: Path, settings: Mapping[str, Any], seed: int, has_val: bool
) -> SFTConfig:
    """[train] as SFTConfig, under our defaults and over what harmonic decides itself."""
    on_cpu = loaded.device.type == "cpu"
    ours: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "max_length": None,
        "packing": False,
        "padding_free": False,
        "shuffle_dataset": False,
        "train_sampling_strategy": "sequential",
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "use_cpu": on_cpu,
        "save_strategy": "steps",
        "save_only_model": False,
        "eval_strategy": "steps" if has_val else "no",
        "load_best_model_at_end": has_val,
        "metric_for_best_model": "eval_loss" if has_val else None,
        "greater_is_better": False if has_val else None,
        "disable_tqdm": True,
        "push_to_hub": False,
        "auto_find_batch_size": False,
    }
    planned = {"max_length", "max_steps", "num_train_epochs"}
    check_keys("train", SFTConfig, settings, {})
    given = {
        key: value for key, value in settings.items() if key not in planned and ours.get(key, ...) != value
    }
    every = given.get("eval_steps", 0.05)
    defaults = {
        "report_to": "none",
        "bf16": _is_half(loaded) and not given.get("fp16"),
        "fp16": loaded.dtype == torch.float16 and not on_cpu and not given.get("bf16"),
        "gradient_checkpointing": not on_cpu,
        "logging_steps": 0.01,
        "ddp_find_unused_parameters": False,
        "logging_nan_inf_filter": False,
        "save_total_limit": 2,
        "save_steps": every if has_val else 0.1,
        "eval_steps": every if has_val else None,
        "per_device_eval_batch_size": settings.get("per_device_train_batch_size", 8),
    }
    if has_val and given.get("save_steps", every) != every:
        raise HarmonicError(
            f"Key 'save_steps' in [train]: value {given['save_steps']!r}, but with validation the best state is kept, "
            f"so each validation saves (eval_steps = {every!r}). Leave it out."
        )
    with quiet():
        return build("train", SFTConfig, {**defaults, **given}, {**ours, "num_train_epochs": 1})


def _is_half(loaded: LoadedModel) -> bool:
    """Whether matrices are multiplied in bfloat16 by default: on GPUs as the weights are, on CPUs if it is faster."""
    if loaded.device.type == "cpu":
        is_whole = loaded.dtype == torch.float32 and not loaded.quantization
        return is_whole and fast_dtype(loaded.device) == "bfloat16"
    return loaded.dtype == torch.bfloat16


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


def _result(trainer: _Trainer, watch: Watch, plan: Plan, adapter: Path, trainable: int) -> FinetuneResult:
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

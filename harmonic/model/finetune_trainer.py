"""TRL's trainer, as fine-tuning needs it.

What enters is visits as tokens, in our order, and SFTConfig; what leaves is TRL's trainer with a loss that computes
logits only where labels are, on CPUs, and a validation loss over the whole validation part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import SFTConfig, SFTTrainer

from harmonic.errors import HarmonicError
from harmonic.model.load import LoadedModel
from harmonic.model.muon import muon_for
from harmonic.model.sharing import ATTENTION, Sharing, is_lean, lean_losses
from harmonic.model.visits import Reader, VisitSet
from harmonic.model.watch import Watch

_LEAN_BYTES = 1 << 29
"""Largest logits of a micro-batch that the CPU's own loss holds at once; above, TRL's chunked one takes over."""


class VisitTrainer(SFTTrainer):
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

"""The recipe of nano: a small Llama trained from nothing on generated tables.

What enters is a `PretrainSettings` and a folder; what leaves is, in `state/`, everything needed to go on after a kill,
and on request a plain Hugging Face folder (config, bf16 safetensors, tokenizer). The learning rate is constant and then
falls to zero over the last part of the token budget, so any chunk ends at a point from which training can go on.
Several processes (torchrun, accelerate launch) share a batch; on a CPU one thread each, they are faster than one
process with as many threads.
Muon (Jordan et al. 2024, torch.optim.Muon) drives the matrices, AdamW embeddings and norms.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harmonic.errors import HarmonicError
from harmonic.nano.attention import ATTENTION
from harmonic.nano.corpus import CorpusSettings, Pools, batches, draw_instruction, texts
from harmonic.nano.vocabulary import BOS, EOS, PAD, train_vocabulary
from harmonic.precision import fast_dtype
from harmonic.prompt.instructions import IGNORED, Tokens
from harmonic.prompt.tokens import TextTokenizer

log = logging.getLogger(__name__)
ROW_BUCKETS = (1, 4, 16, 64)
"""Held-out loss is logged apart for rows 0, 1-3, 4-15, 16-63 and later rows of a context."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    vocab_size: int = 2048
    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 3
    num_key_value_heads: int = 3
    intermediate_size: int = 512
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    total_tokens: int = 60_000_000
    batch_tokens: int = 6144
    matrix_lr: float = 4e-3
    vector_lr: float = 4e-3
    weight_decay: float = 0.02
    warmup_steps: int = 60
    decay_share: float = 0.25
    """The last part of the budget, over which the rate falls linearly to zero."""
    max_grad_norm: float = 1.0


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    seed: int = 0
    vocabulary_tables: int = 4000
    heldout: int = 96
    save_minutes: float = 5.0
    start: str | None = None
    """A model folder, such as checkpoints/nano, with whose vocabulary and weights this run begins; None = from nothing.
    Optimizers begin anew, so that the rate warms up again."""
    workers: int = 1
    """Processes that write instructions ahead of the training."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """What matrices are multiplied in; weights stay float32. None = bfloat16 where the device is faster at it."""
    model: ModelSettings = field(default_factory=ModelSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)


class Pretraining:
    """One pretraining run in a folder: `train` for some minutes, `export` when it is good."""

    def __init__(self, settings: PretrainSettings, folder: Path, device: str = "cpu") -> None:
        self.settings = settings
        self.folder = folder
        self.device = torch.device(device)
        self.processes = PartialState(cpu=self.device.type == "cpu")
        self._is_half = (settings.dtype or fast_dtype(self.device)) == "bfloat16"
        folder.mkdir(parents=True, exist_ok=True)
        with self.processes.main_process_first():
            self.fast_tokenizer = self._load_vocabulary()
        self.tokenizer_ids: dict[str, int] = self.fast_tokenizer.get_vocab()
        self.tokenizer = TextTokenizer(
            self.fast_tokenizer.backend_tokenizer,
            eos_id=self._token_id(EOS),
            bos_id=self._token_id(BOS),
        )
        torch.manual_seed(settings.seed)
        self.model: Any = build_model(settings.model, self.fast_tokenizer)
        if settings.start is not None:
            _begin_with(self.model, Path(settings.start))
        self.model.set_attn_implementation(ATTENTION)
        self.model.to(self.device)
        self.optimizers = self._build_optimizers()
        self.tokens = 0
        self.step = 0
        self.pool = 0
        self._resume()

    @property
    def is_done(self) -> bool:
        return self.tokens >= self.settings.optimizer.total_tokens

    def train(self, minutes: float) -> None:
        """Trains until the token budget or the minutes are spent; saves on the way and at the end."""
        started = saved = time.monotonic()
        window: list[float] = []
        for pool, batch in self._batches():
            self.pool = pool
            loss, is_late = self._train_step(batch, time.monotonic() - started > 60 * minutes)
            window.append(loss)
            now = time.monotonic()
            if self.step % 50 == 0:
                self._log({"train_loss": float(np.mean(window)), "seconds": round(now - started, 1)})
                window = []
            if self.is_done or is_late:
                break
            if now - saved > 60 * self.settings.save_minutes:
                self.save()
                saved = time.monotonic()
        self.save()
        if self.processes.is_main_process:
            self._log({"heldout": self.heldout_loss()})

    def _batches(self) -> Iterator[tuple[int, list[Tokens]]]:
        """This process's part of each batch."""
        settings, world = self.settings, self.processes.num_processes
        own_tokens = settings.optimizer.batch_tokens // world
        pools = Pools(settings.seed, settings.corpus, self.tokenizer, own_tokens)
        return batches(pools, self.pool, settings.workers, rank=self.processes.process_index, world=world)

    @torch.no_grad()
    def heldout_loss(self) -> dict[str, float]:
        """Nats a token on tables never trained on, by the row's place in its context."""
        rng = np.random.default_rng([self.settings.seed, 22])
        drawn = [
            draw_instruction(rng, self.settings.corpus, self.tokenizer) for _ in range(self.settings.heldout)
        ]
        endings = {self.tokenizer.encode_ending(ending)[-1] for ending in (" \n", " }\n")}
        sums: dict[str, list[float]] = {}
        self.model.eval()
        for tokens in drawn:
            ids, labels = self._tensors([tokens])
            losses = _token_losses(self.model(input_ids=ids).logits, labels)[0]
            row = 0
            for label, loss in zip(tokens.labels[1:], losses.tolist(), strict=True):
                if label != IGNORED:
                    sums.setdefault(_bucket(row), []).append(loss)
                    row += label in endings
        self.model.train()
        return {bucket: float(np.mean(values)) for bucket, values in sorted(sums.items())}

    def save(self) -> None:
        """Writes the state, in the first process: replaced whole, never half."""
        if not self.processes.is_main_process:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "tokens": self.tokens,
            "step": self.step,
            "pool": self.pool,
        }
        partial = self.folder / "state.pt.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")

    def export(self, out: Path) -> None:
        """Writes a Hugging Face folder: config, bf16 safetensors, tokenizer, and the settings that made it."""
        model: Any = LlamaForCausalLM(self.model.config)
        model.to(torch.bfloat16)
        model.load_state_dict(self.model.state_dict())
        model.save_pretrained(out)
        self.fast_tokenizer.save_pretrained(out)
        facts = {"settings": asdict(self.settings), "tokens": self.tokens, "heldout": self.heldout_loss()}
        (out / "pretraining.json").write_text(json.dumps(facts, indent=2) + "\n")

    def _train_step(self, batch: list[Tokens], is_late: bool = False) -> tuple[float, bool]:
        """One step of all processes; returns the loss, nats a token, and whether any process is late."""
        ids, labels = self._tensors(batch)
        wanted = labels[:, 1:] != IGNORED
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_half):
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
            # Headers carry no loss: no logits are made for them.
            logits = self.model.lm_head(hidden[:, :-1][wanted])
        loss = nn.functional.cross_entropy(logits.float(), labels[:, 1:][wanted], reduction="sum")
        loss.backward()
        facts = [float(loss.detach()), float(wanted.sum()), ids.numel(), float(is_late)]
        nats, n_labels, n_tokens, n_late = self._share_gradients(facts)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.optimizer.max_grad_norm)
        scale = self._rate_scale()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
            optimizer.step()
            optimizer.zero_grad()
        self.tokens += int(n_tokens)
        self.step += 1
        return nats / n_labels, n_late > 0

    def _share_gradients(self, facts: list[float]) -> list[float]:
        """Leaves the mean gradient of all processes' labels in each of them; returns the sums of `facts`, whose second
        is the number of labels."""
        sums = reduce(torch.tensor(facts, dtype=torch.float64, device=self.device), "sum")
        gradients = [weights.grad for weights in self.model.parameters() if weights.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        whole = reduce(whole, "sum") / sums[1].float()
        parts = whole.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return [float(fact) for fact in sums.tolist()]

    def _rate_scale(self) -> float:
        options = self.settings.optimizer
        left = 1.0 - self.tokens / options.total_tokens
        return min(1.0, (self.step + 1) / options.warmup_steps, max(0.0, left) / options.decay_share)

    def _tensors(self, batch: list[Tokens]) -> tuple[Tensor, Tensor]:
        width = max(len(tokens.input_ids) for tokens in batch)
        pad = self._token_id(PAD)
        ids = [tokens.input_ids + [pad] * (width - len(tokens.input_ids)) for tokens in batch]
        labels = [tokens.labels + [IGNORED] * (width - len(tokens.labels)) for tokens in batch]
        return torch.tensor(ids, device=self.device), torch.tensor(labels, device=self.device)

    def _build_optimizers(self) -> list[torch.optim.Optimizer]:
        options = self.settings.optimizer
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for name, parameter in self.model.named_parameters():
            (matrices if parameter.ndim == 2 and "layers" in name else others).append(parameter)
        muon = torch.optim.Muon(
            matrices, lr=options.matrix_lr, weight_decay=options.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        adam = torch.optim.AdamW(others, lr=options.vector_lr, betas=(0.9, 0.98), weight_decay=0.0)
        for optimizer in (muon, adam):
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return [muon, adam]

    def _token_id(self, token: str) -> int:
        return self.tokenizer_ids[token]

    def _load_vocabulary(self) -> PreTrainedTokenizerFast:
        path = self.folder / "tokenizer.json"
        if self.settings.start is not None and not path.exists():
            shutil.copyfile(Path(self.settings.start) / "tokenizer.json", path)
        if not path.exists():
            rng = np.random.default_rng([self.settings.seed, 20])
            source = texts(rng, self.settings.corpus, self.settings.vocabulary_tables)
            train_vocabulary(source, self.settings.model.vocab_size).save(str(path))
        return PreTrainedTokenizerFast(
            tokenizer_file=str(path),
            bos_token=BOS,
            eos_token=EOS,
            pad_token=PAD,
            model_max_length=self.settings.model.max_position_embeddings,
            clean_up_tokenization_spaces=False,
        )

    def _resume(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.tokens, self.step, self.pool = state["tokens"], state["step"], state["pool"]

    def _log(self, facts: dict[str, object]) -> None:
        if not self.processes.is_main_process:
            return
        line = {"step": self.step, "tokens": self.tokens, **facts}
        log.info("%s", json.dumps(line))
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def build_model(settings: ModelSettings, tokenizer: PreTrainedTokenizerFast) -> Any:
    """A Llama with random weights of this shape, input and output embeddings tied."""
    options = {key: value for key, value in asdict(settings).items() if key != "rope_theta"}
    config = LlamaConfig(
        **options,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def _begin_with(model: Any, folder: Path) -> None:
    """Puts the folder's weights into the model; key and value heads may grow in number, and then begin as equals.

    Raises HarmonicError where the weights are of another form.
    """
    found = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    grown = {name: _with_heads(name, weights, model.config) for name, weights in found.state_dict().items()}
    shapes, wanted = (
        {name: tuple(weights.shape) for name, weights in each.items()} for each in (grown, model.state_dict())
    )
    if shapes != wanted:
        odd = sorted(name for name in {*shapes, *wanted} if shapes.get(name) != wanted.get(name))[0]
        raise HarmonicError(
            f"start = {str(folder)!r}: {odd} is {shapes.get(odd)} there and {wanted.get(odd)} in [model]. "
            "Give [model] the form that the folder has, or leave start out."
        )
    model.load_state_dict(grown)


def _with_heads(name: str, weights: Tensor, config: LlamaConfig) -> Tensor:
    """Key or value weights with each head repeated until there are as many as the config wants: the same function,
    for the queries that shared a head find it in each of its copies."""
    if "k_proj" not in name and "v_proj" not in name:
        return weights
    heads = weights.unflatten(0, (-1, config.hidden_size // config.num_attention_heads))
    copies = max(1, int(config.num_key_value_heads or 1) // len(heads))
    return heads.repeat_interleave(copies, dim=0).flatten(0, 1)


def _token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Nats of each next token, [batch, length - 1]; 0 where the label is ignored."""
    flat = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(labels.shape[0], -1)


def _bucket(row: int) -> str:
    starts: Iterator[int] = iter((0, *ROW_BUCKETS))
    return f"row {max(start for start in starts if start <= row):02d}+"

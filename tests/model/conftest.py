"""A tiny Llama with random weights and a vocabulary trained on the spot: everything offline, in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harmonic.model.visits import RepeatedVisits
from harmonic.prompt.instructions import Instruction, Tokens, tokenize
from harmonic.prompt.tokens import TextTokenizer

SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|model|>"]


def train_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([f"Rows:\n age {n} sex f\n" for n in range(200)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|pad|>"
    )


def save_llama(folder: Path, *, seed: int = 0, tied: bool = True, **changes: Any) -> Path:
    """A Llama of some 40,000 weights, with its tokenizer."""
    shape = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        **changes,
    }
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=tied)).save_pretrained(folder)
    train_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the tiny base."""
    return str(save_llama(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def save_base(tmp_path: Path) -> Callable[..., Path]:
    """Makes further bases: save_base(name, seed=..., hidden_size=...)."""
    return lambda name="other", **changes: save_llama(tmp_path / name, **changes)


def write_visits(tokenizer: TextTokenizer, n: int = 24) -> list[Tokens]:
    """Instructions of different lengths: some rows shown, some asked for."""
    made = []
    for number in range(n):
        shown = tuple(f" {number + place} f\n" for place in range(number % 4))
        asked = tuple(f" {(number * 7 + place) % 90} {'fm'[place % 2]}\n" for place in range(1 + number % 3))
        made.append(tokenize(Instruction("People:\nRows:\n", shown, "Write rows:\n", asked), tokenizer))
    return made


@pytest.fixture(scope="session")
def visits() -> Callable[..., RepeatedVisits]:
    return lambda tokenizer, n=24: RepeatedVisits(write_visits(tokenizer, n))

"""What tests of the decoder share: real vocabularies, and small ones that split digits in every known way."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from harmonic.decode.lift import Compiler
from harmonic.prompt.tokens import TextTokenizer

REAL = ("llama2", "llama3", "qwen2.5")

_LETTERS = r" ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PATTERNS = {
    "merging": r" ?\p{N}+|" + _LETTERS,  # as GPT-2: which digits merge depends on the digits
    "threes": r"\p{N}{1,3}|" + _LETTERS,
    "few_threes": r"\p{N}{1,3}|" + _LETTERS,
    "from_the_right": r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))|" + _LETTERS,
    "whole_words": r" ?\S+|\s",  # digits merge with quotes and points
}
_SIZES = {"threes": 1800, "from_the_right": 1800, "few_threes": 400}


def train(pattern: str, size: int) -> Tokenizer:
    """A byte-level vocabulary of rows with numbers, split by a pattern; a large one has all threes of digits."""
    rng = random.Random(0)
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    rows = [
        f'{{ "age": {rng.randint(0, 99)}, "pay": "{rng.lognormvariate(7, 2):.1f}", "x": {rng.gauss(0, 30):.2f}, '
        f'"d": "{rng.randint(1990, 2020)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}" }}\n'
        f" A{rng.randint(0, 9999)}\n"
        for _ in range(2000)
    ]
    if size > 1500:
        rows += [
            " ".join(f"{number:0{width}}" for number in range(10**width))
            for width in (2, 3)
            for _ in range(40)
        ]
    tokenizer.train_from_iterator(rows, trainer)
    return tokenizer


@pytest.fixture(scope="session")
def vocabulary(real_tokenizer: Callable[[str], Tokenizer]) -> Callable[[str], TextTokenizer]:
    """vocabulary("llama3" or "merging"): a tokenizer that is read or trained once."""
    known: dict[str, TextTokenizer] = {}

    def load(name: str) -> TextTokenizer:
        if name not in known:
            backend = real_tokenizer(name) if name in REAL else train(_PATTERNS[name], _SIZES.get(name, 700))
            known[name] = TextTokenizer(backend, eos_id=2)
        return known[name]

    return load


@pytest.fixture(scope="session")
def walker(vocabulary: Callable[[str], TextTokenizer]) -> Callable[[str], Compiler]:
    """walker("llama3"): a compiler that never encodes all words of a language: its walks are under test."""

    class Walker(Compiler):
        enumerated = 0
        rescued = 0

    @cache
    def make(name: str) -> Compiler:
        return Walker(vocabulary(name))

    return make

"""Nano's vocabulary: byte-level pairs, single digits, one token for a tag and one for a tag with its level.

What enters is text in the product's own prompts, drawn from the prior; what leaves is a `tokenizers.Tokenizer`. Bytes
come first, so nothing is unknown; then the pairs that the compact codec lives on (` A` to ` Z`, ` Aa` to ` Zz`, the row
ending); then what byte-pair training finds in names, levels and legends. A categorical cell is thus one token and an
adult row about thirty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, BOS, EOS = "<|pad|>", "<|begin|>", "<|end|>"
RESERVED = tuple(f"<|reserved_{number}|>" for number in range(5))
SPECIAL = (PAD, BOS, EOS, *RESERVED)
WORDS = r"\s*\n+|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Where text is cut before pairs are merged: single digits, words with their space, a row's ending in one piece."""
SPACE, NEWLINE = "Ġ", "Ċ"  # how byte-level vocabularies write the two bytes


def train_vocabulary(texts: Iterator[str], size: int = 2048) -> Tokenizer:
    """A tokenizer of exactly `size` ids. Raises ValueError if the texts are too few to fill it."""
    learnt = _empty()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=16,
    )
    learnt.train_from_iterator(texts, trainer)
    merges = _codec_merges()
    known = set(merges)
    for pair in json.loads(learnt.to_str())["model"]["merges"]:
        if tuple(pair) not in known:
            merges.append((pair[0], pair[1]))
    return _assemble(merges, size)


def _codec_merges() -> list[tuple[str, str]]:
    tags = [(SPACE, tag) for tag in ascii_uppercase]
    levels = [(SPACE + tag, level) for tag in ascii_uppercase for level in ascii_lowercase]
    return [(SPACE, NEWLINE), *tags, *levels]


def _assemble(merges: list[tuple[str, str]], size: int) -> Tokenizer:
    """The tokenizer with these merges, the earlier the stronger, cut to `size` ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    kept: list[tuple[str, str]] = []
    for left, right in merges:
        if len(vocabulary) == size:
            break
        # A pair is dead where one of its halves was itself left out.
        if left in vocabulary and right in vocabulary:
            kept.append((left, right))
            vocabulary.setdefault(left + right, len(vocabulary))
    if len(vocabulary) < size:
        raise ValueError(f"The texts give {len(vocabulary)} tokens of the {size} asked for. Give more texts.")
    tokenizer = _empty(models.BPE(vocab=vocabulary, merges=kept))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _empty(model: models.BPE | None = None) -> Tokenizer:
    tokenizer = Tokenizer(model or models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer

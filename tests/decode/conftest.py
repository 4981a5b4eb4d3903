"""What tests of the decoder share: vocabularies, real ones and small ones that split digits in every way; an oracle."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from harmonic.decode.bytes_automaton import ByteAutomaton
from harmonic.decode.grammar import segment_automaton
from harmonic.decode.lift import Compiler
from harmonic.prompt.rows import Codec
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


# An independent oracle of what may follow, and witnesses of what the tokenizer would write.

ENDS = {"llama2": "</s>", "llama3": "<|end_of_text|>", "qwen2.5": "<|endoftext|>"}


class Oracle:
    """llguidance under one vocabulary."""

    def __init__(self, tokenizer: TextTokenizer, name: str) -> None:
        from llguidance import LLTokenizer

        self.end = tokenizer.special_tokens[ENDS[name]]
        self._tokenizer = LLTokenizer(tokenizer.backend.to_str(), eos_token=self.end, slices=[])

    def allowed(self, grammar: str) -> Callable[[Sequence[int]], NDArray[np.int64]]:
        """What may follow ids, sorted, by bytes alone; a grammar in Lark's notation."""
        from llguidance import LLMatcher

        start = LLMatcher(self._tokenizer, f'%llguidance {{"no_forcing": true}}\n{grammar}')
        assert not start.get_error(), start.get_error()

        def after(ids: Sequence[int]) -> NDArray[np.int64]:
            matcher = start.deep_copy()
            assert matcher.consume_tokens(list(ids)), (matcher.get_error(), ids)
            bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
            found = np.flatnonzero(bits)
            return found[found != self.end]

        return after


@pytest.fixture(scope="session")
def oracle(vocabulary: Callable[[str], TextTokenizer]) -> Callable[[str], Oracle]:
    return cache(lambda name: Oracle(vocabulary(name), name))


@dataclass
class Completions:
    """Whole rows that begin with given bytes, through the byte automata of the segments."""

    segments: list[ByteAutomaton]
    opening: bytes
    closing: bytes
    rng: np.random.Generator
    tails: dict[int, list[bytes]]
    """By the segments that are free text: what a text may end in, from the place between two characters."""

    few = 24

    def after(self, begun: bytes) -> Iterator[bytes]:
        """Rows that begin so: all endings of the segment being written where they are few, else its next bytes tried
        in turn and some draws."""
        if len(begun) < len(self.opening):
            assert self.opening.startswith(begun)
            yield from self.after(self.opening)
            return
        places = self._places(begun[len(self.opening) :])
        assert places, begun
        for number, state in places:
            if number == len(self.segments):
                yield begun + self.closing[state:]
                continue
            for ending in self._endings(number, state):
                rest = [segment.draw(self.rng) for segment in self.segments[number + 1 :]]
                yield b"".join([begun, ending, *rest, self.closing])

    def _endings(self, number: int, state: int) -> Iterator[bytes]:
        segment = self.segments[number]
        if number in self.tails:
            yield from self._text_endings(number, state)
            return
        if segment.counts[state] <= self.few:
            yield from segment.words(state)
            return
        if segment.accepting[state]:
            yield b""
        for byte, to in segment.edges[state]:
            yield bytes([byte]) + segment.draw(self.rng, to)
        for _ in range(4):
            yield segment.draw(self.rng, state)

    def _text_endings(self, number: int, state: int) -> Iterator[bytes]:
        segment = self.segments[number]
        for finish in self._finishes(segment, state):
            here = segment.walk(finish, state)
            for tail in [b""] if segment.accepting[here] else self.tails[number]:
                to = segment.walk(tail, here)
                if to >= 0 and segment.accepting[to]:
                    yield finish + tail

    def _finishes(self, segment: ByteAutomaton, state: int) -> Iterator[bytes]:
        """Some ways out of the opening, a character or an escape, to a place between two characters or the end."""
        edges = segment.edges[state]
        if segment.accepting[state] or len(edges) > 64:
            yield b""
            return
        for at in self.rng.permutation(len(edges))[:4].tolist():
            byte, to = edges[at]
            for more in self._finishes(segment, to):
                yield bytes([byte]) + more

    def _places(self, text: bytes) -> set[tuple[int, int]]:
        """(segment, state) that a row's text may have led to; the closing is the last segment."""
        places = {(0, 0)}
        for byte in text:
            places = {then for place in places for then in self._read(place, byte)}
        return places

    def _read(self, place: tuple[int, int], byte: int) -> Iterator[tuple[int, int]]:
        number, state = place
        if number == len(self.segments):
            if self.closing[state : state + 1] == bytes([byte]):
                yield number, state + 1
            return
        segment = self.segments[number]
        if (to := int(segment.table[state, byte])) >= 0:
            yield number, to
        if segment.accepting[state]:
            yield from self._read((number + 1, 0), byte)


_TAILS = (
    '"', 'a"', ' a"', 'A"', '1"', '."', ' "', '.a"', ' .1"', "'s\"", 'é"', '東"', ' 東"', '\\""', '\\n"', '  a"'
)  # fmt: skip


@pytest.fixture(scope="session")
def completions() -> Callable[[Codec, Sequence[int], np.random.Generator], Completions]:
    """completions(codec, order, rng): whole rows of these columns that begin with given bytes."""

    def make(codec: Codec, order: Sequence[int], rng: np.random.Generator) -> Completions:
        forms = [codec.form(index, place == len(order) - 1) for place, index in enumerate(order)]
        segments = [segment_automaton(form, codec.columns[i]) for form, i in zip(forms, order, strict=True)]
        tails = {
            place: [(tail + form.suffix).encode() for tail in _TAILS]
            for place, form in enumerate(forms)
            if form.language == "text"
        }
        return Completions(segments, codec.row_open.encode(), codec.row_close.encode(), rng, tails)

    return make

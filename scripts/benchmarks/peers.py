"""How others draw rows: `generate` of transformers under a grammar, or with rows thrown away that do not parse.

What enters is a `Course`, the very contexts that our sampler gets; what leaves is an `Outcome`, counted as ours is. A
batch is one call of `generate`: its prompts are padded on the left, and it lasts until the last of its rows has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor, PreTrainedModel

from benchmarks.ebnf import table_grammar
from harmonic.decode.sampler import Grammar
from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import write_instruction
from harmonic.prompt.rows import Codec, Reject
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Row


@dataclass(frozen=True)
class Course:
    """What every method is given: a model, a grammar, and the rows that each context shows."""

    model: PreTrainedModel
    grammar: Grammar
    contexts: Sequence[Sequence[Row]]
    order: tuple[int, ...]
    limit: int
    """The most tokens of prompt and rows together."""

    @property
    def tokenizer(self) -> TextTokenizer:
        return self.grammar.tokenizer

    @property
    def codec(self) -> Codec:
        return self.grammar.codec

    def prompts(self, n_contexts: int, n_rows: int) -> list[list[int]]:
        """The first contexts as ids, each of them asking for so many rows."""
        shown = self.contexts[:n_contexts]
        wanted = [write_instruction(self.codec, examples, n_rows, self.order) for examples in shown]
        encoded = [self.tokenizer.encode_prompt(instruction.parts) for instruction in wanted]
        return [[token for piece in pieces for token in piece] for pieces in encoded]


@dataclass
class Outcome:
    """What a method gave and took. `prompt_tokens` are those of every context, whether read once or many times."""

    rows: int = 0
    valid: int = 0
    prompt_tokens: int = 0
    row_tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def xgrammar_processor(course: Course, n_rows: int) -> tuple[Callable[[], LogitsProcessor], float]:
    """What makes a processor for one call of `generate`, and the seconds that its compilation took."""
    try:
        import xgrammar
        from xgrammar.contrib.hf import LogitsProcessor as Masks
    except ImportError as error:
        raise HarmonicError(
            f"xgrammar is not installed ({error}). Install it: pip install 'harmonic[bench]'."
        ) from error
    text = table_grammar(course.codec, course.order, n_rows)
    words = [word or b"" for word in course.tokenizer.token_bytes]
    started = time.monotonic()
    facts = xgrammar.TokenizerInfo(
        words,
        xgrammar.VocabType.RAW,
        vocab_size=course.model.config.vocab_size,
        stop_token_ids=[course.tokenizer.eos_id],
    )
    compiled = xgrammar.GrammarCompiler(facts).compile_grammar(xgrammar.Grammar.from_ebnf(text))
    return lambda: Masks(compiled), time.monotonic() - started


def generate(
    course: Course,
    *,
    n_contexts: int,
    n_rows: int,
    batch: int,
    processor: Callable[[], LogitsProcessor] | None = None,
    shares_header: bool = False,
    most_seconds: float | None = None,
) -> Outcome:
    """Draws `n_rows` rows in each of the contexts, `batch` contexts a call.

    processor: None = no constraint at all. shares_header: whether what all prompts begin with is read once a call and
    not once a context. most_seconds: when to stop, even within a call; its rows so far count.
    """
    outcome = Outcome()
    started, cpu_started = time.monotonic(), time.process_time()
    prompts = course.prompts(n_contexts, n_rows)
    header = _common_length(prompts) if shares_header else 0
    for first in range(0, n_contexts, batch):
        left = None if most_seconds is None else most_seconds - (time.monotonic() - started)
        if left is not None and left <= 0:
            break
        torch.manual_seed(first)
        some = prompts[first : first + batch]
        drawn = _call(course, some, n_rows, header, [processor()] if processor else [], left)
        for ids in drawn:
            outcome.row_tokens += len(ids)
            outcome.valid += _n_valid(course, ids, n_rows)
        outcome.prompt_tokens += sum(map(len, some))
        outcome.rows += n_rows * len(some)
    outcome.seconds, outcome.cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    return outcome


@torch.inference_mode()
def _call(
    course: Course,
    prompts: list[list[int]],
    n_rows: int,
    header: int,
    processors: list[LogitsProcessor],
    seconds: float | None,
) -> list[list[int]]:
    """What one call of `generate` writes after each prompt, up to its end token."""
    end, width = course.tokenizer.eos_id, max(map(len, prompts))
    padding = [width - len(prompt) for prompt in prompts]
    # The padding stands where the prompts begin to differ: what a call reads once lies before it.
    ids = [prompt[:header] + [end] * n + prompt[header:] for prompt, n in zip(prompts, padding, strict=True)]
    seen = [
        [1] * header + [0] * n + [1] * (len(prompt) - header)
        for prompt, n in zip(prompts, padding, strict=True)
    ]
    settings: dict[str, Any] = {"past_key_values": _read_once(course, ids, header)} if header else {}
    # Without a grammar nothing says where a row ends but the model itself: as long as the longest rows, and one end.
    longest = n_rows * course.grammar.longest(course.order[-1:]) + 1
    if processors:
        longest = course.limit - width  # peers may spell a row in more tokens than the tokenizer does
    generate: Any = course.model.generate  # the library types it as a tensor
    written: Tensor = generate(
        input_ids=torch.tensor(ids),
        attention_mask=torch.tensor(seen),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        max_new_tokens=longest,
        max_time=seconds,
        eos_token_id=end,
        pad_token_id=end,
        use_cache=True,
        logits_processor=processors,
        **settings,
    )
    return [row[: row.index(end)] if end in row else row for row in written[:, width:].tolist()]


def _read_once(course: Course, ids: list[list[int]], header: int) -> DynamicCache:
    """Keys and values of what all prompts begin with, read once and repeated."""
    cache = DynamicCache(config=course.model.config)
    course.model(torch.tensor([ids[0][:header]]), past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(len(ids))
    return cache


def _common_length(prompts: list[list[int]]) -> int:
    """How many tokens all prompts begin with; each keeps at least one of its own."""
    shortest = min(map(len, prompts)) - 1
    return next((at for at in range(shortest) if len({prompt[at] for prompt in prompts}) > 1), shortest)


def _n_valid(course: Course, ids: list[int], n_rows: int) -> int:
    """How many of the first `n_rows` lines are rows."""
    lines = course.tokenizer.decode(ids).split("\n")[:-1][:n_rows]
    parsed = [course.codec.parse_row(line + "\n", course.order) for line in lines]
    return sum(not isinstance(row, Reject) for row in parsed)

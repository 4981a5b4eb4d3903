"""Rows of random weights under fuzzed schemas and real vocabularies: is every one valid, bounded, the tokenizer's own?

`rows` is how many are drawn for each combination of vocabulary, codec and schema (36 schemas of 1 to 100 columns, free
text in each); `only` names some of the vocabularies, codecs or schemas (by number). A combination's figures are kept
under fuzz/ in the output folder: a run that was stopped goes on with those that are not there yet. Rows come out of the
product's own sampler; what judges them (`benchmarks.judge`, and the table's own `validate`) knows nothing of grammars.
"""

from __future__ import annotations

import itertools
import json
import time
import unicodedata
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM

from benchmarks.judge import Refused, judge
from benchmarks.schemas import fuzzed
from benchmarks.vocabularies import END, random_llama, read_vocabulary
from harmonic.decode.sampler import Draw, Grammar, Prompt, Sampler
from harmonic.decode.slot import Slot
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import conform, from_rows, validate
from harmonic.table.schema import Kind, Row, Schema

Figures = dict[str, Any]

CODECS = ("compact", "json")
SCHEMAS = tuple(str(seed) for seed in range(36))
SLOTS = 256
ROWS_A_CONTEXT = 2
CONTEXT_LENGTH = 2**17
"""Random weights know no longest context."""


class Witness(Sampler):
    """A sampler that remembers the ids of every row that it took."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.seen: dict[int, list[int]] = {}

    def _take(self, prompt: Prompt, draw: Draw, slot: Slot) -> str | None:
        flaw = super()._take(prompt, draw, slot)
        if flaw is None:
            self.seen[slot.number] = list(slot.row)
        return flaw


def measure(arguments: Namespace) -> Iterator[Figures]:
    """A row of figures for each vocabulary, schema and codec, and one of all of them."""
    names, folder = _names(arguments.only or []), Path(arguments.out) / "fuzz"
    done: list[Figures] = []
    for vocabulary in names["vocabularies"]:
        tokenizer = read_vocabulary(arguments.data_dir, vocabulary)
        model = random_llama(len(tokenizer.token_bytes), n_layers=1, n_heads=2)
        for schema, codec in itertools.product(names["schemas"], names["codecs"]):
            kept = folder / f"{vocabulary}-{schema}-{codec}-{arguments.rows}.json"
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                figures = draw_rows(model, tokenizer, int(schema), codec, arguments.rows)
                kept.write_text(json.dumps({"vocabulary": vocabulary, **figures}, indent=2) + "\n")
            done.append(json.loads(kept.read_text()))
            yield done[-1]
    yield _total(done)


def _names(only: Sequence[str]) -> dict[str, list[str]]:
    """The parts that `only` names: all of a kind of which it names none."""
    kinds = {"vocabularies": tuple(END), "codecs": CODECS, "schemas": SCHEMAS}
    known = [name for kind in kinds.values() for name in kind]
    for name in only:
        if name not in known:
            raise HarmonicError(f"--only {name!r}: there is no such part. Name some of {', '.join(known)}.")
    return {kind: [name for name in some if name in only] or list(some) for kind, some in kinds.items()}


def draw_rows(
    model: LlamaForCausalLM, tokenizer: TextTokenizer, seed: int, codec_name: str, n_rows: int
) -> Figures:
    """`n_rows` rows of a fuzzed schema, and what is wrong with them."""
    schema, order = fuzzed(seed, with_text=True)
    # Explaining hundreds of levels would only make prompts long.
    grammar = Grammar(codec_for(codec_name, schema, legend_levels=4), tokenizer)
    started, cpu_started = time.monotonic(), time.process_time()
    longest = grammar.program(order).longest
    compiled = time.monotonic() - started
    sampler = Witness(model, grammar, context_length=CONTEXT_LENGTH, slots=min(SLOTS, n_rows))
    prompts = [
        sampler.prompt([], order, first_row=first, n_rows=min(ROWS_A_CONTEXT, n_rows - first))
        for first in range(0, n_rows, ROWS_A_CONTEXT)
    ]
    draw = sampler.draw(prompts, seed=seed)
    seconds = time.monotonic() - started
    return {
        "schema": seed,
        "codec": codec_name,
        "columns": len(order),
        "text_columns": sum(column.kind == "text" for column in schema.modelled),
        **_judged(sampler, schema, order, draw),
        "over_bound": sum(len(ids) > longest for ids in sampler.seen.values()),
        "longest_drawn": max(map(len, sampler.seen.values())),
        "longest_compiled": longest,
        "rejects": dict(draw.rejects),
        "texts": _told(schema, "text", draw.rows.values()),
        "levels": _told(schema, "categorical", draw.rows.values()),
        "row_tokens": draw.usage.row_tokens,
        "rejected_tokens": draw.usage.rejected_tokens,
        "compile_seconds": compiled,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu_started,
    }


def _judged(sampler: Witness, schema: Schema, order: Sequence[int], draw: Draw) -> Figures:
    """How many rows are valid and how many of other ids than drawn; up to three of the flaws in words."""
    tokenizer, numbers = sampler.grammar.tokenizer, sorted(draw.rows)
    texts = [_text(tokenizer, sampler.seen[number]) for number in numbers]
    table = from_rows([draw.rows[number] for number in numbers], schema)
    flaws = {problem.row: str(problem) for problem in validate(table, schema)}
    if [str(dtype) for dtype in table.dtypes] != [column.dtype for column in schema.columns]:
        flaws |= dict.fromkeys(range(len(table)), "dtypes")
    if not conform(table, schema).equals(table):
        flaws |= dict.fromkeys(range(len(table)), "changed by conform")
    for place, (number, text) in enumerate(zip(numbers, texts, strict=True)):
        flaw = _flaw(text, draw.rows[number], sampler, order)
        flaws |= {place: flaw} if flaw else {}
    own = tokenizer.encode_batch(texts)
    return {
        "rows": len(numbers),
        "valid": len(numbers) - len(flaws),
        "other_ids": sum(sampler.seen[number] != ids for number, ids in zip(numbers, own, strict=True)),
        "flaws": [flaws[place] for place in sorted(flaws)[:3]],
    }


def _flaw(text: str, row: Row, sampler: Witness, order: Sequence[int]) -> str:
    """What the judge has against a row; "" if nothing."""
    codec = sampler.grammar.codec
    try:
        cells = judge(text, codec.name, codec.columns, order)
    except Refused as refused:
        return str(refused)
    return "" if cells == row else f"the judge reads {cells!r}, the codec {row!r}"


def _text(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    """What the bytes of ids say; UnicodeDecodeError where they are no UTF-8."""
    return b"".join(tokenizer.token_bytes[token] or b"" for token in ids).decode()


def _told(schema: Schema, kind: Kind, rows: Iterable[Row]) -> dict[str, int]:
    """How many cells of a kind there are, and how many of them hold what is hard to write."""
    places = [place for place, column in enumerate(schema.modelled) if column.kind == kind]
    counts: Counter[str] = Counter()
    for text in (row[place] for row in rows for place in places):
        if text is not None:
            counts.update(["all", *_kinds(text)])
    return dict(counts)


def _kinds(text: str) -> Iterator[str]:
    tests = {
        "emoji": any(ord(letter) >= 0x1F000 or 0x2600 <= ord(letter) < 0x27C0 for letter in text),
        "cjk": any(unicodedata.name(letter, "").startswith("CJK") for letter in text),
        "quotes": '"' in text or "\\" in text,
        "leading_space": text.startswith(" "),
        "control": any(ord(letter) < 0x20 for letter in text),
        "empty": text == "",
    }
    return (name for name, holds in tests.items() if holds)


def _total(done: Sequence[Figures]) -> Figures:
    sums = (
        "rows",
        "valid",
        "over_bound",
        "other_ids",
        "row_tokens",
        "rejected_tokens",
        "seconds",
        "cpu_seconds",
    )
    counts: Figures = {
        name: dict(sum((Counter(row[name]) for row in done), Counter()))
        for name in ("rejects", "texts", "levels")
    }
    return {
        "combinations": len(done),
        "schemas": len({row["schema"] for row in done}),
        **{name: sum(row[name] for row in done) for name in sums},
        **counts,
    }

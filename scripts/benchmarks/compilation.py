"""Seconds and memory of compiling a hundred columns for a real vocabulary.

Ten columns of 1,000 levels, a text of 200 bytes, a date, and numbers and short categories for the rest; segments, the
row program of a fixed order and the ids of the output layer. The time of a vocabulary's own tables is in it, reading
its file is not.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pandas as pd

from benchmarks.vocabularies import END, read_vocabulary
from harmonic import read_table
from harmonic.decode.program import RowProgram
from harmonic.decode.sampler import Grammar
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.infer import observe
from harmonic.table.schema import Schema

_N_ROWS = 3000
_N_LEVELS = 1000
_TEXT_BYTES = 200


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of figures for each vocabulary and codec; `only` names some of the vocabularies."""
    schema = _schema()
    for vocabulary in arguments.only or END:
        for kind in ("compact", "json"):
            tokenizer = read_vocabulary(arguments.data_dir, vocabulary)
            started = time.process_time()
            program, longest = _compile(schema, kind, tokenizer)
            seconds = time.process_time() - started
            yield {
                "vocabulary": vocabulary,
                "codec": kind,
                "columns": len(schema.modelled),
                "cpu_seconds": seconds,
                "program_megabytes": _bytes(program) / 1e6,
                "longest_row": longest,
            }


def _compile(schema: Schema, kind: str, tokenizer: TextTokenizer) -> tuple[RowProgram, int]:
    codec = codec_for(kind, schema)
    order = tuple(range(len(codec.columns)))
    grammar = Grammar(codec, tokenizer)
    program = grammar.program(order)
    grammar.alphabet(order[-1:])
    return program, grammar.longest(order[-1:])


def _bytes(program: RowProgram) -> int:
    parts = (getattr(program, field.name) for field in fields(program))
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


def _schema() -> Schema:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(_codes(rng) | _amounts(rng) | _rest(rng))
    schema = read_table(frame, target="kind 0", overrides={"note": {"kind": "text"}})[1]
    return observe(schema, frame)


def _codes(rng: np.random.Generator) -> dict[str, object]:
    numbers = np.concatenate([np.arange(_N_LEVELS), rng.integers(0, _N_LEVELS, _N_ROWS - _N_LEVELS)])
    return {f"code {column}": [f"level {column}-{number:04d}" for number in numbers] for column in range(10)}


def _amounts(rng: np.random.Generator) -> dict[str, object]:
    amounts = {f"amount {column}": np.round(rng.normal(1000, 300, _N_ROWS), 2) for column in range(40)}
    return amounts | {f"count {column}": rng.integers(0, 5000, _N_ROWS) for column in range(30)}


def _rest(rng: np.random.Generator) -> dict[str, object]:
    kinds = {f"kind {column}": rng.choice(list("abcdefgh"), _N_ROWS) for column in range(18)}
    days = pd.to_datetime("2001-01-01") + pd.to_timedelta(rng.integers(0, 3000, _N_ROWS), unit="D")
    letters = list("abcdefgh ijklmnop.")
    notes = ["".join(rng.choice(letters, _TEXT_BYTES)) for _ in range(_N_ROWS)]
    return kinds | {"day": days, "note": notes}

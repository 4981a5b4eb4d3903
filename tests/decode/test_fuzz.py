"""Schemas that nobody would think of, under real vocabularies: every walk through a row's program is a row.

A walk takes any allowed id with equal chance, as a model of random weights would: so whatever a model does, its row
ends, is valid, and is what the tokenizer itself would have written. Free text is drawn by the sampler, which asks the
tokenizer as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
from transformers import LlamaForCausalLM

from harmonic.decode.program import RowProgram
from harmonic.decode.sampler import Grammar
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import from_rows, validate
from harmonic.table.schema import Column, Row, Schema

REAL = ("llama2", "llama3", "qwen2.5")
CODECS = ("compact", "json", "paper")


@pytest.fixture(scope="module")
def schemas(measurement: Callable[[str], ModuleType]) -> ModuleType:
    """The maker of fuzzed schemas, which `benchmark.py fuzz` draws from as well."""
    return measurement("schemas")


# Walks.


def walk(program: RowProgram, rng: np.random.Generator) -> list[int]:
    """Any allowed id with equal chance; refuses to go on for longer than a row may be."""
    ids: list[int] = []
    state, spent = program.start, 0
    while state != program.end:
        assert len(ids) < program.longest, "endless"
        tokens, _ = program.edges(state, spent)
        ids.append(int(tokens[int(rng.random() * len(tokens))]))
        state, spent = program.step(state, ids[-1], spent)
    return ids


def check_walks(
    schema: Schema, order: tuple[int, ...], codec_name: str, tokenizer: TextTokenizer, n_rows: int
) -> None:
    codec = codec_for(codec_name, schema)
    program = Grammar(codec, tokenizer).program(order)
    rng = np.random.default_rng(0)
    drawn = [walk(program, rng) for _ in range(n_rows)]
    texts = [tokenizer.decode(ids) for ids in drawn]
    rows = list(parsed(codec, texts, order))
    assert validate(from_rows(rows, schema), schema) == []
    if program.exact:
        for ids, own, text in zip(drawn, tokenizer.encode_batch(texts), texts, strict=True):
            assert ids == own, text


def parsed(codec: Codec, texts: list[str], order: tuple[int, ...]) -> Iterator[Row]:
    for text in texts:
        row = codec.parse_row(text, order)
        assert type(row) is tuple, (row, text)
        assert codec.encode_row(row, order) == text
        yield row


def test_fuzzed_schemas_hold_every_kind_and_resolution(schemas: ModuleType) -> None:
    columns = [column for seed in range(36) for column in schemas.fuzzed(seed)[0].columns]
    assert {column.kind for column in columns} == {
        "integer", "decimal", "categorical", "datetime", "boolean", "constant",
    }  # fmt: skip
    assert {column.resolution for column in columns} == {"", *schemas.RESOLUTIONS}
    assert sum(column.step != "" for column in columns) > 50
    assert sum(column.can_be_missing for column in columns) > 50
    assert {len(schemas.fuzzed(seed)[0].columns) for seed in range(10)} == set(schemas.WIDTHS) >= {1, 100}
    levels = {level for column in columns for level in column.levels}
    assert levels >= set(schemas.TRICKY) - {"nan"}
    for seed in range(36):
        kinds = [column.kind for column in schemas.fuzzed(seed, with_text=True)[0].columns]
        assert 1 <= kinds.count("text") <= 2


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("seed", "codec_name"), [(2, "json"), (5, "compact"), (14, "paper")])
def test_every_walk_under_a_fuzzed_schema_is_a_valid_row_in_the_tokenizers_own_ids(
    vocabulary: Callable[[str], TextTokenizer], schemas: ModuleType, name: str, seed: int, codec_name: str
) -> None:
    check_walks(*schemas.fuzzed(seed), codec_name, vocabulary(name), 70)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("seed", range(36))
def test_a_hundred_thousand_walks_under_36_fuzzed_schemas_are_valid_rows(
    vocabulary: Callable[[str], TextTokenizer], schemas: ModuleType, name: str, seed: int
) -> None:
    check_walks(*schemas.fuzzed(seed), CODECS[seed % 3], vocabulary(name), 930)


# Free text: what is drawn is valid, and canonical where the program says so.


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("codec_name", CODECS)
def test_every_walk_through_free_text_ends_and_is_a_valid_row(
    vocabulary: Callable[[str], TextTokenizer], name: str, codec_name: str
) -> None:
    notes = (
        Column("note", "note", "text", "str", max_bytes=40, min_bytes=1),
        Column("更多", "更多", "text", "str", 0.3, max_bytes=8),
    )
    age = Column("age", "age", "integer", "int64", lower="0", upper="120", step="5")
    schema = Schema((notes[0], age, notes[1]))
    check_walks(schema, (2, 0, 1), codec_name, vocabulary(name), 30)


@pytest.mark.parametrize(
    ("name", "seed", "codec_name"), [("llama2", 3, "json"), ("llama3", 12, "compact"), ("qwen2.5", 3, "json")]
)
def test_rows_of_random_weights_under_fuzzed_schemas_with_text_are_valid_and_canonical(
    vocabulary: Callable[[str], TextTokenizer],
    measurement: Callable[[str], ModuleType],
    tiny_llama: Callable[..., LlamaForCausalLM],
    name: str,
    seed: int,
    codec_name: str,
) -> None:
    tokenizer = vocabulary(name)
    model = tiny_llama(len(tokenizer.token_bytes), num_hidden_layers=1)
    figures = measurement("fuzz").draw_rows(model, tokenizer, seed, codec_name, 80)
    assert figures["flaws"] == []
    assert (figures["rows"], figures["valid"]) == (80, 80)
    assert (figures["over_bound"], figures["other_ids"]) == (0, 0)
    assert figures["texts"]["all"] > 40
    # Where nothing but the quote fits and the tokenizer would merge it with what stands before it.
    assert set(figures["rejects"]) <= {"no token goes on as the tokenizer writes"}

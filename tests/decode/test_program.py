from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from harmonic.decode.automaton import TokenNodes, fixed
from harmonic.decode.lift import compile_segment
from harmonic.decode.program import RowProgram, chain
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Schema

VOCABULARIES = ("llama2", "llama3", "qwen2.5", "merging", "threes", "from_the_right", "whole_words")

SCHEMA = Schema(
    (
        Column("age", "age", "integer", "int64", lower="17", upper="1090"),
        Column(
            "pay", "pay", "decimal", "float64", lower="-9999.5", upper="1234567.25", decimals=2, missing=0.1
        ),
        Column("job", "job", "categorical", "str", levels=("Sales", "no", "null", "Größe L"), missing=0.1),
        Column("ok", "ok", "boolean", "bool", levels=("false", "true")),
        Column(
            "day",
            "day",
            "datetime",
            "datetime64[s]",
            lower="1999-01-01",
            upper="2012-12-31",
            resolution="day",
        ),
    ),
    target="ok",
)


def program_of(codec: Codec, order: tuple[int, ...], tokenizer: TextTokenizer) -> RowProgram:
    segments = [
        compile_segment(codec.form(index, place == len(order) - 1), codec.columns[index], tokenizer)
        for place, index in enumerate(order)
    ]
    opening = tokenizer.encode(codec.row_open) if codec.row_open else []
    return chain(segments, close=tokenizer.encode_ending(codec.row_close), open=opening)


def draw_row(program: RowProgram, rng: np.random.Generator) -> list[int]:
    """Choices by chance, forced runs appended, as an engine does it."""
    ids, state = program.forced_run(program.start)
    while state != program.end:
        tokens, targets = program.edges(state)
        pick = int(rng.integers(len(tokens)))
        run, end = program.forced_run(int(targets[pick]))
        ids, state = [*ids, int(tokens[pick]), *run], end
    return ids


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("codec_name", ["compact", "json", "paper"])
def test_a_drawn_row_is_a_row_and_encodes_to_the_ids_drawn(
    vocabulary: Callable[[str], TextTokenizer], name: str, codec_name: str
) -> None:
    tokenizer = vocabulary(name)
    codec = codec_for(codec_name, SCHEMA)
    rng = np.random.default_rng(0)
    for order in ((0, 1, 2, 3, 4), (3, 4, 1, 0, 2)):
        program = program_of(codec, order, tokenizer)
        for _ in range(40):
            ids = draw_row(program, rng)
            text = tokenizer.decode(ids)
            row = codec.parse_row(text, order)
            assert type(row) is tuple, (text, row)
            assert codec.encode_row(row, order) == text
            assert tokenizer.encode(text) == ids
            assert len(ids) <= program.longest


def test_forced_tokens_are_those_without_a_choice(vocabulary: Callable[[str], TextTokenizer]) -> None:
    program = program_of(codec_for("json", SCHEMA), (0, 1, 2, 3, 4), vocabulary("llama3"))
    for state in range(program.n_states):
        tokens, targets = program.edges(state)
        assert (len(tokens) == 0) == (state == program.end)
        assert program.forced[state] == (tokens[0] if len(tokens) == 1 else -1)
        run, end = program.forced_run(state)
        at = state
        for token in run:
            assert program.forced[at] == token
            at, _ = program.step(at, token)
        assert at == end
        assert program.forced[end] == -1
        assert (program.segment[targets] >= program.segment[state]).all()
    assert set(program.targets.tolist()) == set(range(1, program.n_states))
    assert program.segment[program.start] == -1
    assert program.segment[program.end] == 5


def test_a_given_cell_is_a_segment_of_one_path(vocabulary: Callable[[str], TextTokenizer]) -> None:
    tokenizer = vocabulary("llama3")
    codec = codec_for("compact", SCHEMA)
    age = compile_segment(codec.form(0, False), codec.columns[0], tokenizer)
    program = chain([fixed(tokenizer.encode(" Ca")), age], close=tokenizer.encode_ending(codec.row_close))
    for seed in range(20):
        text = tokenizer.decode(draw_row(program, np.random.default_rng(seed)))
        assert re.fullmatch(r" Ca A[a-z]\d+ \n", text)


def test_a_value_that_may_go_on_as_the_next_column_begins_is_an_error() -> None:
    nodes = TokenNodes()
    open_end = nodes.automaton(nodes.add_words([[5], [5, 7]]))
    with pytest.raises(HarmonicError, match="column 'town'.*column 'pay'"):
        chain([open_end, fixed([7, 8])], close=[1], names=["town", "pay"])
    assert chain([open_end, fixed([8])], close=[1]).longest == 4


def test_a_row_must_close() -> None:
    with pytest.raises(HarmonicError, match="at least one token"):
        chain([fixed([3])], close=[])

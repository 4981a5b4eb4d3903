"""The laws of prompts over every data sheet of the project, every codec, and the chat templates of three families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harmonic.prompt.instructions import IGNORED, tokenize, write_instruction
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import from_rows, to_rows, validate
from harmonic.table.infer import observe
from harmonic.table.schema import Row, Schema
from harmonic.table.sources import read_table

SHEETS = ("german", "adult", "diabetes", "buddy", "insurance", "magic", "asia")


@pytest.fixture(scope="module", params=SHEETS)
def sheet(request: pytest.FixtureRequest, repository: Path, data_dir: Path) -> tuple[Schema, list[Row]]:
    frame, read = read_table(repository / "configs" / "tables" / f"{request.param}.toml", data_dir=data_dir)
    frame = frame.head(300)
    schema = observe(read, frame)
    rows = to_rows(frame, schema)
    assert validate(from_rows(rows, schema), schema) == []
    return schema, rows


def _codecs(schema: Schema) -> list[Codec]:
    return [codec_for(name, schema) for name in ("compact", "json", "paper")]


def test_every_row_of_a_sheet_is_text_and_comes_back(sheet: tuple[Schema, list[Row]]) -> None:
    schema, rows = sheet
    order = tuple(reversed(range(len(schema.modelled))))
    for codec in _codecs(schema):
        assert all(codec.parse_row(codec.encode_row(row, order), order) == row for row in rows)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("vocabulary", ["llama2", "llama3", "qwen2.5"])
def test_a_prompt_is_the_tokens_before_its_completion_for_every_sheet(
    vocabulary: str, chat: bool, sheet: tuple[Schema, list[Row]], text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    schema, rows = sheet
    tokenizer, order = text_tokenizer(vocabulary, chat), tuple(range(len(schema.modelled)))
    for codec in _codecs(schema):
        asked = write_instruction(codec, rows[:3], 2, order)
        tokens = tokenize(write_instruction(codec, rows[:3], 2, order, rows[3:5]), tokenizer)
        prompt = [token for part in tokenizer.encode_prompt(asked.parts) for token in part]
        assert tokens.input_ids[: len(prompt)] == prompt
        assert tokens.labels[: len(prompt)] == [IGNORED] * len(prompt)
        answer = tokenizer.decode(tokens.input_ids[len(prompt) : -1])
        assert answer == "".join(codec.encode_row(row, order) for row in rows[3:5])
        assert tokens.labels[-1] == tokenizer.eos_id

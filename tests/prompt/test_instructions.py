"""Instructions: one builder, prompts that are exactly the tokens before their completion."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import IGNORED, check_length, tokenize, write_instruction
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Row, Schema

NAMES = ("llama2", "llama3", "qwen2.5")
CODECS = ("compact", "json", "paper")


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("n_examples", [0, 2])
def test_a_sampling_prompt_is_token_for_token_a_training_prompt(
    name: str,
    vocabulary: str,
    chat: bool,
    n_examples: int,
    schema: Schema,
    rows: list[Row],
    text_tokenizer: Callable[..., TextTokenizer],
) -> None:
    codec, tokenizer, order = codec_for(name, schema), text_tokenizer(vocabulary, chat), range(6)
    asked = write_instruction(codec, rows[:n_examples], 2, order)
    taught = write_instruction(codec, rows[:n_examples], 2, order, rows[2:4])
    prompt = [token for part in tokenizer.encode_prompt(asked.parts) for token in part]
    tokens = tokenize(taught, tokenizer)
    completion = [token for row in taught.rows for token in tokenizer.encode(row)]
    assert tokens.input_ids == [*prompt, *completion, tokenizer.eos_id]
    assert tokens.labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert tokens.labels[len(prompt) :] == tokens.input_ids[len(prompt) :]


@pytest.mark.parametrize("vocabulary", NAMES)
def test_the_last_label_is_the_end_token(
    vocabulary: str, schema: Schema, rows: list[Row], text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    tokenizer = text_tokenizer(vocabulary)
    instruction = write_instruction(codec_for("compact", schema), [], 2, range(6), rows[:2])
    for loss in ("every", "all", "last"):
        assert tokenize(instruction, tokenizer, loss).labels[-1] == tokenizer.eos_id


def test_loss_lies_on_the_rows_that_the_setting_names(
    schema: Schema, rows: list[Row], text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    tokenizer, codec = text_tokenizer("llama3"), codec_for("compact", schema)
    instruction = write_instruction(codec, rows[:2], 2, range(6), rows[2:4])
    spoken = {
        loss: tokenizer.decode(
            [token for token in tokenize(instruction, tokenizer, loss).labels[:-1] if token >= 0]
        )
        for loss in ("every", "all", "last")
    }
    texts = [codec.encode_row(row, range(6)) for row in rows[:4]]
    assert spoken == {"every": "".join(texts), "all": "".join(texts[2:]), "last": texts[3]}


def test_the_prompt_says_how_many_rows_it_wants(schema: Schema, rows: list[Row]) -> None:
    codec = codec_for("compact", schema)
    assert write_instruction(codec, [], 1, range(6)).request == "Write 1 row:\n"
    assert write_instruction(codec, rows[:1], 8, range(6)).request == "Write 8 more rows:\n"
    assert "Target: ok\n" in write_instruction(codec, [], 1, range(6)).opening


def test_the_paper_prompt_says_what_the_published_one_says(schema: Schema, rows: list[Row]) -> None:
    instruction = write_instruction(codec_for("paper", schema), rows[:2], 1, range(6), rows[2:3])
    assert "two example rows about bank customers" in instruction.prompt
    assert "5 feature columns and the label column 'ok' of a classification task" in instruction.prompt
    assert instruction.examples[0].startswith("Example one: {")


def test_an_instruction_over_the_context_is_an_error_and_not_a_cut() -> None:
    check_length(10, 10, "Row 3")
    with pytest.raises(HarmonicError, match="Row 3: its instruction has 11 tokens, the model's context 10"):
        check_length(11, 10, "Row 3")

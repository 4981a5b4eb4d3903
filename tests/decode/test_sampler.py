"""The sampler: every row valid and bounded, one seed one table, whatever the slots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from harmonic import read_table
from harmonic.decode.choice import Choice
from harmonic.decode.sampler import Draw, Grammar, Sampler
from harmonic.decode.score import Audit
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import from_rows, validate
from harmonic.table.infer import observe
from harmonic.table.schema import Column, Schema

END = {"llama2": 2, "llama3": 128001, "qwen2.5": 151643}


def _draw(sampler: Sampler, n_contexts: int, n_rows: int = 1, seed: int = 0) -> Draw:
    order = tuple(range(len(sampler.grammar.codec.columns)))
    prompts = [
        sampler.prompt([], order, first_row=number * n_rows, n_rows=n_rows) for number in range(n_contexts)
    ]
    return sampler.draw(prompts, seed=seed)


@pytest.mark.parametrize("vocabulary", list(END))
@pytest.mark.parametrize(
    ("file", "codec"),
    [("credit_g", "compact"), ("sick", "compact"), ("bike_hour", "compact"), ("insurance", "json")],
)
def test_rows_of_random_weights_are_valid_bounded_and_the_tokenizers_own(
    file: str,
    codec: str,
    vocabulary: str,
    data_dir: Path,
    real_tokenizer: Callable[[str], Tokenizer],
    tiny_llama: Callable[..., LlamaForCausalLM],
) -> None:
    tokenizer = TextTokenizer(real_tokenizer(vocabulary), eos_id=END[vocabulary])
    frame, read = read_table(data_dir / "tables" / f"{file}.csv.gz")
    frame = frame.head(400)
    schema = observe(read, frame)
    grammar = Grammar(codec_for(codec, schema), tokenizer)
    sampler = Sampler(tiny_llama(len(tokenizer.token_bytes)), grammar, context_length=8192, slots=20)
    draw = _draw(sampler, 20)
    table = from_rows([draw.rows[number] for number in range(20)], schema)
    assert validate(table, schema) == []
    assert (table.dtypes == frame.dtypes).all()
    assert draw.rejects.total() == 0
    assert 0 < draw.longest <= grammar.longest(range(len(grammar.codec.columns)))


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema(
        (
            Column("age", "age", "integer", "Int64", lower="17", upper="90", missing=0.1),
            Column("job", "job", "categorical", "str", levels=("Private", "State", "None", "é")),
            Column("pay", "pay", "decimal", "float64", lower="-2.5", upper="1000", decimals=2),
        )
    )


@pytest.fixture(scope="module")
def sampler_of(
    schema: Schema, real_tokenizer: Callable[[str], Tokenizer], tiny_llama: Callable[..., LlamaForCausalLM]
) -> Callable[..., Sampler]:
    tokenizer = TextTokenizer(real_tokenizer("llama2"), eos_id=2)
    model = tiny_llama(32_000)
    grammars = {name: Grammar(codec_for(name, schema), tokenizer) for name in ("compact", "json")}

    def make(slots: int = 8, codec: str = "compact", **options: object) -> Sampler:
        return Sampler(model, grammars[codec], context_length=2048, slots=slots, **options)  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize("codec", ["compact", "json"])
def test_the_number_of_slots_changes_no_row(codec: str, sampler_of: Callable[..., Sampler]) -> None:
    tables = [_draw(sampler_of(slots, codec), 12, n_rows=3).rows for slots in (1, 5, 32)]
    assert tables[0] == tables[1] == tables[2]


def test_a_row_does_not_depend_on_which_rows_are_drawn_beside_it(sampler_of: Callable[..., Sampler]) -> None:
    few, many = (_draw(sampler_of(), n).rows for n in (4, 20))
    assert few == {number: many[number] for number in range(4)}


def test_another_seed_is_another_table(sampler_of: Callable[..., Sampler]) -> None:
    assert _draw(sampler_of(), 8, seed=1).rows != _draw(sampler_of(), 8, seed=2).rows


def test_shuffled_orders_decode_to_rows_in_schema_order(
    sampler_of: Callable[..., Sampler], schema: Schema
) -> None:
    sampler = sampler_of()
    orders = [(2, 0, 1), (1, 2, 0), (0, 1, 2)]
    prompts = [sampler.prompt([], order, first_row=number, n_rows=1) for number, order in enumerate(orders)]
    rows = sampler.draw(prompts, seed=0).rows
    assert validate(from_rows([rows[number] for number in range(3)], schema), schema) == []


def test_prompts_of_one_order_are_decoded_together_and_rows_stay_the_same(
    sampler_of: Callable[..., Sampler],
) -> None:
    orders = [(2, 0, 1), (0, 1, 2), (2, 0, 1), (1, 2, 0)]
    tables = []
    for slots in (4, 64):  # with many slots, groups are too small to be worth a beginning of their own
        sampler = sampler_of(slots)
        prompts = [sampler.prompt([], orders[number % 4], first_row=number, n_rows=1) for number in range(12)]
        tables.append(sampler.draw(prompts, seed=0).rows)
    assert tables[0] == tables[1]
    assert sorted(tables[0]) == list(range(12))


def test_what_it_took_is_counted(sampler_of: Callable[..., Sampler]) -> None:
    draw = _draw(sampler_of(), 8, n_rows=2)
    usage = draw.usage
    assert usage.row_tokens > usage.forced_tokens > 0
    assert usage.prompt_tokens > 0
    assert usage.occupied <= 8 * usage.steps


def test_a_prompt_and_rows_over_the_context_are_an_error_with_the_arithmetic(
    sampler_of: Callable[..., Sampler],
) -> None:
    with pytest.raises(HarmonicError, match="Row 0: its prompt has .* the model's context holds 2048"):
        _draw(sampler_of(), 1, n_rows=500)


def test_a_row_that_is_rejected_again_and_again_is_an_error(
    sampler_of: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harmonic.prompt.rows import Reject

    sampler = sampler_of(max_attempts=3)
    refused: list[str] = []

    def refuse(text: str, order: object) -> Reject:
        refused.append(text)
        return Reject("unlucky", "by order of the test")

    monkeypatch.setattr(sampler.grammar.codec, "parse_row", refuse)
    with pytest.raises(HarmonicError, match="Row 0: 3 draws of it were all rejected .unlucky: 3"):
        _draw(sampler, 1)
    assert len(set(refused)) > 1, "each attempt draws with noise of its own"


def test_greedy_choice_is_passed_on(sampler_of: Callable[..., Sampler]) -> None:
    one, other = (_draw(sampler_of(choice=Choice(top_k=1)), 4, seed=seed).rows for seed in (0, 1))
    assert one == other


@pytest.fixture(scope="module")
def notes() -> Schema:
    """Free text among other columns, first, between and last."""
    return Schema(
        (
            Column("title", "title", "text", "str", min_bytes=1, max_bytes=20),
            Column("age", "age", "integer", "int64", lower="0", upper="120"),
            Column("note", "note", "text", "str", missing=0.3, max_bytes=60),
        )
    )


@pytest.mark.parametrize("vocabulary", list(END))
@pytest.mark.parametrize("codec", ["compact", "json", "paper"])
def test_free_text_of_random_weights_is_as_the_tokenizer_writes_it(
    codec: str,
    vocabulary: str,
    notes: Schema,
    real_tokenizer: Callable[[str], Tokenizer],
    tiny_llama: Callable[..., LlamaForCausalLM],
) -> None:
    tokenizer = TextTokenizer(real_tokenizer(vocabulary), eos_id=END[vocabulary])
    grammar = Grammar(codec_for(codec, notes), tokenizer)
    sampler = Sampler(tiny_llama(len(tokenizer.token_bytes)), grammar, context_length=2048, slots=4)
    drawn: list[tuple[list[int], str]] = []
    decode = tokenizer.decode

    def recorded(ids: list[int]) -> str:
        drawn.append((list(ids), decode(ids)))
        return drawn[-1][1]

    tokenizer.decode = recorded  # type: ignore[method-assign]
    draw = _draw(sampler, 8)
    table = from_rows([draw.rows[number] for number in range(8)], notes)
    assert validate(table, notes) == []
    own = [tokenizer.encode(text) == ids for ids, text in drawn]
    # A rejected row comes in pieces; of those that ended, none but the kept ones is the tokenizer's own.
    assert sum(own) >= 8
    assert draw.longest <= grammar.longest(range(len(grammar.codec.columns)))
    assert len(set(table["title"])) == 8


def test_free_text_does_not_depend_on_the_slots(
    notes: Schema, real_tokenizer: Callable[[str], Tokenizer], tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    tokenizer = TextTokenizer(real_tokenizer("llama2"), eos_id=2)
    grammar, model = Grammar(codec_for("json", notes), tokenizer), tiny_llama(32_000)
    tables = [
        _draw(Sampler(model, grammar, context_length=2048, slots=slots), 6, n_rows=2).rows for slots in (1, 5)
    ]
    assert tables[0] == tables[1]


def test_text_is_not_empty_where_none_was(
    real_tokenizer: Callable[[str], Tokenizer], tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    schema = Schema((Column("code", "code", "text", "str", min_bytes=1, max_bytes=1),))
    tokenizer = TextTokenizer(real_tokenizer("llama2"), eos_id=2)
    sampler = Sampler(
        tiny_llama(32_000), Grammar(codec_for("json", schema), tokenizer), context_length=512, slots=16
    )
    assert all(len(row[0] or "") == 1 for row in _draw(sampler, 64).rows.values())


def test_characters_in_bytes_of_their_own_count_against_a_texts_length(
    real_tokenizer: Callable[[str], Tokenizer], tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    # What follows the first byte of such a character is no open choice: llama2 has nothing but single bytes there.
    schema = Schema((Column("note", "note", "text", "str", max_bytes=6),))
    tokenizer = TextTokenizer(real_tokenizer("llama2"), eos_id=2)
    grammar = Grammar(codec_for("json", schema), tokenizer)
    draw = _draw(Sampler(tiny_llama(32_000), grammar, context_length=512, slots=64), 400)
    assert draw.rejects["out of bounds"] == 0
    assert draw.longest <= grammar.longest(range(len(grammar.codec.columns)))


@pytest.mark.parametrize("codec", ["compact", "json"])
def test_a_drawn_rows_log_probability_is_its_score(codec: str, sampler_of: Callable[..., Sampler]) -> None:
    sampler = sampler_of(8, codec)
    prompts = [sampler.prompt([], (0, 1, 2), first_row=number, n_rows=3) for number in range(0, 12, 3)]
    draw = sampler.draw(prompts, seed=0)
    scores = sampler.score(prompts, draw.rows)
    assert sorted(scores) == list(range(12))
    for number, found in scores.items():
        assert draw.log_probs[number] == pytest.approx(found.masked, abs=1e-4)
        assert found.full < found.masked
    audit = Audit.of(list(scores.values()))
    assert audit.rows == 12
    assert 0 < audit.kept_mass < 0.01, "random weights hardly ever write a valid row"
    assert audit.bias_bound == pytest.approx(1 - audit.kept_mass)


def test_a_context_is_not_scored_without_one_of_its_rows(sampler_of: Callable[..., Sampler]) -> None:
    prompt = sampler_of().prompt([], (0, 1, 2), first_row=4, n_rows=2)
    with pytest.raises(HarmonicError, match="Row 5: its context is scored without it"):
        sampler_of().score([prompt], {4: ("20", "State", "1")})

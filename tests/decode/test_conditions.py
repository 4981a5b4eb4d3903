"""Conditions: given cells always hold, what is narrowed stays so, quotas are exact, and nothing is compiled twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from harmonic.decode.conditions import Condition, Plan, arranged, conditions_of, given_row
from harmonic.decode.program import RowProgram
from harmonic.decode.sampler import Draw, Grammar, Sampler
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.rules import Rules
from harmonic.table.schema import Column, Row, Schema

VOCABULARIES = ("llama2", "llama3", "qwen2.5", "merging")
SCHEMA = Schema(
    (
        Column("age", "age", "integer", "Int64", lower="17", upper="90", missing=0.1),
        Column("sex", "sex", "categorical", "int64", levels=("1", "2")),
        Column("job", "job", "categorical", "str", levels=("Sales", "no", 'say "é"', " x"), missing=0.2),
        Column("pay", "pay", "decimal", "float64", lower="-2.5", upper="1000", decimals=2, missing=0.1),
        Column(
            "day",
            "day",
            "datetime",
            "datetime64[s]",
            lower="2010-01-01",
            upper="2012-12-31",
            resolution="day",
        ),
        Column("note", "note", "text", "str", max_bytes=12),
    )
)
ORDER = (0, 1, 2, 3, 4, 5)
GIVEN: dict[str, Any] = {"day": "2011-05-01", "job": 'say "é"', "note": 'a "b" 東'}
WHERE = ("age >= 65", "age < 70", "pay in (1, 2.5, -0.25)")


def _rows(rng: np.random.Generator, n: int, keeps: bool) -> list[Row]:
    """Rows of the schema; those that keep GIVEN and WHERE where asked for."""
    rows: list[Row] = []
    for _ in range(n):
        age = str(rng.integers(65, 70) if keeps else rng.integers(17, 65))
        pay = str(rng.choice(["1", "2.5", "-0.25"])) if keeps else "3.25"
        rows.append((age, str(rng.integers(1, 3)), 'say "é"', pay, "2011-05-01", 'a "b" 東'))
    return rows


def _accepts(program: RowProgram, ids: list[int]) -> bool:
    state, spent = program.start, 0
    for token in ids:
        state, spent = program.step(state, token, spent)
        if state < 0:
            return False
    return state == program.end


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("codec_name", ["compact", "json", "paper"])
def test_given_cells_and_the_rest_are_the_tokenizers_own_ids(
    name: str, codec_name: str, vocabulary: Callable[[str], TextTokenizer]
) -> None:
    tokenizer = vocabulary(name)
    grammar = Grammar(codec_for(codec_name, SCHEMA), tokenizer)
    conditions = conditions_of(SCHEMA, GIVEN, WHERE)
    order = arranged((3, 5, 1, 0, 2, 4), conditions)
    assert order == (5, 2, 4, 3, 0, 1)
    prefix, program = grammar.prefix(order, conditions), grammar.program(order, conditions)
    for keeps in (True, False):
        for row in _rows(np.random.default_rng(0), 12, keeps):
            ids = tokenizer.encode(grammar.codec.encode_row(row, order))
            assert ids[: len(prefix)] == prefix
            assert _accepts(program, ids[len(prefix) :]) == keeps


def test_rows_that_differ_in_given_cells_alone_share_a_program(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    grammar = Grammar(codec_for("compact", SCHEMA), vocabulary("llama3"))
    programs = set()
    for age in ("20", "88"):
        for sex in ("1", "2"):
            conditions = conditions_of(SCHEMA, {"age": age, "sex": sex}, ["pay > 3"])
            programs.add(id(grammar.program(arranged(ORDER, conditions), conditions)))
    assert len(programs) == 1


def test_the_narrowed_numbers_are_those_left_and_no_others(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    tokenizer = vocabulary("llama3")
    grammar = Grammar(codec_for("compact", SCHEMA), tokenizer)
    (condition,) = conditions_of(SCHEMA, where=["age > 30", "age not in (33, 36)", "age <= 40"])
    segment = grammar.segment(0, False, condition.column)
    left = {age for age in range(10, 100) if segment.accepts(tokenizer.encode(f" A{age}"))}
    assert left == {31, 32, 34, 35, 37, 38, 39, 40}
    assert not segment.accepts(tokenizer.encode(" A?"))


def test_what_leaves_one_cell_is_given() -> None:
    conditions = conditions_of(SCHEMA, where=["sex != 1", "age <= 17", "job is missing", "pay == 2.5"])
    assert all(condition.is_given for condition in conditions)
    assert given_row(conditions, 6) == ("17", "2", None, "2.5", None, None)


def test_a_condition_that_leaves_all_is_none() -> None:
    assert conditions_of(SCHEMA, where=["sex in (1, 2)", "day >= 2000-01-01", "note is not missing"]) == ()


@pytest.mark.parametrize(
    ("given_cells", "where", "message"),
    [
        (
            {"age": 20},
            ["age >= 65"],
            "value 20 is given, and another condition leaves it only an integer from 65",
        ),
        (
            {"job": "no"},
            ["job is missing"],
            "value 'no' is given, and another condition leaves it only missing",
        ),
        ({"sex": 2}, ["sex == 1"], "value 2 is given"),
        ({}, ["age >= 65", "age < 65"], "leaves nothing of column 'age'"),
        ({"colour": 1}, [], "Given 'colour': column 'colour' is not in the table"),
    ],
)
def test_conditions_that_contradict_each_other_are_an_error(
    given_cells: Mapping[str, Any], where: list[str], message: str
) -> None:
    with pytest.raises(HarmonicError, match=message):
        conditions_of(SCHEMA, given_cells, where)


# Quotas.


@settings(max_examples=60)
@given(
    counts=st.lists(st.integers(0, 30), min_size=2, max_size=2),
    shares=st.integers(0, 10),
    size=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_quotas_are_exact_and_contexts_of_one_kind(
    counts: list[int], shares: int, size: int, seed: int
) -> None:
    n = sum(counts)
    quotas = {
        "sex": dict(zip((1, 2), counts, strict=True)),
        "job": {"Sales": shares / 10, "no": 1 - shares / 10},
    }
    plan = Plan(SCHEMA, given={"age": 20}, quotas=quotas, n_rows=n, seed=seed, size=size)
    runs = list(plan.runs(0, -(-n // size) * size))
    assert [run.first_row for run in runs] == list(np.cumsum([0, *(run.n_rows for run in runs)])[:-1])
    cells = [given_row(run.conditions, 6) for run in runs for _ in range(run.n_rows)]
    assert Counter(cell[1] for cell in cells) == Counter({"1": counts[0], "2": counts[1]})
    sales = Counter(cell[2] for cell in cells)["Sales"]
    assert abs(sales - n * shares / 10) <= 0.5 + 1e-9
    assert all(cell[0] == "20" for cell in cells)
    assert all(run.first_row // size == (run.first_row + run.n_rows - 1) // size for run in runs)
    # Whole contexts of one kind, but for what is left over of each.
    kinds = len(set(cells))
    assert sum(run.n_rows < size for run in runs) <= kinds * size


def test_a_piece_of_a_plan_is_that_piece_of_the_whole() -> None:
    plan = Plan(SCHEMA, quotas={"sex": {1: 41, 2: 59}}, n_rows=100, seed=3, size=4)
    whole = list(plan.runs(0, 100))
    pieces = [run for start in range(0, 100, 20) for run in plan.runs(start, start + 20)]
    assert pieces == whole
    assert {run.conditions[0].cell for run in whole[:6]} == {"1", "2"}, "they are spread"


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ({"sex": {1: 5, 2: 6}}, "add up to 11 rows, 10 are asked for"),
        ({"sex": {1: 0.5, 2: 0.4}}, "the shares add up to 0.9, expected 1"),
        ({"sex": {1: 5, 2: "x"}}, "'x' is neither a number of rows nor a share"),
        ({"sex": {1: 5, "1": 5}}, "a value stands there twice"),
        ({"sex": {3: 10}}, "value 3 is none of its 2 levels"),
        ({"sex": {}}, "names no values"),
        ({"age": {20: 10}}, "value 20 is given, and another condition leaves it only"),
        ({"job": {"no": 10}}, "the column is given already"),
    ],
)
def test_quotas_that_cannot_be_are_an_error(quotas: Mapping[str, Any], message: str) -> None:
    with pytest.raises(HarmonicError, match=message):
        Plan(SCHEMA, given={"job": "no"}, where=["age > 30"], quotas=quotas, n_rows=10)


def test_rows_beyond_the_quotas_are_an_error() -> None:
    plan = Plan(SCHEMA, quotas={"sex": {1: 5, 2: 5}}, n_rows=10, size=4)
    assert sum(run.n_rows for run in plan.runs(0, 12)) == 10
    with pytest.raises(HarmonicError, match="quotas divide 10 rows"):
        list(plan.runs(0, 16))


# Rows.


@pytest.fixture(scope="module")
def sampler_of(
    real_tokenizer: Callable[[str], Tokenizer], tiny_llama: Callable[..., LlamaForCausalLM]
) -> Callable[..., Sampler]:
    tokenizer = TextTokenizer(real_tokenizer("llama2"), eos_id=2)
    model = tiny_llama(32_000)
    grammars = {name: Grammar(codec_for(name, SCHEMA), tokenizer) for name in ("compact", "json")}

    def make(codec: str = "compact", slots: int = 6, **options: Any) -> Sampler:
        return Sampler(model, grammars[codec], context_length=2048, slots=slots, **options)

    return make


def _draw(sampler: Sampler, conditions: tuple[Condition, ...], n: int = 8, rows: int = 2) -> Draw:
    prompts = [
        sampler.prompt([], ORDER, first_row=first, n_rows=rows, conditions=conditions)
        for first in range(0, n, rows)
    ]
    return sampler.draw(prompts, seed=0)


@pytest.mark.parametrize("codec", ["compact", "json"])
def test_rows_hold_what_is_given_and_what_is_left_whatever_the_slots(
    codec: str, sampler_of: Callable[..., Sampler]
) -> None:
    conditions = conditions_of(SCHEMA, GIVEN, WHERE)
    tables = [_draw(sampler_of(codec, slots), conditions).rows for slots in (1, 3, 8)]
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0]) == 8
    for age, _, job, pay, day, note in tables[0].values():
        assert (job, day, note) == ('say "é"', "2011-05-01", 'a "b" 東')
        assert age is not None and 65 <= int(age) < 70
        assert pay in ("1", "2.5", "-0.25")


def test_a_prompt_unlike_the_others_leaves_no_trace_in_its_slot(sampler_of: Callable[..., Sampler]) -> None:
    """Prompts under other conditions begin otherwise: they overwrite what a slot held of the common beginning."""
    orders = [ORDER, ORDER, (4, 3, 2, 1, 0, 5), ORDER, (4, 3, 2, 1, 0, 5), ORDER]
    tables = []
    for slots in (1, 6):
        sampler = sampler_of(slots=slots)
        prompts = [
            sampler.prompt([], order, first_row=number, n_rows=1) for number, order in enumerate(orders)
        ]
        tables.append(sampler.draw(prompts, seed=0))
    assert tables[0].rows == tables[1].rows
    for number in range(len(orders)):
        assert tables[0].log_probs[number] == pytest.approx(tables[1].log_probs[number], abs=1e-4)


def test_a_prompt_can_ask_for_more_rows_than_it_gives(sampler_of: Callable[..., Sampler]) -> None:
    sampler = sampler_of()
    prompt = sampler.prompt([], ORDER, first_row=0, n_rows=1, asked=4)
    assert "Write 4 rows" in prompt.instruction.prompt
    assert list(sampler.draw([prompt], seed=0).rows) == [0]


def test_rows_that_break_a_rule_are_drawn_again(sampler_of: Callable[..., Sampler]) -> None:
    free = _draw(sampler_of(), (), rows=1).rows
    rule = "age * 10 <= pay or sex == 2"
    rules = Rules([rule], SCHEMA)
    kept = {number: row for number, row in free.items() if not rules.broken(row)}
    draw = _draw(sampler_of(rules=rules), (), rows=1)
    assert not any(rules.broken(row) for row in draw.rows.values())
    assert draw.rejects[rule] >= len(free) - len(kept) > 0
    assert kept.items() <= draw.rows.items(), "a row that keeps the rules is the row without them"


def test_a_rule_that_no_row_keeps_is_an_error_that_names_it(sampler_of: Callable[..., Sampler]) -> None:
    rules = Rules(["sex > 2"], SCHEMA)
    with pytest.raises(HarmonicError, match="sex > 2"):
        _draw(sampler_of(rules=rules, max_attempts=5), conditions_of(SCHEMA, GIVEN))

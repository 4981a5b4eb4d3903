"""The generator: valid rows under any graph, conditions forced, and a prompt that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic.config import MallmSection
from harmonic.decode.conditions import Plan
from harmonic.decode.sampler import Draw, Grammar, Prompt, Sampler
from harmonic.mallm.calls import calls_of
from harmonic.mallm.generator import Calls, Candidate, Generator
from harmonic.model.load import NANO, load_model
from harmonic.prompt.learnt import Learnt
from harmonic.prompt.rows import codec_for
from harmonic.table.cells import from_rows, to_rows, validate
from harmonic.table.graph import CausalGraph
from harmonic.table.infer import infer_schema, observe
from harmonic.table.schema import Row, Schema

GRAPH = {"kind": ["wage"], "age": ["kind"]}


@pytest.fixture(scope="module")
def data() -> tuple[list[Row], Schema]:
    rng = np.random.default_rng(0)
    kind = rng.choice(["low", "high"], 40)
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 80, 40),
            "kind": kind,
            "wage": np.round(rng.lognormal(8, 1, 40) * (1 + (kind == "high")), 2),
        }
    )
    schema = observe(infer_schema(frame, target="kind"), frame)
    return to_rows(frame, schema), schema


@pytest.fixture(scope="module")
def sampler(data: tuple[list[Row], Schema]) -> Sampler:
    loaded = load_model(str(NANO))
    grammar = Grammar(codec_for("compact", data[1]), loaded.tokenizer)
    return Sampler(loaded.model, grammar, context_length=loaded.context_length, slots=8)


def _candidate(schema: Schema, guidance: str = "") -> Candidate:
    names = [column.label for column in schema.modelled]
    return Candidate(CausalGraph.from_mapping(GRAPH, names), guidance)


@pytest.mark.parametrize("choice", ["uniform", "balanced", "scarce", "by_class"])
def test_rows_are_valid_and_the_first_ones_do_not_depend_on_how_many_are_wanted(
    choice: str, data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data
    generator = Generator(sampler, rows, schema, Calls(examples=6, rows=3, choice=choice), seed=1)  # type: ignore[arg-type]
    few, many = (generator.draw(_candidate(schema), 0, n).rows for n in (7, 11))
    assert list(many) == list(range(11))
    assert few == {number: many[number] for number in range(7)}
    later = generator.draw(
        _candidate(schema), 4, 11, earlier=lambda start, stop: [many[i] for i in range(start, stop)]
    )
    assert later.rows == {number: many[number] for number in range(4, 11)}
    assert validate(from_rows(list(many.values()), schema), schema) == []
    assert (
        Generator(sampler, rows, schema, generator.calls, seed=2).draw(_candidate(schema), 0, 11).rows != many
    )


def test_scarce_examples_ask_only_for_rows_that_were_drawn_before(
    data: tuple[list[Row], Schema], sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever draws in pieces knows the rows before the piece, and not yet those of the piece."""
    monkeypatch.setattr("harmonic.mallm.generator.WAVE", 2)
    rows, schema = data
    calls = Calls(examples=6, rows=2, choice="scarce")
    generator = Generator(sampler, rows, schema, calls, seed=1)
    whole = list(generator.draw(_candidate(schema), 0, 20).rows.values())

    def earlier(start: int, stop: int) -> list[Row]:
        assert stop <= 6
        return whole[start:stop]

    later = generator.draw(_candidate(schema), 6, 20, earlier=earlier).rows
    assert list(later.values()) == whole[6:]


def test_rows_whose_class_is_asked_for_are_weighed_by_themselves(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data
    seen: dict[str, list[Row]] = {"free": [], "given": []}

    def weigh(kind: str) -> Callable[[Sequence[Row]], np.ndarray]:
        return lambda some: (seen[kind].extend(some), np.zeros(len(some)))[1]

    calls = calls_of(MallmSection(), Learnt("target_last", examples=0, rows=1), schema)
    generator = Generator(
        sampler, rows, schema, calls, seed=0, weigh=weigh("free"), weigh_given=weigh("given")
    )
    generator.draw(_candidate(schema), 0, 6, plan=Plan(schema, where=["age >= 50"], size=1))
    assert len(seen["free"]) >= 6
    assert not seen["given"]
    seen["free"].clear()
    generator.draw(_candidate(schema), 0, 6, plan=Plan(schema, given={"kind": "high"}, size=1))
    assert len(seen["given"]) >= 6
    assert not seen["free"]


def test_the_prompt_names_causes_and_shows_rows_parents_first(
    data: tuple[list[Row], Schema], sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, schema = data
    prompts: list[Prompt] = []

    def draw(asked: list[Prompt], **options: Any) -> Draw:
        prompts.extend(asked)
        return Sampler.draw(sampler, asked, **options)

    monkeypatch.setattr(sampler, "draw", draw)
    for says_graph in (True, False):
        calls = Calls(examples=2, rows=2, choice="balanced", says_graph=says_graph)
        Generator(sampler, rows, schema, calls, seed=0).draw(_candidate(schema), 0, 4)
    told, silent = prompts[0].instruction.prompt, prompts[-1].instruction.prompt
    assert "Causes: A from B; B from C" in told
    assert "Causes" not in silent
    assert [line.split()[0][0] for line in told.splitlines()[1:4]] == ["C", "B", "A"]
    assert len(prompts[0].instruction.examples) == 2


def test_a_learnt_order_stays_and_classes_keep_their_shares_without_an_example(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data
    calls = calls_of(MallmSection(), Learnt("target_first", examples=0, rows=1), schema)
    assert (calls.examples, calls.rows, calls.choice, calls.order) == (0, 1, "by_class", (1, 0, 2))
    generator = Generator(sampler, rows, schema, calls, seed=0)
    assert not generator.leaves_classes_free
    plan = Plan(schema, where=["age >= 50"], size=1)
    prompts, _ = generator.prompts(_candidate(schema), plan, 0, 8)
    assert {prompt.order for prompt in prompts} == {(1, 0, 2)}
    few, many = (generator.draw(_candidate(schema), 0, n, plan=plan).rows for n in (7, 20))
    assert few == {number: many[number] for number in range(7)}
    made = from_rows(list(many.values()), schema)
    assert made["age"].min() >= 50
    share = sum(row[1] == "high" for row in rows) / len(rows)
    assert abs((made["kind"] == "high").mean() - share) <= 1 / len(made) + 1e-9


def test_a_class_that_stands_behind_what_is_free_is_left_to_the_model(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data
    calls = calls_of(MallmSection(), Learnt("target_last", examples=0, rows=1), schema)
    generator = Generator(sampler, rows, schema, calls, seed=0)
    assert generator.leaves_classes_free
    prompts, _ = generator.prompts(_candidate(schema), Plan(schema, size=1), 0, 8)
    assert {prompt.order for prompt in prompts} == {(0, 2, 1)}
    assert not any(prompt.known or prompt.conditions for prompt in prompts)


def test_what_the_section_says_goes_before_what_an_adapter_has_learnt(
    data: tuple[list[Row], Schema],
) -> None:
    schema = data[1]
    assert calls_of(MallmSection(), None, schema) == Calls()
    learnt = Learnt("shuffled", examples=8, rows=4)
    assert calls_of(MallmSection(), learnt, schema) == Calls(examples=8, rows=4)
    assert calls_of(MallmSection(examples=0, rows=2), learnt, schema) == Calls(examples=0, rows=2)


def test_conditions_hold_in_every_row(data: tuple[list[Row], Schema], sampler: Sampler) -> None:
    rows, schema = data
    generator = Generator(sampler, rows, schema, Calls(examples=4, rows=2), seed=0)
    plan = Plan(schema, given={"kind": "high"}, where=["age >= 60"], size=2)
    made = from_rows(list(generator.draw(_candidate(schema), 0, 9, plan=plan).rows.values()), schema)
    assert set(made["kind"]) == {"high"}
    assert made["age"].min() >= 60


def test_a_small_context_gets_a_smaller_prompt_and_says_so(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data
    small = Sampler(sampler.model, sampler.grammar, context_length=220, slots=4)
    generator = Generator(small, rows, schema, Calls(examples=30, rows=4), seed=0)
    assert 0 < generator.calls.examples < 30
    assert "not 30" in generator.notes[0]
    assert len(generator.draw(_candidate(schema), 0, 8).rows) == 8


def test_fewer_rows_than_examples_make_a_smaller_prompt_and_that_is_said(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    generator = Generator(sampler, data[0][:20], data[1], seed=0)
    assert generator.calls.examples == 10
    assert generator.notes == (
        "Calls show 10 examples, not 25: the table has 20 rows, and each call is to show others.",
    )
    assert len(generator.draw(_candidate(data[1]), 0, 3).rows) == 3


def test_rows_have_the_class_of_their_examples_unless_another_is_given(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data
    generator = Generator(sampler, rows, schema, Calls(examples=6, rows=2, choice="by_class"), seed=0)
    made = generator.draw(_candidate(schema), 0, 20).rows
    for number, row in made.items():
        shown, left_out = generator.shown(number)
        assert {rows[place][1] for place in (*shown, *left_out)} == {row[1]}
    assert {row[1] for row in made.values()} == {"low", "high"}
    plan = Plan(schema, given={"kind": "low"}, size=2)
    given_low = generator.draw(_candidate(schema), 0, 6, plan=plan).rows
    assert {row[1] for row in given_low.values()} == {"low"}
    shown, _ = generator.shown(0, plan.kinds[0])
    assert {rows[place][1] for place in shown} == {"low"}


def test_a_quantity_stays_in_the_range_of_its_examples(
    data: tuple[list[Row], Schema], sampler: Sampler
) -> None:
    rows, schema = data[0], replace(data[1], target="wage")
    generator = Generator(sampler, rows, schema, Calls(examples=6, rows=2, choice="by_class"), seed=0)
    made = generator.draw(_candidate(schema), 0, 20).rows
    fifths = set()
    for number, row in made.items():
        shown, left_out = generator.shown(number)
        wages = [float(rows[place][2] or 0) for place in (*shown, *left_out)]
        assert min(wages) <= float(row[2] or 0) <= max(wages)
        fifths.add(min(wages))
    assert len(fifths) == 5

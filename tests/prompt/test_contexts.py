"""Contexts: one law, fresh company at each visit, never a row or its twin as its own example."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harmonic.prompt.contexts import N_ORDERS, TURN, Context, ContextLaw, Contexts, column_order, last_columns
from harmonic.table.schema import Row


def _line(n: int, twins: int = 1) -> tuple[list[Row], NDArray[np.int64]]:
    """n rows on a line, each value `twins` times, and all other values' rows by distance."""
    rows: list[Row] = [(str(number // twins),) for number in range(n)]
    near = np.full((n, n), -1, dtype=np.int64)
    for number in range(n):
        others = sorted(
            (other for other in range(n) if rows[other] != rows[number]),
            key=lambda other: (abs(other - number), other),
        )
        near[number, : len(others)] = others
    return rows, near


def _visits(contexts: Contexts, passes: int = 1) -> list[Context]:
    return [contexts[number] for number in range(passes * contexts.per_pass)]


@given(
    st.integers(2, 40),
    st.integers(1, 9),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from(["neighbors", "random"]),
)
def test_a_pass_asks_for_every_row_exactly_once(
    n: int, rows: int, examples: int, related: bool, kind: str
) -> None:
    table, near = _line(n)
    law = ContextLaw(kind, examples, rows=rows, related=related)  # type: ignore[arg-type]
    contexts = Contexts(table, near, law, seed=0, purpose="train")
    for start in (0, contexts.per_pass):
        visits = [contexts[start + number] for number in range(contexts.per_pass)]
        assert sorted(row for visit in visits for row in visit.members) == list(range(n))


@pytest.mark.parametrize("kind", ["neighbors", "random", "paper"])
def test_no_row_and_no_twin_of_it_is_its_own_example(kind: str) -> None:
    table, near = _line(60, twins=3)
    contexts = Contexts(table, near, ContextLaw(kind, 5, rows=4), seed=1, purpose="train")  # type: ignore[arg-type]
    for visit in _visits(contexts, 4):
        asked = {table[row] for row in visit.members}
        assert not asked & {table[row] for row in visit.examples}
        assert len(set(visit.examples)) == len(visit.examples)


def test_examples_are_from_none_to_k_of_the_nearest_pool() -> None:
    table, near = _line(100)
    law = ContextLaw("neighbors", examples=4, fewest=0, rows=1, pool=3)
    visits = _visits(Contexts(table, near, law, seed=0, purpose="train"), 3)
    sizes = Counter(len(visit.examples) for visit in visits)
    assert set(sizes) == {0, 1, 2, 3, 4}
    assert all(abs(row - visit.members[0]) <= 12 for visit in visits for row in visit.examples)


def test_two_visits_of_a_row_keep_different_company() -> None:
    table, near = _line(50)
    law = ContextLaw("neighbors", examples=5, fewest=0, rows=1, pool=3)
    visits = _visits(Contexts(table, near, law, seed=0, purpose="train"), 10)
    shown = Counter((visit.members, visit.examples) for visit in visits if len(visit.examples) > 1)
    assert max(shown.values()) <= 2


def test_rows_of_a_context_are_neighbours_where_the_law_wants_it() -> None:
    table, near = _line(200)
    spread = {}
    for related in (True, False):
        law = ContextLaw("neighbors", examples=0, rows=5, related=related)
        visits = _visits(Contexts(table, near[:, :15], law, seed=0, purpose="train"))
        spread[related] = np.mean([np.ptp(visit.members) for visit in visits])
    assert spread[True] < 0.5 * spread[False]


def test_the_published_law_shows_the_nearest_in_training_and_random_rows_in_sampling() -> None:
    table, near = _line(100)
    law = ContextLaw("paper", examples=5)
    for number in range(20):
        visit = Contexts(table, near, law, seed=0, purpose="train")[number]
        assert visit.examples == tuple(near[visit.members[0], :5].tolist())
    sampling = [Contexts(table, near, law, seed=0, purpose="sample")[number] for number in range(20)]
    assert all(len(visit.examples) == 5 for visit in sampling)
    assert np.mean([np.ptp(visit.examples) for visit in sampling]) > 40


def test_one_seed_gives_one_sequence_and_purposes_differ() -> None:
    table, near = _line(30)
    law = ContextLaw("neighbors", examples=5, order="shuffled")
    first, again = (Contexts(table, near, law, seed=3, purpose="train") for _ in range(2))
    assert [first[number] for number in (5, 0, 17)] == [again[number] for number in (5, 0, 17)]
    assert _visits(first) != _visits(Contexts(table, near, law, seed=3, purpose="sample"))
    assert _visits(first) != _visits(Contexts(table, near, law, seed=4, purpose="train"))


@given(st.integers(1, 8), st.sampled_from(["shuffled", "target_then_shuffled"]), st.data())
def test_a_random_order_holds_for_a_turn_of_training_and_few_take_turns_in_sampling(
    n_columns: int, order: str, data: st.DataObject
) -> None:
    target = data.draw(st.integers(0, n_columns - 1))

    def drawn(purpose: str, index: int) -> tuple[int, ...]:
        return column_order(order, n_columns, target, seed=5, purpose=purpose, index=index)  # type: ignore[arg-type]

    index = data.draw(st.integers(0, 1000))
    assert sorted(drawn("train", index)) == list(range(n_columns))
    assert drawn("train", index) == drawn("train", index - index % TURN)
    assert drawn("sample", index) == drawn("sample", index + N_ORDERS)
    if order == "target_then_shuffled":
        assert drawn("train", index)[0] == target
    assert {drawn("train", turn * TURN)[-1] for turn in range(80)} == set(
        last_columns(order, n_columns, target)  # type: ignore[arg-type]
    )


def test_rows_from_elsewhere_get_their_examples_from_the_training_rows() -> None:
    table, near = _line(20)
    held: list[Row] = [("3",), ("x",)]
    law = ContextLaw("neighbors", examples=8, fewest=4)
    contexts = Contexts(table, near[[3, 10]], law, seed=0, purpose="val", asked=held)
    assert contexts.per_pass == 2
    for visit in _visits(contexts, 20):
        if visit.members == (0,):
            assert 3 not in visit.examples, "a training twin of a held-out row would be its answer"


def test_contexts_ask_for_the_rows_of_a_selection_alone_each_once_a_pass() -> None:
    table, near = _line(40)
    among = np.array([3, 4, 5, 17, 18, 31, 39])
    whole = Contexts(
        table, near, ContextLaw("neighbors", rows=3, examples=4, fewest=4), seed=0, purpose="sample"
    )
    contexts = whole.only(among)
    for start in (0, contexts.per_pass):
        visits = [contexts[start + number] for number in range(contexts.per_pass)]
        assert sorted(row for visit in visits for row in visit.members) == among.tolist()
    shown = {row for visit in _visits(contexts, 4) for row in visit.examples}
    assert not shown <= {*among.tolist()}, "their neighbours are any rows"
    assert sorted(row for visit in _visits(whole) for row in visit.members) == list(range(40))


def test_the_context_around_a_row_does_not_depend_on_what_else_is_asked_for() -> None:
    table, near = _line(40)
    queries: list[Row] = [("100",), ("101",), ("102",)]
    law = ContextLaw("neighbors", examples=6, fewest=2, rows=4)
    few = Contexts(table, near[:1], law, seed=0, purpose="sample", asked=queries[:1])
    many = Contexts(table, near[:3], law, seed=0, purpose="sample", asked=queries)
    assert few.around(0, 7) == many.around(0, 7)
    assert few.around(0, 7).members == (0,)
    assert {few.around(0, number).examples for number in range(9)} != {few.around(0, 7).examples}


@pytest.mark.parametrize("kind", ["neighbors", "random", "paper"])
def test_what_was_left_out_was_as_likely_as_what_was_shown(kind: str) -> None:
    table, near = _line(40, twins=2)
    law = ContextLaw(kind, 6, fewest=2, rows=1, related=False)  # type: ignore[arg-type]
    contexts = Contexts(table, near, law, seed=3, purpose="sample")
    shown: Counter[int] = Counter()
    left: Counter[int] = Counter()
    for number in range(4_000):
        visit, others = contexts[number], contexts.left_out(number)
        assert not set(visit.examples) & set(others)
        assert contexts.left_out(number) == others
        (member,) = visit.members
        if kind == "neighbors":
            assert {*visit.examples, *others} == set(near[member][:6].tolist())
        elif min(len(visit.examples), len(others)):  # equal numbers of both: no row is favoured
            fewest = min(len(visit.examples), len(others))
            shown.update(visit.examples[:fewest])
            left.update(others[:fewest])
    for row in shown:
        assert abs(shown[row] - left[row]) < 5 * (shown[row] + left[row]) ** 0.5


@given(st.integers(1, 8), st.data())
def test_a_target_stands_where_the_order_says(n_columns: int, data: st.DataObject) -> None:
    target = data.draw(st.integers(0, n_columns - 1))
    others = tuple(column for column in range(n_columns) if column != target)

    def drawn(order: str, index: int) -> tuple[int, ...]:
        return column_order(order, n_columns, target, seed=5, purpose="train", index=index)  # type: ignore[arg-type]

    assert drawn("target_first", 3) == (target, *others)
    assert drawn("target_last", 3) == (*others, target)
    assert {drawn("target_either", turn * TURN) for turn in range(4)} == {
        (target, *others),
        (*others, target),
    }
    assert drawn("target_either", 1) == drawn("target_either", 0), "a batch shares its header"
    for order in ("target_first", "target_last", "target_either"):
        ends = {drawn(order, turn * TURN)[-1] for turn in range(4)}
        assert ends == set(last_columns(order, n_columns, target))  # type: ignore[arg-type]

"""Causal graphs: no cycles ever, parents first, JSON and back, edits that are refused."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.table.graph import OPERATIONS, CausalGraph, Edit

NAMES = ("age", "job", "income", "debt", "claim")
CHAIN = CausalGraph.from_mapping({"job": ["age"], "income": ["age", "job"], "debt": ["income"]}, NAMES)


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_a_graph_stays_acyclic_under_any_edits(seed: int, n_columns: int) -> None:
    rng = np.random.default_rng(seed)
    graph = CausalGraph.empty([f"c{number}" for number in range(n_columns)])
    refused = 0
    for _ in range(40):
        source, target = rng.integers(0, n_columns, 2).tolist()
        edit = Edit(OPERATIONS[int(rng.integers(3))], source, target)
        try:
            graph = graph.edited(edit)
        except HarmonicError:
            refused += 1
        oracle = networkx.DiGraph(graph.edges)
        assert networkx.is_directed_acyclic_graph(oracle)
        places = {column: place for place, column in enumerate(graph.order)}
        assert sorted(places) == list(range(n_columns))
        assert all(places[parent] < places[child] for parent, child in graph.edges)
    assert refused < 40


@given(st.integers(0, 10_000))
def test_a_graph_comes_back_from_json(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f'a "{number}" ü' for number in range(6)]
    parents = tuple(tuple(int(p) for p in range(child) if rng.random() < 0.4) for child in range(6))
    graph = CausalGraph(tuple(names), parents)
    assert CausalGraph.from_json(graph.to_json(), names) == graph


def test_the_order_is_that_of_the_table_where_the_graph_leaves_a_choice() -> None:
    assert CausalGraph.empty(NAMES).order == (0, 1, 2, 3, 4)
    assert CausalGraph.from_mapping({"age": ["claim"]}, NAMES).order == (1, 2, 3, 4, 0)


def test_edits_add_remove_and_reverse_an_edge() -> None:
    assert CHAIN.edited(Edit("add", 3, 4)).edges == CHAIN.edges | {(3, 4)}
    assert CHAIN.edited(Edit("remove", 0, 1)).edges == CHAIN.edges - {(0, 1)}
    assert CHAIN.edited(Edit("reverse", 2, 3)).edges == (CHAIN.edges - {(2, 3)}) | {(3, 2)}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit("add", 0, 1), "is there already"),
        (Edit("remove", 1, 0), "is not there"),
        (Edit("reverse", 4, 0), "is not there"),
        (Edit("add", 2, 2), "would be a loop"),
        (Edit("add", 3, 0), "is a cycle"),
        (Edit("reverse", 0, 2), "is a cycle"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_with_its_reason(edit: Edit, words: str) -> None:
    with pytest.raises(HarmonicError, match=words):
        CHAIN.edited(edit)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"age": ["wage"]}', "column 'wage' is unknown"),
        ('{"wage": []}', "column 'wage' is unknown"),
        ('{"age": ["job"], "job": ["age"]}', "is a cycle"),
        ('{"age": "job"}', "no object of lists"),
        ("[]", "no object of lists"),
        ('{"age": ', "no JSON at line 1"),
    ],
)
def test_a_graph_file_that_cannot_be_read_says_why(text: str, words: str) -> None:
    with pytest.raises(HarmonicError, match=words):
        CausalGraph.from_json(text, NAMES)


def test_parents_must_be_columns() -> None:
    with pytest.raises(HarmonicError, match="has parent 7"):
        CausalGraph(NAMES, ((7,), (), (), (), ()))
    with pytest.raises(HarmonicError, match="parents of 1 columns, expected 5"):
        CausalGraph(NAMES, ((),))

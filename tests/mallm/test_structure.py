"""Structure search: BIC as by hand, and graphs as good as the best of all graphs where these can be counted."""

from __future__ import annotations

from itertools import chain, combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic import read_table
from harmonic.errors import HarmonicError
from harmonic.mallm.structure import Search, discretise, learn_graph
from harmonic.table.graph import CausalGraph
from harmonic.table.infer import infer_schema


def _all_graphs(n_columns: int) -> list[CausalGraph]:
    names = tuple(map(str, range(n_columns)))
    choices = [
        list(
            chain.from_iterable(
                combinations([p for p in range(n_columns) if p != c], k) for k in range(n_columns)
            )
        )
        for c in range(n_columns)
    ]
    graphs = []
    for parents in product(*choices):
        try:
            graphs.append(CausalGraph(names, parents))
        except HarmonicError:
            continue
    return graphs


GRAPHS = _all_graphs(4)


def _bic(codes: np.ndarray, graph: CausalGraph) -> float:
    """By the definition, row by row."""
    n_rows, total = len(codes), 0.0
    levels = codes.max(axis=0) + 1
    for child, parents in enumerate(graph.parents):
        for row in codes:
            alike = codes[(codes[:, parents] == row[list(parents)]).all(axis=1)]
            total += np.log(np.mean(alike[:, child] == row[child]))
        cases = np.prod([levels[parent] for parent in parents], dtype=int)
        total -= np.log(n_rows) / 2 * (levels[child] - 1) * cases
    return total


def _drawn(seed: int, n_rows: int) -> np.ndarray:
    """Rows of a random law over four columns of two or three levels."""
    rng = np.random.default_rng(seed)
    graph = GRAPHS[int(rng.integers(len(GRAPHS)))]
    levels, codes = rng.integers(2, 4, 4), np.zeros((n_rows, 4), dtype=np.intp)
    for child in graph.order:
        laws = rng.dirichlet(np.full(levels[child], 0.4), size=64)
        case = np.zeros(n_rows, dtype=np.intp)
        for parent in graph.parents[child]:
            case = case * 3 + codes[:, parent]
        codes[:, child] = [rng.choice(levels[child], p=laws[place]) for place in case]
    return np.stack([np.unique(column, return_inverse=True)[1] for column in codes.T], axis=1)


def test_there_are_543_graphs_of_four_columns() -> None:
    assert len(GRAPHS) == 543  # Robinson 1973


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_the_score_is_bic_as_defined(seed: int, n_rows: int) -> None:
    codes = _drawn(seed, n_rows)
    search = Search(codes)
    for graph in GRAPHS[:: 543 // 7]:
        assert search.score(graph) == pytest.approx(_bic(codes, graph))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 300))
def test_no_single_edit_makes_the_graph_found_better(seed: int, n_rows: int) -> None:
    search = Search(_drawn(seed, n_rows))
    found = search.climb(CausalGraph.empty(tuple("0123")))
    near = [graph for graph in GRAPHS if len(graph.edges ^ found.edges) == 1]
    near += [graph for graph in GRAPHS if {frozenset(edge) for edge in graph.edges ^ found.edges} in _pairs()]
    assert all(search.score(graph) <= search.score(found) + 1e-6 for graph in near)


def _pairs() -> list[set[frozenset[int]]]:
    return [{frozenset(pair)} for pair in combinations(range(4), 2)]


def test_the_graph_found_is_mostly_the_best_of_all() -> None:
    best = 0
    for seed in range(20):
        search = Search(_drawn(seed, 200))
        scores = [search.score(graph) for graph in GRAPHS]
        best += search.score(search.climb(CausalGraph.empty(tuple("0123")))) >= max(scores) - 1e-6
    assert best >= 15


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 2))
def test_no_column_has_more_parents_than_allowed(seed: int, most: int) -> None:
    found = Search(_drawn(seed, 300), most).climb(CausalGraph.empty(tuple("0123")))
    assert max(map(len, found.parents)) <= most


def test_columns_that_hang_together_are_found_and_others_are_left_apart() -> None:
    rng = np.random.default_rng(0)
    age = rng.integers(20, 80, 200)
    frame = pd.DataFrame(
        {
            "age": age,
            "pension": np.where(age + rng.normal(0, 4, 200) > 62, "yes", "no"),
            "income": np.round(rng.lognormal(10, 0.3, 200) + 300.0 * age, 2),
            "coin": rng.choice(["heads", "tails"], 200),
        }
    )
    frame.loc[::17, "income"] = np.nan
    graph = learn_graph(frame, infer_schema(frame))
    linked = {frozenset(graph.names[column] for column in edge) for edge in graph.edges}
    assert frozenset({"age", "pension"}) in linked
    assert frozenset({"age", "income"}) in linked
    assert not any("coin" in pair for pair in linked)
    assert learn_graph(frame, infer_schema(frame)) == graph


def test_amounts_are_cut_into_ranges_of_equal_counts_and_missing_is_a_level() -> None:
    frame = pd.DataFrame({"a": [*np.arange(100.5, 195.5), *[None] * 5], "b": ["x"] * 60 + ["y"] * 40})
    codes = discretise(frame, infer_schema(frame))
    assert np.bincount(codes[:, 0]).tolist() == [24, 23, 24, 24, 5]
    assert np.bincount(codes[:, 1]).tolist() == [60, 40]


def test_a_table_without_rows_is_an_error() -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 30})
    with pytest.raises(HarmonicError, match="the table has no rows"):
        learn_graph(frame.head(0), infer_schema(frame))


@pytest.mark.parametrize("name", ["asia_25_train.csv", "adult_100_train.csv", "ins_100_train.csv"])
def test_real_tables_have_a_graph(name: str, data_dir: Path) -> None:
    frame, schema = read_table(data_dir / "mallm_gan_splits" / name)
    graph = learn_graph(frame, schema)
    assert graph.edges
    assert len(graph.order) == len(schema.modelled)

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.distances import RowHashes, nearest, ranges, search
from harmonic.table.schema import Column, Schema

SCHEMA = Schema(
    (
        Column("x", "x", "decimal", "float64", missing=0.2, decimals=1),
        Column("who", "who", "categorical", "str", missing=0.2, levels=("a", "b", "c")),
        Column("n", "n", "integer", "int64"),
    )
)
ROWS = st.tuples(
    st.sampled_from([None, 0.0, -0.0, 0.5, 1.5]), st.sampled_from([None, "a", "b"]), st.integers(0, 2)
)
TABLES = st.lists(ROWS, min_size=1, max_size=12)


def _coded(*tables: list[tuple]) -> list[Codes]:
    frames = [
        pd.DataFrame(rows, columns=["x", "who", "n"]).astype({"x": float, "who": object}) for rows in tables
    ]
    book = Codebook(SCHEMA, frames)
    return [book.encode(frame) for frame in frames]


def _by_hand(first: tuple, second: tuple, widths: np.ndarray) -> float:
    total = 0.0
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        if a is None or b is None:
            total += a is not b
        else:
            total += (a != b) if i == 1 else abs(a - b) / widths[i]
    return total / 3


@settings(max_examples=40)
@given(TABLES, TABLES)
def test_nearest_rows_are_those_of_a_plain_loop(queries: list[tuple], base: list[tuple]) -> None:
    asked, among = _coded(queries, base)
    widths = ranges(among)
    distances, rows = nearest(asked, among, widths)
    for i, query in enumerate(queries):
        all_distances = [_by_hand(query, row, widths) for row in base]
        assert np.isclose(distances[i], min(all_distances))
        assert np.isclose(all_distances[rows[i]], min(all_distances))


@settings(max_examples=40)
@given(TABLES, TABLES)
def test_copies_near_copies_and_twins_are_those_of_a_plain_loop(made: list[tuple], real: list[tuple]) -> None:
    hashes = RowHashes(dict(zip(("made", "real"), _coded(made, real), strict=True)))

    def n_equal(first: tuple, second: tuple) -> int:
        return sum(a == b for a, b in zip(first, second, strict=True))

    assert hashes.copies("made", "real").tolist() == [any(n_equal(m, r) == 3 for r in real) for m in made]
    assert hashes.near_copies("made", "real").tolist() == [
        any(n_equal(m, r) >= 2 for r in real) for m in made
    ]
    for least, near in ((3, False), (2, True)):
        twins = [
            any(n_equal(a, b) >= least for j, b in enumerate(real) if j != i) for i, a in enumerate(real)
        ]
        assert hashes.twins("real", near=near).tolist() == twins


def test_the_range_of_a_column_without_spread_is_one() -> None:
    (coded,) = _coded([(None, "a", 2), (None, "b", 2)])
    assert ranges(coded).tolist() == [1, 1, 1]


def test_large_tables_are_searched_in_chunks() -> None:
    generator = np.random.default_rng(0)
    columns = SCHEMA.columns[2:]
    base = Codes(columns, generator.permutation(np.arange(2000.0))[:, None], np.zeros((2000, 1)), ((),))
    asked = Codes(columns, generator.integers(2000, size=(900, 1)).astype(float), np.zeros((900, 1)), ((),))
    distances, rows = nearest(asked, base, ranges(base))
    assert not distances.any()
    assert np.array_equal(base.cells[rows], asked.cells)


@settings(max_examples=30)
@given(TABLES, TABLES)
def test_a_search_finds_the_nearest_ones_and_the_density_of_a_plain_loop(
    queries: list[tuple], base: list[tuple]
) -> None:
    asked, among = _coded(queries, base)
    widths = ranges(among)
    near = search(asked, among, widths, k=3, bandwidth=0.2)
    for i, query in enumerate(queries):
        distances = np.sort([_by_hand(query, row, widths) for row in base])
        expected = [*distances[:3], *[distances[-1]] * (3 - len(distances[:3]))]
        assert np.allclose(near.distances[i], expected, atol=1e-6)
        density = logsumexp(-distances / 0.2) - np.log(len(base))
        assert np.isclose(near.log_density[i], density, atol=1e-5)
    assert np.array_equal(near.rows, nearest(asked, among, widths)[1])


def test_a_search_in_a_large_table_takes_little_memory() -> None:
    generator = np.random.default_rng(0)
    columns = SCHEMA.columns[2:]
    asked, base = (
        Codes(columns, generator.integers(9_999, size=(n, 1)).astype(float), np.zeros((n, 1)), ((),))
        for n in (2_000, 20_000)
    )
    tracemalloc.start()
    search(asked, base, ranges(base), k=5, bandwidth=0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # the whole matrix would take 320 MB


def test_amounts_beyond_the_range_of_a_float_are_far_and_their_densities_ordered() -> None:
    base, asked = _coded([(0.0, "a", 0), (1.5, "b", 1)], [(0.5, "a", 1), (1e60, "a", 1), (1.7e308, "b", 1)])
    found = search(asked, base, np.full(3, 0.1), k=2, bandwidth=0.1)
    assert np.isfinite(found.distances).all() and np.isfinite(found.log_density).all()
    assert found.log_density[0] > found.log_density[1] and found.distances[0, 0] < found.distances[1, 0]
    assert nearest(asked, asked, np.full(3, 0.1))[0].tolist() == [0.0, 0.0, 0.0]

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation.filetexts import FileText, as_file, elsewhere, loose_columns, order_clue
from harmonic.table.infer import infer_schema

Law = Callable[[int, int], pd.DataFrame]


def bills(n: int, seed: int) -> pd.DataFrame:
    """Two amounts and their sum, a count, a level and a day on which several bills are written."""
    rng = np.random.default_rng(seed)
    goods, work = rng.integers(1000, 9000, n), rng.integers(1000, 9000, n)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) // 4, unit="D")
    return pd.DataFrame(
        {
            "day": days.strftime("%Y-%m-%d"),
            "goods": goods,
            "weight": np.round(rng.uniform(10, 99, n), rng.integers(1, 3)),
            "work": work,
            "sum": goods + work,
            "pieces": rng.integers(1, 5, n),
            "paid": rng.choice(["yes", "no"], n),
        }
    )


@pytest.fixture(scope="module")
def text() -> FileText:
    table = bills(400, 0)
    return as_file(table, infer_schema(table))


def test_texts_stand_as_the_file_has_them_and_amounts_beside_them() -> None:
    table = pd.DataFrame({"n": ["41.0", "?", "7.50", ""], "name": ["a,b", 'say "x"', "é", "-"]})
    schema = infer_schema(pd.DataFrame({"n": [41.0, None, 7.5, 2.0], "name": ["a", "b", "c", "d"]}))
    text = as_file(table, schema)
    assert text.header == "n,name\n"
    assert [text.line(i) for i in range(4)] == ['41.0,"a,b"\n', '?,"say ""x"""\n', "7.50,é\n", ",-\n"]
    assert np.isnan(text.amounts[:, 1]).all()
    assert text.amounts[[0, 2], 0].tolist() == [41.0, 7.5]
    assert np.isnan(text.amounts[[1, 3], 0]).all()


def test_an_exchange_keeps_columns_digits_and_all_but_amounts(text: FileText) -> None:
    near = text.exchanged(np.random.default_rng(0))
    for i, name in enumerate(text.names):
        assert sorted(near.cells[:, i]) == sorted(text.cells[:, i]), name
    weight = text.names.index("weight")
    assert [len(a) for a in near.cells[:, weight]] == [len(a) for a in text.cells[:, weight]]
    assert (near.cells[:, -1] == text.cells[:, -1]).all()
    goods = text.names.index("goods")
    moved = (near.cells != text.cells)[:, goods]
    assert moved.mean() > 0.5
    assert np.abs(near.amounts - text.amounts)[:, goods].max() < 500
    assert [float(cell) for cell in near.cells[:, goods]] == near.amounts[:, goods].tolist()


def test_sums_counts_and_runs_of_days_are_not_exchanged(text: FileText) -> None:
    kept = ~np.isnan(text.exchangeable(np.random.default_rng(0)).amounts).all(axis=0)
    assert [name for name, is_kept in zip(text.names, kept, strict=True) if is_kept] == ["weight"]


def test_a_table_of_levels_is_left_as_it_is() -> None:
    table = pd.DataFrame({"a": list("xyzx") * 20, "b": list("pqpp") * 20})
    text = as_file(table, infer_schema(table))
    rng = np.random.default_rng(0)
    near = text.exchangeable(rng).exchanged(rng)
    assert (near.cells == text.cells).all()


def test_the_order_of_drawn_rows_tells_nothing_and_that_of_sorted_ones_is_noticed(people: Law) -> None:
    drawn = people(400, 0)
    schema = infer_schema(drawn)
    rng = np.random.default_rng(0)
    assert order_clue(as_file(drawn, schema), 8, rng) == ""
    by_age, by_ward = (drawn.sort_values(name, ignore_index=True) for name in ("age", "ward"))
    assert order_clue(as_file(by_age, schema), 8, rng) == "age"
    assert order_clue(as_file(by_ward, schema), 8, rng) == "ward"


def test_elsewhere_is_never_a_place_near_enough_to_show_the_row() -> None:
    rng = np.random.default_rng(0)
    places = np.arange(3, 20)
    for _ in range(50):
        others = elsewhere(places, 20, 3, rng)
        assert others.min() >= 3 and others.max() < 20
        assert not ((others >= places) & (others - places <= 3)).any()


def test_columns_that_pandas_may_write_otherwise_are_named() -> None:
    table = pd.DataFrame(
        {"text": ["1.50"], "n": [1], "x": [1.5], "is_so": [True], "kind": pd.Categorical(["a"])}
    )
    assert loose_columns(table) == ["x", "is_so"]

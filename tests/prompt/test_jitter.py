"""Jitter: single numbers move between their neighbours in rank, and nothing else moves."""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.prompt.jitter import Jitter
from harmonic.prompt.rows import admits
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema


def _table(seed: int = 0, n: int = 60) -> tuple[list[Row], Schema]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "wage": np.round(rng.lognormal(8, 1, n), 2),
            "grams": 5 * rng.permutation(n),
            "heaped": rng.choice([0.5, 1.0, 7.25], n),
            "job": rng.choice(["a", "b"], n),
            "day": pd.date_range("2020-01-01", periods=n),
            "gap": np.where(rng.random(n) < 0.3, np.nan, np.round(rng.normal(0, 9, n), 1)),
        }
    )
    schema = infer_schema(frame)
    return to_rows(frame, schema), schema


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 5.0))
def test_a_moved_number_stays_within_so_many_ranks_and_in_its_column(seed: int, ranks: float) -> None:
    rows, schema = _table(seed % 7)
    jitter, rng = Jitter(rows, schema, ranks), np.random.default_rng(seed)
    values = [
        sorted({Decimal(cell) for cell in cells if cell}) for cells in list(zip(*rows, strict=True))[:2]
    ]
    for row in rows[:10]:
        moved = jitter(row, rng)
        for column, before, after in zip(schema.modelled, row, moved, strict=True):
            assert (before is None) == (after is None)
            if column.is_numeric and after is not None:
                assert admits(column, after), (column.label, after)
        for number, known in enumerate(values):
            place = bisect_left(known, Decimal(str(row[number])))
            reach = int(np.ceil(ranks))
            assert (
                known[max(0, place - reach)] <= Decimal(str(moved[number])) <= known[min(59, place + reach)]
            )


def test_what_stands_twice_and_what_is_no_number_stays() -> None:
    rows, schema = _table()
    jitter, rng = Jitter(rows, schema, 3.0), np.random.default_rng(0)
    names = [column.name for column in schema.modelled]
    still = [names.index(name) for name in ("heaped", "job", "day")]
    moved = [jitter(row, rng) for row in rows]
    assert all(before[at] == after[at] for before, after in zip(rows, moved, strict=True) for at in still)
    assert sum(before[0] != after[0] for before, after in zip(rows, moved, strict=True)) > 50


def test_no_ranks_move_nothing() -> None:
    rows, schema = _table()
    assert [Jitter(rows, schema, 0.0)(row, np.random.default_rng(0)) for row in rows] == rows


def test_the_marginal_stays() -> None:
    rows, schema = _table(n=400)
    jitter, rng = Jitter(rows, schema, 1.0), np.random.default_rng(0)
    before = np.sort([float(row[0] or 0) for row in rows])
    after = np.array([float(jitter(row, rng)[0] or 0) for _ in range(20) for row in rows])
    shares = np.searchsorted(np.sort(after), before, side="right") / len(after)
    assert np.abs(shares - np.arange(1, 401) / 400).max() < 0.01

"""Jitter: numbers move among those near in rank; atoms, and what is no number, stay."""

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


def test_atoms_and_what_is_no_number_stay() -> None:
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


def _column(values: list[float]) -> tuple[list[Row], Schema]:
    frame = pd.DataFrame({"value": values, "kind": ["a", "b"] * (len(values) // 2)})
    schema = infer_schema(frame)
    return to_rows(frame, schema), schema


def _stays(values: list[float], value: str) -> bool:
    """Whether no visit of a row with this value changes it."""
    rows, schema = _column(values)
    jitter, rng = Jitter(rows, schema, 5.0), np.random.default_rng(0)
    own = [row for row in rows if row[0] == value]
    assert own
    return all(jitter(row, rng)[0] == value for row in own for _ in range(20))


def test_zero_among_amounts_stays_and_ages_that_many_share_move() -> None:
    rng = np.random.default_rng(0)
    amounts = [*([0.0] * 40), *np.round(rng.lognormal(3, 1, 60), 2).tolist()]
    assert _stays(amounts, "0")
    assert not _stays(amounts, f"{amounts[50]:.2f}".rstrip("0").rstrip("."))
    ages = [float(age) for age in rng.integers(30, 60, 100)]
    assert not any(_stays(ages, f"{age:.0f}") for age in sorted(set(ages)))


def test_counts_of_children_stay() -> None:
    counts = np.random.default_rng(0).poisson(2, 100)
    children = [float(count) for count in counts]
    assert all(_stays(children, f"{count}") for count in set(counts.tolist()) if (counts == count).sum() > 1)


def test_heaps_stay_among_numbers_that_move() -> None:
    rng = np.random.default_rng(0)
    weights = [float(weight) for weight in rng.integers(100, 180, 120)]
    heaped = [*weights, *([120.0] * 20), *([140.0] * 20)]
    assert _stays(heaped, "120")
    assert _stays(heaped, "140")
    assert not _stays(heaped, f"{weights[0]:.0f}")


def test_whole_numbers_are_dense_in_a_column_that_has_tenths_elsewhere() -> None:
    rng = np.random.default_rng(0)
    values = [
        *(float(value) for value in rng.integers(90, 120, 90)),
        *np.round(rng.uniform(150, 190, 10), 1).tolist(),
    ]
    assert not any(_stays(values, f"{value}") for value in range(95, 115) if float(value) in values)


def test_shares_of_whole_and_moved_numbers_stay_in_a_column_with_ties() -> None:
    rng = np.random.default_rng(0)
    rows, schema = _column([float(age) for age in rng.integers(20, 90, 300)])
    jitter = Jitter(rows, schema, 5.0)
    before = np.array([float(row[0] or 0) for row in rows])
    after = np.array([float(jitter(row, rng)[0] or 0) for _ in range(20) for row in rows])
    gaps = [abs(np.mean(before <= age) - np.mean(after <= age)) for age in range(20, 90)]
    assert max(gaps) < 0.01

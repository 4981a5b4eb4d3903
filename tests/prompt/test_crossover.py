"""Crossover: cells come from rows of the same class, at first often, in the end never."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.prompt.crossover import CROSSED, Crossover
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema


def _table(target: str | None, n: int = 80) -> tuple[list[Row], Schema]:
    """Every cell of `tag` names its row, and starts with the row's class."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], n)
    frame = pd.DataFrame(
        {
            "tag": [f"{letter}{number}" for number, letter in enumerate(kind)],
            "wage": np.round(rng.lognormal(8, 1, n), 2),
            "kind": kind,
        }
    )
    schema = infer_schema(frame, target=target, overrides={"tag": {"kind": "categorical"}})
    return to_rows(frame, schema), schema


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 120), st.sampled_from(["kind", "wage", None]))
def test_cells_stay_in_their_column_and_the_target_stays_where_it_is(
    seed: int, visit: int, target: str | None
) -> None:
    rows, schema = _table(target)
    crossover, rng = Crossover(rows, schema, 100), np.random.default_rng(seed)
    names = [column.name for column in schema.modelled]
    for member in range(0, 80, 7):
        crossed = crossover(member, visit, rng)
        for column, cell in enumerate(crossed):
            assert cell in {row[column] for row in rows}
        if target is not None:
            assert crossed[names.index(target)] == rows[member][names.index(target)]
        if visit >= 100:
            assert crossed == rows[member]


def test_donors_are_of_the_same_class() -> None:
    rows, schema = _table("kind")
    crossover, rng = Crossover(rows, schema, 10), np.random.default_rng(0)
    found = [crossover(member, 0, rng) for member in range(80) for _ in range(20)]
    assert all(tag is not None and tag[0] == kind for tag, _, kind in found)
    assert len({tag for tag, _, kind in found if kind == "a"}) > 10


def test_donors_of_a_quantity_are_near_in_rank() -> None:
    rows, schema = _table("wage")
    crossover, rng = Crossover(rows, schema, 10), np.random.default_rng(0)
    place = {row[0]: rank for rank, row in enumerate(sorted(rows, key=lambda row: float(row[1] or "")))}
    away = [
        abs(place[crossover(member, 0, rng)[0]] - place[rows[member][0]])
        for member in range(80)
        for _ in range(20)
    ]
    assert 0 < max(away) <= 4  # a twentieth of 80


def test_donors_of_a_date_are_near_in_time() -> None:
    days = pd.date_range("1995-12-01", periods=80, freq="17D").to_series(index=range(80))
    frame = pd.DataFrame({"tag": [f"t{day}" for day in range(80)], "seen": days.mask(days.index == 3)})
    schema = infer_schema(frame, target="seen", overrides={"tag": {"kind": "categorical"}})
    crossover, rng = Crossover(to_rows(frame, schema), schema, 10), np.random.default_rng(0)
    donors = [
        int((crossover(member, 0, rng)[0] or "")[1:]) - member for member in range(80) for _ in range(20)
    ]
    assert 0 < max(map(abs, donors)) <= 5


def test_the_share_of_crossed_cells_falls_evenly_to_none() -> None:
    rows, schema = _table(None)
    crossover, rng = Crossover(rows, schema, 1000), np.random.default_rng(0)
    shares = [
        np.mean(
            [crossover(member, visit, rng)[0] != rows[member][0] for member in range(80) for _ in range(40)]
        )
        for visit in (0, 500, 999, 1000)
    ]
    # A donor is the row itself once in eighty.
    assert np.allclose(shares, [CROSSED * 79 / 80, CROSSED / 2, 0.0, 0.0], atol=0.03)
    assert shares[-1] == 0.0


def test_without_visits_nothing_is_crossed() -> None:
    rows, schema = _table("kind")
    crossover = Crossover(rows, schema, 0, lasting=100.0)
    assert [crossover(member, 0, np.random.default_rng(member)) for member in range(80)] == rows


def test_a_number_of_rows_stays_crossed_and_of_few_rows_all_do() -> None:
    rows, schema = _table(None)
    for lasting, share in ((40.0, 0.25), (80.0, 1.0), (500.0, 1.0)):
        crossover, rng = Crossover(rows, schema, 10, lasting), np.random.default_rng(0)
        moved = [
            crossover(member, 1000, rng)[0] != rows[member][0] for member in range(80) for _ in range(40)
        ]
        assert np.isclose(np.mean(moved), share * CROSSED * 79 / 80, atol=0.03)


def test_columns_that_say_one_thing_twice_come_from_one_donor() -> None:
    rng = np.random.default_rng(0)
    code, free = rng.integers(0, 8, 120), rng.integers(0, 8, 120)
    frame = pd.DataFrame(
        {"code": [f"c{x}" for x in code], "free": [f"f{x}" for x in free], "name": [f"n{x}" for x in code]}
    )
    schema = infer_schema(frame)
    crossover = Crossover(to_rows(frame, schema), schema, 10)
    found = [crossover(member, 0, rng) for member in range(120)]
    assert all(str(one)[1:] == str(name)[1:] for one, _, name in found)
    assert any((one, other) != (f"c{code[at]}", f"f{free[at]}") for at, (one, other, _) in enumerate(found))


def test_rows_that_stand_often_do_not_stay_crossed() -> None:
    frame = pd.DataFrame({"x": ["a", "b"] * 30, "y": ["c", "d", "d"] * 20})
    schema = infer_schema(frame)
    rows = to_rows(frame, schema)
    crossover, rng = Crossover(rows, schema, 10, lasting=250), np.random.default_rng(0)
    assert any(crossover(member, 0, rng) != rows[member] for member in range(60))
    assert all(crossover(member, 10, rng) == rows[member] for member in range(60))

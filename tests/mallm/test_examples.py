"""Examples: drawn anew for each call, in the shares of the table or where rows are wanting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.mallm.examples import Choice, Examples
from harmonic.table.cells import to_rows
from harmonic.table.classes import Classes
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema


def _table(target: str | None, n: int = 60) -> tuple[list[Row], Schema]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "kind": ["a"] * (n // 2) + ["b"] * (n // 3) + ["c"] * (n - n // 2 - n // 3),
            "wage": np.round(rng.lognormal(8, 1, n), 2),
            "number": [f"row {number}" for number in range(n)],
        }
    )
    schema = infer_schema(frame, target=target, overrides={"number": {"kind": "categorical"}})
    return to_rows(frame, schema), schema


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 30),
    st.sampled_from(["uniform", "balanced", "scarce"]),
    st.sampled_from(["kind", "wage", None]),
    st.integers(0, 1000),
)
def test_a_call_shows_as_many_different_rows_as_asked_for(
    n: int, choice: Choice, target: str | None, number: int
) -> None:
    rows, schema = _table(target)
    first, again = (Examples(rows, schema, n, choice, seed=3) for _ in range(2))
    shown = first.of_call(number, rows[:7])
    assert len(set(shown)) == len(shown) == n
    assert shown == again.of_call(number, rows[:7])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_balanced_examples_hold_each_class_in_its_share_to_within_a_row(n: int, number: int) -> None:
    rows, schema = _table("kind")
    shown = Examples(rows, schema, n, "balanced", seed=0).of_call(number)
    counts = Counter(rows[place][0] for place in shown)
    for level, share in (("a", 1 / 2), ("b", 1 / 3), ("c", 1 / 6)):
        assert abs(counts[level] - n * share) <= 1.0


def test_every_row_is_shown_as_often_as_any_other() -> None:
    rows, schema = _table("kind")
    for choice in ("uniform", "balanced"):
        examples = Examples(rows, schema, 10, choice, seed=0)
        counts = Counter(place for number in range(600) for place in examples.of_call(number))
        assert min(counts.values()) > 60
        assert max(counts.values()) < 145


def test_scarce_examples_come_from_classes_that_were_made_too_seldom() -> None:
    rows, schema = _table("kind")
    examples = Examples(rows, schema, 10, "scarce", seed=0)
    made = [row for row in rows if row[0] == "a"] * 2
    shown = Counter(rows[place][0] for number in range(50) for place in examples.of_call(number, made))
    assert shown["a"] < 50 < shown["c"]
    plain = Counter(rows[place][0] for number in range(50) for place in examples.of_call(number))
    assert 200 < plain["a"] < 300


@pytest.mark.parametrize("target", ["kind", "wage"])
def test_by_class_a_call_shows_one_class_and_calls_show_classes_in_their_shares(target: str) -> None:
    rows, schema = _table(target)
    examples = Examples(rows, schema, 12, "by_class", seed=0)
    classes = Classes(rows, schema).of(rows)
    seen = []
    for number in range(120):
        shown = examples.of_call(number)
        assert len(set(classes[shown])) == 1
        assert set(shown) <= set(examples.pool(number))
        assert len(set(shown)) == len(shown) == min(12, len(examples.pool(number)))
        seen.append(int(classes[shown[0]]))
    for first in (0, 30, 60):
        shares = np.bincount(seen[first : first + 60], minlength=classes.max() + 1) / 60
        assert np.abs(shares - np.bincount(classes) / 60).max() <= 0.03
    like = rows[-1]
    assert set(classes[examples.of_call(0, like=like)]) == {classes[-1]}


def test_more_examples_than_rows_are_an_error() -> None:
    rows, schema = _table("kind", 12)
    with pytest.raises(HarmonicError, match="a call shows 12, the table has 12 training rows"):
        Examples(rows, schema, 12, seed=0)

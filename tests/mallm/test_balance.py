"""Class balance: classes are taken in their shares, and within a class nothing changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.mallm.balance import LEAST_ROWS, MOST, Balance, balance_of, chances
from harmonic.mallm.selection import Growth, select
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row


def _rows(counts: dict[str, int]) -> list[Row]:
    return [(str(number), one) for one, n in counts.items() for number in range(n)]


def _taken(made: list[Row], ratios: np.ndarray) -> dict[str | None, float]:
    weights = pd.Series(chances(ratios)).groupby([row[1] for row in made]).sum()
    return (weights / weights.sum()).to_dict()


@given(
    st.lists(st.integers(20, 200), min_size=2, max_size=5),
    st.lists(st.integers(100, 200), min_size=5, max_size=5),
    st.integers(0, 10_000),
)
def test_classes_are_taken_in_the_shares_of_the_training_rows(
    wanted: list[int], found: list[int], seed: int
) -> None:
    real = _rows({f"c{number}": n for number, n in enumerate(wanted)})
    made = _rows({f"c{number}": n for number, n in enumerate(found[: len(wanted)])})
    ratios = np.random.default_rng(seed).normal(size=len(made))
    balance = balance_of(real, made, 1, ratios)
    taken = _taken(made, ratios + balance(made))
    if max(abs(one) for one in balance.offsets.values()) < MOST:
        assert all(
            taken[f"c{number}"] == pytest.approx(n / sum(wanted), abs=0.01) for number, n in enumerate(wanted)
        )


def test_a_class_in_its_share_is_left_as_it_is() -> None:
    made = _rows({"a": 300, "b": 100})
    ratios = np.tile([0.3, -0.2, 0.0, 0.1], 100)
    balance = balance_of(_rows({"a": 30, "b": 10}), made, 1, ratios)
    assert balance(made) == pytest.approx(np.zeros(400), abs=1e-6)


def test_classes_of_which_too_little_is_known_are_left_as_they_are() -> None:
    real = _rows({"a": 60, "b": 30, "seldom": LEAST_ROWS - 1, "never made": 20})
    made = _rows({"a": 100, "b": 100, "seldom": 50, "never seen": 50})
    balance = balance_of(real, made, 1, np.zeros(300))
    assert set(balance.offsets) == {"a", "b"}
    assert balance([("1", "seldom"), ("2", None)]).tolist() == [0.0, 0.0]
    taken = _taken(made, balance(made))
    assert taken["a"] / taken["b"] == pytest.approx(2.0, rel=0.01)


def test_without_offsets_nothing_is_added() -> None:
    assert Balance()(_rows({"a": 3})).tolist() == [0.0, 0.0, 0.0]


def test_selection_keeps_classes_in_their_shares_where_it_is_told_to() -> None:
    rng = np.random.default_rng(0)

    def table(n: int, share: float, shift: float) -> pd.DataFrame:
        kind = np.where(rng.random(n) < share, "rare", "common")
        return pd.DataFrame({"size": rng.normal(shift, 1, n).round(3), "kind": kind})

    train, made, fresh = table(200, 0.2, 0.0), table(2000, 0.3, 0.5), table(4000, 0.3, 0.5)
    schema = infer_schema(train, target="kind")
    real = float((train["kind"] == "rare").mean())

    def off(balances: bool) -> float:
        growth = Growth(5, 0.67, (0.0,) * len(train))
        selection = select(train, to_rows(made, schema), schema, seed=0, growth=growth, balances=balances)
        weights = np.exp(selection(to_rows(fresh, schema)))
        return abs(float(weights[fresh["kind"] == "rare"].sum() / weights.sum()) - real)

    assert off(balances=False) > 0.04
    assert off(balances=True) < 0.02

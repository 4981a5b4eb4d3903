"""Class balance: classes are taken in their shares, and within a class the more real rows still come first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harmonic.mallm.balance import LEAST_ROWS, MOST, balance_of, cap_of
from harmonic.mallm.selection import Growth, Selection, select
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema

Floats = NDArray[np.float64]
SIZES = st.lists(st.integers(LEAST_ROWS, 300), min_size=5, max_size=5)


def _rows(counts: dict[str, int]) -> list[Row]:
    return [(str(number), one) for one, n in counts.items() for number in range(n)]


def _named(sizes: list[int], n: int) -> dict[str, int]:
    return {f"c{number}": size for number, size in enumerate(sizes[:n])}


def _shares(rows: list[Row], logs: Floats) -> dict[str | None, float]:
    """Of what is taken, the share of each class."""
    weights = pd.Series(np.exp(logs)).groupby([row[1] for row in rows]).sum()
    return (weights / weights.sum()).to_dict()


def _unbalanced(ratios: Floats) -> Floats:
    return np.minimum(0.0, ratios - cap_of(ratios))


@given(st.integers(2, 5), SIZES, SIZES, st.floats(0, 2), st.integers(0, 10_000))
def test_classes_are_taken_in_the_shares_of_the_training_rows(
    n: int, wanted: list[int], found: list[int], spread: float, seed: int
) -> None:
    real, made = _rows(_named(wanted, n)), _rows(_named(found, n))
    ratios = spread * np.random.default_rng(seed).normal(size=len(made))
    logs = balance_of(real, made, 1, ratios)(made, ratios)
    assert logs.max() <= 1e-9
    before, after = _shares(made, _unbalanced(ratios)), _shares(made, logs)
    asked = {one: size / sum(wanted[:n]) for one, size in _named(wanted, n).items()}
    if all(1 / MOST < asked[one] / before[one] < MOST for one in asked):
        assert after == pytest.approx(asked, abs=1e-9)
    for one in asked:
        for other in asked:
            assert after[one] / before[one] <= (MOST**2 + 1e-9) * after[other] / before[other]


@given(SIZES, st.integers(0, 10_000))
def test_within_a_class_the_order_of_rows_stays(found: list[int], seed: int) -> None:
    made = _rows(_named(found, 3))
    ratios = np.random.default_rng(seed).normal(size=len(made))
    logs = balance_of(_rows({"c0": 50, "c1": 20, "c2": 5}), made, 1, ratios)(made, ratios)
    for one in ("c0", "c1", "c2"):
        mine = np.array([row[1] == one for row in made])
        in_order = logs[mine][np.argsort(ratios[mine])]
        assert (np.diff(in_order) >= -1e-9).all()
        # The most real twentieth stands at the cap and no more: selection is never switched off.
        assert (in_order < in_order[-1] - 1e-9).mean() >= 0.7


def test_classes_of_which_too_little_is_known_keep_the_share_that_they_have() -> None:
    real = _rows({"a": 60, "b": 30, "seldom": LEAST_ROWS - 1, "never made": 20})
    made = _rows({"a": 100, "b": 200, "seldom": 50, "never seen": 50}) + [("1", None)] * 10
    ratios = np.random.default_rng(0).normal(size=len(made))
    logs = balance_of(real, made, 1, ratios)(made, ratios)
    before, after = _shares(made, _unbalanced(ratios)), _shares(made, logs)
    for one in ("seldom", "never seen"):
        assert after[one] == pytest.approx(before[one])
    assert after["a"] / after["b"] == pytest.approx(2.0)


def test_a_given_class_is_weighed_without_its_factor() -> None:
    made = _rows({"a": 300, "b": 100})
    ratios = np.random.default_rng(0).normal(size=400)
    balance = balance_of(_rows({"a": 10, "b": 20}), made, 1, ratios)
    assert balance.factors["a"] < 0.5
    free, asked = balance(made, ratios), balance(made, ratios, is_given=True)
    assert asked.max() == 0.0
    assert (asked - free)[:300] == pytest.approx(-np.log(balance.factors["a"]))


def _table(rng: np.random.Generator, n: int, share: float, shift: float) -> pd.DataFrame:
    kind = np.where(rng.random(n) < share, "rare", "common")
    return pd.DataFrame({"size": rng.normal(shift, 1, n).round(3), "kind": kind})


@pytest.mark.parametrize("rounds", [0, 5])
def test_selection_keeps_classes_in_their_shares_where_it_is_told_to(rounds: int) -> None:
    rng = np.random.default_rng(0)
    train, made, fresh = (
        _table(rng, *facts) for facts in ((200, 0.2, 0.0), (2000, 0.3, 0.5), (4000, 0.3, 0.5))
    )
    schema = infer_schema(train, target="kind")
    real = float((train["kind"] == "rare").mean())

    def found(balances: bool) -> Selection:
        growth = Growth(rounds, 0.67, (0.0,) * len(train))
        return select(train, to_rows(made, schema), schema, seed=0, growth=growth, balances=balances)

    assert _off(found(False), fresh, schema, real) > 0.04
    assert _off(found(True), fresh, schema, real) < 0.02
    assert "Classes keep their shares: common 1.00, rare 0." in found(True).to_words()
    assert found(True).rate < found(False).rate


def _off(selection: Selection, fresh: pd.DataFrame, schema: Schema, real: float) -> float:
    weights = np.exp(selection(to_rows(fresh, schema)))
    return abs(float(weights[fresh["kind"] == "rare"].sum() / weights.sum()) - real)

"""Selection: rows that are taken follow the real law more nearly, and luck is not taken for a difference."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from harmonic.mallm.pool import FEWEST_POOL, MOST_POOL, pool_size
from harmonic.mallm.selection import Growth, Selection, select
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema

LEVELS = [("a", "b"), ("c", "d"), ("e", "f")]
CELLS: list[Row] = list(product(*LEVELS))
REAL = np.array([8, 1, 1, 8, 8, 1, 1, 4]) / 32
"""The law of real rows: the columns hang together; those of the generator are the same, each by itself."""


def _frame(law: np.ndarray, n: int, seed: int) -> pd.DataFrame:
    picks = np.random.default_rng(seed).choice(len(CELLS), size=n, p=law)
    return pd.DataFrame([CELLS[pick] for pick in picks], columns=["x", "y", "z"])


def _apart() -> np.ndarray:
    shares = REAL.reshape(2, 2, 2)
    margins = [shares.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    return np.einsum("i,j,k->ijk", *margins).reshape(-1)


def _selection(
    law: np.ndarray,
    n_real: int,
    n_pool: int,
    seed: int = 0,
    growth: Growth | None = None,
    target: str | None = None,
) -> tuple[Selection, Schema]:
    train = _frame(REAL, n_real, seed)
    schema = infer_schema(train, target=target)
    pool = to_rows(_frame(law, n_pool, seed + 1000), schema)
    return select(train, pool, schema, seed=seed, growth=growth), schema


def test_a_generator_of_independent_columns_writes_the_real_law_once_its_rows_are_selected() -> None:
    selection, _ = _selection(_apart(), 2000, 2000)
    taken = _apart() * np.exp(selection(CELLS))
    before, after = (np.abs(law / law.sum() - REAL).sum() / 2 for law in (_apart(), taken))
    assert before > 0.25
    assert after < 0.05
    assert selection.growth.rounds > 20
    assert selection.growth.loss < 0.66


def test_the_rate_is_the_share_of_draws_that_is_taken() -> None:
    selection, schema = _selection(_apart(), 500, 2000)
    fresh = to_rows(_frame(_apart(), 20_000, 7), schema)
    chances = np.exp(selection(fresh))
    assert chances.max() <= 1.0
    assert chances.mean() == pytest.approx(selection.rate, abs=0.02)


@pytest.mark.parametrize("target", [None, "z"])
def test_rows_of_the_real_law_are_mostly_all_taken(target: str | None) -> None:
    """Few cells, so that each training row is missing from its own count where it is judged by others."""
    found = [_selection(REAL, 100, 400, seed, target=target)[0] for seed in range(4)]
    assert sum(selection.ratio is None for selection in found) >= 2
    assert all(selection.rate > 0.7 for selection in found)
    assert all(np.array_equal(one(CELLS), np.zeros(8)) for one in found if one.ratio is None)
    assert all("every draw is taken" in one.to_words() for one in found if one.ratio is None)


@pytest.mark.parametrize("target", [None, "z"])
def test_few_rows_select_the_better_law_on_average(target: str | None) -> None:
    gains = []
    for seed in range(3):
        selection, _ = _selection(_apart(), 100, 400, seed, target=target)
        taken = _apart() * np.exp(selection(CELLS))
        gains.append(np.abs(_apart() - REAL).sum() / 2 - np.abs(taken / taken.sum() - REAL).sum() / 2)
    assert np.mean(gains) > 0.08


def test_equal_rows_and_seed_select_alike() -> None:
    one, other = (_selection(_apart(), 100, 400)[0] for _ in range(2))
    assert np.array_equal(one(CELLS), other(CELLS))
    assert one.facts() == other.facts()
    again, _ = _selection(_apart(), 100, 400, growth=one.growth)
    assert np.array_equal(one(CELLS), again(CELLS))


@pytest.mark.parametrize("seed", range(4))
def test_a_column_of_next_to_no_values_can_be_weighed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train = pd.DataFrame({"size": rng.normal(0, 1, 60), "seldom": [1.5, 2.5] + [np.nan] * 58})
    schema = infer_schema(train, overrides={"seldom": {"kind": "decimal"}})
    made = pd.DataFrame({"size": rng.normal(2, 1, 240), "seldom": [1.5] + [np.nan] * 239})
    selection = select(train, to_rows(made, schema), schema, seed=seed)
    assert selection.growth.rounds > 0
    chances = np.exp(selection(to_rows(made, schema)))
    assert ((chances > 0) & (chances <= 1)).all()


def test_levels_and_texts_that_nobody_has_heard_of_are_weighed_too() -> None:
    rng = np.random.default_rng(0)
    train = pd.DataFrame(
        {
            "size": rng.normal(0, 1, 60),
            "kind": rng.choice(["u", "v"], 60),
            "note": [f"as {n * n}" for n in range(60)],
        }
    )
    kinds = {"kind": {"levels": ["u", "v", "w"]}, "note": {"kind": "text"}}
    schema = infer_schema(train, overrides=kinds)
    made = train.assign(size=rng.normal(3, 1, 60))
    selection = select(train, to_rows(made, schema), schema, seed=0)
    assert selection.ratio is not None
    unheard = to_rows(train.assign(kind="w", note="never written before"), schema)
    assert np.isfinite(selection(unheard)).all()
    assert np.array_equal(selection(unheard)[:1], selection(unheard[:1]))


def test_copies_weigh_no_more_than_other_real_rows() -> None:
    rng = np.random.default_rng(0)

    def rows(n: int, shift: float) -> pd.DataFrame:
        return pd.DataFrame(rng.normal(shift, 1, (n, 4)).round(3), columns=list("abcd"))

    train, fresh = rows(80, 0.0), rows(800, 0.0)
    schema = infer_schema(train, target="d")
    selection = select(train, to_rows(rows(800, 0.6), schema), schema, seed=0)
    assert selection.ratio is not None
    copies, others = (np.exp(selection(to_rows(frame, schema))).mean() for frame in (train, fresh))
    assert copies < others + 0.1
    near = np.exp(selection(to_rows(train + 1e-3, schema))).mean()
    assert near > copies


def test_twins_weigh_alike_in_any_order() -> None:
    train = _frame(REAL, 100, 0)
    schema = infer_schema(train)
    pool = to_rows(_frame(_apart(), 400, 1), schema)
    ratios = np.random.default_rng(0).normal(size=100)

    def known(step: int) -> dict[Row, float]:
        growth = Growth(20, 0.6, tuple(ratios[::step].tolist()))
        ratio = select(train[::step], pool, schema, seed=0, growth=growth).ratio
        return {} if ratio is None else dict(ratio.known)

    assert set(known(1)) == set(to_rows(train, schema))
    assert known(1) == pytest.approx(known(-1))


@pytest.mark.parametrize(("n_train", "n_pool"), [(10, FEWEST_POOL), (60, 1200), (5000, MOST_POOL)])
def test_the_pool_grows_with_the_table_within_bounds(n_train: int, n_pool: int) -> None:
    assert pool_size(n_train) == n_pool

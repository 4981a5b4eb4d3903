from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import IndependentMarginals
from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.fidelity import trend_errors, trend_figure
from harmonic.evaluation.marginals import MAX_TRIPLES, bin_cells, choose_triples, measure_triples
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema


def _coded(frames: dict[str, pd.DataFrame], schema: Schema) -> dict[str, Codes]:
    book = Codebook(schema, [frames["real"], *frames.values()])
    return {name: book.encode(frame) for name, frame in frames.items()}


@pytest.fixture(scope="module")
def tables(people: Callable[[int, int], pd.DataFrame], people_schema: Schema) -> dict[str, Codes]:
    real = people(500, 0)
    independent = IndependentMarginals().fit(real, people_schema).sample(500)
    frames = {
        "real": real,
        "synthetic": people(700, 1),
        "holdout": people(400, 2),
        "independent": independent,
    }
    return _coded(frames, people_schema)


def test_all_triples_of_few_columns_and_always_the_same_random_ones_of_many() -> None:
    assert choose_triples(4) == [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    assert choose_triples(2) == []
    many = choose_triples(60)
    assert len(set(many)) == MAX_TRIPLES
    assert many == choose_triples(60)
    assert all(a < b < c for a, b, c in many)


def test_fresh_rows_lie_at_the_noise_floor_and_independent_columns_far_off(tables: dict[str, Codes]) -> None:
    triples = measure_triples(tables, seed=0)
    assert triples.n_measured == triples.n_possible == 10
    assert triples.n_rows == 500  # the larger synthetic table is cut to the others' size
    assert triples.score.low < triples.score.noise_floor < triples.score.high
    assert triples.score.worst_case < triples.score.low
    excess = [triple.error - triple.noise_floor for triple in triples.farthest]
    assert excess == sorted(excess, reverse=True)
    assert triples == measure_triples(tables, seed=0)


def test_a_table_equal_to_the_holdout_has_no_error(tables: dict[str, Codes]) -> None:
    same = measure_triples({**tables, "real": tables["holdout"], "synthetic": tables["holdout"]}, seed=0)
    assert same.score.noise_floor > 0.9  # cut to as many rows, at random
    whole = measure_triples(dict.fromkeys(tables, tables["holdout"]), seed=0)
    assert whole.score.value == whole.score.worst_case == 1.0


def test_triples_see_what_pairs_do_not() -> None:
    """c is whether a and b are equal: any two of the three are independent."""
    generator = np.random.default_rng(0)

    def draw(n: int, is_bound: bool) -> pd.DataFrame:
        a, b, free = generator.integers(2, size=(3, n))
        c = (a == b).astype(int) if is_bound else free
        return pd.DataFrame({"a": a, "b": b, "c": c}).astype(str)

    frames = {"real": draw(2000, True), "holdout": draw(2000, True), "synthetic": draw(2000, False)}
    schema = infer_schema(frames["real"], overrides={name: {"kind": "categorical"} for name in "abc"})
    tables = _coded({**frames, "independent": frames["synthetic"]}, schema)
    assert trend_figure(trend_errors(tables["holdout"], tables["synthetic"])).value > 0.96
    assert measure_triples(tables, seed=0).score.value == pytest.approx(0.5, abs=0.03)


def test_two_columns_have_no_triple_and_few_rows_no_interval(tables: dict[str, Codes]) -> None:
    pair = pd.DataFrame({"x": [1.5, 2.5, 4.25], "y": [2.0, 1.0, 3.5]})
    two = Codebook(infer_schema(pair), [pair]).encode(pair)
    reason = "not defined because a triple needs three modelled columns"
    assert measure_triples(dict.fromkeys(tables, two), seed=0).score.undefined == reason
    few = measure_triples({name: table.take(np.arange(5)) for name, table in tables.items()}, seed=0)
    assert few.score.low is None
    assert few.score.is_defined


def test_rare_levels_fall_together_and_amounts_into_bins_of_the_reference() -> None:
    codes = np.array([0.0, 1.0, 25.0, np.nan])
    levels, _ = bin_cells(codes, codes, is_level=True, n_bins=5, max_levels=10)
    assert levels.tolist() == [1, 2, 11, 0]
    reference = np.append(np.arange(1.0, 101.0), np.nan)
    bins, asked = bin_cells(reference, np.array([-9.0, 20.0, 21.0, 1e9, np.nan]), is_level=False, n_bins=5)
    assert np.bincount(bins)[1:].tolist() == [20] * 5
    assert asked.tolist() == [1, 1, 2, 5, 0]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import IndependentMarginals
from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.figures import Figure
from harmonic.evaluation.twosample import c2st, c2st_linear, linear_features
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema


def _told_apart(real: Codes, synthetic: Codes) -> Figure:
    return c2st(real, synthetic, seed=[0, 1], max_rows=2_000, n_repeats=1)


def test_fresh_rows_look_real_and_independent_columns_do_not(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    real, fresh = people(300, 0), people(300, 1)
    independent = IndependentMarginals().fit(real, people_schema).sample(300)
    book = Codebook(people_schema, [real, fresh, independent])
    a, b, c = (book.encode(frame) for frame in (real, fresh, independent))
    same, other = _told_apart(a, b), _told_apart(a, c)
    assert same.low < 0.5 < same.high
    assert other.low > 0.85
    assert c2st_linear(a, c, seed=[0, 1], max_rows=2_000).value < 0.65  # blind


def test_trees_see_that_columns_of_adult_are_independent_and_a_linear_model_hardly_does(
    data_dir: Path,
) -> None:
    """Measured elsewhere: AUC .985 and .538."""
    table = pd.read_csv(data_dir / "tables/adult.csv.gz", na_values="?").sample(4_000, random_state=0)
    real, holdout = table.head(2_000), table.tail(2_000)
    schema = infer_schema(real, target=real.columns[-1])
    independent = IndependentMarginals().fit(real, schema).sample(2_000)
    book = Codebook(schema, [real, holdout, independent])
    a, b = book.encode(holdout), book.encode(independent)
    assert _told_apart(a, b).low > 0.95
    linear = c2st_linear(a, b, seed=[0, 1], max_rows=2_000)
    assert linear.value == pytest.approx(0.54, abs=0.03)


def test_few_rows_a_side_are_not_tested(
    people: Callable[[int, int], pd.DataFrame], people_schema: Schema
) -> None:
    coded = Codebook(people_schema, [people(9, 0)]).encode(people(9, 0))
    assert _told_apart(coded, coded).undefined == "not defined because 9 rows a side are fewer than 10"


def test_linear_features_are_finite_and_alike_for_both_tables() -> None:
    first = pd.DataFrame(
        {"x": [1.5, None, 3.5, 9.25], "who": ["a", "b", "a", None], "y": [None, 1.5, 2, 2.25]}
    )
    second = pd.DataFrame({"x": [2.5, 2.5], "who": ["b", None], "y": [None, None]}).astype({"y": float})
    book = Codebook(infer_schema(first), [first, second])
    a, b = book.encode(first), book.encode(second)
    assert linear_features(a, a).shape[1] == linear_features(b, a).shape[1]
    assert np.isfinite(linear_features(b, a)).all()
    assert np.isfinite(linear_features(a, b)).all()

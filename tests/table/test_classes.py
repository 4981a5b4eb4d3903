"""Classes of a target: levels as they are, numbers and dates by fifths, missing ones apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harmonic.table.cells import to_rows
from harmonic.table.classes import Classes
from harmonic.table.infer import infer_schema

FRAME = pd.DataFrame(
    {
        "kind": ["a", "b", "a", "c", "a"] * 20,
        "wage": [None if number % 10 == 3 else float(number) + 0.5 for number in range(100)],
        "day": pd.date_range("2020-01-01", periods=100),
    }
)


@pytest.mark.parametrize(("target", "n_classes"), [("kind", 3), ("wage", 6), ("day", 5), (None, 1)])
def test_every_row_has_one_class_and_fifths_are_of_equal_size(target: str | None, n_classes: int) -> None:
    schema = infer_schema(FRAME, target=target)
    rows = to_rows(FRAME, schema)
    found = Classes(rows, schema).of(rows)
    assert len(np.unique(found)) == n_classes
    if target in ("wage", "day"):
        counts = np.bincount(found)[np.unique(found)]
        fifths = counts[:5]
        assert fifths.max() - fifths.min() <= 1
        order = FRAME[target].rank().to_numpy()
        known = ~np.isnan(order)
        assert np.all(np.diff(found[known][np.argsort(order[known])]) >= 0)


def test_a_class_that_no_training_row_has_is_one_more() -> None:
    schema = infer_schema(FRAME, target="kind")
    rows = to_rows(FRAME, schema)
    assert Classes(rows[:3], schema).of(rows[:4]).tolist() == [0, 1, 0, 2]

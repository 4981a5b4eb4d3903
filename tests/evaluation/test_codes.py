from __future__ import annotations

import numpy as np
import pandas as pd

from harmonic.evaluation.codes import MAX_LEVELS, Codebook
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Column, Schema

SCHEMA = Schema(
    (
        Column("n", "n", "integer", "Int64", missing=0.5),
        Column("x", "x", "decimal", "float64", decimals=2),
        Column("day", "day", "datetime", "datetime64[us]", resolution="day"),
        Column("who", "who", "categorical", "str", missing=0.1, levels=("b", "a")),
        Column("is", "is", "boolean", "bool", levels=("false", "true")),
        Column("note", "note", "text", "str", max_bytes=99),
    )
)
FRAME = pd.DataFrame(
    {
        "n": pd.array([3, None, -1], dtype="Int64"),
        "x": [0.25, 1.0, -0.5],
        "day": pd.to_datetime(["1970-01-02", "1970-01-01", "2000-01-01"]).astype("datetime64[us]"),
        "who": ["a", None, "b"],
        "is": [True, False, True],
        "note": ["abc", "de", "abc"],
    }
)


def test_cells_become_numbers_and_missing_becomes_nan() -> None:
    coded = Codebook(SCHEMA, [FRAME]).encode(FRAME)
    expected = [[3, 0.25, 1, 0, 0, 0], [np.nan, 1, 0, np.nan, 1, 1], [-1, -0.5, 10957, 1, 0, 0]]
    assert np.array_equal(coded.cells, np.array(expected, dtype=float), equal_nan=True)


def test_texts_are_measured_by_length_and_told_apart_by_identity() -> None:
    coded = Codebook(SCHEMA, [FRAME]).encode(FRAME)
    assert coded.measures[:, 5].tolist() == [3, 2, 3]
    assert coded.cells[:, 5].tolist() == [0, 1, 0]


def test_equal_cells_of_two_tables_get_equal_numbers_and_the_first_tables_commonest_comes_first() -> None:
    other = FRAME.assign(who=["new", "b", "b"])
    book = Codebook(SCHEMA, [FRAME.iloc[[0, 2, 2]], other])
    assert book.levels[3] == ("b", "a", "new")
    assert book.encode(other).cells[:, 3].tolist() == [2, 0, 0]


def test_a_cell_that_does_not_fit_counts_as_missing() -> None:
    other = FRAME.assign(x=["1.5", "many", "2"])
    cells = Codebook(SCHEMA, [FRAME, other]).encode(other).cells[:, 1]
    assert np.array_equal(cells, [1.5, np.nan, 2.0], equal_nan=True)


def test_very_many_levels_share_the_last_code_for_classifiers_only() -> None:
    frame = pd.DataFrame({"code": [f"c{i:03}" for i in range(300)] * 2})
    schema = infer_schema(frame, overrides={"code": {"kind": "categorical"}})
    coded = Codebook(schema, [frame]).encode(frame)
    assert len(np.unique(coded.cells)) == 300
    assert coded.measures.max() == MAX_LEVELS

"""Densities from a handful of rows: distributions over exactly the rows that a schema allows."""

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema

TABLE = pd.DataFrame(
    {
        "level": ["a", "b", None, "c", "a", "a", "b", "a"],
        "count": [0, 6, 3, 3, 0, 1, 0, 5],
        "size": [0.5, None, 1.5, 1.0, 0.5, 2.0, 1.0, 0.5],
        "y": [True, False, True, True, False, True, False, False],
    }
)


@pytest.fixture(scope="module")
def estimates(repository: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(repository / "scripts"))
    yield importlib.import_module("benchmarks.estimates")
    sys.path.remove(str(repository / "scripts"))


def _table(target: str) -> tuple[Schema, list[Row], list[Row]]:
    """The schema, its eight rows, and all rows that it allows."""
    overrides = {"count": {"kind": "integer"}, "size": {"kind": "decimal", "step": "0.5"}}
    schema = infer_schema(TABLE, target=target, overrides=overrides)
    cells = [["a", "b", "c", None], map(str, range(7)), ["0.5", "1", "1.5", "2", None], ["true", "false"]]
    return schema, to_rows(TABLE, schema), list(itertools.product(*cells))


@pytest.mark.parametrize("target", ["y", "count"])
@pytest.mark.parametrize("n_seen", [0, 1, 2, 8])
@pytest.mark.parametrize("name", ["marginals", "conditional_marginals", "kernels"])
def test_an_estimate_spreads_one_over_the_rows_that_the_schema_allows(
    estimates: ModuleType, name: str, n_seen: int, target: str
) -> None:
    schema, rows, every = _table(target)
    supports, codes = estimates.encode(schema, [*rows, *every])
    at = [column.name for column in schema.modelled].index(target)
    logs = estimates.ESTIMATES[name](supports, codes[:n_seen], codes[len(rows) :], at)
    assert np.exp(logs).sum() == pytest.approx(1.0, abs=1e-9)
    if n_seen == 0:
        assert np.ptp(np.exp(_of_complete_rows(logs, every))) < 1e-12


def _of_complete_rows(logs: np.ndarray, rows: list[Row]) -> np.ndarray:
    """The logarithms of rows without a missing cell: where nothing was seen these are equally likely."""
    return logs[[None not in row for row in rows]]


def test_rows_like_those_seen_become_likelier(estimates: ModuleType) -> None:
    schema, rows, _ = _table("y")
    supports, codes = estimates.encode(schema, rows)
    for estimate in estimates.ESTIMATES.values():
        nothing, everything = (estimate(supports, codes[:seen], codes, 3).sum() for seen in (0, 8))
        assert everything > nothing + 1.0

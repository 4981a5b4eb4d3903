from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.table.sources import read_table


def _read(folder: Path, cells: list[str], dtype: Any, separator: str = ",") -> pd.Series:
    lines = [separator.join(("a", "b")), *(separator.join((cell, str(i))) for i, cell in enumerate(cells))]
    (folder / "x.csv").write_text("\n".join(lines))
    return read_table(folder / "x.csv", overrides={"a": {"dtype": dtype}})[0]["a"]


@pytest.mark.parametrize(
    ("cells", "dtype", "message"),
    [
        (["1", "2", "x", "y"], "int64", "value 'x' in row 2 cannot be read as dtype 'int64'"),
        (["1", "2.5"], "int64", "value '2.5' in row 1"),
        (["1", "300"], "int8", "value '300' in row 1 cannot be read as dtype 'int8'"),
        (["1", "", "2"], "int64", "a missing cell cannot stand in dtype 'int64'"),
        (["2020-01-01", "soon"], "datetime64[ns]", "value 'soon' in row 1"),
        (["1.5", "x"], "float64", "value 'x' in row 1"),
        (["True", "perhaps"], "bool", "value 'perhaps' in row 1"),
        (["True", "", "False"], "bool", "a missing cell cannot stand in dtype 'bool'"),
        (["1", "2"], "foo", "dtype 'foo' is unknown"),
        (["1", "2"], 5, "dtype 5 is unknown"),
    ],
)
def test_a_dtype_that_a_cell_cannot_take_is_refused(
    cells: list[str], dtype: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(HarmonicError, match=f"Column 'a': {message}"):
        _read(tmp_path, cells, dtype)


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "", "3"], "Int64", [1, pd.NA, 3]),
        (["True", "False"], "bool", [True, False]),
        (["1", "", "0"], "boolean", [True, pd.NA, False]),
        (["2020-01-01", "2021-01-01"], "datetime64[ns]", list(pd.to_datetime(["2020-01-01", "2021-01-01"]))),
        (["01", "02"], "category", ["01", "02"]),
    ],
)
def test_a_declared_dtype_is_taken(cells: list[str], dtype: str, values: list[Any], tmp_path: Path) -> None:
    column = _read(tmp_path, cells, dtype)
    assert str(column.dtype) == dtype and column.tolist() == values


def test_a_decimal_comma_is_read_in_a_declared_dtype(tmp_path: Path) -> None:
    assert _read(tmp_path, ["0,25", "1"], "float32", ";").tolist() == [0.25, 1.0]


def test_a_number_of_thousands_of_digits_is_a_text(tmp_path: Path) -> None:
    cells = ["7" * 5000, "12", "13"]
    (tmp_path / "x.csv").write_text("\n".join(["a,b", *(f"{cell},{i}" for i, cell in enumerate(cells))]))
    for given in ({}, {"missing": [-9]}):
        assert read_table(tmp_path / "x.csv", **given)[0]["a"].tolist() == cells


def test_a_frame_takes_a_declared_dtype_or_refuses_it() -> None:
    frame = pd.DataFrame({"zip": [10115, 99999] * 5, "x": [1.5, 2.0] * 5})
    read, schema = read_table(frame, overrides={"zip": {"dtype": "str"}})
    assert read["zip"].tolist()[:2] == ["10115", "99999"] and schema.column("zip").dtype == "str"
    for name, dtype, message in [
        ("zip", "foo", "dtype 'foo' is unknown"),
        ("zip", "int8", "value 10115 in row 0 cannot be read as dtype 'int8'"),
        ("x", "int64", "value 1.5 in row 0"),
        ("x", "bool", "value 1.5 in row 0"),
    ]:
        with pytest.raises(HarmonicError, match=f"Column '{name}': {message}"):
            read_table(frame, overrides={name: {"dtype": dtype}})

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from harmonic.errors import HarmonicError
from harmonic.table.cells import conform
from harmonic.table.schema import Schema
from harmonic.table.sources import load_table, read_table, to_csv_text

SPELLINGS = ["-9", -9, -9.0, "-9.0", "-9.00", "-9e0", np.int64(-9), np.float32(-9)]


def _read(folder: Path, content: str, **given: Any) -> tuple[pd.DataFrame, Schema]:
    (folder / "x.csv").write_text(content, encoding="utf-8")
    return read_table(folder / "x.csv", **given)


def _comes_back(folder: Path, frame: pd.DataFrame, schema: Schema) -> None:
    (folder / "own.csv").write_text(to_csv_text(frame, schema), encoding="utf-8")
    assert_frame_equal(load_table(folder / "own.csv", schema), conform(frame, schema))


def test_a_text_is_one_marker(tmp_path: Path) -> None:
    content = "c,n\n" + "NA,1\nN,2\nA,3\n" * 4
    for given in ({"missing": "NA"}, {"overrides": {"c": {"missing": "NA"}}}):
        frame, schema = _read(tmp_path, content, **given)
        assert set(frame["c"].dropna()) == {"N", "A"} and schema.column("c").markers == ("", "NA")
        framed = read_table(pd.DataFrame({"c": ["NA", "N", "A"] * 4, "n": [1, 2, 3] * 4}), **given)[0]
        assert set(framed["c"].dropna()) == {"N", "A"}


@pytest.mark.parametrize(
    "missing", [None, [None], [np.nan], [True], [pd.NaT], [["NA"]], b"NA", ["NA", object()]]
)
def test_a_marker_is_a_text_a_number_or_a_date(missing: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]})
    if missing is None:
        assert read_table(frame, missing=missing)[0].equals(frame)
        return
    with pytest.raises(HarmonicError, match="missing: .* neither a text nor a number nor a date"):
        read_table(frame, missing=missing)
    with pytest.raises(HarmonicError, match="Column 'a', missing: "):
        read_table(frame, overrides={"a": {"missing": missing}})


@pytest.mark.parametrize("marker", SPELLINGS)
def test_a_number_is_missing_however_it_is_spelt(marker: Any, tmp_path: Path) -> None:
    content = "i,x,c\n" + "-9,-9.00,a\n2,0.5,b\n-9.0,1.25,-9\n4,-9,c\n" * 5
    for given in ({"missing": marker}, {"missing": [marker]}):
        frame, schema = _read(tmp_path, content, **given)
        assert frame[["i", "x"]].isna().sum().tolist() == [10, 10]
        assert set(frame["i"].dropna()) == {2, 4} and set(frame["x"].dropna()) == {0.5, 1.25}
        assert_frame_equal(load_table(tmp_path / "x.csv", schema), frame)
        _comes_back(tmp_path, frame, schema)


@pytest.mark.parametrize("marker", SPELLINGS)
@pytest.mark.parametrize(
    "dtype", ["int64", "int8", "Int64", "float64", "float32", "float16", "Float32", "object", "category"]
)
def test_a_number_of_a_frame_is_missing_however_it_is_spelt(marker: Any, dtype: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": pd.Series([-9, 2, 3, 50] * 5, dtype=dtype), "y": range(100, 120)})
    for given in ({"missing": [marker]}, {"overrides": {"n": {"missing": marker}}}):
        read, schema = read_table(frame, **given)
        assert read["n"].isna().sum() == 5 and set(read["n"].dropna()) == {2, 3, 50}
        _comes_back(tmp_path, read, schema)


def test_whole_numbers_too_large_for_a_float_stay_exact() -> None:
    values = [2**53 + 1, -9, 2**53 + 3]
    read, _ = read_table(pd.DataFrame({"n": values}), missing=-9)
    assert read["n"].tolist() == [2**53 + 1, pd.NA, 2**53 + 3]


@pytest.mark.parametrize(
    "marker",
    ["2020-01-01", "2020-01-01 00:00:00", "2020-01-01T00:00", dt.date(2020, 1, 1), pd.Timestamp(2020, 1, 1)],
)
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_a_date_is_missing_however_it_is_spelt(marker: Any, zone: str | None, tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": pd.date_range("2019-12-30", periods=20, tz=zone), "y": range(100, 120)})
    frame["day"] = pd.Series([value.date() for value in frame["when"]], dtype=object)
    read, schema = read_table(frame, missing=[marker])
    assert np.flatnonzero(read["when"].isna()).tolist() == [2] == np.flatnonzero(read["day"].isna()).tolist()
    assert read["when"].dtype == frame["when"].dtype
    _comes_back(tmp_path, read, schema)


def test_truths_durations_and_months_are_compared_as_a_file_writes_them(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "flag": [True, False] * 10,
            "stay": pd.to_timedelta(range(20), unit="D"),
            "month": pd.period_range("2001-01", periods=20, freq="M"),
        }
    )
    read, schema = read_table(frame, missing=["false", "3 days", "2001-05"])
    assert read.isna().sum().tolist() == [10, 1, 1]
    _comes_back(tmp_path, read, schema)


def test_texts_are_compared_letter_by_letter(tmp_path: Path) -> None:
    frame, schema = _read(tmp_path, "version,n\n" + "1.0,7\n1,8\n1.10,9\nx,5\n" * 5, missing=[1])
    assert set(frame["version"].dropna()) == {"1.0", "1.10", "x"} and frame["n"].isna().sum() == 0
    _comes_back(tmp_path, frame, schema)


def test_a_further_parquet_file_is_read_with_the_markers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [-9, 2, 3, 50] * 5, "c": ["", "a", "b", "?"] * 5})
    read, schema = read_table(frame, missing=["?", -9])
    frame.to_parquet(tmp_path / "t.parquet")
    assert_frame_equal(load_table(tmp_path / "t.parquet", schema), read)


def test_a_data_sheet_may_declare_a_number(tmp_path: Path) -> None:
    (tmp_path / "toy.csv").write_text("x,y\n" + "1.5,a\n-9.0,b\n2.25,a\n" * 4)
    sheet = 'name = "toy"\ntitle = "toys"\ntarget = "y"\nfiles = ["toy.csv"]\n[columns.x]\nmissing = -9\n'
    (tmp_path / "toy.toml").write_text(sheet)
    assert read_table(tmp_path / "toy.toml", data_dir=tmp_path)[0]["x"].isna().sum() == 4

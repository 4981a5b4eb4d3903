from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from harmonic.errors import HarmonicError
from harmonic.table import sheets
from harmonic.table.schema import Schema
from harmonic.table.sheets import digest, read_sheet
from harmonic.table.sources import load_table, read_table, to_csv_text

Tables = Callable[[str], tuple[pd.DataFrame, Schema]]
SHEET = """
name = "toy"
title = "toys"
target = "y"
files = ["toy.csv"]
"""


def _toy(folder: Path, extra: str = "", rows: str = "x,y\n1.5,a\n2.25,b\n?,a\n") -> Path:
    (folder / "toy.csv").write_text(rows)
    path = folder / "toy.toml"
    path.write_text(SHEET + extra)
    return path


def test_parquet_and_frames_keep_their_dtypes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(40, dtype="float32") / 4, "c": pd.Categorical(["a", "b"] * 20)})
    frame.to_parquet(tmp_path / "t.parquet")
    read, schema = read_table(tmp_path / "t.parquet", target="c")
    assert_frame_equal(read, frame)
    assert read_table(frame, target="c")[1] == schema
    assert_frame_equal(load_table(tmp_path / "t.parquet", schema), frame)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(HarmonicError, match="cannot be read as Parquet"):
        read_table(tmp_path / "bad.parquet")


def test_markers_of_a_frame_become_missing_and_dtypes_stay() -> None:
    frame = pd.DataFrame({"c": ["?", "a", "b"] * 5, "n": [1.5, np.inf, 3.0] * 5})
    read, schema = read_table(frame, missing=["?"], overrides={"n": {"missing": "inf"}})
    assert read.isna().sum().tolist() == [5, 5] and (read.dtypes == frame.dtypes).all()
    assert schema.column("c").markers == ("", "?")


def test_scikit_learns_tables_are_at_hand() -> None:
    frame, schema = read_table("sklearn:diabetes", target="target")
    assert frame.shape == (442, 11) and schema.task == "regression"
    with pytest.raises(HarmonicError, match="'sklearn:diabets': is unknown. Did you mean 'diabetes'"):
        read_table("sklearn:diabets")


def test_a_sample_written_as_csv_reads_back_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": range(1, 41),
            "when": ["2011/01/05", "2012/12/31"] * 20,
            "at": pd.date_range("2020-01-01 10:00", periods=40, freq="61min", tz="Europe/Berlin"),
            "n": pd.Series([1, None] * 20, dtype="Int64"),
            "flag": [True, False] * 20,
            "empty": ["", None] * 20,
            "quote": ['a "b", c', "d\re\nf"] * 20,
            "month": pd.period_range("2001-01", periods=40, freq="M"),
            "stay": pd.to_timedelta(np.arange(40) * 90, unit="s"),
        }
    )
    _, schema = read_table(frame)
    path = tmp_path / "s.csv"
    path.write_text(to_csv_text(frame, schema), newline="")
    assert_frame_equal(load_table(path, schema), frame)


def test_a_holdout_without_header_is_read_under_the_schema(data_dir: Path) -> None:
    path = data_dir / "tables" / "heart_cleveland.csv.gz"
    frame, schema = read_table(path)
    assert_frame_equal(load_table(path, schema), frame)


def test_a_sheet_declares_and_arguments_win(tmp_path: Path) -> None:
    path = _toy(tmp_path, 'missing = ["?"]\n[columns.x]\ndecimals = 1\n')
    frame, schema = read_table(path, data_dir=tmp_path)
    assert (schema.target, schema.title, schema.column("x").decimals) == ("y", "toys", 1)
    assert frame["x"].isna().sum() == 1 and schema.decisions[0] == "Table 'toy': read from toy.csv."
    _, other = read_table(
        path, data_dir=tmp_path, target="x", title="games", overrides={"x": {"decimals": 2}}
    )
    assert (other.target, other.title, other.column("x").decimals) == ("x", "games", 2)


def test_several_files_are_one_table(tmp_path: Path) -> None:
    path = _toy(tmp_path)
    path.write_text(SHEET.replace('["toy.csv"]', '["toy.csv", "toy.csv"]'))
    assert len(read_table(path, data_dir=tmp_path)[0]) == 6


def test_other_rows_than_the_sheets_are_refused(tmp_path: Path) -> None:
    frame, _ = read_table(_toy(tmp_path), data_dir=tmp_path)
    right = f'sha256 = "{digest(frame)}"'
    assert len(read_table(_toy(tmp_path, right), data_dir=tmp_path)[0]) == 3
    with pytest.raises(HarmonicError, match="Table 'toy': digest .* Restore the file"):
        read_table(_toy(tmp_path, right, "x,y\n1.5,a\n2.25,b\n?,b\n"), data_dir=tmp_path)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('targt = "y"\n', "'targt' is not known.*Did you mean 'target'"),
        ("[columns.z]\nkind = 'text'\n", "Column 'z': not in the table"),
        ("[openml]\nidd = 3\n", "'idd' is not known"),
    ],
)
def test_a_wrong_sheet_is_refused(extra: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match=message):
        read_table(_toy(tmp_path, extra), data_dir=tmp_path)


def test_a_table_that_is_nowhere_says_where_to_put_it(tmp_path: Path) -> None:
    path = _toy(tmp_path)
    with pytest.raises(HarmonicError, match="toy.csv not found without a data folder.*HARMONIC_DATA"):
        read_table(path)
    with pytest.raises(HarmonicError, match="no such file"):
        read_sheet(tmp_path / "none.toml")


def test_without_local_files_openml_is_asked_and_unverified_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def fetch(**given: Any) -> Any:
        asked.update(given)
        return type("Bunch", (), {"frame": pd.DataFrame({"x": range(20), "class": ["a", "b"] * 10})})

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    extra = 'sha256 = "00"\n[openml]\nid = 7\nunverified = true\nrename = { class = "y" }\n'
    path = _toy(tmp_path, extra)
    (tmp_path / "toy.csv").unlink()
    frame, schema = read_table(path, data_dir=tmp_path)
    assert list(frame.columns) == ["x", "y"] and asked["data_id"] == 7
    assert "OpenML 7 (unverified" in schema.decisions[0] and "digest" in schema.decisions[1]


def test_a_network_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fail)
    monkeypatch.setattr(sheets.urllib.request, "urlopen", fail)
    for extra in ("[openml]\nid = 7\n", '[url]\nhref = "https://example.com/toy.csv"\n'):
        with pytest.raises(HarmonicError, match="could not be fetched .no route.*HARMONIC_DATA"):
            read_table(_toy(tmp_path, extra))


def test_every_data_sheet_names_its_local_table_by_digest(repository: Path, sheet_table: Tables) -> None:
    paths = sorted((repository / "configs" / "tables").glob("*.toml"))
    assert {path.stem for path in paths} >= {
        "adult",
        "asia",
        "buddy",
        "diabetes",
        "german",
        "insurance",
        "magic",
    }
    for path in paths:
        sheet = read_sheet(path)
        _, schema = sheet_table(path.stem)  # a wrong digest would have been refused
        assert sheet.name == path.stem and len(sheet.sha256) == 64 and schema.target == sheet.target


@pytest.mark.parametrize("overrides", [{"a": "categorical"}, {"a": None}, "a", ["a"]])
@pytest.mark.parametrize("is_file", [True, False])
def test_overrides_that_are_no_facts_by_column_are_refused(
    overrides: Any, is_file: bool, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3] * 10})
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(HarmonicError, match="facts by column are expected|a mapping of facts is expected"):
        read_table(tmp_path / "x.csv" if is_file else frame, overrides=overrides)

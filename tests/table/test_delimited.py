from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from harmonic.errors import HarmonicError
from harmonic.table.sources import read_table

ROWS = "".join(f"{i},{i / 4},{'ab'[i % 2]}\n" for i in range(20, 50))


def _write(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(folder: Path, content: str | bytes, **given: Any) -> tuple[pd.DataFrame, str]:
    frame, schema = read_table(_write(folder, content), **given)
    return frame, "\n".join(schema.decisions)


EXPECTED = pd.DataFrame({"n": range(20, 50), "x": [i / 4 for i in range(20, 50)], "c": ["a", "b"] * 15})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found(separator: str, tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, f"n,x,c\n{ROWS}".replace(",", separator))
    assert_frame_equal(frame, EXPECTED)
    assert (separator == ",") or f"separator is {separator!r}" in decisions


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeffn,x,c\n{ROWS}".encode(),
        f"n,x,c\n{ROWS}".encode("utf-16"),
        f"n,x,c\n{ROWS}".rstrip("\n").encode(),
        f"n,x,c\n{ROWS}".replace("\n", "\r\n").encode(),
        gzip.compress(f"n,x,c\n{ROWS}".encode()),
        f"n, x, c\n{ROWS.replace(',', ', ')}".encode(),
    ],
    ids=["bom", "utf-16", "no final newline", "crlf", "gzip", "blanks after commas"],
)
def test_what_editors_do_to_files_is_read(content: bytes, tmp_path: Path) -> None:
    assert_frame_equal(_read(tmp_path, content)[0], EXPECTED)


def test_another_encoding_is_said_or_declared(tmp_path: Path) -> None:
    content = f"n,x,ç\n{ROWS}".encode("latin-1")
    frame, decisions = _read(tmp_path, content)
    assert list(frame.columns) == ["n", "x", "ç"] and "not UTF-8: read as Windows-1252" in decisions
    assert list(_read(tmp_path, content, encoding="latin-1")[0].columns) == ["n", "x", "ç"]
    with pytest.raises(HarmonicError, match="is not ascii"):
        _read(tmp_path, content, encoding="ascii")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04zip", "is a zip or Excel file"),
        (b"a,b\n", "no rows under its 2 columns"),
        (b"a,b,a\n1,2,3\n", "columns 'a' stand more than once"),
        (b"a,b\n1,2,3\n", "line 2 has 3 fields, line 1 has 2"),
        (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", "line 3 has 2 fields, line 1 has 3"),
    ],
)
def test_broken_files_are_refused_with_the_remedy(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match=message):
        _read(tmp_path, content)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(HarmonicError, match="is a folder"):
        read_table(tmp_path)


def test_a_file_without_header_is_seen_or_declared(tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "1.5,1,1\n2.5,2,2\n" * 9)
    assert list(frame.columns) == ["column_1", "column_2", "column_3"] and len(frame) == 18
    assert "Line 1 holds numbers only" in decisions
    named, _ = _read(tmp_path, ROWS, header=False, names=["n", "x", "c"])
    assert_frame_equal(named, EXPECTED)
    with pytest.raises(HarmonicError, match="has 3 columns, but 2 names"):
        _read(tmp_path, ROWS, header=False, names=["n", "x"])
    with pytest.raises(HarmonicError, match="names 'n' were given more than once"):
        _read(tmp_path, ROWS, header=False, names=["n", "x", "n"])


def test_texts_that_look_missing_are_levels(tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, "c,n\n" + "None,1\nNA,2\nnan,3\nnull,4\n,5\n" * 4)
    assert set(frame["c"].dropna()) == {"None", "NA", "nan", "null"} and frame["c"].isna().sum() == 4


@pytest.mark.parametrize("word", ["NA", "nan", "NaN", "None", "null", "-"])
def test_one_word_among_numbers_is_missing_there_and_said(word: str, tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "n,c\n" + f"1.5,{word}\n2.25,b\n{word},a\n" * 5)
    assert frame["n"].dtype == "float64" and frame["n"].isna().sum() == 5
    assert f"Column 'n': '{word}' stands among numbers only: read as missing." in decisions
    assert frame["c"].isna().sum() == 0


def test_a_question_mark_among_numbers_is_missing_everywhere(tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "n,c,e\n" + "1,?,?\n?,b,?\n3,a,?\n" * 5)
    assert frame.isna().sum().tolist() == [5, 5, 15]
    assert "'?' is read as missing in every column, for it stands among numbers in n." in decisions


def test_a_question_mark_among_texts_is_a_level_unless_declared(tmp_path: Path) -> None:
    content = "n,c\n" + "1,?\n2,b\n" * 5
    assert "?" in set(_read(tmp_path, content)[0]["c"])
    assert _read(tmp_path, content, missing=["?"])[0]["c"].isna().sum() == 5
    assert _read(tmp_path, content, overrides={"c": {"missing": ["b", "?"]}})[0]["c"].isna().all()


def test_numbers_take_the_dtypes_that_pandas_would_give(tmp_path: Path) -> None:
    big = 2**53 + 1
    frame, _ = _read(
        tmp_path,
        "a,b,c,d,e,f,g,h\n" + f"1,1,1.0,TRUE,007,{big},{2**64 - 1},1e3\n2,,2.0,FALSE,008,,3,2.5\n" * 6,
    )
    assert frame.dtypes.astype(str).tolist() == [
        "int64", "float64", "float64", "bool", "str", "Int64", "uint64", "float64",
    ]  # fmt: skip
    assert frame["f"].iloc[0] == big and frame["e"].iloc[0] == "007"


def test_an_infinity_in_a_file_is_an_error_or_declared_missing(tmp_path: Path) -> None:
    content = "n\n" + "1.5\ninf\n2.25\n" * 5
    with pytest.raises(HarmonicError, match="Column 'n': value inf in row 1 is infinite"):
        _read(tmp_path, content)
    assert _read(tmp_path, content, missing=["inf"])[0]["n"].isna().sum() == 5


def test_a_decimal_comma_is_read_where_it_can_be_nothing_else(tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "n;c\n" + "1,5;a\n-2,25;b\n3;a\n" * 5)
    assert frame["n"].tolist()[:3] == [1.5, -2.25, 3.0] and "decimal points in: n" in decisions
    assert _read(tmp_path, 'n,c\n"1,500",a\n"2,250",b\n' * 1)[0]["n"].dtype == "str"


def test_a_column_of_one_keeps_its_empty_cells(tmp_path: Path) -> None:
    assert _read(tmp_path, "n\n1\n\n3\n")[0]["n"].isna().tolist() == [False, True, False]


def test_dtype_text_keeps_numbers_as_they_stand(tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, "zip,y\n" + "10115,1\n99999,2\n" * 6, overrides={"zip": {"dtype": "str"}})
    assert frame["zip"].tolist()[:2] == ["10115", "99999"]


def test_the_heart_and_sick_tables_work_from_a_bare_file(data_dir: Path) -> None:
    heart, schema = read_table(data_dir / "tables" / "heart_cleveland.csv.gz")
    assert heart.shape == (303, 14) and heart.isna().sum().sum() == 6
    assert any("Line 1 holds numbers only" in line for line in schema.decisions)
    sick, schema = read_table(data_dir / "tables" / "sick.csv.gz", target="Class")
    assert sick.shape == (3772, 30) and sick.isna().sum().sum() == 6064
    assert {column.label for column in schema.columns if column.kind == "constant"} == {"TBG", "TBG_measured"}
    assert schema.column("TBG").levels == () and schema.task == "binary"

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from harmonic.table.sources import load_table, read_table


def _read(folder: Path, content: str, **given: Any) -> tuple[pd.DataFrame, str]:
    (folder / "x.csv").write_text(content, encoding="utf-8")
    frame, schema = read_table(folder / "x.csv", **given)
    assert_frame_equal(load_table(folder / "x.csv", schema), frame)
    return frame, "\n".join(schema.decisions)


@pytest.mark.parametrize("given", [{}, {"missing": ["NA"]}])
def test_blank_cells_among_numbers_are_missing_and_said(given: dict[str, Any], tmp_path: Path) -> None:
    lines = [f"{i / 4}, ,{'ab'[i % 2]}\n   ,{i}, \n" for i in range(1, 100)]
    frame, decisions = _read(tmp_path, "x,n,c\n" + "".join(lines), **given)
    assert frame[["x", "n"]].isna().sum().tolist() == [99, 99] and frame["c"].isna().sum() == 0
    assert "Column 'n': blank cells stand among numbers only: read as missing." in decisions


def test_several_known_words_among_numbers_are_missing(tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "n,c\n" + "1,a\nNA,b\nn/a,NA\n?, \n ,?\n5,b\n" * 5)
    assert frame["n"].isna().sum() == 20 and set(frame["n"].dropna()) == {1, 5}
    assert set(frame["c"].dropna()) == {"a", "b", "NA", " "}
    assert "Column 'n': 'NA', 'n/a' stand among numbers only: read as missing." in decisions
    assert "'?' is read as missing in every column, for it stands among numbers in n." in decisions


def test_decimal_commas_are_read_beside_words_and_blanks(tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "x;n\n" + "0,25;1\nNA;2\n-1,5; \n3;NA\n" * 5)
    assert set(frame["x"].dropna()) == {0.25, -1.5, 3} and frame["x"].isna().sum() == 5
    assert frame["n"].isna().sum() == 10 and "decimal points in: x" in decisions


def test_a_column_with_points_has_no_decimal_commas(tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "x;y\n" + "0,25;1.5\n0,5;1,234\n" * 5)
    assert set(frame["x"]) == {0.25, 0.5} and set(frame["y"]) == {"1.5", "1,234"}
    assert "decimal points in: x (" in decisions


def test_numbers_but_for_a_few_words_are_said(tmp_path: Path) -> None:
    rows = "".join(f"{i / 4},{i:04},{'ab'[i % 2]}\n" for i in range(1, 97)) + "k.A.,97,c\n>30,98,d\n"
    frame, decisions = _read(tmp_path, "x,zip,c\n" + rows)
    assert frame["x"].dtype == "str"
    said = "Column 'x': numbers but for 2 cell(s) such as 'k.A.': read as texts; declare `missing`"
    assert said in decisions and decisions.count("numbers but for") == 1
    declared, decisions = _read(tmp_path, "x,zip,c\n" + rows, missing=["k.A.", ">30"])
    assert declared["x"].dtype == "float64" and "numbers but for" not in decisions
    assert "numbers but for" not in _read(tmp_path, "x,zip,c\n" + rows, overrides={"x": {"kind": "text"}})[1]

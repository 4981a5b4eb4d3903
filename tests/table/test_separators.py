from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from harmonic.errors import HarmonicError
from harmonic.table.sources import load_table, read_table, to_csv_text

ROWS = [(f"name {i}", i, i / 4) for i in range(20, 50)]


def _read(folder: Path, content: str, **given: Any) -> tuple[pd.DataFrame, str]:
    path = folder / "x.csv"
    path.write_text(content, encoding="utf-8", newline="")
    frame, schema = read_table(path, **given)
    return frame, "\n".join(schema.decisions)


def _lines(separator: str) -> list[str]:
    return [separator.join(map(str, row)) for row in [("c", "n", "x"), *ROWS]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a,b\n1,"x\n2,y\n3,z\n', "unexpected end of data, in the row that begins on line 2"),
        ('a,b\n0,v\n1,"x\n2,"y"\n3,z\n', "line 4: .*in the row that begins on line 3"),
        ('a,b\n1,"5 pipe\n' + "2,y\n" * 99 + '3,"6 pipe\n4,z\n', "line 102: .*begins on line 2"),
        ('a\n"x\ny\n', "begins on line 2"),
        ('a;b\n1;"x\n' + "2;y\n" * 999, "line 1001: unexpected end .*begins on line 2"),
        ('sep=;\na;b\n1;"x\n2;y\n', "begins on line 3"),
    ],
)
def test_a_quote_left_open_is_refused_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match=message):
        _read(tmp_path, content)


def test_quotes_within_cells_and_quoted_line_ends_are_read(tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, 'a,b\n1,5" pipe\n2,"6"" pipe, ""old"""\n3,"two\nlines"\n')
    assert frame["b"].tolist() == ['5" pipe', '6" pipe, "old"', "two\nlines"]


def test_a_wide_file_is_divided_though_a_sample_cuts_its_lines(tmp_path: Path) -> None:
    header = [f"feature number {i}" for i in range(3000)]
    lines = [header] + [[str(i * j / 8) for i in range(3000)] for j in range(1, 31)]
    frame, decisions = _read(tmp_path, "\n".join("\t".join(line) for line in lines) + "\n")
    assert frame.shape == (30, 3000) and "separator is '\\t'" in decisions


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        (31, "Source: ward 7", "line 32 has 1 fields, line 1 has 3"),
        (0, "Measurements of ward 7, in May", "line 2 has 3 fields, line 1 has 1"),
        (9, "name|1;2\t3", "line 10 has 2 fields, line 1 has 3"),
    ],
)
def test_one_line_of_another_width_is_named(
    separator: str, place: int, line: str, message: str, tmp_path: Path
) -> None:
    lines = _lines(separator)
    lines.insert(place, line)
    with pytest.raises(HarmonicError, match=message):
        _read(tmp_path, "\n".join(lines) + "\n")


def test_a_ragged_row_of_a_short_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="line 3 has 2 fields, line 1 has 3"):
        _read(tmp_path, "a;b;c\n1;2;3\n4;5\n")
    with pytest.raises(HarmonicError, match="lines 3 to 4 have 1 fields, line 1 has 2"):
        _read(tmp_path, 'a;b\n1;2\n"4\n5"\n6;7\n')


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_lines_of_blanks_are_skipped_where_there_are_columns(separator: str, tmp_path: Path) -> None:
    lines = _lines(separator)
    lines.insert(7, "  ")
    frame, _ = _read(tmp_path, "\n".join([*lines, "   ", ""]))
    assert_frame_equal(frame, _read(tmp_path, "\n".join(_lines(separator)))[0])


@pytest.mark.parametrize("character", ["\v", "\f", "\x1c", "\x85", "\u2028"])
def test_lines_end_at_line_feeds_and_returns_alone(character: str, tmp_path: Path) -> None:
    content = "\r\n".join(_lines(";")).replace("name 3", f"name{character}3")
    frame, _ = _read(tmp_path, content)
    assert frame.shape == (30, 3) and frame["c"].iloc[10] == f"name{character}30"


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
def test_the_separator_that_excel_names_is_used(first: str, tmp_path: Path) -> None:
    frame, decisions = _read(tmp_path, "\r\n".join([first, *_lines(";")]))
    assert_frame_equal(frame, _read(tmp_path, "\n".join(_lines(";")))[0])
    assert "Line 1 names the separator: ';'." in decisions
    assert_frame_equal(_read(tmp_path, "\n".join([first, *_lines(";")]), separator=";")[0], frame)
    assert _read(tmp_path, "\n".join(["sep=:", *_lines(":")]))[0].shape == (30, 3)


def test_a_column_of_texts_with_commas_stays_one_column(tmp_path: Path) -> None:
    texts = [
        f"text {i}" + ", and more" * (i % 3 == 0) + ", and, so on" * (i % 11 == 0) for i in range(1, 200)
    ]
    frame, decisions = _read(tmp_path, "\n".join(["remark", *texts]))
    assert frame["remark"].tolist() == texts and "read as one column" in decisions
    late = [f"text {i}" for i in range(150)] + ["text, at last"]
    assert _read(tmp_path, "\n".join(["remark", *late]))[0]["remark"].tolist() == late


def test_of_two_separators_that_divide_alike_the_comma_is_decimal(tmp_path: Path) -> None:
    frame, _ = _read(tmp_path, "1,5;a\n2,25;b\n3,5;c\n", header=False)
    assert frame["column_1"].tolist() == [1.5, 2.25, 3.5]


def test_one_column_that_other_separators_would_divide_is_asked_about(tmp_path: Path) -> None:
    lines = ["remark", *(["one; two"] * 7), *(["one"] * 3)]
    with pytest.raises(HarmonicError, match="most lines hold 1 ';'. Pass `separator`"):
        _read(tmp_path, "\n".join(lines))
    assert _read(tmp_path, "\n".join(lines), separator="\x1f")[0]["remark"].tolist() == lines[1:]


def test_a_further_file_is_divided_by_the_names_that_are_known(tmp_path: Path) -> None:
    frame = pd.DataFrame({"remark": [f"one; number {i}" for i in range(9)] + ["a, b|c\td"]})
    _, schema = read_table(frame)
    (tmp_path / "x.csv").write_text(to_csv_text(frame, schema))
    assert_frame_equal(load_table(tmp_path / "x.csv", schema), frame)


@pytest.mark.parametrize("separator", ["||", "", "\n", '"', 5])
def test_a_separator_that_is_none_is_refused(separator: Any, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="separator .* a single character is expected"):
        _read(tmp_path, "a,b\n1,2\n", separator=separator)


@pytest.mark.parametrize("content", ["a\n{}\n", "a;b\n1;{}\n2;y\n", 'a,b\n1,"{}"\n'])
def test_a_cell_too_long_is_named_by_its_line(content: str, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="line 2: field larger than field limit"):
        _read(tmp_path, content.format("x" * 140_000))


@pytest.mark.parametrize(
    "text",
    [
        '"a" ,"b"\n"x1" ,"1"\n"x2" ,"2"\n',
        '"a", "b" \n"x1" , "1"\n"x2", "2" \n',
        'a,b\n"x1" ,1\nx2,"2" ',
    ],
)
def test_blanks_behind_a_closing_quote_are_none_of_the_cell(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    frame, _ = read_table(tmp_path / "x.csv")
    assert frame["a"].tolist() == ["x1", "x2"]
    assert frame["b"].tolist() == [1, 2]


def test_what_stands_behind_a_closing_quote_within_a_cell_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('a,b\n"he said ""no"" , twice" ,1\n5" pipe 6" tube,2\n')
    frame, _ = read_table(tmp_path / "x.csv", overrides={"a": {"kind": "text"}})
    assert frame["a"].tolist() == ['he said "no" , twice', '5" pipe 6" tube']


@pytest.mark.parametrize("cells", [["x;y", "z;q"], ["a|b", "c|d"], ["a\tb", "c\td"], ["a;b, c", "d;e, f"]])
def test_a_table_of_one_column_is_read_from_its_own_csv(cells: list[str], tmp_path: Path) -> None:
    frame, schema = read_table(pd.DataFrame({"a": cells * 30}))
    (tmp_path / "x.csv").write_text(to_csv_text(frame, schema))
    assert read_table(tmp_path / "x.csv")[0]["a"].tolist() == cells * 30
    assert load_table(tmp_path / "x.csv", schema)["a"].tolist() == cells * 30

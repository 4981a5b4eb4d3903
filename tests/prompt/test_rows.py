"""Codecs: text and back, whatever a cell holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.prompt.rows import Reject, codec_for, letters
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Row, Schema

CODECS = ("compact", "json", "paper")


@pytest.mark.parametrize("name", CODECS)
def test_every_row_comes_back_in_every_order(name: str, schema: Schema, rows: list[Row]) -> None:
    codec = codec_for(name, schema)
    for order in list(permutations(range(6)))[::60]:
        for row in rows:
            assert codec.parse_row(codec.encode_row(row, order), order) == row


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.lists(_texts, min_size=1, max_size=6, unique=True),
    _texts,
    st.integers(-(10**19), 10**19),
    st.booleans(),
)
@pytest.mark.parametrize("name", ["compact", "json"])
def test_any_level_text_and_number_round_trips(
    name: str, levels: list[str], text: str, number: int, is_missing: bool
) -> None:
    schema = Schema(
        (
            Column("level", "level", "categorical", "str", missing=0.5, levels=tuple(levels)),
            Column("text", "text", "text", "str", missing=0.5, max_bytes=1000),
            Column("number", "number", "integer", "int64", lower=str(-(10**19)), upper=str(10**19)),
        )
    )
    codec = codec_for(name, schema)
    for level in levels:
        row = (None if is_missing else level, None if is_missing else text, str(number))
        assert codec.parse_row(codec.encode_row(row, (2, 0, 1)), (2, 0, 1)) == row


def test_missing_and_the_levels_that_look_like_it_are_told_apart(schema: Schema) -> None:
    codec = codec_for("json", schema)
    texts = {
        codec.encode_row(("1", level, "0", "2011-01-01", "true", "x"), range(6))
        for level in (None, "null", "NaN")
    }
    assert len(texts) == 3
    assert "null," in codec.encode_row(("1", None, "0", "2011-01-01", "true", "x"), range(6))
    assert '"null",' in codec.encode_row(("1", "null", "0", "2011-01-01", "true", "x"), range(6))


@pytest.mark.parametrize("word", ["", "n/a"])
def test_a_text_that_a_csv_would_read_as_missing_is_rejected(word: str) -> None:
    note = Column("note", "note", "text", "str", min_bytes=1, max_bytes=9, markers=("", "n/a"))
    codec = codec_for("json", Schema((note,)))
    assert isinstance(codec.parse_row(codec.encode_row((word,), [0]), [0]), Reject)
    assert codec.parse_row(codec.encode_row(("n/b",), [0]), [0]) == ("n/b",)


def test_the_paper_codec_writes_nan_and_refuses_a_level_of_that_name(schema: Schema) -> None:
    assert '"job": "nan"' in codec_for("paper", schema).encode_row(
        ("1", None, "0", "2011-01-01", "true", "x"), range(6)
    )
    column = replace(schema.columns[1], levels=("nan", "x"))
    with pytest.raises(HarmonicError, match="'nan', which is also a level"):
        codec_for("paper", Schema((column,))).form(0, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " A39",
        " A1201 Ba \n",
        " A039 Ba \n",
        " A39 Bzz \n",
        " A39 Ba\n",
        " A39 Ba \nX",
        " Ba A39 \n",
        " A-0 Ba \n",
    ],
)
def test_what_is_no_row_is_rejected_with_a_reason(text: str, schema: Schema) -> None:
    codec = codec_for("compact", Schema(schema.columns[:2]))
    result = codec.parse_row(text, (0, 1))
    assert isinstance(result, Reject)
    assert result.reason in ("malformed", "out of bounds")


@pytest.mark.parametrize("word", ["2011-02-30", "2011-13-01", "2011-01-01 00:00", "2011-1-01", "2011-01-0١"])
def test_what_is_no_day_of_the_calendar_is_rejected(word: str) -> None:
    born = Column("d", "d", "datetime", "object", lower="2000-01-01", upper="2020-12-31", resolution="day")
    codec = codec_for("compact", Schema((born,)))
    assert codec.parse_row(" A2011-01-31 \n", [0]) == ("2011-01-31",)
    assert isinstance(codec.parse_row(f" A{word} \n", [0]), Reject)


@pytest.mark.parametrize("word", ["42.26", "-1.51", "7.123", "1.50", "01", "."])
def test_a_decimal_out_of_bounds_or_form_is_rejected(word: str, schema: Schema) -> None:
    codec = codec_for("compact", Schema((schema.columns[2],)))
    assert isinstance(codec.parse_row(f" A{word} \n", (0,)), Reject)


def test_a_cell_that_training_never_had_is_an_error_that_names_the_column(schema: Schema) -> None:
    with pytest.raises(HarmonicError, match="Column 'job': 'Astronaut' is not among"):
        codec_for("compact", schema).encode_row(("1", "Astronaut", "0", "2011-01-01", "true", "x"), range(6))
    with pytest.raises(HarmonicError, match="Column 'age': a missing cell"):
        codec_for("compact", schema).encode_row((None, "no", "0", "2011-01-01", "true", "x"), range(6))


def test_the_header_explains_every_alias(schema: Schema) -> None:
    header = codec_for("compact", schema).header(range(6)).splitlines()
    assert header[0] == "A age integer a-5 to d1200"
    assert header[1].startswith("B job a=Private b=no c=null")
    assert header[1].endswith("?=missing")
    assert len(header) == 6


def test_tags_and_aliases_go_on_after_z() -> None:
    assert [letters(number, "A") for number in (0, 25, 26, 51, 52, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]


def test_an_unknown_codec_and_a_table_without_columns_are_errors(schema: Schema) -> None:
    with pytest.raises(HarmonicError, match="Use one of compact, json, paper"):
        codec_for("xml", schema)
    with pytest.raises(HarmonicError, match="no column to model"):
        codec_for("json", Schema((Column("c", "c", "constant", "int64", levels=("1",)),)))


@pytest.mark.parametrize("vocabulary", ["llama2", "llama3", "qwen2.5"])
@pytest.mark.parametrize("name", CODECS)
def test_segments_encoded_apart_are_the_row_encoded_whole(
    name: str, vocabulary: str, schema: Schema, rows: list[Row], text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    codec, tokenizer = codec_for(name, schema), text_tokenizer(vocabulary)
    for order in list(permutations(range(6)))[::97]:
        for row in rows:
            text = codec.encode_row(row, order)
            apart = tokenizer.encode(codec.row_open) if codec.row_open else []
            for place, index in enumerate(order):
                apart += tokenizer.encode(codec.encode_cell(index, row[index], place == len(order) - 1))
            assert tokenizer.encode(text) == apart + tokenizer.encode_ending(codec.row_close)


@pytest.mark.parametrize(
    ("lower", "upper", "cell", "text"),
    [
        ("0", "99999", "0", " Aa0 \n"),
        ("0", "99999", "7298", " Ad7298 \n"),
        ("-50", "50", "-7", " Aa-7 \n"),
        ("-0.5", "120.25", "100.5", " Ac100.5 \n"),
        ("10", "99", "42", " A42 \n"),
        ("-5", "9", "-3", " A-3 \n"),
        ("0", "0.75", "0.5", " A0.5 \n"),
    ],
)
def test_compact_says_how_long_a_number_is_where_lengths_differ(
    lower: str, upper: str, cell: str, text: str
) -> None:
    kind = "decimal" if "." in upper else "integer"
    codec = codec_for("compact", Schema((_number(kind, lower, upper),)))
    assert codec.encode_row((cell,), [0]) == text
    assert codec.parse_row(text, [0]) == (cell,)


def test_a_letter_that_is_not_the_numbers_is_refused() -> None:
    codec = codec_for("compact", Schema((_number("integer", "0", "99999"),)))
    for text in (" Ab7 \n", " A7 \n", " Aaa7 \n", " Aa77 \n"):
        assert isinstance(codec.parse_row(text, [0]), Reject)


def _number(kind: Literal["integer", "decimal"], lower: str, upper: str) -> Column:
    return Column("x", "x", kind, "object", lower=lower, upper=upper, decimals=2 if kind == "decimal" else 0)

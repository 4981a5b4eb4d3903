from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.decode.bytes_automaton import ByteAutomaton, literal_automaton, union
from harmonic.decode.grammar import language_automaton, segment_automaton
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import Language, SegmentForm, codec_for, size_of
from harmonic.table.schema import Column, Kind, Schema


def column(kind: Kind, **facts: object) -> Column:
    return Column("x", "x", kind, "object", **facts)  # type: ignore[arg-type]


def bare(language: Language, suffix: str = "") -> SegmentForm:
    return SegmentForm("", (), language, language == "text", suffix)


def integers(low: int, high: int) -> ByteAutomaton:
    return segment_automaton(bare("integer"), column("integer", lower=str(low), upper=str(high)))


def decimals(low: str, high: str, places: int) -> ByteAutomaton:
    return segment_automaton(bare("decimal"), column("decimal", lower=low, upper=high, decimals=places))


def dates(low: str, high: str, resolution: str) -> ByteAutomaton:
    return segment_automaton(
        bare("datetime"), column("datetime", lower=low, upper=high, resolution=resolution)
    )


def texts(max_bytes: int) -> ByteAutomaton:
    return segment_automaton(bare("text"), column("text", max_bytes=max_bytes))


def spoken(automaton: ByteAutomaton) -> set[str]:
    return {word.decode() for word in automaton.words()}


def canonical(units: int, places: int) -> str:
    """The canonical text of units / 10 ** places, by way of Decimal."""
    text = format(Decimal(units).scaleb(-places), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# Integers.


@given(st.integers(-2000, 2000), st.integers(0, 1500))
@settings(max_examples=40)
def test_an_integer_column_says_every_integer_between_its_bounds_and_nothing_else(
    low: int, size: int
) -> None:
    automaton = integers(low, low + size)
    assert spoken(automaton) == {str(value) for value in range(low, low + size + 1)}
    assert automaton.n_words == size + 1


@given(st.integers(-(10**30), 10**30), st.integers(0, 10**30), st.data())
def test_bounds_of_any_length_are_exact(low: int, size: int, data: st.DataObject) -> None:
    automaton = integers(low, low + size)
    assert automaton.n_words == size + 1
    for value in (low - 1, low, low + size, low + size + 1, data.draw(st.integers(-(10**31), 10**31))):
        assert automaton.accepts(str(value).encode()) == (low <= value <= low + size)


@pytest.mark.parametrize("text", ["", "-", "-0", "00", "007", "+5", "5.", "5.0", " 5", "5 ", "1e3", "٣"])
def test_an_integer_has_one_text(text: str) -> None:
    assert not integers(-1000, 1000).accepts(text.encode())


def test_a_wide_integer_column_takes_few_states() -> None:
    assert integers(0, 1_484_705).n_states <= 40


def test_equal_languages_are_built_of_equally_many_states() -> None:
    union_of_halves = union(integers(0, 500), integers(501, 9999))
    assert spoken(union_of_halves) == spoken(integers(0, 9999))
    assert integers(0, 9999).n_states == 5  # the start, "0", and one for each number of digits left to add


# Decimals.


@given(st.integers(-3000, 3000), st.integers(0, 2500), st.integers(0, 4))
@settings(max_examples=60)
def test_a_decimal_column_says_every_number_of_its_places_between_its_bounds(
    low: int, size: int, places: int
) -> None:
    automaton = decimals(canonical(low, places), canonical(low + size, places), places)
    assert spoken(automaton) == {canonical(units, places) for units in range(low, low + size + 1)}


@given(st.integers(-(10**25), 10**25), st.integers(0, 10**25), st.integers(0, 20), st.data())
def test_decimals_of_any_length_are_exact(low: int, size: int, places: int, data: st.DataObject) -> None:
    automaton = decimals(canonical(low, places), canonical(low + size, places), places)
    assert automaton.n_words == size + 1
    for units in (low - 1, low, low + size, low + size + 1, data.draw(st.integers(-(10**26), 10**26))):
        assert automaton.accepts(canonical(units, places).encode()) == (low <= units <= low + size)


@pytest.mark.parametrize(
    "text", ["-0", "0.0", "-0.0", "1.50", "1.", ".5", "01.5", "1.505", "1,5", "1e-1", "--1"]
)
def test_a_decimal_has_one_text(text: str) -> None:
    assert not decimals("-10", "10", 2).accepts(text.encode())


def test_bounds_finer_than_the_places_are_rounded_inwards() -> None:
    assert spoken(decimals("-0.1501", "0.1999", 1)) == {"-0.1", "0", "0.1"}


# Steps.


def stepped(low: int, high: int, places: int, step: int) -> ByteAutomaton:
    kind: Kind = "decimal" if places else "integer"
    facts = {"lower": canonical(low, places), "upper": canonical(high, places), "decimals": places}
    return segment_automaton(bare(kind), column(kind, step=canonical(step, places), **facts))


_STEPS = st.sampled_from([1, 2, 3, 5, 7, 10, 12, 25, 50, 60, 100, 125, 127, 1000])


@given(st.integers(-3000, 3000), st.integers(0, 2500), st.integers(0, 4), _STEPS)
@settings(max_examples=80)
def test_a_column_with_a_step_says_every_multiple_between_its_bounds_and_nothing_else(
    low: int, size: int, places: int, step: int
) -> None:
    units = [value for value in range(low, low + size + 1) if value % step == 0]
    if units:
        assert spoken(stepped(low, low + size, places, step)) == {canonical(value, places) for value in units}
    else:
        with pytest.raises(HarmonicError, match="no .* lies within .* with step"):
            stepped(low, low + size, places, step)


@given(st.integers(-(10**20), 10**20), st.integers(10**6, 10**20), st.integers(0, 12), _STEPS, st.data())
@settings(max_examples=40)
def test_multiples_of_any_length_are_exact(
    low: int, size: int, places: int, step: int, data: st.DataObject
) -> None:
    automaton, high = stepped(low, low + size, places, step), low + size
    assert automaton.n_words == high // step - (low - 1) // step
    first, last = -(-low // step) * step, high // step * step
    drawn = data.draw(st.integers(first, last))
    for units in (first - step, first, first + 1, last, last + step, drawn, drawn // step * step):
        expected = low <= units <= high and units % step == 0
        assert automaton.accepts(canonical(units, places).encode()) == expected


def test_steps_take_few_states() -> None:
    assert stepped(0, 10**9, 0, 5).n_states <= 30
    assert stepped(-(10**9), 10**9, 2, 25).n_states <= 40
    assert stepped(0, 10**12, 0, 86_400).n_states <= 1000
    assert stepped(0, 10**12, 0, 127).n_states <= 1500


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"step": "9973"}, "step 9973 has 9973 remainders"),
        ({"step": "0.5"}, "step 0.5 is finer"),
        ({"step": "-2"}, "step -2 is not above 0"),
        ({"step": "2", "upper": "9" * 40}, "numbers of 40 characters"),
    ],
)
def test_a_step_that_no_automaton_holds_is_an_error_that_names_it(
    facts: dict[str, str], message: str
) -> None:
    with pytest.raises(HarmonicError, match=f"Column 'x'.*{message}"):
        segment_automaton(bare("integer"), column("integer", **{"lower": "0", "upper": "99999", **facts}))


def test_numbers_of_hundreds_of_digits_are_said_too() -> None:
    automaton = decimals("-" + "9" * 150, "9" * 150 + "." + "9" * 50, 50)
    assert automaton.n_words == 2 * 10**200 - 10**50
    assert automaton.accepts(b"-" + b"7" * 150)


# Dates.


def test_every_day_between_the_bounds_is_said_and_no_other() -> None:
    first, last = date(1899, 11, 28), date(1905, 3, 1)
    days = {(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)}
    assert spoken(dates(first.isoformat(), last.isoformat(), "day")) == days


def test_the_whole_calendar_is_small() -> None:
    automaton = dates("0001-01-01", "9999-12-31", "day")
    assert automaton.n_words == date.max.toordinal()
    assert automaton.n_states <= 60


@given(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
def test_only_dates_of_the_calendar_are_said(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        exists = bool(date(year, month, day))
    except ValueError:
        exists = False
    assert _CALENDAR.accepts(text.encode()) == exists


_CALENDAR = dates("0001-01-01", "9999-12-31", "day")
_FORMATS = {
    "minute": "minutes",
    "second": "seconds",
    "millisecond": "milliseconds",
    "microsecond": "microseconds",
}


@pytest.mark.parametrize("resolution", list(_FORMATS))
@given(low=st.datetimes(), high=st.datetimes(), value=st.datetimes())
@settings(max_examples=25)
def test_moments_are_exact_at_every_resolution(
    resolution: str, low: datetime, high: datetime, value: datetime
) -> None:
    low, high = min(low, high), max(low, high)
    first, last, text = (moment.isoformat(" ", _FORMATS[resolution]) for moment in (low, high, value))
    automaton = dates(first, last, resolution)
    assert automaton.accepts(first.encode())
    assert automaton.accepts(last.encode())
    assert automaton.accepts(text.encode()) == (first <= text <= last)


def test_minutes_are_counted_exactly() -> None:
    assert dates("2020-02-28 23:58", "2020-03-01 00:01", "minute").n_words == 2 + 24 * 60 + 2


def test_a_date_in_quotes_is_bounded_as_one_without() -> None:
    form = SegmentForm(' "d": ', (), "datetime", True, ",")
    automaton = segment_automaton(
        form, column("datetime", lower="2011-01-01", upper="2011-01-03", resolution="day")
    )
    assert spoken(automaton) == {f' "d": "2011-01-0{day}",' for day in (1, 2, 3)}


# Texts.


def reads_as_text(word: bytes, max_bytes: int) -> bool:
    """The oracle: valid UTF-8, valid JSON, written as json.dumps writes it, short enough."""
    try:
        text = json.loads(word.decode())
    except ValueError:
        return False
    if not isinstance(text, str) or any("\ud800" <= character <= "\udfff" for character in text):
        return False
    return json.dumps(text, ensure_ascii=False).encode() == word and len(word) - 2 <= max_bytes


_TEXTS = texts(12)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=14))
def test_a_text_is_said_if_it_is_short_enough(text: str) -> None:
    word = json.dumps(text, ensure_ascii=False).encode()
    assert _TEXTS.accepts(word) == (len(word) - 2 <= 12)


@given(st.integers(0, 2**32 - 1), st.data())
@settings(max_examples=200)
def test_drawn_and_damaged_texts_are_what_json_says(seed: int, data: st.DataObject) -> None:
    word = _TEXTS.draw(np.random.default_rng(seed))
    assert reads_as_text(word, 12)
    damaged = bytearray(word)
    damaged[data.draw(st.integers(0, len(word) - 1))] = data.draw(st.integers(0, 255))
    assert _TEXTS.accepts(bytes(damaged)) == reads_as_text(bytes(damaged), 12)


def test_every_character_has_one_escape() -> None:
    automaton = texts(6)
    for code in [*range(0x500), 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]:
        assert automaton.accepts(json.dumps(chr(code), ensure_ascii=False).encode()), code
    for other in ['"\\/"', '"\\u0041"', '"\\u000a"', '"\\u001F"', '"\n"', '"\\', '"', '"\\ud83d\\ude00"']:
        assert not automaton.accepts(other.encode()), other


def test_a_text_column_of_no_length_says_the_empty_text() -> None:
    assert spoken(texts(0)) == {'""'}


def test_a_column_whose_texts_are_never_empty_says_no_empty_text() -> None:
    automaton = segment_automaton(bare("text"), column("text", min_bytes=1, max_bytes=4))
    assert not automaton.accepts(b'""')
    assert automaton.accepts(b'"a"')
    assert automaton.n_words == texts(4).n_words - 1


# Segments.


def test_a_segment_is_prefix_literal_or_word_and_suffix() -> None:
    form = SegmentForm(' "n": ', (("null", None), ("12", "12")), "integer", False, ",")
    automaton = segment_automaton(form, column("integer", lower="9", upper="12"))
    assert spoken(automaton) == {f' "n": {word},' for word in ("9", "10", "11", "12", "null")}


@given(st.sets(st.text(max_size=5), min_size=1, max_size=30))
def test_literals_are_said_as_they_stand(levels: set[str]) -> None:
    words = {level.encode("utf-8", "surrogatepass") for level in levels}
    assert set(literal_automaton(words).words()) == words


@given(st.sets(st.binary(max_size=4), max_size=20), st.sets(st.binary(max_size=4), max_size=20))
def test_a_union_says_what_either_says(one: set[bytes], other: set[bytes]) -> None:
    joined = union(literal_automaton(one | {b"a"}), literal_automaton(other | {b"b"}))
    assert set(joined.words()) == one | other | {b"a", b"b"}


def test_edges_lead_to_higher_states_and_every_state_can_end() -> None:
    for automaton in (integers(-57, 10**21), decimals("-1.25", "17.5", 3), _CALENDAR, _TEXTS):
        states, _ = np.nonzero(automaton.table >= 0)
        assert (automaton.table[automaton.table >= 0] > states).all()
        assert min(automaton.counts) > 0
        assert set(np.unique(automaton.table[automaton.table > 0]).tolist()) == set(
            range(1, automaton.n_states)
        )


_COLUMNS = (
    column("integer", lower="-3", upper="1200", missing=0.1),
    Column("pay", "pay", "decimal", "float64", lower="0.5", upper="99.75", decimals=2),
    Column(
        "day", "day", "datetime", "datetime64[s]", lower="2011-01-01", upper="2012-12-31", resolution="day"
    ),
    Column("job", "job", "categorical", "str", levels=("no", "null", 'a "b"', "Ünï", "?"), missing=0.2),
    Column("ok", "ok", "boolean", "bool", levels=("false", "true")),
    Column("note", "note", "text", "str", max_bytes=20, missing=0.3),
)
_CELLS = (
    ["0", "-3", None],
    ["0.5", "12"],
    ["2012-02-29"],
    ["no", "null", 'a "b"', "Ünï", "?", None],
    ["true"],
    ["", 'x\n"', None],
)


@pytest.mark.parametrize("name", ["compact", "json", "paper"])
def test_what_a_codec_writes_for_a_cell_is_in_the_segments_language(name: str) -> None:
    for one, cells in zip(_COLUMNS, _CELLS, strict=True):
        codec = codec_for(name, Schema((one,)))
        automaton = segment_automaton(codec.form(0, True), one)
        for cell in cells:
            text = codec.encode_row((cell,), [0])
            segment = text[len(codec.row_open) : len(text) - len(codec.row_close)]
            assert automaton.accepts(segment.encode()), segment


@pytest.mark.parametrize("name", ["compact", "json", "paper"])
def test_what_a_segments_language_says_a_codec_reads_as_a_cell(name: str) -> None:
    rng = np.random.default_rng(0)
    for one in _COLUMNS:
        codec = codec_for(name, Schema((one,)))
        automaton = segment_automaton(codec.form(0, True), one)
        for _ in range(50):
            text = codec.row_open + automaton.draw(rng).decode() + codec.row_close
            row = codec.parse_row(text, [0])
            assert type(row) is tuple, (text, row)
            assert codec.encode_row(row, [0]) == text


@pytest.mark.parametrize(
    ("language", "facts", "word"),
    [
        ("integer", {"lower": "5", "upper": "3"}, "within 5 and 3"),
        ("integer", {"lower": None, "upper": "3"}, "lower and an upper bound"),
        ("decimal", {"lower": "0.11", "upper": "0.19", "decimals": 1}, "within 0.11 and 0.19"),
        ("decimal", {"lower": "-Infinity", "upper": "3"}, "'-Infinity'"),
        ("datetime", {"lower": "2012-01-01", "upper": "2011-01-01", "resolution": "day"}, "within 2012"),
        ("datetime", {"lower": "2012", "upper": "2013", "resolution": "fortnight"}, "fortnight"),
    ],
)
def test_a_column_with_nothing_to_say_is_an_error_that_names_it(
    language: Language, facts: dict[str, object], word: str
) -> None:
    with pytest.raises(HarmonicError, match=re.escape(word)) as caught:
        language_automaton(bare(language), column(language, **facts))
    assert "Column 'x'" in str(caught.value)


def test_a_column_without_any_value_is_an_error_that_names_it() -> None:
    with pytest.raises(HarmonicError, match="Column 'x'.*nothing to decode"):
        segment_automaton(SegmentForm(" A", (), None, False, ""), column("categorical"))


@given(st.integers(-1200, 1200), st.integers(0, 2500), st.integers(0, 2), st.sampled_from([1, 5, 25]))
@settings(max_examples=40, deadline=None)
def test_sized_numbers_are_the_numbers_behind_the_letter_of_their_length(
    low: int, width: int, places: int, step: int
) -> None:
    high = low + width
    numbers = [canonical(units, places) for units in range(low, high + 1) if units % step == 0]
    kind: Literal["integer", "decimal"] = "decimal" if places else "integer"
    facts = {"lower": canonical(low, places), "upper": canonical(high, places), "decimals": places}
    one = column(kind, **facts, step=canonical(step, places) if step > 1 else "")
    form = SegmentForm(" A", (), kind, False, "", sized=True)
    if numbers:
        expected = {f" A{size_of(number)}{number}" for number in numbers}
        assert spoken(segment_automaton(form, one)) == expected

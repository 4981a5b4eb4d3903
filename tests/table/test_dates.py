from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.table import dates

MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))


@given(MOMENTS, st.sampled_from(list(dates.UNITS)))
def test_iso_texts_read_back_at_every_resolution(moment: dt.datetime, resolution: str) -> None:
    unit = dates.UNITS[resolution]
    cut = np.array([np.datetime64(moment, "us")]).astype("int64") // unit * unit
    texts = dates.iso_texts(cut.astype("M8[us]"), resolution)
    assert (dates.moments_of(texts).astype("int64") == cut).all()


@given(MOMENTS, st.sampled_from(dates.PATTERNS))
def test_every_pattern_writes_what_it_reads(moment: dt.datetime, pattern: str) -> None:
    moment = moment.replace(microsecond=moment.microsecond if "%f" in pattern else 0)
    resolution = dates.text_resolution([moment]) if "%f" in pattern else "second"
    text = dates.write(moment, pattern, resolution)
    again = dates.parse(text, pattern)
    assert dates.write(again, pattern, resolution) == text


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["2011-01-01", "2012-12-31"], "%Y-%m-%d"),
        (["2011/01/01", "2012/12/31"], "%Y/%m/%d"),
        (["31.01.2011", "01.02.2011"], "%d.%m.%Y"),
        (["1/31/2011", "12/1/2011"], "%-m/%-d/%Y"),
        (["13/01/2011", "01/12/2011"], "%d/%m/%Y"),
        (["2011-01-01 05:30", "2011-01-01 23:59"], "%Y-%m-%d %H:%M"),
        (["2011-01-01T05:30:00Z", "2011-01-01T05:30:01Z"], "%Y-%m-%dT%H:%M:%SZ"),
        (["2011-01-01 05:30:00.125", "2011-01-01 05:30:01.250"], "%Y-%m-%d %H:%M:%S.%f"),
        (["01-Jan-2011", "28-Feb-2012"], "%d-%b-%Y"),
    ],
)
def test_a_format_is_found_from_the_texts(texts: list[str], pattern: str) -> None:
    assert dates.patterns_of(texts)[0] == pattern


@pytest.mark.parametrize(
    "texts", [["2011-02-31"], ["2011-01-01", "soon"], ["2011-01-01", "01/02/2011"], ["12"]]
)
def test_impossible_mixed_and_other_texts_are_no_dates(texts: list[str]) -> None:
    assert dates.patterns_of(texts) == []


def test_two_readings_of_a_date_are_both_named() -> None:
    assert dates.patterns_of(["01/02/2011", "03/04/2011"])[:2] == ["%m/%d/%Y", "%d/%m/%Y"]


def test_an_hour_that_happens_twice_comes_back_exactly() -> None:
    index = pd.date_range("2021-10-31", periods=8, freq="h", tz="Europe/Berlin")
    held = dates.inside(index, "minute")
    assert len(set(held)) == 8
    assert (dates.outside(held, str(index.dtype), "minute") == index).all()


def test_whole_days_of_a_zone_are_held_as_days() -> None:
    index = pd.date_range("2021-10-30", periods=3, freq="D", tz="Europe/Berlin")
    held = dates.inside(index, "day")
    assert dates.iso_texts(held, "day") == ["2021-10-30", "2021-10-31", "2021-11-01"]
    assert (dates.outside(held, str(index.dtype), "day") == index).all()

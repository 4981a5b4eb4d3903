"""Dates, periods and durations from elsewhere: exactly what they say, or an error, and never a guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from harmonic.errors import HarmonicError
from harmonic.table.amounts import cell_of, moment_of
from harmonic.table.cells import conform, encode_values, from_rows, to_rows, validate
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Column, Schema
from harmonic.table.sources import load_table, to_csv_text
from harmonic.table.where import narrow, parse_where

DAYS = pd.date_range("2019-01-01", periods=30)
MINUTES = pd.date_range("2019-01-01 02:02", periods=30, freq="37min")
CSV_FRAMES: dict[str, Any] = {
    "days": DAYS,
    "zoned days": DAYS.tz_localize("Europe/Berlin"),
    "zoned minutes": MINUTES.tz_localize("Europe/Berlin"),
    "an hour twice": pd.date_range("2021-10-31", periods=30, freq="10min", tz="Europe/Berlin"),
    "months": pd.period_range("2011-01", periods=30, freq="M"),
    "fiscal quarters": pd.period_range("2011Q1", periods=30, freq="Q-MAR"),
    "fiscal years": pd.period_range("2011", periods=30, freq="Y-MAR"),
    "weeks": pd.period_range("2011-01-05", periods=30, freq="W-WED"),
    "hours": pd.period_range("2011-01-05 05:00", periods=30, freq="h"),
    "durations": pd.to_timedelta(np.arange(30) * 90, unit="s"),
}


def _narrowed(expression: str, values: Any) -> Column:
    schema = infer_schema(pd.DataFrame({"d": values}))
    comparison = parse_where(expression, schema)
    return narrow(comparison, comparison.column)


def _load(tmp_path: Path, cell: str, schema: Schema) -> pd.DataFrame:
    path = tmp_path / "t.csv"
    path.write_text(f"d,n\n{cell},1\n", encoding="utf-8")
    return load_table(path, schema)


def _schema(values: Any, **given: Any) -> Schema:
    return infer_schema(pd.DataFrame({"d": values, "n": range(100, 100 + len(values))}), **given)


@pytest.mark.parametrize(
    "value",
    ["05.03.2020", "13.03.2020", "03/05/2020", "today", "now", "10:00", "March", "2011Q1", "NaT", "5"],
)
@pytest.mark.parametrize(
    "values", [DAYS, MINUTES.tz_localize("UTC"), CSV_FRAMES["months"]], ids=["naive", "zoned", "period"]
)
def test_a_condition_on_a_date_takes_iso_dates_alone(value: str, values: Any) -> None:
    if value == "2011Q1" and isinstance(values, pd.PeriodIndex):
        return
    with pytest.raises(HarmonicError, match=f"'{value}' is no date; write it as 2011-05-01"):
        _narrowed(f"d < {value}", values)


@pytest.mark.parametrize(
    ("text", "lower"),
    [("2019", "2019-01-01"), ("2019-01", "2019-01-01"), ("2019-01-05", "2019-01-05"), ("20190105", "2019-01-05"),
     ("2019-01-05T00:00", "2019-01-05"), ("2019-01-05 00:00:00", "2019-01-05")],
)  # fmt: skip
def test_a_condition_on_a_date_takes_years_months_days_and_times(text: str, lower: str) -> None:
    assert _narrowed(f"d >= {text}", DAYS).lower == lower


def test_a_time_that_its_zone_has_twice_wants_an_offset() -> None:
    values = CSV_FRAMES["an hour twice"]
    with pytest.raises(HarmonicError, match="is no time of Europe/Berlin, or two; write it with its offset"):
        _narrowed("d < '2021-10-31 02:30'", values)
    assert _narrowed("d <= '2021-10-31 02:30+01:00'", values).upper == "2021-10-31 01:30"


def test_a_zoned_moment_is_none_of_a_column_without_zone() -> None:
    for column in (
        Column("d", "d", "datetime", "datetime64[s]", resolution="minute"),
        Column("d", "d", "datetime", "str", resolution="minute", pattern="%d.%m.%Y %H:%M"),
        Column("d", "d", "datetime", "period[M]", resolution="day"),
    ):
        with pytest.raises(ValueError, match="has a time zone, and the column has none"):
            moment_of("2019-01-01T10:00:00+05:00", column)


@pytest.mark.parametrize("name", CSV_FRAMES)
@pytest.mark.parametrize("is_category", [False, True])
def test_dates_come_back_from_their_own_csv(name: str, is_category: bool, tmp_path: Path) -> None:
    values = CSV_FRAMES[name]
    frame = pd.DataFrame({"d": pd.Categorical(values) if is_category else values, "n": range(100, 130)})
    frame.loc[3, "d"] = None
    schema = infer_schema(frame)
    path = tmp_path / "t.csv"
    path.write_text(to_csv_text(frame, schema), encoding="utf-8")
    assert_frame_equal(load_table(path, schema), frame, check_exact=True, check_freq=False)
    assert validate(frame, schema) == []
    assert_frame_equal(from_rows(to_rows(frame, schema), schema), frame, check_exact=True, check_freq=False)


@pytest.mark.parametrize(
    ("values", "cell", "message"),
    [
        (MINUTES.tz_localize("UTC"), "2019-01-01 02:02:00", "has no time zone, and the column has one, UTC"),
        (MINUTES, "2019-01-01T10:00:00+05:00", "has a time zone, and the column has none"),
        (pd.Categorical(MINUTES), "2019-01-01T10:00:00+05:00", "has a time zone, and the column has none"),
        (DAYS, "2019-01-05 10:30:45", "is finer than the column's resolution, day"),
        (pd.Categorical(DAYS), "2019-01-05 10:30:45", "is finer than the column's resolution, day"),
        (DAYS.tz_localize("Europe/Berlin"), "2019-01-05 00:30:00+01:00", "is finer than the column's resolution, day"),
        (DAYS.strftime("%Y-%m-%d 00:00"), "2019-01-05 10:30", "is finer than the column's resolution, day"),
        (MINUTES, "2019-01-05 10:30:00.000000001", "is finer than a microsecond"),
        (DAYS, "13.03.2020", "is no date; write it as 2011-05-01"),
        (DAYS.tz_localize("UTC"), "now", "is no date; write it as 2011-05-01"),
        (CSV_FRAMES["months"], "2011-05-17", "is none of the column's periods; write one as 2011-05"),
        (CSV_FRAMES["months"], "today", "is no date; write it as 2011-05-01"),
        (CSV_FRAMES["durations"], "0 days 00:00:01.5", "is finer than the column's resolution, second"),
        (CSV_FRAMES["durations"], "a while", "is no duration; write it as 1 days 02:00:00"),
    ],
)  # fmt: skip
def test_a_date_that_the_column_cannot_hold_is_named_with_its_row(
    values: Any, cell: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(
        HarmonicError, match=f"Column 'd': value {cell!r} in row 0 {message}".replace("+", r"\+")
    ):
        _load(tmp_path, cell, _schema(values))


def test_offsets_other_than_the_zone_s_are_read_as_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("d,n\n2019-01-01 10:00+05:00,1\n2019-07-01 10:00Z,2\n", encoding="utf-8")
    found = load_table(path, _schema(CSV_FRAMES["zoned minutes"]))["d"]
    assert found.tolist() == [pd.Timestamp("2019-01-01 05:00Z"), pd.Timestamp("2019-07-01 10:00Z")]


def test_a_frame_finer_than_the_schema_is_seen_and_one_of_another_zone_refused() -> None:
    schema = _schema(DAYS)
    finer = pd.DataFrame({"d": DAYS[:2] + pd.Timedelta("1h"), "n": [100, 101]})
    assert [problem.row for problem in validate(finer, schema)] == [0, 1]
    with pytest.raises(HarmonicError, match="row 0 is finer than the column's resolution, day"):
        conform(finer, schema)
    with pytest.raises(HarmonicError, match="row 0 has a time zone, and the column has none"):
        conform(finer.assign(d=DAYS[:2].tz_localize("UTC")), schema)
    assert encode_values(finer["d"], schema.column("d"))[1] == [
        "2019-01-01",
        "2019-01-02",
    ]  # cut, where asked so


def test_a_resolution_that_was_declared_cuts() -> None:
    frame = pd.DataFrame({"d": MINUTES, "n": range(100, 130)})
    schema = infer_schema(frame, overrides={"d": {"resolution": "day"}})
    assert to_rows(frame, schema)[0][0] == "2019-01-01"


@pytest.mark.parametrize(
    "values", [DAYS.as_unit("ns") + pd.Timedelta(5, "ns"), pd.to_timedelta(np.arange(30) * 1001, unit="ns")]
)
def test_nanoseconds_are_refused_unless_a_resolution_is_declared(values: Any) -> None:
    with pytest.raises(
        HarmonicError, match="Column 'd': value .* is finer than .*, microsecond.*declare a `resolution`"
    ):
        _schema(values)
    assert (
        _schema(values, overrides={"d": {"resolution": "microsecond"}}).column("d").resolution
        == "microsecond"
    )


def test_whole_numbers_are_no_dates() -> None:
    with pytest.raises(
        HarmonicError, match="value 20190105 in row 0 is a number; write a date as 2011-05-01"
    ):
        conform(pd.DataFrame({"d": [20190105], "n": [1]}), _schema(DAYS))
    with pytest.raises(HarmonicError, match="value 1 in row 0 is a number; write a date"):
        conform(pd.DataFrame({"d": [1], "n": DAYS[:1]}), _schema(DAYS.strftime("%d.%m.%Y")))


def test_a_whole_day_whose_midnight_its_zone_skips_comes_back(tmp_path: Path) -> None:
    schema = _schema(pd.date_range("2019-01-01", periods=30, tz="America/Sao_Paulo"))
    drawn = from_rows([("2018-11-04", "100"), ("2018-11-05", "101")], schema)
    assert drawn["d"].dt.hour.tolist() == [1, 0]
    assert to_rows(drawn, schema) == [("2018-11-04", "100"), ("2018-11-05", "101")]


def test_a_level_of_zoned_dates_is_given_in_its_zone() -> None:
    column = _schema(pd.Categorical(DAYS.tz_localize("Europe/Berlin"))).column("d")
    assert (
        cell_of("2019-01-05", column) == "2019-01-05" == cell_of(DAYS[4].tz_localize("Europe/Berlin"), column)
    )

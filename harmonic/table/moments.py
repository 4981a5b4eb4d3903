"""Dates, periods and durations of one column, from what a frame or a file holds of them to canonical texts.

An index, texts or Python values enter; canonical texts at the column's resolution leave. A text is read as ISO, as the
column's own format or as a period is called, and never guessed at: what "05.03.2020" says must not depend on its day,
nor "now" on the clock. Where a column holds times of a zone, a cell says its offset; in what a person writes, a
condition or a bound, a time without one is a time of the column's zone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.table import dates, dtypes, numbers
from harmonic.table.schema import Column

_PERIOD = re.compile(r"[0-9]{4}(?:Q[1-4])?")
"""A year or a quarter, which need not begin in January."""


def are_held(column: Column) -> bool:
    """Whether the column's values are dates, periods or durations."""
    return column.kind == "datetime" or dtypes.family(column) in ("datetime", "period", "timedelta")


def index_of(uniques: Any) -> Any:
    """The distinct values as an index of dates or durations where they are such, otherwise None."""
    dtype = getattr(uniques, "dtype", None)
    if isinstance(dtype, pd.PeriodDtype):
        return pd.PeriodIndex(uniques).to_timestamp()
    if isinstance(dtype, pd.DatetimeTZDtype) or getattr(dtype, "kind", "") == "M":
        return pd.DatetimeIndex(uniques)
    if getattr(dtype, "kind", "") == "m":
        return pd.TimedeltaIndex(uniques)
    return None


def read_all(values: Sequence[Any], column: Column) -> tuple[Any, dict[int, str]]:
    """Outside texts and Python values as an index, and by place why one cannot be read (it is NaT)."""
    if column.pattern and all(isinstance(value, str) for value in values):
        try:
            return pd.DatetimeIndex(dates.parse_all(values, column.pattern)), {}
        except ValueError:
            pass  # one by one, to name the culprit
    read, made = (read_duration, pd.TimedeltaIndex) if _holds_durations(column) else (_cell, pd.DatetimeIndex)
    found: list[Any] = []
    problems: dict[int, str] = {}
    for place, value in enumerate(values):
        try:
            found.append(read(value, column))
        except (ValueError, ArithmeticError) as error:
            found.append(pd.NaT)
            problems[place] = str(error)
    return made(found), problems


def texts_of(
    index: Any, column: Column, problems: dict[int, str], *, is_exact: bool
) -> tuple[list[str | None], dict[int, str]]:
    """Canonical texts of an index but for the places with problems, and these with what else has no text.

    What is finer than the column's resolution is a problem where the texts must be exact, and is cut otherwise.
    """
    texts = np.full(len(index), None, dtype=object)
    known = np.array([place for place in range(len(index)) if place not in problems], dtype=np.int64)
    misfits = _misfits(index[known], column, is_exact=is_exact)
    problems = {**problems, **{int(known[place]): problem for place, problem in misfits.items()}}
    known = np.delete(known, list(misfits))
    texts[known] = _cut(index[known], column)
    return list(texts), problems


def text_of(value: Any, column: Column) -> str:
    """The canonical text of a value that a person gives. Raises ValueError, its message a predicate."""
    made = pd.TimedeltaIndex if _holds_durations(column) else pd.DatetimeIndex
    read = read_duration(value, column) if _holds_durations(column) else in_zone(value, column)
    (text,), problems = texts_of(made([read]), column, {}, is_exact=True)
    if text is None:
        raise ValueError(problems[0])
    return text


def in_zone(value: Any, column: Column) -> pd.Timestamp:
    """The moment that a person gives: of a zoned column in its zone, in which it is meant where it names no other.

    Raises ValueError, its message a predicate.
    """
    is_text = isinstance(value, str) and not isinstance(dtype_of(column), pd.PeriodDtype)
    moment = pd.Timestamp(_said(value, column.pattern)) if is_text else read_moment(value, column)
    zone = _zone(column)
    if zone is None or moment.tzinfo is not None:
        return _in_own_zone(moment, zone)
    try:
        if column.resolution == "day" and moment == moment.normalize():
            return moment.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        return moment.tz_localize(zone)
    except ValueError:
        raise ValueError(f"is no time of {zone}, or two; write it with its offset") from None


def read_moment(value: Any, column: Column) -> pd.Timestamp:
    """The moment of one outside text or Python value, of a period its start. Raises ValueError, as a predicate."""
    dtype = dtype_of(column)
    if isinstance(value, str):
        if isinstance(dtype, pd.PeriodDtype):
            return _period_start(value, dtype)
        return pd.Timestamp(dates.parse(value, column.pattern))
    if isinstance(value, (dt.date, np.datetime64)):
        return pd.Timestamp(value)
    if isinstance(value, pd.Period):
        return value.to_timestamp()
    what = (
        "is a number; write a date as"
        if isinstance(value, (int, float, np.number))
        else "is no date; write it as"
    )
    raise ValueError(f"{what} 2011-05-01")


def read_duration(value: Any, column: Column) -> pd.Timedelta:
    """The duration of one outside text ("1 days 02:00:00"), Python value or count. Raises ValueError."""
    if isinstance(value, (dt.timedelta, np.timedelta64)):
        return pd.Timedelta(value)
    if isinstance(value, str) and not numbers.NUMBER.fullmatch(value.strip()):
        try:
            found = pd.Timedelta(value)
        except ValueError:
            found = pd.Timedelta("NaT")
        if pd.isna(found):
            raise ValueError("is no duration; write it as 1 days 02:00:00")
        return found
    count = numbers.integer_text(value)
    if "." in count:
        raise ValueError(f"is no whole number of {column.resolution}s")
    return pd.Timedelta(int(count) * dates.UNITS[column.resolution], unit="us")


def _cell(value: Any, column: Column) -> pd.Timestamp:
    return _in_own_zone(read_moment(value, column), _zone(column))


def _in_own_zone(moment: pd.Timestamp, zone: Any) -> pd.Timestamp:
    if problem := _zone_problem(moment.tzinfo, zone):
        raise ValueError(problem)
    return moment if zone is None else moment.tz_convert(zone)


def _zone_problem(given: Any, zone: Any) -> str:
    """Why a moment of the zone `given` is none of a column of `zone`; None is no zone, and "" no problem."""
    if (given is None) == (zone is None):
        return ""
    if zone is None:
        return "has a time zone, and the column has none"
    return f"has no time zone, and the column has one, {zone}: write the offset, as in 2011-05-01 10:00+02:00"


def dtype_of(column: Column) -> Any:
    """The pandas dtype of a column's values: of a category that of its categories."""
    inner = column.category_dtype.removeprefix("ordered:") or "str"
    return pd.api.types.pandas_dtype(inner if column.dtype == "category" else column.dtype)


def _zone(column: Column) -> Any:
    dtype = dtype_of(column)
    return dtype.tz if isinstance(dtype, pd.DatetimeTZDtype) else None


def _holds_durations(column: Column) -> bool:
    return dtypes.family(column) == "timedelta"


def _said(text: str, pattern: str) -> dt.datetime:
    """A date as a person writes it: in the column's own format, or in ISO form, of which a year or month will do."""
    try:
        return dates.parse(text, pattern) if pattern else dates.iso(text, may_be_short=True)
    except ValueError:
        return dates.iso(text, may_be_short=True)


def _period_start(text: str, dtype: pd.PeriodDtype) -> pd.Timestamp:
    """The start of a period, which is called as pandas calls it ("2011Q2", "2011-05-02/2011-05-08") or by its start."""
    first = text.partition("/")[0]
    start = None if _PERIOD.fullmatch(first) else pd.Timestamp(dates.iso(first, may_be_short=True))
    freq = str(dtype).removeprefix("period[").removesuffix("]")
    period = pd.Period(first if start is None else start, freq)
    if start is not None and start.tzinfo is not None:
        raise ValueError("has a time zone, and the column has none")
    if str(period) != text and start != period.to_timestamp():
        raise ValueError(f"is none of the column's periods; write one as {period}")
    return period.to_timestamp()


def _misfits(index: Any, column: Column, *, is_exact: bool) -> dict[int, str]:
    """By place, why a moment cannot stand in the column."""
    if not len(index):
        return {}
    is_duration = isinstance(index, pd.TimedeltaIndex)
    if _holds_durations(column) != is_duration:
        problem = "is no duration" if _holds_durations(column) else "is no date"
    else:
        problem = "" if is_duration else _zone_problem(index.tz, _zone(column))
    if problem:
        return dict.fromkeys(range(len(index)), problem)
    finer = f"is finer than the column's resolution, {column.resolution}"
    return dict.fromkeys(np.flatnonzero(_is_finer(index, column)).tolist(), finer) if is_exact else {}


def _is_finer(index: Any, column: Column) -> NDArray[np.bool_]:
    """Where a moment would not come back from its text."""
    dtype = dtype_of(column)
    if isinstance(dtype, pd.PeriodDtype):
        return np.asarray(pd.PeriodIndex(index, dtype=dtype).to_timestamp() != index)
    if isinstance(dtype, pd.DatetimeTZDtype) and column.resolution == "day":
        days = dates.inside(index.tz_convert(dtype.tz), "day").astype("M8[D]").astype("M8[us]")
        return np.asarray(dates.outside(days, dtype, "day") != index)
    micro = index.as_unit("us")
    return np.asarray((micro != index) | (micro.asi8 % dates.UNITS[column.resolution] != 0))


def _cut(index: Any, column: Column) -> list[str]:
    if not len(index):
        return []
    if isinstance(index, pd.TimedeltaIndex):
        return [str(count) for count in (index.as_unit("us").asi8 // dates.UNITS[column.resolution]).tolist()]
    zone = _zone(column)
    moments = dates.inside(index if zone is None else index.tz_convert(zone), column.resolution)
    try:
        return dates.iso_texts(moments, column.resolution)
    except ValueError as error:
        raise HarmonicError(
            f"Column {column.name!r}: a date {error}. Declare such dates as missing."
        ) from None

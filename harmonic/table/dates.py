"""Dates as canonical text and back, and the formats in which texts hold dates.

Moments enter as datetime64 values, Python dates or outside texts; ISO text at the column's resolution leaves.
Inside, a moment is a count of microseconds without a zone: wall time where a column holds whole days, UTC where
it holds times, so that no hour is ambiguous when a clock is set back. A text column keeps its own format:
`pattern` is accepted only if every value comes back letter by letter.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

UNITS = {
    "day": 86_400_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}
"""Resolutions, coarsest first, in microseconds."""
_NUMPY_UNITS = {"day": "D", "minute": "m", "second": "s", "millisecond": "ms", "microsecond": "us"}
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d",
    "%d.%m.%Y", "%-d.%-m.%Y",
    "%m/%d/%Y", "%d/%m/%Y", "%-m/%-d/%Y", "%-d/%-m/%Y",
    "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d %b %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S.%f", "T%H:%M:%SZ",
          "T%H:%M:%S.%fZ", " %-H:%M", " %-H:%M:%S")  # fmt: skip
PATTERNS = tuple(date + time for time in _TIMES for date in _DATES)
_DATE_LIKE = re.compile(r"\d{1,4}[-/. ](?:\d{1,2}|[A-Za-z]{3})[-/. ]\d{1,4}(?:[ T]\d.*)?", re.ASCII)
_ISO = re.compile(r"[0-9W-]+(?:[ T][0-9:.,]+(?:Z|[+-][0-9:.]+)?)?")
_SHORT = re.compile(r"[0-9]{4}(?:-[0-9]{2})?")
_NANOSECONDS = re.compile(r"[.,][0-9]{6}0*[1-9]")
_TOKEN = re.compile(r"%(-?[A-Za-z])")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SHAPES = {
    "Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "-m": r"[1-9]\d?", "-d": r"[1-9]\d?", "b": f"(?:{'|'.join(_MONTHS)})",
    "H": r"\d{2}", "-H": r"(?:0|[1-9]\d?)", "M": r"\d{2}", "S": r"\d{2}", "f": r"(?:\d{3}|\d{6})",
}  # fmt: skip
_FIRST_YEAR, _LAST_YEAR = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")


def iso_texts(moments: np.ndarray, resolution: str) -> list[str]:
    """ISO texts, cut at `resolution`, of a datetime64[us] array without NaT. Raises ValueError beyond year 9999."""
    if len(moments) and (moments.min() < _FIRST_YEAR or moments.max() > _LAST_YEAR):
        raise ValueError("lies outside the years 1 to 9999")
    unit: Any = _NUMPY_UNITS[resolution]
    texts = np.datetime_as_string(moments.astype("M8[us]"), unit=unit)
    return list(texts.tolist() if resolution == "day" else np.char.replace(texts, "T", " ").tolist())


def moments_of(texts: Sequence[str]) -> np.ndarray:
    """datetime64[us] array of canonical texts. Raises ValueError where one is no ISO date."""
    return np.array([np.datetime64(dt.datetime.fromisoformat(text), "us") for text in texts], dtype="M8[us]")


def resolution_of(counts: np.ndarray) -> str:
    """The coarsest resolution that loses nothing of these microsecond counts."""
    return next(name for name, unit in UNITS.items() if not np.any(counts % unit))


def iso(text: str, *, may_be_short: bool = False) -> dt.datetime:
    """The moment of an ISO text, zoned where it names an offset; short: "2011" and "2011-05". Raises ValueError."""
    whole = text + "-01-01"[len(text) - 4 :] if may_be_short and _SHORT.fullmatch(text) else text
    if _NANOSECONDS.search(whole):
        raise ValueError("is finer than a microsecond")
    try:
        if _ISO.fullmatch(whole):
            return dt.datetime.fromisoformat(whole)
    except ValueError:
        pass
    raise ValueError("is no date; write it as 2011-05-01")


def parse(text: str, pattern: str) -> dt.datetime:
    """The moment of an outside text in `pattern`, or in ISO form where there is none. Raises ValueError."""
    if not pattern:
        return iso(text)
    try:
        return dt.datetime.strptime(text, pattern.replace("%-", "%"))
    except ValueError:
        raise ValueError(f"is not a date like {pattern!r}") from None


def write(moment: dt.datetime, pattern: str, resolution: str) -> str:
    """A moment as outside text; `%f` shows three digits at millisecond resolution."""
    fraction = f"{moment.microsecond:06d}"
    parts = {
        "Y": f"{moment.year:04d}", "m": f"{moment.month:02d}", "d": f"{moment.day:02d}",
        "-m": str(moment.month), "-d": str(moment.day), "b": _MONTHS[moment.month - 1],
        "H": f"{moment.hour:02d}", "-H": str(moment.hour), "M": f"{moment.minute:02d}",
        "S": f"{moment.second:02d}", "f": fraction[:3] if resolution == "millisecond" else fraction,
    }  # fmt: skip
    return _TOKEN.sub(lambda match: parts[match[1]], pattern)


def parse_all(texts: Sequence[str], pattern: str) -> np.ndarray:
    """datetime64[us] array of outside texts, all at once. Raises ValueError where one is no date in `pattern`."""
    if not pattern:
        return np.array([iso(text) for text in texts], dtype="M8[us]")
    series = pd.Series(list(texts), dtype="str")
    return pd.to_datetime(series, format=pattern.replace("%-", "%")).to_numpy().astype("M8[us]")


def patterns_of(values: Sequence[str]) -> list[str]:
    """Every known pattern in which all of these texts are dates that come back letter by letter."""
    if not values or not all(_DATE_LIKE.fullmatch(value) for value in values):
        return []
    return [pattern for pattern in PATTERNS if _fits(values, pattern)]


def _fits(values: Sequence[str], pattern: str) -> bool:
    """A text that has the pattern's shape and is a date is also what the pattern writes for that date."""
    shape = re.compile(
        _TOKEN.sub(lambda match: _SHAPES[match[1]], re.escape(pattern).replace(r"%\-", "%-")), re.ASCII
    )
    if not all(shape.fullmatch(value) for value in values):
        return False
    if "%f" in pattern and len({len(value) for value in values}) > 1:
        return False
    try:
        moments = parse_all(values, pattern)
    except ValueError:
        return False
    resolution = resolution_of(moments.astype("int64"))
    return "%f" not in pattern or write(moments[0].item(), pattern, resolution) == values[0]


def text_resolution(moments: Sequence[dt.datetime]) -> str:
    """The resolution of Python dates."""
    return resolution_of(np.array([np.datetime64(moment, "us") for moment in moments]).astype("int64"))


def resolution_in(index: pd.DatetimeIndex | pd.TimedeltaIndex) -> str:
    """The resolution of an index; "microsecond" where it holds nanoseconds, which no resolution keeps."""
    micro = index.as_unit("us")
    if (micro != index).any():
        return "microsecond"
    if isinstance(micro, pd.TimedeltaIndex) or micro.tz is None:
        return resolution_of(micro.asi8)
    wall, utc = wall_or_utc(micro)
    return "day" if resolution_of(wall.astype("int64")) == "day" else resolution_of(utc.astype("int64"))


def wall_or_utc(index: pd.DatetimeIndex) -> tuple[np.ndarray, np.ndarray]:
    """A zoned index as two datetime64[us] arrays without zone: wall time and UTC."""
    wall = index.tz_localize(None).as_unit("us").to_numpy()
    utc = index.tz_convert("UTC").tz_localize(None).as_unit("us").to_numpy()
    return wall, utc


def inside(index: pd.DatetimeIndex, resolution: str) -> np.ndarray:
    """What the house holds of an index: wall time for whole days, UTC for times; datetime64[us]."""
    if index.tz is None:
        return index.as_unit("us").to_numpy()
    wall, utc = wall_or_utc(index)
    return wall if resolution == "day" else utc


def outside(moments: np.ndarray, dtype: Any, resolution: str) -> pd.DatetimeIndex:
    """The index of exact `dtype` ("datetime64[ns, Europe/Berlin]") of what `inside` gave."""
    target = pd.api.types.pandas_dtype(dtype)
    index = pd.DatetimeIndex(moments)
    if isinstance(target, pd.DatetimeTZDtype):
        return _zoned(index, target, resolution).as_unit(target.unit)
    return pd.DatetimeIndex(index.astype(target))


def _zoned(index: pd.DatetimeIndex, target: pd.DatetimeTZDtype, resolution: str) -> pd.DatetimeIndex:
    if resolution != "day":
        return index.tz_localize("UTC").tz_convert(target.tz)
    # Some zones skip midnight when clocks change: such a day begins an hour later.
    first = np.ones(len(index), dtype=bool)
    return index.tz_localize(target.tz, ambiguous=first, nonexistent="shift_forward")

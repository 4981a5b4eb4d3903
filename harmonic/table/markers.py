"""Missing markers: texts that mean missing, as a person declares them, and the cells that equal one.

Whatever was declared (a text, a number, a date, several) leaves as texts. A cell equals a marker if it is the same
text, or if both say the same number, truth or moment: -9, "-9" and "-9.0" are one marker among numbers, and texts are
compared letter by letter.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import columns, dtypes, numbers
from harmonic.table.schema import Column

INFINITE = {sign + word for sign in ("", "-", "+") for word in "inf Inf INF infinity Infinity".split()}
_TRUTHS = {word: word.lower() for word in ("True", "TRUE", "true", "False", "FALSE", "false")}
_LARGEST_EXACT = 2**53

Overrides = Mapping[Hashable, Mapping[str, Any]]


def marker_texts(missing: Any, subject: str) -> tuple[str, ...]:
    """Declared markers as texts: of one text, number or date, or of several.

    Raises HarmonicError where one is something else.
    """
    is_one = isinstance(missing, (str, bytes)) or not isinstance(missing, Iterable)
    members = [missing] if is_one else list(missing)
    texts = [_marker_text(member, subject) for member in members]
    return tuple(dict.fromkeys(sorted(texts) if isinstance(missing, (set, frozenset)) else texts))


def _marker_text(value: Any, subject: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dt.date, np.datetime64)) and not pd.isna(value):
        return str(pd.Timestamp(value)).removesuffix(" 00:00:00")
    number = None if isinstance(value, (bool, np.bool_)) else _number_key(value)
    if number is None:
        raise HarmonicError(
            f"{subject}: {value!r} is neither a text nor a number nor a date. Pass texts, such as ['NA', '-9']."
        )
    return number


def with_marker_texts(overrides: Mapping[Any, Mapping[str, Any]] | None) -> dict[Hashable, dict[str, Any]]:
    """The overrides with every declared `missing` as a tuple of texts."""
    result = {name: dict(fields) for name, fields in (overrides or {}).items()}
    for name, fields in result.items():
        if fields.get("missing") is not None:
            fields["missing"] = marker_texts(fields["missing"], f"Column {name!r}, missing")
    return result


@dataclass(frozen=True)
class Markers:
    """Markers, and what they say as numbers, truths and moments."""

    texts: frozenset[str]

    @cached_property
    def numbers(self) -> set[str]:
        return {key for text in self.texts if (key := _number_key(text)) is not None}

    @cached_property
    def truths(self) -> set[str]:
        return {_TRUTHS[text] for text in self.texts if text in _TRUTHS}

    @cached_property
    def moments(self) -> set[str]:
        return {key for text in self.texts if (key := _moment_key(text)) is not None}

    def hold(self, value: Any) -> bool:
        """Whether a value of a frame equals a marker."""
        if isinstance(value, str):
            return value in self.texts
        if isinstance(value, (bool, np.bool_)):
            return str(value).lower() in self.truths
        if isinstance(value, (int, float, np.number, Decimal)):
            return bool(self.numbers) and _number_key(value) in self.numbers
        if isinstance(value, dt.date) and self.moments and _moment_key(value.isoformat()) in self.moments:
            return True  # durations and periods are compared as a CSV writes them
        return not self.texts.isdisjoint((str(value), str(value).removesuffix(" 00:00:00")))

    def hold_text(self, text: str, family: str) -> bool:
        """Whether a cell of a file equals a marker in a column that holds values of `family`; a blank number does."""
        if text in self.texts:
            return True
        if family in ("int", "float"):
            return not text.strip() or (bool(self.numbers) and _number_key(text) in self.numbers)
        if family == "datetime":
            return bool(self.moments) and _moment_key(text) in self.moments
        return family == "bool" and _TRUTHS.get(text) in self.truths


def _number_key(value: Any) -> str | None:
    """The canonical text of a number or an infinity; None for everything else."""
    if isinstance(value, str) and value.strip() in INFINITE:
        return "-inf" if value.strip().startswith("-") else "inf"
    try:
        if isinstance(value, (float, np.floating)) and math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return numbers.decimal_text(value, None)
    except (ValueError, ArithmeticError):
        return None


def _moment_key(text: str) -> str | None:
    """The ISO text of a date's wall time; None where the text is no ISO date."""
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=None).isoformat()
    except ValueError:
        return None


def without_markers(series: pd.Series, name: Hashable, texts: Collection[str]) -> pd.Series:
    """The column with the cells that equal a marker made missing; its dtype only widens where it has to."""
    if not texts:
        return series
    markers = Markers(frozenset(texts))
    codes, uniques = columns.distinct(series, name)
    gone = np.append(_held(uniques, markers), False)
    return _masked(series, gone[codes])


def _held(uniques: pd.Index, markers: Markers) -> np.ndarray:
    """Which distinct values equal a marker; of many numbers only those near one are written out to be compared."""
    gone = np.ones(len(uniques), dtype=bool)
    if isinstance(uniques.dtype, np.dtype) and uniques.dtype.kind in "iuf":
        dtype = uniques.dtype if uniques.dtype.kind == "f" else np.dtype("float64")
        with np.errstate(over="ignore"):
            near = np.array([float(text) for text in markers.numbers]).astype(dtype)
        gone = np.isin(np.asarray(uniques).astype(dtype), near)
    gone[gone] = [markers.hold(value) for value in columns.listed(uniques[gone])]
    return gone


def _masked(series: pd.Series, gone: np.ndarray) -> pd.Series:
    """Truths become boolean, and whole numbers that a float would not hold exactly stay whole."""
    if not gone.any():
        return series
    if series.dtype == bool:
        series = series.astype("boolean")
    elif isinstance(series.dtype, np.dtype) and series.dtype.kind in "iu":
        kept = series[~gone]
        if len(kept) and (kept.min() < -_LARGEST_EXACT or kept.max() > _LARGEST_EXACT):
            series = series.astype("UInt64" if series.dtype.kind == "u" else "Int64")
    return series.mask(gone)


def texts_without_markers(series: pd.Series, column: Column) -> pd.Series:
    """The texts of a file's column with those that equal one of its markers made None, and blank ones of numbers."""
    markers, family = Markers(frozenset(column.markers)), dtypes.family(column)
    codes, uniques = pd.factorize(series)
    gone = np.array([*(markers.hold_text(text, family) for text in uniques), False], dtype=bool)
    return series.mask(gone[codes], None)

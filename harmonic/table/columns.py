"""One column between its outside values and its canonical texts, both ways.

A Series and its Column enter `encode_column`, an object array of canonical texts (None: missing) leaves;
`decode_column` goes back to the exact dtype. A column is worked through by its distinct values, so that the
cost is that of the values and not of the rows; a value that cannot be read is named with its row.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import dates, dtypes, numbers
from harmonic.table.schema import Column

_TRUTHS = {True: "true", False: "false"}  # 1 and 0 are equal to these keys
_TRUTH_TEXTS = {
    "true": "true",
    "false": "false",
    "True": "true",
    "False": "false",
    "TRUE": "true",
    "FALSE": "false",
}


def decode_column(texts: Sequence[str | None] | np.ndarray, column: Column) -> pd.Series:
    """Canonical texts as a Series of the column's exact dtype. Raises HarmonicError naming column, value and row."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    codes, uniques = pd.factorize(array)
    try:
        return dtypes.build(list(uniques), codes, column)
    except HarmonicError:
        raise
    except (ValueError, KeyError, ArithmeticError) as error:
        row, text = _culprit(uniques, codes, column)
        message = f"Column {column.name!r}: value {text!r} in row {row} is no {column.kind} of dtype {column.dtype!r}."
        raise HarmonicError(message) from error


def _culprit(uniques: Sequence[str] | np.ndarray, codes: np.ndarray, column: Column) -> tuple[int, str]:
    for code, text in enumerate(uniques):
        try:
            dtypes.build([text], np.zeros(1, dtype=np.int64), column)
        except (ValueError, KeyError, ArithmeticError):
            return int(np.flatnonzero(codes == code)[0]), text
    return 0, str(uniques[0])


def encode_column(series: pd.Series, column: Column) -> np.ndarray:
    """Object array of canonical texts, None where a cell is missing; rare levels become `column.other`.

    Raises HarmonicError naming column, value and row where a cell cannot be read as the column's kind.
    """
    codes, texts, errors = encode_values(series, column)
    if errors:
        code, problem = next(iter(errors.items()))
        row = int(np.flatnonzero(codes == code)[0])
        raise HarmonicError(
            f"Column {column.name!r}: value {problem[0]!r} in row {row} {problem[1]}. "
            "Fix the cell, declare its value as missing or declare the column as text."
        )
    return _spread(texts, codes)


def _spread(texts: Sequence[str | None], codes: np.ndarray) -> np.ndarray:
    table = np.empty(len(texts) + 1, dtype=object)
    table[:-1] = texts
    table[-1] = None
    return table[codes]


def encode_values(
    series: pd.Series, column: Column
) -> tuple[np.ndarray, list[str | None], dict[int, tuple[Any, str]]]:
    """Codes of the rows (-1: missing), canonical texts of the distinct values, and what could not be read by code."""
    codes, uniques = distinct(series, column.name)
    moments = moments_in(uniques)
    values = [] if moments is not None else listed(uniques)
    moments = _parsed(values, column) if moments is None else moments
    if moments is not None:
        return codes, list(_moment_texts(moments, column)), {}
    texts: list[str | None] = []
    errors: dict[int, tuple[Any, str]] = {}
    for code, value in enumerate(values):
        try:
            texts.append(cell_text(value, column))
        except (ValueError, ArithmeticError) as error:
            texts.append(None)
            errors[code] = (value, str(error))
    return codes, texts, errors


def distinct(series: pd.Series, name: Hashable) -> tuple[np.ndarray, Any]:
    """Codes (-1: missing) and the distinct values, in order of appearance. Raises HarmonicError for nested cells."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        all_codes = series.cat.codes.to_numpy().astype(np.int64)
        used = np.unique(all_codes[all_codes >= 0])
        return np.where(all_codes < 0, -1, np.searchsorted(used, all_codes)), series.cat.categories[used]
    try:
        codes, uniques = pd.factorize(series, use_na_sentinel=True)
    except TypeError:
        raise HarmonicError(
            f"Column {name!r}: holds lists or other nested values. Flatten or drop it."
        ) from None
    return codes, uniques


def listed(uniques: Any) -> list[Any]:
    """Distinct values as scalars; float32 stays float32, whose shortest text is another than float64's."""
    array = getattr(uniques, "array", uniques)
    if getattr(array, "dtype", None) in (np.dtype("float32"), np.dtype("float16")):
        return list(np.asarray(array))
    if str(getattr(array, "dtype", "")) == "Float32":
        return list(np.asarray(array, dtype="float32"))
    return list(uniques.tolist())


def moments_in(uniques: Any) -> Any:
    """The distinct values as an index of dates or durations where they are such, otherwise None."""
    dtype = getattr(uniques, "dtype", None)
    if isinstance(dtype, pd.PeriodDtype):
        return pd.PeriodIndex(uniques).to_timestamp()
    if isinstance(dtype, pd.DatetimeTZDtype) or getattr(dtype, "kind", "") == "M":
        return pd.DatetimeIndex(uniques)
    if getattr(dtype, "kind", "") == "m":
        return pd.TimedeltaIndex(uniques)
    return None


def _parsed(values: list[Any], column: Column) -> pd.DatetimeIndex | None:
    """Texts of a date column read at once; None where there are others, or one is no date: then one by one."""
    if column.kind != "datetime" or not column.pattern or not all(isinstance(value, str) for value in values):
        return None
    try:
        return pd.DatetimeIndex(dates.parse_all(values, column.pattern))
    except ValueError:
        return None


def _moment_texts(index: Any, column: Column) -> list[str]:
    if isinstance(index, pd.TimedeltaIndex):
        counts = index.as_unit("us").asi8 if index.unit != "us" else index.asi8
        return [str(count) for count in (counts // dates.UNITS[column.resolution]).tolist()]
    try:
        return dates.iso_texts(dates.inside(index, column.resolution), column.resolution)
    except ValueError as error:
        raise HarmonicError(
            f"Column {column.name!r}: a date {error}. Declare such dates as missing."
        ) from None


def cell_text(value: Any, column: Column) -> str:
    """The canonical text of one value that is not missing. Raises ValueError, its message a predicate."""
    if column.kind == "integer":
        return (
            _duration_text(value, column)
            if column.dtype.startswith("timedelta")
            else numbers.integer_text(value)
        )
    if column.kind == "decimal":
        return numbers.decimal_text(value, column.decimals)
    if column.kind == "boolean":
        return _truth_text(value)
    if column.kind == "datetime":
        return _date_text(value, column)
    text = _plain_text(value, column)
    return column.other if column.other and text not in column.levels else text


def _truth_text(value: Any) -> str:
    known = _TRUTH_TEXTS.get(value) if isinstance(value, str) else _TRUTHS.get(value)
    if known is None:
        raise ValueError("is not true or false")
    return known


def _date_text(value: Any, column: Column) -> str:
    dtype = pd.api.types.pandas_dtype(column.dtype) if isinstance(value, str) and not column.pattern else None
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _moment_texts(pd.DatetimeIndex([pd.Timestamp(value).tz_convert(dtype.tz)]), column)[0]
    if isinstance(dtype, pd.PeriodDtype):
        return _moment_texts(pd.DatetimeIndex([pd.Period(value, column.dtype[7:-1]).to_timestamp()]), column)[
            0
        ]
    moment = dates.parse(value, column.pattern) if isinstance(value, str) else value
    return dates.iso_texts(np.array([np.datetime64(moment, "us")]), column.resolution)[0]


def _duration_text(value: Any, column: Column) -> str:
    """A duration that a CSV holds as text ("1 days 02:00:00"), counted in the column's resolution."""
    if isinstance(value, str) and not numbers.INTEGER.fullmatch(value):
        return _moment_texts(pd.TimedeltaIndex([pd.Timedelta(value)]), column)[0]
    return numbers.integer_text(value)


def _plain_text(value: Any, column: Column) -> str:
    """Text of a level: texts as they are, numbers in their shortest form, truths as words."""
    family = dtypes.family(column)
    if isinstance(value, str) and family == "str":
        return value
    if family == "bool":
        return _truth_text(value)
    if family in ("int", "float", "timedelta"):
        return numbers.decimal_text(value, None)
    if family in ("datetime", "period"):
        return _date_text(value, column)
    return _truth_text(value) if isinstance(value, (bool, np.bool_)) else str(value)

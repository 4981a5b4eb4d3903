"""One column between its outside values and its canonical texts, both ways.

A Series and its Column enter `encode_column`, an object array of canonical texts (None: missing) leaves;
`decode_column` goes back to the exact dtype. A column is worked through by its distinct values, so that the
cost is that of the values and not of the rows; a value that cannot be read is named with its row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import dtypes, moments, numbers
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

    Raises HarmonicError naming column, value and row where a cell cannot be read as the column's kind, or is finer
    than its resolution, unless a person declared that resolution.
    """
    codes, texts, errors = encode_values(series, column, is_exact="resolution" not in column.declared)
    if errors:
        code, problem = next(iter(errors.items()))
        row = int(np.flatnonzero(codes == code)[0])
        raise HarmonicError(
            f"Column {column.name!r}: value {problem[0]!r} in row {row} {problem[1]}. {_remedy(problem[1])}"
        )
    return _spread(texts, codes)


def _remedy(problem: str) -> str:
    is_finer = problem.startswith("is finer")
    other = "a `resolution`, to which all are cut" if is_finer else "the column as text"
    return f"Fix the cell, declare its value as missing or declare {other}."


def _spread(texts: Sequence[str | None], codes: np.ndarray) -> np.ndarray:
    table = np.empty(len(texts) + 1, dtype=object)
    table[:-1] = texts
    table[-1] = None
    return table[codes]


def encode_values(
    series: pd.Series, column: Column, *, is_exact: bool = False
) -> tuple[np.ndarray, list[str | None], dict[int, tuple[Any, str]]]:
    """Codes of the rows (-1: missing), canonical texts of the distinct values, and what could not be read by code.

    Dates and durations are cut at the column's resolution, unless the texts must be exact.
    """
    codes, uniques = distinct(series, column.name)
    values = listed(uniques)
    read = (
        _moment_texts(uniques, values, column, is_exact)
        if moments.are_held(column)
        else _texts(values, column)
    )
    return codes, read[0], {code: (values[code], problem) for code, problem in read[1].items()}


def _texts(values: list[Any], column: Column) -> tuple[list[str | None], dict[int, str]]:
    texts: list[str | None] = []
    problems: dict[int, str] = {}
    for code, value in enumerate(values):
        try:
            texts.append(cell_text(value, column))
        except (ValueError, ArithmeticError) as error:
            texts.append(None)
            problems[code] = str(error)
    return texts, problems


def _moment_texts(
    uniques: Any, values: list[Any], column: Column, is_exact: bool
) -> tuple[list[str | None], dict[int, str]]:
    index = moments.index_of(uniques)
    if index is not None:
        return moments.texts_of(index, column, {}, is_exact=is_exact)
    index, problems = moments.read_all(values, column)
    return moments.texts_of(index, column, problems, is_exact=is_exact)


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


def cell_text(value: Any, column: Column) -> str:
    """The canonical text of one value that is not missing. Raises ValueError, its message a predicate."""
    if column.kind == "integer" and dtypes.family(column) == "timedelta":
        return numbers.integer_text(value) if _is_count(value) else moments.text_of(value, column)
    if column.kind == "integer":
        return numbers.integer_text(value)
    if column.kind == "decimal":
        return numbers.decimal_text(value, column.decimals)
    if column.kind == "boolean":
        return _truth_text(value)
    text = moments.text_of(value, column) if moments.are_held(column) else _plain_text(value, column)
    return column.other if column.other and text not in column.levels else text


def _is_count(value: Any) -> bool:
    """Whether a duration is given as a count of the column's resolution, which may lie between two."""
    return not isinstance(value, (str, dt.timedelta, np.timedelta64)) or (
        isinstance(value, str) and numbers.NUMBER.fullmatch(value.strip()) is not None
    )


def _truth_text(value: Any) -> str:
    known = _TRUTH_TEXTS.get(value) if isinstance(value, str) else _TRUTHS.get(value)
    if known is None:
        raise ValueError("is not true or false")
    return known


def _plain_text(value: Any, column: Column) -> str:
    """Text of a level: texts as they are, numbers in their shortest form, truths as words."""
    family = dtypes.family(column)
    if isinstance(value, str) and family == "str":
        return value
    if family == "bool":
        return _truth_text(value)
    if family == "int":
        return numbers.integer_text(value)
    if family == "float":
        return numbers.decimal_text(value, None)
    return _truth_text(value) if isinstance(value, (bool, np.bool_)) else str(value)

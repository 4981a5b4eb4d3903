"""Texts of one column into the dtype that its values deserve, or into one that a person declares.

Never by a reader's own guesses: truths, whole numbers, numbers, or else texts as they stand. A declared dtype that a
cell cannot take is an error that names the cell.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table.markers import INFINITE
from harmonic.table.numbers import INTEGER, NUMBER

_TRUTHS = ({"True", "False"}, {"TRUE", "FALSE"}, {"true", "false"})
_TRUTH_WORDS = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}
_NO_TRUTH = 2.0
_EXACT_FLOAT = 2**53
_LONGEST_WHOLE = 20
"""Characters of the longest whole number of 64 bits."""
_LONGEST_SHOWN = 60
_REFUSALS = (ValueError, TypeError, ArithmeticError, NotImplementedError)
"""What pandas and its extension dtypes raise, each in its own way, for a dtype or a value that they do not take."""


def typed_column(
    cells: np.ndarray, markers: Collection[str], name: Hashable, *, decimal: str = ".", dtype: Any = None
) -> pd.Series:
    """One column of texts in `dtype`, or in that of its values: truth, whole number, number, or text.

    Whole numbers with missing cells are float64 as pandas would have it, or Int64 where a float would not be
    exact. Numbers with leading zeros or more digits than 64 bits hold stay texts.
    """
    codes, uniques = pd.factorize(np.asarray(cells, dtype=object))
    absent = np.array([text in markers for text in uniques], dtype=bool)
    present = [text for text, gone in zip(uniques, absent, strict=True) if not gone]
    place = np.full(len(uniques) + 1, -1, dtype=np.int64)
    place[:-1][~absent] = np.arange(len(present))
    codes = place[codes]
    values = (
        _converted(present, decimal, bool((codes < 0).any()))
        if dtype is None
        else pd.array(present, dtype="str")
    )
    series = pd.Series(values).reindex(range(len(present) + 1)) if (codes < 0).any() else pd.Series(values)
    result = series.take(np.where(codes < 0, len(present), codes)).reset_index(drop=True)
    return result if dtype is None else cast(result, dtype, name, decimal=decimal)


def _converted(present: list[str], decimal: str, has_missing: bool) -> Any:
    if not present:
        return pd.array([], dtype="float64")
    if any({*present} <= words for words in _TRUTHS):
        truths = [text.lower() == "true" for text in present]
        return pd.array(truths, dtype="boolean" if has_missing else "bool")
    texts = [text.strip().replace(",", ".") if decimal == "," else text.strip() for text in present]
    if all(INTEGER.fullmatch(text) for text in texts):
        return _integers(texts, present, has_missing)
    if all(NUMBER.fullmatch(text) or text in INFINITE for text in texts):
        return np.array([float(text) for text in texts], dtype="float64")
    return pd.array(present, dtype="str")


def _integers(texts: list[str], present: list[str], has_missing: bool) -> Any:
    if max(map(len, texts)) > _LONGEST_WHOLE:
        return pd.array(present, dtype="str")
    values = [int(text) for text in texts]
    low, high = min(values), max(values)
    if low < -(2**63) or high >= (2**64 if low >= 0 else 2**63):
        return pd.array(present, dtype="str")
    wide = "UInt64" if high >= 2**63 else "Int64"
    if not has_missing:
        return np.array(values, dtype=wide.lower())
    if max(-low, high) < _EXACT_FLOAT:
        return np.array(values, dtype="float64")
    return pd.Series(values, dtype=pd.api.types.pandas_dtype(wide)).array


def cast(series: pd.Series, dtype: Any, name: Hashable, *, decimal: str = ".") -> pd.Series:
    """The column in a declared dtype.

    Raises HarmonicError where that is no dtype, or naming the first cell that it cannot hold.
    """
    try:
        target = pd.api.types.pandas_dtype(dtype)
    except _REFUSALS:
        raise HarmonicError(
            f"Column {name!r}: dtype {dtype!r} is unknown. Declare one of pandas, such as 'str', 'Int64' or 'float64'."
        ) from None
    if series.dtype == target:
        return series
    if decimal == "," and pd.api.types.is_numeric_dtype(target):
        series = series.str.replace(",", ".", regex=False)
    try:
        return _as(series, target)
    except _REFUSALS:
        raise _refusal(series, target, name) from None


def _as(series: pd.Series, target: Any) -> pd.Series:
    """`astype` that changes no value: nothing is cut or wrapped, and texts are truths by their words."""
    is_truth = pd.api.types.is_bool_dtype(target)
    if is_truth and isinstance(series.dtype, pd.StringDtype):
        words = series.str.strip().str.lower()
        series = words.map(_TRUTH_WORDS).where(words.isna() | words.isin(list(_TRUTH_WORDS)), _NO_TRUTH)
    if isinstance(target, np.dtype) and target.kind == "b" and series.isna().any():
        raise ValueError("a missing cell would become a truth")
    result = series.astype(target)
    is_whole = is_truth or pd.api.types.is_integer_dtype(target)
    if is_whole and pd.api.types.is_numeric_dtype(series.dtype):
        present = series.notna()
        if (result[present].astype(series.dtype) != series[present]).any():
            raise ValueError("a value would change")
    return result


def _refusal(series: pd.Series, target: Any, name: Hashable) -> HarmonicError:
    """What a dtype cannot hold: the first value that alone is refused, or else the missing cells."""
    present = pd.Series(series.dropna().unique(), dtype=series.dtype)
    if not _is_refused(present, target):
        return HarmonicError(
            f"Column {name!r}: a missing cell cannot stand in dtype {str(target)!r}. "
            "Declare a dtype that holds missing cells (Int64, boolean, float64) or fill the cell."
        )
    while len(present) > 1:
        first = present.iloc[: len(present) // 2]
        present = first if _is_refused(first, target) else present.iloc[len(present) // 2 :]
    shown = repr(present.tolist()[0])
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
    row = int(np.flatnonzero((series == present.iloc[0]).fillna(False))[0])
    return HarmonicError(
        f"Column {name!r}: value {shown} in row {row} cannot be read as dtype {str(target)!r}. "
        "Mend the cell, declare its value as missing, or declare another dtype."
    )


def _is_refused(series: pd.Series, target: Any) -> bool:
    try:
        _as(series, target)
    except _REFUSALS:
        return True
    return False

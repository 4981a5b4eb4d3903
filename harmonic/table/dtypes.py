"""The outside of a column: which dtype it has, and values of that exact dtype from canonical texts.

A pandas Series enters `describe`, which names what no other room needs to know (dtype, categories, Python type
of object cells); texts enter `build`, and a Series of the described dtype leaves. What cannot be given back
exactly (sparse, Arrow, bytes, nested or mixed objects) is refused by name instead of being approximated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import dates
from harmonic.table.schema import Column

Family = Literal["int", "float", "bool", "str", "datetime", "timedelta", "period"]
_ELEMENTS = {
    "string": "str", "boolean": "bool", "integer": "int", "floating": "float", "mixed-integer-float": "float",
    "decimal": "Decimal", "date": "date", "datetime": "datetime", "datetime64": "datetime", "empty": "str",
}  # fmt: skip
_FAMILIES: dict[str, Family] = {
    "str": "str", "bool": "bool", "int": "int", "float": "float", "Decimal": "float", "date": "datetime",
    "datetime": "datetime",
}  # fmt: skip
_REMEDY = "Convert the column, or declare it as categorical or text."


def dtype_name(dtype: Any) -> str:
    """The text from which `pandas_dtype` makes the same dtype again ("category" alone needs more)."""
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(dtype, pd.ArrowDtype):
        return f"Arrow {dtype}"
    if isinstance(dtype, pd.StringDtype) and dtype.na_value is pd.NA:
        return f"string[{dtype.storage}]"
    return str(dtype)


def family_of(dtype: str, element: str = "", category_dtype: str = "") -> Family:
    """What kind of values a dtype holds. Raises HarmonicError for a dtype that is not supported."""
    if dtype == "category":
        return family_of(category_dtype.removeprefix("ordered:"), element or "str")
    if dtype == "object":
        return _FAMILIES[element or "str"]
    if dtype in ("str", "string") or dtype.startswith("string["):
        return "str"
    for prefix, family in (("datetime64", "datetime"), ("timedelta64", "timedelta"), ("period[", "period")):
        if dtype.startswith(prefix):
            return family  # type: ignore[return-value]
    lower = dtype.lower()
    if lower in ("bool", "boolean"):
        return "bool"
    if lower.lstrip("u") in ("int8", "int16", "int32", "int64"):
        return "int"
    if lower in ("float16", "float32", "float64"):
        return "float"
    raise HarmonicError(f"dtype {dtype!r} is not supported. {_REMEDY}")


def family(column: Column) -> Family:
    """What kind of values a column holds outside."""
    return family_of(column.dtype, column.element, column.category_dtype)


def element_of(values: Any, name: Hashable) -> str:
    """The Python type of the cells of an object array. Raises HarmonicError where types are mixed or unknown."""
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found not in _ELEMENTS:
        types = sorted(
            {type(value).__name__ for value in values if not pd.api.types.is_scalar(value) or pd.notna(value)}
        )
        raise HarmonicError(
            f"Column {name!r}: holds values of the types {', '.join(types)}, of which one is expected. {_REMEDY}"
        )
    if found == "datetime" and any(getattr(value, "tzinfo", None) for value in values):
        raise HarmonicError(
            f"Column {name!r}: holds zoned times as objects, a datetime64 dtype is expected. "
            "Convert it with pandas.to_datetime(..., utc=True)."
        )
    return _ELEMENTS[found]


def describe(series: pd.Series, name: Hashable, *, as_text: bool = False) -> dict[str, Any]:
    """The fields dtype, category_dtype and element of a column; `as_text` takes mixed objects as texts."""
    dtype = dtype_name(series.dtype)
    fields: dict[str, Any] = {"dtype": dtype}
    if isinstance(series.dtype, pd.CategoricalDtype):
        inner = series.cat.categories
        fields["category_dtype"] = ("ordered:" if series.cat.ordered else "") + dtype_name(inner.dtype)
        if inner.dtype == object:
            fields["element"] = element_of(inner, name)
    elif dtype == "object":
        fields["element"] = "str" if as_text else element_of(series.to_numpy(), name)
    try:
        family_of(dtype, fields.get("element", ""), fields.get("category_dtype", ""))
    except HarmonicError as error:
        raise HarmonicError(f"Column {name!r}: {error}") from None
    return fields


def build(texts: Sequence[str], codes: np.ndarray, column: Column) -> pd.Series:
    """A Series of the column's exact dtype: row i holds `texts[codes[i]]`, or a missing cell where the code is -1.

    Raises ValueError where a text is no value of the column, HarmonicError where missing cannot stand.
    """
    if column.dtype == "category":
        return _categorical(texts, codes, column)
    taken = _take(_values(texts, column), codes, column)
    return pd.Series(taken, dtype=taken.dtype)  # said: pandas would guess str of objects


def _categorical(texts: Sequence[str], codes: np.ndarray, column: Column) -> pd.Series:
    names = column.categories or column.levels
    inner = column.category_dtype.removeprefix("ordered:") or "str"
    categories = pd.Index(_values(names, column, inner), dtype=inner)
    dtype = pd.CategoricalDtype(categories, ordered=column.category_dtype.startswith("ordered:"))
    place = {text: position for position, text in enumerate(names)}
    unknown = [text for text in texts if text not in place]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no category")
    codes_of = np.array([place[text] for text in texts] + [-1], dtype=np.int64)
    return pd.Series(pd.Categorical.from_codes(codes_of[codes], dtype=dtype))


def _take(values: Any, codes: np.ndarray, column: Column) -> Any:
    has_missing = bool((codes < 0).any())
    if not has_missing:
        return values.take(codes)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub":
        raise HarmonicError(
            f"Column {column.name!r}: a missing cell cannot stand in dtype {column.dtype!r}. "
            "Make the column nullable (Int64, boolean, float64) or fill the cell."
        )
    if isinstance(values, np.ndarray):
        missing = (
            None
            if values.dtype == object
            else np.array("NaT" if values.dtype.kind in "mM" else "nan", values.dtype)
        )
        padded = np.empty(len(values) + 1, dtype=values.dtype)
        padded[:-1], padded[-1] = values, missing
        return padded.take(codes)
    return values.take(codes, allow_fill=True)


def _values(texts: Sequence[str], column: Column, dtype: str | None = None) -> Any:
    """The array of the values that these texts stand for; numpy where pandas keeps numpy."""
    dtype = dtype or column.dtype
    if dtype == "object":
        values = np.empty(len(texts), dtype=object)
        values[:] = [_OBJECTS[column.element or "str"](text, column) for text in texts]
        return values
    kind = family_of(dtype)
    if kind == "datetime":
        return dates.outside(dates.moments_of(texts), dtype, column.resolution).array
    if kind == "period":
        return pd.PeriodIndex(pd.DatetimeIndex(dates.moments_of(texts)), dtype=dtype).array
    if kind == "timedelta":
        unit = dates.UNITS[column.resolution]
        return pd.array(np.array([int(text) * unit for text in texts], dtype="m8[us]").astype(dtype))
    plain = [_PLAIN[kind](text, column) for text in texts]
    target = pd.api.types.pandas_dtype(dtype)
    if isinstance(target, np.dtype):
        return np.array(plain, dtype=target)
    return pd.Series(plain, dtype=target).array


def _text(text: str, column: Column) -> str:
    if column.kind == "datetime" and column.pattern:
        return dates.write(dates.parse(text, ""), column.pattern, column.resolution)
    return text


def _whole(text: str, column: Column) -> int:
    return {"true": 1, "false": 0}[text] if column.kind == "boolean" else int(text)


def _float(text: str, column: Column) -> float:
    return float(_whole(text, column)) if column.kind == "boolean" else float(text)


def _truth(text: str, column: Column) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is neither 'true' nor 'false'")
    return text == "true"


_PLAIN: dict[str, Callable[[str, Column], Any]] = {
    "str": _text,
    "int": _whole,
    "float": _float,
    "bool": _truth,
}
_OBJECTS: dict[str, Callable[[str, Column], Any]] = {
    "str": _text,
    "int": _whole,
    "float": _float,
    "bool": _truth,
    "Decimal": lambda text, column: Decimal(text),
    "date": lambda text, column: dt.date.fromisoformat(text),
    "datetime": lambda text, column: dt.datetime.fromisoformat(text),
}

"""Which kind a column is, and why: one rule after another, the first that fits decides.

The facts of one column enter (distinct values, counts, dtype, what a person declared); a Column without levels
and bounds leaves, with the reason as half a sentence. The rules read values, not names, except for identifiers:
a table must mean the same whatever its columns are called.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import columns, dates, dtypes, identifiers, moments, numbers, steps
from harmonic.table.policy import Policy
from harmonic.table.schema import Column

_HOLDS: dict[str, tuple[str, ...]] = {
    "integer": ("int", "float", "str", "timedelta"),
    "decimal": ("float", "str"),
    "boolean": ("bool", "int", "float"),
    "categorical": ("int", "float", "bool", "str", "datetime", "timedelta", "period"),
    "datetime": ("datetime", "period", "str"),
    "text": ("str",),
    "constant": ("int", "float", "bool", "str", "datetime", "timedelta", "period"),
    "identifier": ("int", "float", "str"),
}
"""Which families of values each kind can be declared for."""
_PLAIN_OVERRIDES = ("decimals", "resolution", "pattern")
_MARKERS = ("", "NA", "nan", "null", "?", "<missing>")
_LARGEST_WHOLE = 2**53
_ROWS_PER_VALUE = 5
_SMALL_TABLE = 50
_FEW_TEXTS = 20


@dataclass(frozen=True)
class Facts:
    """What one column shows: everything that the rules may look at."""

    name: Hashable
    label: str
    fields: dict[str, Any]
    """dtype, category_dtype, element."""
    family: str
    values: list[Any]
    """Distinct values in order of appearance, as Python scalars; dates as an index."""
    n_rows: int
    n_missing: int
    is_target: bool
    declared: Mapping[str, Any]
    resolution: str = ""
    categories: tuple[str, ...] = ()

    @property
    def n_present(self) -> int:
        return self.n_rows - self.n_missing

    @property
    def n_values(self) -> int:
        return len(self.values)


def facts_of(
    series: pd.Series, name: Hashable, label: str, is_target: bool, declared: Mapping[str, Any]
) -> Facts:
    """Reads a column once. Raises HarmonicError for an unsupported dtype, an infinity, or what is no number."""
    fields = dtypes.describe(
        series, name, as_text=declared.get("kind") in ("categorical", "text", "identifier")
    )
    family = dtypes.family_of(**fields)
    codes, uniques = columns.distinct(series, name)
    index = moments.index_of(uniques)
    shown = moments.index_of(series.cat.categories) if fields["dtype"] == "category" else index
    values = list(index) if index is not None else columns.listed(uniques)
    _check_finite(values, codes, name)
    if declared.get("kind") == "decimal":
        _check_numbers(values, codes, name)
    return Facts(
        name=name, label=str(declared.get("label", label)), fields=fields, family=family, values=values,
        n_rows=len(series), n_missing=int((codes < 0).sum()), is_target=is_target, declared=declared,
        resolution=str(declared.get("resolution") or _resolution(shown, values, family)),
        categories=_categories(series, fields, family),
    )  # fmt: skip


def nearest(name: Any, known: Iterable[Any]) -> str:
    """The remedy of an unknown name: the nearest known one, or all of them."""
    names = [str(other) for other in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(names)}."


def _check_finite(values: list[Any], codes: np.ndarray, name: Hashable) -> None:
    for code, value in enumerate(values):
        if isinstance(value, (float, np.floating)) and math.isinf(value):
            row = int(np.flatnonzero(codes == code)[0])
            raise HarmonicError(
                f"Column {name!r}: value {value} in row {row} is infinite, a finite number is expected. "
                "Replace it, or declare 'inf' and '-inf' as missing."
            )


def _check_numbers(values: list[Any], codes: np.ndarray, name: Hashable) -> None:
    for code, value in enumerate(values):
        try:
            numbers.number_of(value)
        except ValueError as error:
            row = int(np.flatnonzero(codes == code)[0])
            raise HarmonicError(
                f"Column {name!r}: value {value!r} in row {row} {error}. "
                "Fix the cell, declare its value as missing or declare the column as text."
            ) from None


def _resolution(index: Any, values: list[Any], family: str) -> str:
    if index is not None and len(index):
        return dates.resolution_in(index)
    if family == "datetime" and values:
        return dates.text_resolution(values)
    return "day" if family in ("datetime", "timedelta", "period") else ""


def _categories(series: pd.Series, fields: Mapping[str, Any], family: str) -> tuple[str, ...]:
    if fields["dtype"] != "category":
        return ()
    everything = pd.Series(series.cat.categories)
    index = moments.index_of(series.cat.categories)
    probe = Column("", "", "categorical", **fields, resolution=_resolution(index, list(everything), family))
    return tuple(columns.encode_column(everything, probe).tolist())


def infer_column(facts: Facts, policy: Policy) -> tuple[Column, str]:
    """The column that these facts make, and the reason as half a sentence."""
    base = _base(facts)
    kind, reason, extra = _decide(facts, policy)
    chosen = {key: facts.declared[key] for key in _PLAIN_OVERRIDES if key in facts.declared}
    fields: Any = {**base, **extra, **chosen, "kind": kind}
    column = steps.declared(_canonical(Column(**fields), facts.declared), facts.declared)
    if kind not in _HOLDS or facts.family not in _HOLDS[kind]:
        raise HarmonicError(
            f"Column {facts.name!r}: kind {kind!r} was declared, but dtype {column.dtype!r} cannot hold it. "
            f"Convert the column or declare one of {[k for k, held in _HOLDS.items() if facts.family in held]}."
        )
    if facts.n_missing and kind != "constant":
        reason += "; some cells are missing"
    return column, reason


def _base(facts: Facts) -> dict[str, Any]:
    declared = {
        key: value for key, value in facts.declared.items() if key not in ("missing", "label", "dtype")
    }
    fields: dict[str, Any] = {
        "name": facts.name,
        "label": facts.label,
        **facts.fields,
        "resolution": facts.resolution,
    }
    fields |= {
        "categories": facts.categories,
        "markers": _markers(facts),
        "declared": tuple(sorted(declared)),
    }
    return fields


def _canonical(column: Column, declared: Mapping[str, Any]) -> Column:
    """The column with the declared levels and bounds as canonical texts."""
    if "levels" in declared:
        levels = tuple(_declared_text("levels", level, column) for level in declared["levels"])
        column = replace(column, levels=tuple(dict.fromkeys(levels)))
    for key in ("lower", "upper"):
        if key in declared and column.kind != "constant":
            _check_order(key, declared, column)
            bound: Any = {key: _declared_text(key, declared[key], column)}
            column = replace(column, **bound)
    return column


def _check_order(key: str, declared: Mapping[str, Any], column: Column) -> None:
    """Raises HarmonicError for a bound of what has no order; numbers that are few enough for levels may have one."""
    are_numbers = "kind" not in declared and dtypes.family(column) in ("bool", "int", "float")
    if column.kind not in ("integer", "decimal", "datetime") and not are_numbers:
        raise HarmonicError(
            f"Column {column.name!r}: {key} {declared[key]!r} was declared, but the column is {column.kind}. Declare "
            f"its kind as integer, decimal or datetime, or leave {key} out."
        )


def _declared_text(key: str, value: Any, column: Column) -> str:
    try:
        return columns.cell_text(value, column)
    except (ValueError, ArithmeticError) as error:
        raise HarmonicError(
            f"Column {column.name!r}: {key} {value!r} was declared, but {value!r} {error}. Correct it."
        ) from None


def _markers(facts: Facts) -> tuple[str, ...]:
    """What stands for missing in a CSV of this table: the empty cell, unless the empty text is a value."""
    declared = facts.declared.get("missing")
    markers = [declared] if isinstance(declared, str) else list(declared or ())
    taken = {value for value in facts.values if isinstance(value, str)}
    free = next((marker for marker in _MARKERS if marker not in taken), _MARKERS[-1])
    return tuple(dict.fromkeys([free, *markers]))


def _decide(facts: Facts, policy: Policy) -> tuple[str, str, dict[str, Any]]:
    """Kind, reason, further fields."""
    if "kind" in facts.declared:
        return str(facts.declared["kind"]), "as declared", _extra(facts, str(facts.declared["kind"]), policy)
    if facts.n_values == 0:
        return "constant", "every cell is missing", {}
    if facts.n_values == 1 and not facts.n_missing and not facts.declared.get("levels"):
        return "constant", "every row has the same value", {}
    if facts.fields["dtype"] == "category" or "levels" in facts.declared:
        return "categorical", "its values are declared categories", {}
    if facts.family == "bool":
        return "boolean", f"dtype {facts.fields['dtype']}", {}
    if facts.family in ("int", "float"):
        return _decide_number(facts, policy)
    if facts.family in ("datetime", "period"):
        return "datetime", f"dates at the resolution of a {facts.resolution}", {}
    if facts.family == "timedelta":
        return "integer", f"durations counted in {facts.resolution}s", {}
    return _decide_text(facts, policy)


def _decide_number(facts: Facts, policy: Policy) -> tuple[str, str, dict[str, Any]]:
    values = facts.values
    whole = (
        all(value == int(value) and abs(value) < _LARGEST_WHOLE for value in values) or facts.family == "int"
    )
    if whole and not facts.is_target and not facts.n_missing:
        integers = [int(value) for value in values]
        pattern = identifiers.integer_pattern(integers, facts.label, facts.n_rows)
        if pattern and facts.family == "int" and facts.fields["dtype"] != "object":
            pattern = identifiers.fitting(pattern, int(np.iinfo(facts.fields["dtype"].lower()).max))
        if pattern:
            return (
                "identifier",
                "unique whole numbers that only number the rows; made afresh",
                {"pattern": pattern},
            )
    if few := _is_class(facts, whole, policy):
        return "categorical", few, {}
    if whole:
        return "integer", f"{facts.n_values} distinct whole numbers", {}
    return _decide_decimal(facts, policy)


def _is_class(facts: Facts, whole: bool, policy: Policy) -> str:
    """Why a number column is categorical; "" where it is a quantity."""
    n = facts.n_values
    if facts.n_values == 1 or set(facts.values) <= {0, 1}:
        return "only the values 0 and 1" if facts.n_values > 1 else "a single value or missing"
    if facts.is_target and whole and n <= policy.target_values and (n == 2 or facts.n_present >= 2 * n):
        return f"the target has {n} distinct whole numbers, at most {policy.target_values} make a class"
    if facts.is_target and n > 2:
        return ""
    if n <= policy.few_values and facts.n_present >= _ROWS_PER_VALUE * n:
        return f"{n} distinct numbers, at most {policy.few_values} make a category"
    return ""


def _decide_decimal(facts: Facts, policy: Policy) -> tuple[str, str, dict[str, Any]]:
    texts = [
        numbers.shortest(value) if not _is_decimal(value) else numbers.plain(value) for value in facts.values
    ]
    decimals, rounds = numbers.decimals_for(texts, policy.digits)
    extremes = (min(facts.values), max(facts.values))
    longest = max(len(numbers.decimal_text(int(value), 0)) for value in extremes) + 1 + decimals
    if max(longest, decimals) <= numbers.LONGEST_NUMBER:
        said = f"{decimals} decimal places"
        said += f" (rounded: its values show more than {policy.digits} significant digits)" if rounds else ""
        return "decimal", said, {"decimals": decimals}
    if facts.n_values <= policy.max_levels:
        return (
            "categorical",
            f"numbers of more than {numbers.LONGEST_NUMBER} characters, kept as {facts.n_values} levels",
            {},
        )
    raise HarmonicError(
        f"Column {facts.name!r}: its numbers take {longest} characters without exponent, at most "
        f"{numbers.LONGEST_NUMBER} can be written digit by digit. Rescale the column, for instance to logarithms."
    )


def _is_decimal(value: Any) -> bool:
    return type(value).__name__ == "Decimal"


def _decide_text(facts: Facts, policy: Policy) -> tuple[str, str, dict[str, Any]]:
    values = [str(value) for value in facts.values]
    _check_unicode(facts.name, values)
    if patterns := dates.patterns_of(values):
        return "datetime", _pattern_reason(patterns), _date_fields(values, patterns[0])
    pattern = "" if facts.is_target else identifiers.text_pattern(values, facts.label, facts.n_rows)
    if pattern:
        return "identifier", f"texts of the shape {pattern!r}; made afresh", {"pattern": pattern}
    if _is_free_text(facts, policy):
        return "text", f"{facts.n_values} distinct texts in {facts.n_present} rows", {}
    return "categorical", f"{facts.n_values} distinct texts", {}


def _is_free_text(facts: Facts, policy: Policy) -> bool:
    """More texts than levels may be, or most texts stand once; small tables keep up to 20 levels."""
    if facts.n_values > policy.max_levels:
        return True
    if facts.is_target or (facts.n_rows <= _SMALL_TABLE and facts.n_values <= _FEW_TEXTS):
        return False
    return facts.n_values > facts.n_present / 2


def _pattern_reason(patterns: list[str]) -> str:
    if len(patterns) == 1:
        return f"dates in the format {patterns[0]!r}"
    return f"dates in the format {patterns[0]!r} (ambiguous: {patterns[1]!r} fits as well; declare `pattern` to choose)"


def _date_fields(values: list[str], pattern: str) -> dict[str, Any]:
    try:
        moments = dates.parse_all(values, pattern)
    except ValueError as error:
        raise HarmonicError(f"Pattern {pattern!r}: does not fit all dates ({error}). Correct it.") from None
    return {"pattern": pattern, "resolution": dates.resolution_of(moments.astype("int64"))}


def _check_unicode(name: Hashable, values: list[str]) -> None:
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise HarmonicError(
                f"Column {name!r}: value {value!r} is no valid Unicode text. Fix its encoding."
            ) from None


def _extra(facts: Facts, kind: str, policy: Policy) -> dict[str, Any]:
    """Fields that a declared kind needs and that were not declared with it."""
    if kind == "decimal" and "decimals" not in facts.declared:
        texts = [numbers.decimal_text(value, None) for value in facts.values]
        return {"decimals": numbers.decimals_for(texts, policy.digits)[0]}
    if kind == "datetime" and facts.family == "str":
        values = [str(value) for value in facts.values]
        pattern = facts.declared.get("pattern") or next(iter(dates.patterns_of(values)), None)
        if pattern is None:
            raise HarmonicError(
                f"Column {facts.name!r}: no known date format fits all values. Declare `pattern`."
            )
        return _date_fields(values, pattern)
    if kind == "identifier" and "pattern" not in facts.declared:
        if facts.family == "str":
            values = [str(value) for value in facts.values] or ["a"]
            found = identifiers.text_pattern(values, facts.label, facts.n_rows)
            return {"pattern": found or identifiers.common_shape(values)}
        integers = [int(value) for value in facts.values] or [1]
        return {
            "pattern": identifiers.integer_pattern(integers, facts.label, facts.n_rows)
            or identifiers.SEQUENCE
        }
    return {}

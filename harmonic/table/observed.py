"""Levels, bounds, steps, missing shares and decimals of one column, read from the rows that may be learnt from.

A Column and its training cells enter; the same Column with what these cells show leaves, together with the
sentences that say what was kept, grouped or rounded. What a person declared is never replaced.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import columns, dates, dtypes, numbers, steps
from harmonic.table.policy import Policy
from harmonic.table.schema import Column, text_bytes

OTHER = "other"


def observed(
    column: Column, series: pd.Series, policy: Policy, *, is_target: bool
) -> tuple[Column, list[str]]:
    """The column as these rows show it, and its decisions in words."""
    if column.kind == "identifier":
        return replace(column, missing=0.0), []
    said: list[str] = []
    column = _decimals(column, series, policy)
    texts = columns.encode_column(series, replace(column, other=""))
    present = texts[texts != None]  # noqa: E711 (an object array: elementwise)
    missing = 1.0 - len(present) / len(texts)
    column = replace(column, missing=missing)
    if column.kind == "constant":
        return _constant(column, present), said
    if not len(present):
        return _emptied(column), [
            *said,
            f"Column {column.label!r}: no training row has a value; it stays missing.",
        ]
    if column.kind in ("integer", "decimal", "datetime"):
        return _bounded(column, present, policy, said)
    if column.kind == "text":
        lengths = [text_bytes(text) for text in set(present)]
        return replace(column, max_bytes=max(lengths), min_bytes=min(1, *lengths)), said
    return _levelled(column, present, policy, is_target, said)


def _constant(column: Column, present: np.ndarray) -> Column:
    if "levels" in column.declared or not len(present):
        return (
            column if len(column.levels) == 1 and "levels" in column.declared else replace(column, levels=())
        )
    return replace(column, levels=(Counter(present).most_common(1)[0][0],), missing=0.0)


def _emptied(column: Column) -> Column:
    return replace(column, kind="constant", levels=(), lower=None, upper=None, step="")


def _decimals(column: Column, series: pd.Series, policy: Policy) -> Column:
    """Decimal places that the training rows show, never more than the schema already allows."""
    if column.kind != "decimal" or "decimals" in column.declared:
        return column
    _, uniques = columns.distinct(series, column.name)
    texts = [numbers.decimal_text(value, None) for value in columns.listed(uniques) if not pd.isna(value)]
    shown = max(numbers.decimals_for(texts, policy.digits)[0], numbers.places(_declared_step(column)))
    return replace(column, decimals=min(column.decimals, shown))


def _declared_step(column: Column) -> str:
    return column.step if "step" in column.declared else ""


def _bounded(
    column: Column, present: np.ndarray, policy: Policy, said: list[str]
) -> tuple[Column, list[str]]:
    distinct = set(present)
    broken = next((text for text in distinct if "." in text), None) if column.kind == "integer" else None
    if broken is not None:
        raise HarmonicError(
            f"Column {column.name!r}: value {broken} is not a whole number. Declare the column as decimal."
        )
    if column.is_numeric:
        column, said = _stepped(column, distinct, len(present), said)
    lower, upper = _extremes(column, distinct)
    _check_bounds(column, lower, upper)
    if policy.extremes == "round":
        rounder = _round_dates if column.kind == "datetime" else _round_numbers
        lower, upper = rounder(lower, upper, column)
        said = [*said, f"Column {column.label!r}: bounds rounded outwards to {lower} and {upper}."]
    if "lower" not in column.declared:
        column = replace(column, lower=lower)
    if "upper" not in column.declared:
        column = replace(column, upper=upper)
    return column, said


def _stepped(column: Column, distinct: set[str], n_present: int, said: list[str]) -> tuple[Column, list[str]]:
    if "step" in column.declared:
        return steps.checked(column, distinct), said
    column, found = steps.inferred(column, distinct, n_present)
    return column, [*said, found] if found else said


def _extremes(column: Column, texts: Iterable[str]) -> tuple[str, str]:
    """The lowest and the highest of these canonical texts; ISO dates sort as texts."""
    ordered = sorted(texts) if column.kind == "datetime" else sorted(texts, key=Decimal)
    return ordered[0], ordered[-1]


def _check_bounds(column: Column, lower: str, upper: str) -> None:
    """Raises HarmonicError where a training row lies beyond a bound that a person declared."""
    for name, bound, extreme in (("lower", column.lower, lower), ("upper", column.upper, upper)):
        if name not in column.declared or bound is None:
            continue
        if _extremes(column, (bound, extreme))[name == "upper"] != bound and extreme != bound:
            raise HarmonicError(
                f"Column {column.name!r}: value {extreme} lies beyond the declared {name} = {bound}. "
                "Widen the bound or mend the cell."
            )


def _check_levels(column: Column, counts: Counter[str]) -> None:
    unknown = sorted(set(counts) - set(column.levels))
    if unknown:
        raise HarmonicError(
            f"Column {column.name!r}: value {unknown[0]!r} is none of the {len(column.levels)} declared levels. "
            "Declare it as a level, or as missing."
        )


def _round_numbers(lower: str, upper: str, column: Column) -> tuple[str, str]:
    """Outwards to two significant digits of the range, and on to the next multiples of the column's step."""
    floor, ceiling = Decimal(lower), Decimal(upper)
    size = (ceiling - floor) or max(abs(ceiling), Decimal(1))
    smallest = Decimal(1).scaleb(-column.decimals if column.kind == "decimal" else 0)
    for step in (max(Decimal(1).scaleb(size.adjusted() - 1), smallest), Decimal(column.step or smallest)):
        floor = (floor / step).to_integral_value(ROUND_FLOOR) * step
        ceiling = (ceiling / step).to_integral_value(ROUND_CEILING) * step
    return numbers.plain(floor), numbers.plain(ceiling)


def _round_dates(lower: str, upper: str, column: Column) -> tuple[str, str]:
    """Outwards to whole months."""
    first = dt.datetime.fromisoformat(lower).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = dt.datetime.fromisoformat(upper)
    months = last.year * 12 + last.month
    if months >= 9999 * 12 + 12:
        end = dt.datetime.max
    else:
        end = dt.datetime(months // 12, months % 12 + 1, 1) - dt.timedelta(microseconds=1)
    ends: Any = np.array([first, end], dtype="M8[us]")
    low, high = dates.iso_texts(ends, column.resolution)
    return low, high


def _levelled(
    column: Column, present: np.ndarray, policy: Policy, is_target: bool, said: list[str]
) -> tuple[Column, list[str]]:
    if column.kind == "boolean":
        return replace(column, levels=tuple(sorted(set(present)))), said
    counts = Counter(present.tolist())
    unused = [name for name in column.categories if name not in counts]
    if unused:
        said = [
            *said,
            f"Column {column.label!r}: {len(unused)} declared categories stand in no training row; kept out.",
        ]
    if "levels" in column.declared:
        _check_levels(column, counts)
        return column, said
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    rare = [level for level in levels if counts[level] < policy.min_level_count]
    column = replace(column, levels=tuple(levels))
    if not rare:
        return column, said
    return _rare(column, rare, policy, is_target, said)


def _rare(
    column: Column, rare: list[str], policy: Policy, is_target: bool, said: list[str]
) -> tuple[Column, list[str]]:
    what = (
        f"Column {column.label!r}: {len(rare)} level(s) in fewer than {policy.min_level_count} training rows"
    )
    if policy.rare_levels == "keep":
        return column, [*said, f"{what}; kept (rare_levels='keep')."]
    if is_target or not _can_group(column):
        why = (
            "to group classes would change the task"
            if is_target
            else f"dtype {column.dtype!r} has no 'other'"
        )
        return column, [*said, f"{what}; kept, since {why}."]
    kept = tuple(level for level in column.levels if level not in rare)
    other = OTHER
    while other in column.levels:
        other = f"({other})"
    categories = (*kept, other) if column.dtype == "category" else ()
    grouped = replace(column, levels=(*kept, other), other=other, categories=categories)
    return grouped, [*said, f"{what}; grouped as {other!r} (rare_levels='group')."]


def _can_group(column: Column) -> bool:
    return dtypes.family(column) == "str" and not column.category_dtype.startswith("ordered:")

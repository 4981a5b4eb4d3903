"""Columns that are computed from others: codes of a category, groups, totals and parts, ratios, copies, calendars.

What enters is the features drawn so far; what leaves is one to four further columns that depend on them exactly or
nearly so. Real tables are full of such columns, and a reader of rows must learn to notice them from a few examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from harmonic.nano.columns import Drawn
from harmonic.nano.laws import rounded
from harmonic.nano.mechanisms import Array, limited, log_uniform, pick, standardised, weighted
from harmonic.table.schema import Kind


def _number(values: Array, decimals: int, stem: str, source: Drawn, *others: Drawn) -> Drawn:
    values = rounded(values, decimals)
    kind: Kind = "decimal" if decimals else "integer"
    return Drawn(
        kind,
        values,
        limited(standardised(values)),
        "derived",
        decimals,
        stem=stem,
        source=source,
        parents=(source, *others),
    )


def _some(rng: Generator, features: Sequence[Drawn], wanted: Callable[[Drawn], bool]) -> Drawn | None:
    found = [feature for feature in features if wanted(feature)]
    return pick(rng, found) if found else None


def _positive(column: Drawn) -> bool:
    return column.is_number and bool(column.values.min() >= 0.0)


# --- from a category ------------------------------------------------------------------------------


def _code(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """The category once more as whole numbers."""
    source = _some(rng, features, lambda c: c.kind == "categorical")
    if source is None:
        return []
    k = len(source.levels)
    numbers = np.arange(k) if source.hint == "ordered" or rng.random() < 0.3 else rng.permutation(k)
    first = pick(rng, (0, 1, 1, 10, 100))
    stem = pick(rng, ("{} code", "{} num", "{} id", "{} number", "{} years", "{} rank"))
    return [_number((numbers + first)[source.values].astype(float), 0, stem, source)]


def _group(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """Fewer levels above the category's levels."""
    source = _some(rng, features, lambda c: c.kind == "categorical" and len(c.levels) >= 4)
    if source is None:
        return []
    k = len(source.levels)
    groups = int(rng.integers(2, max(3, k // 2 + 1)))
    of_level = np.sort(rng.integers(0, groups, k)) if source.hint == "ordered" else rng.integers(0, groups, k)
    stem = pick(rng, ("{} group", "{} type", "{} class", "{} family", "{} category"))
    codes = of_level[source.values]
    return [
        Drawn(
            "categorical",
            codes,
            standardised(codes.astype(float)),
            "category",
            levels=("",) * groups,
            stem=stem,
            source=source,
            parents=(source,),
        )
    ]


def _constant_by_level(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """A number that belongs to the level: a region's tax, a store's distance."""
    source = _some(rng, features, lambda c: c.kind == "categorical" and len(c.levels) >= 3)
    if source is None:
        return []
    decimals = int(rng.integers(0, 3))
    table = log_uniform(rng, 2, 500) * np.exp(0.6 * rng.standard_normal(len(source.levels)))
    stem = pick(rng, ("{} rate", "{} distance", "{} average", "{} index", "{} price", "{} mean"))
    return [_number(table[source.values], decimals, stem, source)]


# --- from a number --------------------------------------------------------------------------------


def _bins(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """A number in ranges: "<=30", "31-45", or low, medium, high."""
    source = _some(rng, features, lambda c: c.is_number)
    if source is None:
        return []
    k = int(rng.integers(2, 6))
    cuts = np.unique(
        rounded(np.quantile(source.values, np.sort(rng.uniform(0.1, 0.9, k - 1))), source.decimals)
    )
    codes = np.searchsorted(cuts, source.values)
    k = len(cuts) + 1
    levels: tuple[str, ...] = ("",) * k
    if rng.random() < 0.6:
        text = [f"{cut:.10g}" for cut in cuts.tolist()]
        joint = pick(rng, ("-", " to ", "..", "_"))
        middle = [f"{a}{joint}{b}" for a, b in pairwise(text)]
        levels = (f"<={text[0]}", *middle, f">{text[-1]}")
    stem = pick(rng, ("{} group", "{} range", "{} level", "{} band", "{} bin", "{} cat"))
    return [
        Drawn(
            "categorical",
            codes,
            standardised(codes.astype(float)),
            "ordered",
            levels=levels,
            stem=stem,
            source=source,
            parents=(source,),
        )
    ]


def _flag(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """Whether a number is above a bound, as 0/1 or as two levels."""
    source = _some(rng, features, lambda c: c.is_number)
    if source is None:
        return []
    above = source.values > (
        0.0 if rng.random() < 0.3 else np.quantile(source.values, rng.uniform(0.2, 0.95))
    )
    stem = pick(rng, ("has {}", "high {}", "is {}", "{} flag", "any {}", "{} alert"))
    if rng.random() < 0.5:
        return [_number(above.astype(float), 0, stem, source)]
    signal = standardised(above.astype(float))
    return [
        Drawn(
            "categorical",
            above.astype(np.int64),
            signal,
            "flag",
            levels=("", ""),
            stem=stem,
            source=source,
            parents=(source,),
        )
    ]


def _copy(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """The number in another unit, or measured again with an error."""
    source = _some(rng, features, lambda c: c.is_number)
    if source is None:
        return []
    values, decimals = source.values, source.decimals
    if rng.random() < 0.4:
        factor = pick(
            rng, (1.8, 2.54, 0.3048, 1.609, 0.4536, 12.0, 0.01, 100.0, 1.1, 0.453, log_uniform(rng, 0.1, 10))
        )
        shift = pick(rng, (0.0, 0.0, 32.0))
        stem = pick(rng, ("{} converted", "{} in inch", "{} f", "{} eur", "{} metric", "{} scaled"))
        return [_number(values * factor + shift, min(4, decimals + int(rng.integers(0, 2))), stem, source)]
    error = float(values.std()) * log_uniform(rng, 0.01, 0.6) * rng.standard_normal(len(values))
    if rng.random() < 0.4:
        error = np.abs(error) * pick(rng, (-1.0, 1.0))
    again = values + error
    if _positive(source):
        again = np.maximum(again, 0.0)
    stem = pick(
        rng,
        ("felt {}", "second {}", "{} after", "{} estimate", "{} later", "previous {}", "{} b", "target {}"),
    )
    return [_number(again, decimals, stem, source)]


def _parts(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """Parts of a total; sometimes only one of them is told, sometimes a third number goes by both."""
    total = _some(rng, features, _positive)
    if total is None:
        return []
    driver = rng.standard_normal(len(total.values)) + limited(pick(rng, features).read(rng)) * pick(
        rng, (0.0, 0.5, 1.5)
    )
    share = 1 / (1 + np.exp(-(rng.normal(0, 1.2) + rng.uniform(0.1, 1.0) * driver)))
    first = np.minimum(rounded(total.values * share, total.decimals), total.values)
    one, two = pick(
        rng, (("{} a", "{} b"), ("day {}", "night {}"), ("{} used", "{} left"), ("{} online", "{} local"))
    )
    part = _number(first, total.decimals, one, total)
    rest = _number(total.values - first, total.decimals, two, total, part)
    return [part, rest][: 1 + (rng.random() < 0.6)]


def _combined(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """Sum, difference, product or ratio of two numbers."""
    numbers = [feature for feature in features if feature.is_number]
    if len(numbers) < 2:
        return []
    one, two = (numbers[int(i)] for i in rng.permutation(len(numbers))[:2])
    a, b, decimals = one.values, two.values, max(one.decimals, two.decimals)
    alike = 0.05 < (float(a.std()) + 1e-12) / (float(b.std()) + 1e-12) < 20.0
    ways: dict[str, float] = {"product": 0.7}
    if alike:
        ways |= {"sum": 2.0, "difference": 1.0, "largest": 0.3}
    if float(b.min()) > 0.0:
        ways["ratio"] = 1.5
    way = weighted(rng, ways)
    if way == "sum":
        return [_number(a + b, decimals, pick(rng, ("total {}", "{} total", "all {}", "{} sum")), one, two)]
    if way == "difference":
        return [
            _number(a - b, decimals, pick(rng, ("{} difference", "net {}", "{} change", "{} gap")), one, two)
        ]
    if way == "largest":
        return [_number(np.maximum(a, b), decimals, pick(rng, ("max {}", "top {}")), one, two)]
    if way == "product" and float(np.abs(a * b).max()) < 1e9:
        return [_number(a * b, min(decimals, 2), pick(rng, ("{} cost", "{} product", "total {}")), one, two)]
    if way == "ratio":
        share = a / b
        size = float(np.median(np.abs(share))) + 1e-3
        decimals = int(min(pick(rng, (4, 4, 4, 8)), max(0, pick(rng, (2, 2, 6)) - np.floor(np.log10(size)))))
        return [
            _number(share, decimals, pick(rng, ("{} ratio", "{} per unit", "{} rate", "mean {}")), one, two)
        ]
    return []


def _range_of(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """A lowest and a highest value around a number."""
    source = _some(rng, features, lambda c: c.is_number)
    if source is None:
        return []
    width = float(source.values.std()) * log_uniform(rng, 0.1, 1.5)
    down, up = (width * rng.gamma(2.0, 0.5, len(source.values)) for _ in range(2))
    low = source.values - down
    if _positive(source):
        low = np.maximum(low, 0.0)
    ends = [
        _number(low, source.decimals, "min {}", source),
        _number(source.values + up, source.decimals, "max {}", source),
    ]
    return ends if rng.random() < 0.6 else ends[1:]


# --- from a date ----------------------------------------------------------------------------------

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def calendar(rng: Generator, date: Drawn) -> list[Drawn]:
    """Columns read from a date: year, month, season, weekday, weekend, hour. Periodic signals for what follows."""
    days = date.values.astype("datetime64[D]").astype(np.int64)
    months = date.values.astype("datetime64[M]").astype(np.int64)
    hours = date.values.astype("datetime64[h]").astype(np.int64) % 24
    weekday = (days + 3) % 7
    found = {
        "year": _cycle(rng, months // 12 + 1970, "year", 0, ()),
        "month": _cycle(rng, months % 12, "month", 1, _MONTHS),
        "season": _cycle(
            rng, (months % 12 + 1) % 12 // 3, "season", 1, ("winter", "spring", "summer", "autumn")
        ),
        "weekday": _cycle(rng, weekday, "weekday", int(rng.integers(0, 2)), _WEEKDAYS),
        "weekend": _cycle(rng, (weekday >= 5).astype(np.int64), "weekend", 0, ("no", "yes")),
    }
    if date.resolution != "day":
        found["hour"] = _cycle(rng, hours, "hour", 0, ())
    for column in found.values():
        column.parents = (date,)
    return [column for column in found.values() if rng.random() < 0.55]


def _cycle(rng: Generator, codes: np.ndarray, stem: str, first: int, levels: tuple[str, ...]) -> Drawn:
    period = {"month": 12, "season": 4, "weekday": 7, "hour": 24}.get(stem)
    if period is None:
        signal = standardised(codes.astype(float))
    else:
        signal = standardised(np.cos(2 * np.pi * (codes - rng.integers(0, period)) / period))
    if levels and rng.random() < 0.5:
        return Drawn("categorical", codes, signal, "ordered", levels=levels, stem=stem)
    return Drawn("integer", codes.astype(float) + first, signal, "derived", stem=stem)


DERIVATIONS: dict[Callable[[Generator, Sequence[Drawn]], list[Drawn]], float] = {
    _code: 2.0,
    _group: 1.0,
    _constant_by_level: 0.7,
    _bins: 1.3,
    _flag: 1.0,
    _copy: 1.7,
    _parts: 1.5,
    _combined: 2.0,
    _range_of: 0.5,
}


def derive(rng: Generator, features: Sequence[Drawn]) -> list[Drawn]:
    """One to two columns computed from the features; none where the drawn rule does not fit them."""
    return weighted(rng, DERIVATIONS)(rng, features)


def measured_flag(rng: Generator, source: Drawn) -> Drawn:
    """Whether the source's cell is there."""
    there = ~source.missing if source.missing is not None else np.ones(len(source.values), bool)
    codes = there.astype(np.int64)
    return Drawn(
        "categorical",
        codes,
        standardised(codes.astype(float)),
        "flag",
        levels=("", ""),
        stem="{} measured",
        source=source,
        parents=(source,),
    )

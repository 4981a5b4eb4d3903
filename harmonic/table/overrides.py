"""What a person declares of columns, checked before any column is read.

Facts by column enter ({"age": {"kind": "integer", "lower": 0}}), from arguments or a data sheet; nothing leaves, or a
HarmonicError that names the column, the fact and what it may be. Whether a fact suits its column's values is asked
where they are known, in `kinds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from harmonic.errors import HarmonicError
from harmonic.table import dates, numbers
from harmonic.table.kinds import nearest
from harmonic.table.schema import KINDS, Column

OVERRIDES = (
    "kind",
    "levels",
    "lower",
    "upper",
    "decimals",
    "step",
    "resolution",
    "pattern",
    "label",
    "missing",
    "dtype",
)


def check_overrides(overrides: Any) -> None:
    """Raises HarmonicError for what is no mapping of columns to facts, an unknown fact, or one of another type."""
    check_mappings(overrides)
    for name, declared in overrides.items():
        for key, value in declared.items():
            _check(name, key, value)


def check_mappings(overrides: Any) -> None:
    """Raises HarmonicError for what is no mapping of columns to facts, whatever these are."""
    if not isinstance(overrides, Mapping):
        raise HarmonicError(
            f"Overrides: {overrides!r} were given, facts by column are expected. "
            "Write {'age': {'kind': 'integer'}}."
        )
    for name, declared in overrides.items():
        if not isinstance(declared, Mapping):
            raise HarmonicError(
                f"Column {name!r}: override {declared!r} was given, a mapping of facts is expected. "
                f"Write {{{name!r}: {{'kind': 'categorical'}}}}."
            )


def check_labels(columns: Sequence[Column]) -> None:
    """Raises HarmonicError where two columns have one label."""
    shared = [label for label, count in Counter(column.label for column in columns).items() if count > 1]
    if shared:
        names = [repr(column.name) for column in columns if column.label == shared[0]]
        raise HarmonicError(
            f"Columns {', '.join(names)}: have the same label {shared[0]!r}, different ones are expected. "
            "Declare another `label` for one of them."
        )


def _check(name: Hashable, key: Any, value: Any) -> None:
    if key not in OVERRIDES:
        raise HarmonicError(f"Column {name!r}: override {key!r} is unknown.{nearest(key, OVERRIDES)}")
    for known, names in (("kind", KINDS), ("resolution", tuple(dates.UNITS))):
        if key == known and value not in names:
            raise HarmonicError(f"Column {name!r}: {key} {value!r} is unknown.{nearest(value, names)}")
    fits, expected = _TYPES.get(key, (lambda value: True, ""))
    if not fits(value):
        raise HarmonicError(
            f"Column {name!r}: {key} {value!r} was declared, {expected} is expected. Correct it."
        )


def _is_places(value: Any) -> bool:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_whole and 0 <= value <= numbers.MOST_DECIMALS


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _is_list(value: Any) -> bool:
    """Whether it holds values in an order of their own, as pandas' indexes and series do, and sets do not."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | Set)


def _is_markers(value: Any) -> bool:
    is_list = _is_list(value) and all(isinstance(marker, str) for marker in value)
    return value is None or isinstance(value, str) or is_list


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "levels": (_is_list, "a list of values"),
    "decimals": (_is_places, f"a whole number from 0 to {numbers.MOST_DECIMALS}"),
    "pattern": (lambda value: isinstance(value, str), "a text such as '%d.%m.%Y'"),
    "label": (_is_label, "a printable text of one line"),
    "missing": (_is_markers, "a text or a list of texts"),
}

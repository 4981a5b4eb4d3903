"""What may stand in a table: columns, their kinds, levels, bounds and exact dtypes.

What enters is nothing but facts that `infer` read from a frame or that a data sheet declares; what leaves is
a frozen `Schema`, the one description of a table that every later room reads: codecs, grammar, neighbours,
metrics. A cell inside the house is its *canonical text* (or None where it is missing), so that text, grammar
and exact dtypes can be tested apart from each other; `cells` turns frames into rows of cells and back.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

Kind = Literal["integer", "decimal", "categorical", "boolean", "datetime", "text", "constant", "identifier"]
Task = Literal["binary", "multiclass", "regression"]
Row = tuple[str | None, ...]
"""The canonical texts of one row's modelled cells, in schema order; None where a cell is missing."""

KINDS: tuple[str, ...] = get_args(Kind)
MODELLED: frozenset[str] = frozenset({"integer", "decimal", "categorical", "boolean", "datetime", "text"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how it is called, what it holds, how it looks outside.

    Canonical texts: integer "-12"; decimal shortest form without exponent or trailing zeros, at most
    `decimals` places ("83.67", "101"); boolean "true" / "false"; datetime ISO at the column's resolution
    ("2011-01-01", "2011-01-01 05:30", "2011-01-01 05:30:00"); categorical and text the text itself.
    """

    name: Hashable
    label: str
    """The name as text, unique in the schema: what codecs write."""
    kind: Kind
    dtype: str
    """The exact pandas dtype outside ("int64", "str", "category", "datetime64[ns, UTC]", ...)."""
    missing: float = 0.0
    """Share of missing cells in the training rows; 0 means that missing never comes out."""
    levels: tuple[str, ...] = ()
    """Canonical texts: categorical (commonest first), boolean ("false", "true"), constant (one or none)."""
    lower: str | None = None
    upper: str | None = None
    """Bounds as canonical texts: integer, decimal, datetime."""
    decimals: int = 0
    """Most decimal places: decimal."""
    step: str = ""
    """integer, decimal: every value is a multiple of it ("5", "0.25"); "" = of nothing but its last place."""
    resolution: str = ""
    """datetime: "day", "minute", "second", "millisecond", "microsecond"."""
    max_bytes: int = 0
    """text: the greatest `text_bytes`."""
    min_bytes: int = 0
    """text: 1 where no training row holds the empty text, which a CSV could not tell from a missing cell."""
    category_dtype: str = ""
    """dtype == "category": the dtype of the categories; "ordered:" stands before it where they are ordered."""
    pattern: str = ""
    """identifier: the shape from which fresh ones are made (integer: "1.."; text: 9 = digit, a, A = letters,
    h = hexadecimal digit, a backslash before a character that stands for itself); datetime kept as text: the
    strptime format of the text outside ("%-d" = without a leading zero)."""
    categories: tuple[str, ...] = ()
    """dtype == "category": canonical texts of all categories in their order, unused ones included."""
    element: str = ""
    """dtype == "object": the Python type of the cells (str, bool, int, float, Decimal, date, datetime)."""
    other: str = ""
    """categorical: the level that stands for every value outside `levels`; "" = there is none."""
    markers: tuple[str, ...] = ("",)
    """Texts that mean missing in a CSV of this table; the first one is written."""
    declared: tuple[str, ...] = ()
    """What a person declared and no observation may change: "kind", "levels", "lower", "upper", "decimals", ..."""

    @property
    def is_modelled(self) -> bool:
        """Whether a language model writes this column (constants and identifiers are filled in)."""
        return self.kind in MODELLED

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("integer", "decimal")

    @property
    def can_be_missing(self) -> bool:
        return self.missing > 0.0


@dataclass(frozen=True)
class Schema:
    """The columns of a table in their outside order, its target and what was decided on the way."""

    columns: tuple[Column, ...]
    target: Hashable | None = None
    title: str = "a table"
    """What the rows are, in a few words, for the prompt: "bank customers"."""
    decisions: tuple[str, ...] = ()
    """Every inference and policy in words, printed and kept in the run folder."""

    @cached_property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that rows of cells hold, in schema order."""
        return tuple(column for column in self.columns if column.is_modelled)

    @property
    def names(self) -> list[Hashable]:
        return [column.name for column in self.columns]

    def column(self, name: Hashable) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"Column {name!r}: not in the schema, which has {self.names}.")

    @property
    def task(self) -> Task | None:
        """What predicting the target is; None without a target."""
        if self.target is None:
            return None
        column = self.column(self.target)
        if column.kind in ("integer", "decimal", "datetime"):
            return "regression"
        return "binary" if len(column.levels) <= 2 else "multiclass"

    def with_columns(self, columns: tuple[Column, ...], *decisions: str) -> Schema:
        return replace(self, columns=columns, decisions=self.decisions + decisions)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `from_json` gives an equal schema back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """The schema that `to_json` wrote, also after a round trip through a JSON file."""
        columns = tuple(
            Column(**{name: _hashable(value) for name, value in column.items()}) for column in data["columns"]
        )
        return cls(columns, _hashable(data["target"]), data["title"], tuple(data["decisions"]))


def text_bytes(text: str) -> int:
    """The length of a text in bytes of UTF-8 as JSON writes it: what a decoder has to say, escapes included."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _hashable(name: Any) -> Any:
    return tuple(_hashable(part) for part in name) if isinstance(name, list) else name

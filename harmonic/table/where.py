"""Conditions on one column: "age >= 65", "job in ('a', 'b')", "day < 2011-05-01", "income is missing".

An expression and a schema enter; the column that it names leaves, narrowed to what satisfies it: fewer levels, closer
bounds, missing or not. A narrowed column is a column like any other, so a grammar of it needs nothing new. As in SQL, a
missing cell satisfies no comparison. What compares two columns is no matter of one column: that is a rule.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from harmonic.errors import HarmonicError
from harmonic.table import amounts, dtypes
from harmonic.table.columns import cell_text
from harmonic.table.kinds import nearest
from harmonic.table.schema import Column, Schema

MOST_VALUES = 1000
"""A number or date column of at most so many values can be narrowed by leaving some out."""
_OPERATOR = r"(==|!=|<=|>=|<|>|\bnot\s+in\b|\bin\b|\bis\s+not\s+missing\b|\bis\s+missing\b)"
_EXPRESSION = re.compile(rf"\s*(?:`([^`]+)`|(.+?))\s*{_OPERATOR}\s*(.*?)\s*", re.DOTALL)
_VALUE = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,'"]+?))\s*(?:,|$)""")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM = (
    'Write a column, a comparison and its values, such as "age >= 65", "job in (\'a\', \'b\')", "day < 2011-05-01" or '
    '"income is missing"; names with special characters stand in `backticks`.'
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """An expression taken apart: a modelled column, how it is compared, and with which texts."""

    expression: str
    column: Column
    operator: str
    values: tuple[str, ...]

    def error(self, what: str, remedy: str) -> HarmonicError:
        return HarmonicError(f"Condition {self.expression!r}: {what}. {remedy}")


def parse_where(expression: str, schema: Schema) -> Comparison:
    """The comparison of an expression. Raises HarmonicError if it is none, or of no column that can be narrowed."""
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise HarmonicError(f"Condition {expression!r}: cannot be read. {_FORM}")
    column = modelled_column(schema, match[1] or match[2], f"Condition {expression!r}")
    relation = " ".join(match[3].split())
    values = _values(match[4], relation in ("in", "not in"))
    wants_none = relation.endswith("missing")
    if values is None or wants_none != (not values):
        raise HarmonicError(
            f"Condition {expression!r}: {match[4]!r} is not what follows {relation!r}. {_FORM}"
        )
    return Comparison(expression, column, relation, values)


def modelled_column(schema: Schema, name: Any, subject: str) -> Column:
    """The column of that name or label. Raises HarmonicError, beginning with `subject`, where no model writes it."""
    found = [column for column in schema.columns if column.name == name]
    found = found or [column for column in schema.columns if column.label == str(name)]
    if not found:
        labels = [column.label for column in schema.modelled]
        raise HarmonicError(f"{subject}: column {str(name)!r} is not in the table.{nearest(name, labels)}")
    if not found[0].is_modelled:
        why = {"identifier": "made afresh for every row", "constant": "the same in every row"}
        raise HarmonicError(
            f"{subject}: column {found[0].label!r} is {why[found[0].kind]} ({found[0].kind}), it cannot be asked for. "
            "Leave the condition out, or declare the column as another kind."
        )
    return found[0]


def narrow(comparison: Comparison, column: Column) -> Column:
    """What the comparison leaves of `column`, which earlier conditions may have narrowed.

    A column of one cell has one level, or none and is missing throughout (`missing` is 1); a number or date column
    with `levels` holds these values alone. Raises HarmonicError where nothing is left.
    """
    relation = comparison.operator
    if relation == "is missing":
        if not column.can_be_missing:
            raise comparison.error("is never true", "No training row is missing there: leave it out.")
        return replace(column, levels=(), lower=None, upper=None, missing=1.0)
    if column.missing == 1.0:
        raise comparison.error(f"leaves nothing of column {column.label!r}", "Leave one of them out.")
    present = replace(column, missing=0.0)
    if relation == "is not missing":
        return present
    if relation in ("in", "=="):
        return _only(present, comparison)
    if relation in ("not in", "!="):
        return _without(present, comparison)
    return _between(present, comparison)


def may_hold(column: Column, cell: str | None) -> bool:
    """Whether a cell that the whole column may hold is left in the narrowed one."""
    if cell is None or column.missing == 1.0:
        return cell is None and column.can_be_missing
    if column.levels:
        return cell in column.levels
    if not amounts.is_ordered(column):
        return True
    low, high = amounts.span_of(column)
    (amount,) = amounts.present_cells([cell], column)
    return amount is not None and low <= amounts.units_of(amount, column, up=False) <= high


# What is left of a column.


def _only(column: Column, comparison: Comparison) -> Column:
    cells = dict.fromkeys(cell for cell in _cells(comparison) if cell is not None and may_hold(column, cell))
    if column.kind == "text" and len(cells) > 1:
        raise comparison.error(
            f"names {len(cells)} texts of column {column.label!r}, which is free text",
            "Ask for one of them (==), or divide the rows among them by quotas.",
        )
    return _levelled(column, tuple(cells), comparison)


def _without(column: Column, comparison: Comparison) -> Column:
    out = set(_cells(comparison))
    return _levelled(
        column, tuple(cell for cell in _listed(column, comparison) if cell not in out), comparison
    )


def _between(column: Column, comparison: Comparison) -> Column:
    (value,) = comparison.values
    if amounts.is_ordered(column):
        return _bounded(column, comparison)
    key = _order_of(comparison)
    compare = _ORDERS[comparison.operator]
    limit = key(value)
    return _levelled(
        column, tuple(level for level in column.levels if compare(key(level), limit)), comparison
    )


def _bounded(column: Column, comparison: Comparison) -> Column:
    """Closer bounds; of an explicit set of values those within."""
    relation = comparison.operator
    amount = _read(comparison, lambda text: amounts.amount_of(text, column))
    low, high = amounts.span_of(column)
    if relation.startswith(">"):
        low = max(low, amounts.units_of(amount, column, up=relation == ">=") + (relation == ">"))
    else:
        high = min(high, amounts.units_of(amount, column, up=relation == "<") - (relation == "<"))
    if low > high:
        raise _empty(column, comparison)
    closer = replace(column, lower=amounts.text_at(low, column), upper=amounts.text_at(high, column))
    if not column.levels:
        return closer
    within = replace(closer, levels=())
    return _levelled(closer, tuple(cell for cell in column.levels if may_hold(within, cell)), comparison)


def _listed(column: Column, comparison: Comparison) -> tuple[str, ...]:
    """Every cell that a column may hold; an error where they are too many to list."""
    if column.levels:
        return column.levels
    if amounts.is_ordered(column):
        low, high = amounts.span_of(column)
        if high - low < MOST_VALUES:
            return tuple(amounts.text_at(units, column) for units in range(low, high + 1))
    raise comparison.error(
        f"leaves out some of more than {MOST_VALUES} values of column {column.label!r}",
        "Write it as a rule ([sample] rules), by which rows that break it are drawn again.",
    )


def _levelled(column: Column, levels: tuple[str, ...], comparison: Comparison) -> Column:
    if not levels:
        raise _empty(column, comparison)
    return replace(column, levels=levels)


def _empty(column: Column, comparison: Comparison) -> HarmonicError:
    return comparison.error(
        f"leaves nothing of column {column.label!r}, which is {amounts.described(column)}",
        "Widen it, or leave another condition out.",
    )


# Values.


def _values(text: str, is_list: bool) -> tuple[str, ...] | None:
    """The texts of one value or of a list in brackets; None if they are neither."""
    text = text.strip()
    if is_list:
        if text[:1] + text[-1:] not in ("()", "[]"):
            return None
        text = text[1:-1].strip().removesuffix(",")
    values: list[str] = []
    at = 0
    while at < len(text):
        match = _VALUE.match(text, at)
        if match is None or (values and not is_list):
            return None
        values.append(next(group for group in match.groups() if group is not None))
        at = match.end()
    return tuple(values)


def _cells(comparison: Comparison) -> list[str | None]:
    try:
        return [
            amounts.cell_of(value, replace(comparison.column, missing=0.0, markers=()))
            for value in comparison.values
        ]
    except HarmonicError as error:
        raise HarmonicError(f"Condition {comparison.expression!r}: {error}") from None


def _read(comparison: Comparison, reader: Callable[[str], Any]) -> Any:
    (value,) = comparison.values
    try:
        return reader(value)
    except (ValueError, ArithmeticError) as error:
        raise comparison.error(
            f"{value!r} {error}",
            f"Column {comparison.column.label!r} holds {amounts.described(comparison.column)}; what compares two "
            "columns is a rule ([sample] rules).",
        ) from None


def _order_of(comparison: Comparison) -> Callable[[str], Any]:
    """What the levels of a column are sorted by; an error where they have no order."""
    column = comparison.column
    names = list(column.categories or column.levels)

    def place(text: str) -> int:
        if cell_text(text, column) not in names:
            raise ValueError("is none of its categories")
        return names.index(cell_text(text, column))

    if column.category_dtype.startswith("ordered:"):
        key: Callable[[str], Any] = place
    elif column.kind == "categorical" and dtypes.family(column) in ("int", "float"):
        key = lambda text: Decimal(cell_text(text, column))  # noqa: E731
    else:
        raise comparison.error(
            f"column {column.label!r} has no order",
            f"Use ==, != or in; it holds {amounts.described(column)}.",
        )
    _read(comparison, key)
    return key

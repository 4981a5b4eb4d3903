"""Rules between columns: "start <= end", "not (sex == 1 and pregnant == 'yes')", "total >= a + b".

What enters are expressions and a schema; what leaves is `Rules`, which says of a row of cells the first rule that it
breaks. The language is a small part of Python's: column names (in `backticks` where they are no identifiers), numbers,
texts, dates as quoted ISO texts, comparisons, and, or, not, in, + - * /. An expression is read once, checked against
the kinds of its columns, and made a function of a row; nothing of it is ever executed as Python. As in SQL's CHECK, a
missing cell makes a comparison unknown, and a rule that is unknown passes; so does what is divided by zero.

A rule that names one column is better written as a `where` condition, which no row can break: rows that break a rule
are drawn again.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from harmonic.errors import HarmonicError
from harmonic.table import amounts, dtypes
from harmonic.table.kinds import nearest
from harmonic.table.schema import Column, Row, Schema
from harmonic.table.where import modelled_column

Type = Literal["number", "text", "date", "truth"]
Value = Callable[[Row], Any]
"""A part of a rule as a function of a row; None = unknown."""

_WORDS = [
    word for word in keyword.kwlist if word not in ("and", "or", "not", "in", "is", "None", "True", "False")
]
# A column may well be called "class".
_QUOTED = re.compile(rf"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`([^`]*)`|\b({"|".join(_WORDS)})\b""")
_STAND_IN = "column_in_backticks_"
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_FORM = "It takes column names, numbers, quoted texts and dates, comparisons, and, or, not, in, + - * /."


class _Part(NamedTuple):
    """A part of a rule: what it gives, of which type, and the column or constant that it is, if it is one."""

    type: Type
    value: Value
    column: Column | None = None
    constant: Any = None


class Rules:
    """What must hold between the columns of every row.

    Raises HarmonicError for an expression that is no rule, or does not fit the columns that it names.
    """

    def __init__(self, expressions: Sequence[str], schema: Schema) -> None:
        self.expressions = tuple(expressions)
        self._rules = [(text, _Reader(text, schema).rule()) for text in self.expressions]

    def broken(self, row: Row) -> str | None:
        """The first rule that a row of canonical cells breaks; None if it keeps them all."""
        for expression, rule in self._rules:
            if rule(row) is False:
                return expression
        return None


class _Reader:
    """Reads one expression into a function of a row."""

    def __init__(self, expression: str, schema: Schema) -> None:
        self.expression = expression
        self.schema = schema
        self._names: list[str] = []

    def rule(self) -> Value:
        text = _QUOTED.sub(self._stand_in, self.expression.strip())
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error("cannot be read", _FORM) from None
        try:
            part = self._part(tree)
        except RecursionError:
            raise self._error("nests too many operators", "Write it as several rules.") from None
        if part.type != "truth":
            raise self._error(f"is a {part.type}, neither true nor false", "Compare it with something.")
        return part.value

    def _stand_in(self, match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return match[0]
        self._names.append(name)
        return f"{_STAND_IN}{len(self._names) - 1}"

    def _error(self, what: str, remedy: str) -> HarmonicError:
        return HarmonicError(f"Rule {self.expression!r}: {what}. {remedy}")

    def _said(self, node: ast.expr) -> str:
        """A part as text, for an error."""
        text = ast.unparse(node)
        for number, name in reversed(list(enumerate(self._names))):
            text = text.replace(f"{_STAND_IN}{number}", name)
        return text

    def _part(self, node: ast.expr) -> _Part:
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        if isinstance(node, ast.BoolOp):
            return self._joined([self._truth(value) for value in node.values], isinstance(node.op, ast.And))
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BinOp):
            return self._sum(node)
        if isinstance(node, ast.Compare):
            return self._chain(node)
        raise self._error(f"{self._said(node)!r} is no part of a rule", _FORM)

    # Names and constants.

    def _name(self, name: str) -> _Part:
        if name.startswith(_STAND_IN):
            name = self._names[int(name.removeprefix(_STAND_IN))]
        elif name in ("true", "false") and all(column.label != name for column in self.schema.columns):
            return self._constant(name == "true")
        column = modelled_column(self.schema, name, f"Rule {self.expression!r}")
        place = self.schema.modelled.index(column)
        kind = _type_of(column)
        read = _READERS[kind]
        known: dict[str, Any] = {}

        def value(row: Row) -> Any:
            cell = row[place]
            if cell is None:
                return None
            if cell not in known:
                if len(known) > 10_000:
                    known.clear()
                known[cell] = read(cell)
            return known[cell]

        return _Part(kind, value, column)

    def _constant(self, value: Any) -> _Part:
        if isinstance(value, bool):
            return _Part("truth", lambda row: value, constant=value)
        if isinstance(value, str):
            return _Part("text", lambda row: value, constant=value)
        if isinstance(value, int | float):
            number = value if isinstance(value, int) else Decimal(repr(value))
            return _Part("number", lambda row: number, constant=number)
        raise self._error(f"{value!r} is no value of a table", _FORM)

    # Truths.

    def _truth(self, node: ast.expr) -> Value:
        part = self._part(node)
        if part.type != "truth":
            raise self._error(f"{self._said(node)!r} is a {part.type}, neither true nor false", "Compare it.")
        return part.value

    def _joined(self, values: list[Value], is_and: bool) -> _Part:
        deciding = not is_and

        def value(row: Row) -> bool | None:
            found: bool | None = is_and
            for part in values:
                truth = part(row)
                if truth is deciding:
                    return deciding
                found = None if truth is None else found
            return found

        return _Part("truth", value)

    def _unary(self, node: ast.UnaryOp) -> _Part:
        if isinstance(node.op, ast.Not):
            truth = self._truth(node.operand)
            return _Part("truth", lambda row: None if (found := truth(row)) is None else not found)
        part = self._number(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            return self._constant(-node.operand.value)  # type: ignore[operator]
        if isinstance(node.op, ast.UAdd):
            return _Part("number", part)
        if isinstance(node.op, ast.USub):
            return _Part("number", lambda row: None if (found := part(row)) is None else -found)
        raise self._error(f"{self._said(node)!r} is no part of a rule", _FORM)

    # Numbers.

    def _number(self, node: ast.expr) -> Value:
        part = self._part(node)
        if part.type != "number":
            raise self._error(f"{self._said(node)!r} is a {part.type}, with which one cannot reckon", _FORM)
        return part.value

    def _sum(self, node: ast.BinOp) -> _Part:
        is_ratio = isinstance(node.op, ast.Div)
        if not is_ratio and type(node.op) not in _SUMS:
            raise self._error(f"{self._said(node)!r} is no part of a rule", _FORM)
        combine = _ratio if is_ratio else _SUMS[type(node.op)]
        left, right = self._number(node.left), self._number(node.right)

        def value(row: Row) -> Any:
            one, other = left(row), right(row)
            return None if one is None or other is None else combine(one, other)

        return _Part("number", value)

    # Comparisons.

    def _chain(self, node: ast.Compare) -> _Part:
        """a < b < c is a < b and b < c."""
        values, left = [], node.left
        for relation, right in zip(node.ops, node.comparators, strict=True):
            values.append(self._comparison(left, relation, right))
            left = right
        return _Part("truth", values[0]) if len(values) == 1 else self._joined(values, True)

    def _comparison(self, left: ast.expr, relation: ast.cmpop, right: ast.expr) -> Value:
        if isinstance(relation, ast.In | ast.NotIn):
            return self._membership(left, right, isinstance(relation, ast.In))
        if type(relation) not in _COMPARISONS:
            raise self._error(
                "compares with 'is'", "Write ==; missing cells make a rule unknown, and it passes."
            )
        is_equality = isinstance(relation, ast.Eq | ast.NotEq)
        one, other = self._alike(left, right, is_equality)
        compare = _COMPARISONS[type(relation)]
        if one.type in ("text", "truth") and not is_equality:
            raise self._error(f"a {one.type} has no order", "Compare it with == or !=.")

        def value(row: Row) -> bool | None:
            first, second = one.value(row), other.value(row)
            return None if first is None or second is None else compare(first, second)

        return value

    def _membership(self, left: ast.expr, right: ast.expr, is_in: bool) -> Value:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            raise self._error(f"{self._said(right)!r} is no list of values", "Write in ('a', 'b').")
        part = self._part(left)
        pairs = [self._alike(left, node, True) for node in right.elts]
        values = [item.constant for _, item in pairs]
        if None in values:
            raise self._error("a list holds more than values", "Write a == b or a == c.")

        def value(row: Row) -> bool | None:
            found = part.value(row)
            return None if found is None else (found in values) is is_in

        return value

    def _alike(self, left: ast.expr, right: ast.expr, is_equality: bool) -> tuple[_Part, _Part]:
        """Both sides as one type: a quoted text beside a date is a date, and beside a level one of its column's."""
        one, other = self._part(left), self._part(right)
        one, other = self._as_beside(one, other, is_equality), self._as_beside(other, one, is_equality)
        if one.type != other.type:
            raise self._error(
                f"compares {self._said(left)!r}, a {one.type}, with {self._said(right)!r}, a {other.type}",
                "Quote texts and dates, and nothing else.",
            )
        return one, other

    def _as_beside(self, part: _Part, beside: _Part, is_equality: bool) -> _Part:
        column = beside.column
        if column is None or part.constant is None:
            return part
        if beside.type == "date" and part.type == "text":
            try:
                moment = amounts.moment_of(part.constant, column)
            except (ValueError, ArithmeticError) as error:
                raise self._error(
                    f"{part.constant!r} {error}", f"Column {column.label!r} holds dates."
                ) from None
            return _Part("date", lambda row: moment, constant=moment)
        if is_equality and column.kind == "categorical" and part.type == beside.type:
            self._check_level(part.constant, column)
        return part

    def _check_level(self, constant: Any, column: Column) -> None:
        read = _READERS[_type_of(column)]
        if constant not in [read(level) for level in column.levels]:
            raise self._error(
                f"{constant!r} is no level of column {column.label!r}",
                f"Correct it, or leave the rule out.{nearest(constant, column.levels)}",
            )


def _ratio(one: Any, other: Any) -> Any:
    return None if other == 0 else Decimal(one) / Decimal(other)


def _type_of(column: Column) -> Type:
    if column.is_numeric:
        return "number"
    if column.kind in ("datetime", "boolean", "text"):
        kinds: dict[str, Type] = {"datetime": "date", "boolean": "truth", "text": "text"}
        return kinds[column.kind]
    family = dtypes.family(column)
    if family in ("int", "float", "timedelta"):
        return "number"
    return "truth" if family == "bool" else "text"


def _number_of(cell: str) -> int | Decimal:
    return int(cell) if "." not in cell else Decimal(cell)


_READERS: dict[Type, Callable[[str], Any]] = {
    "number": _number_of,
    "text": str,
    "date": datetime.fromisoformat,
    "truth": lambda cell: cell == "true",
}

"""Conditions: which cells of a row are given, which columns are narrowed, and in which rows.

What enters is what a person asks for: given cells, `where` expressions, quotas of values. What leaves is a `Condition`
a modelled column, one form for all of them, and a `Plan` that says under which conditions each row of a table stands.
Where a model has learnt columns in many orders, conditioned ones come first in a row, the given ones before all others:
whatever is drawn is drawn given them. Where it has learnt one order, that order stays, and draws are weighed
(harmonic.candidates). Given cells are written, not drawn, so that a row program knows only that they are given and
never which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.table import amounts
from harmonic.table.schema import Column, Row, Schema
from harmonic.table.where import may_hold, modelled_column, narrow, parse_where

QUOTA_STREAM = 131
"""Name of the random stream that spreads quotas over the rows."""
_SHARE_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of one modelled column: the cell that is given, or the part of the column that is left."""

    place: int
    """Among schema.modelled."""
    column: Column
    """The column, narrowed."""
    is_given: bool = False
    cell: str | None = None
    """The given cell; None = given as missing."""

    def holds(self, cell: str | None) -> bool:
        """Whether a cell of the table satisfies it."""
        return cell == self.cell if self.is_given else may_hold(self.column, cell)


Conditions = tuple[Condition, ...]
"""At most one a column, by place."""


class Run(NamedTuple):
    """Neighbouring rows of one context that stand under the same conditions."""

    first_row: int
    n_rows: int
    conditions: Conditions


def conditions_of(
    schema: Schema, given: Mapping[str, Any] | None = None, where: Sequence[str] = ()
) -> Conditions:
    """The conditions of given cells and `where` expressions.

    Raises HarmonicError for columns that no model writes, values that no row could hold, and where nothing is left.
    """
    left: dict[int, Column] = {}
    for expression in [where] if isinstance(where, str) else where:
        comparison = parse_where(expression, schema)
        place = schema.modelled.index(comparison.column)
        left[place] = narrow(comparison, left.get(place, comparison.column))
    found = {
        place: _narrowed(place, column) for place, column in left.items() if column != schema.modelled[place]
    }
    for name, value in (given or {}).items():
        condition = given_cell(schema, name, value, left)
        if (
            condition.place in found
            and found[condition.place].is_given
            and condition != found[condition.place]
        ):
            raise _contradiction(condition, condition.cell)
        found[condition.place] = condition
    return tuple(found[place] for place in sorted(found))


def given_cell(schema: Schema, name: str, value: Any, left: Mapping[int, Column]) -> Condition:
    """The condition of one given value, which must lie in what `where` left of its column."""
    column = modelled_column(schema, name, f"Given {name!r}")
    place = schema.modelled.index(column)
    condition = Condition(place, left.get(place, column), True, amounts.cell_of(value, column))
    if not may_hold(condition.column, condition.cell):
        raise _contradiction(condition, value)
    return condition


def within(schema: Schema, place: int, low: str, high: str) -> Condition:
    """The condition that a modelled number or date lies between two canonical texts, and is there."""
    return _narrowed(place, replace(schema.modelled[place], lower=low, upper=high, missing=0.0))


def is_complete(conditions: Conditions, n_columns: int) -> bool:
    """Whether every cell of a row is given."""
    return sum(condition.is_given for condition in conditions) == n_columns


def given_row(conditions: Conditions, n_columns: int) -> Row:
    """The given cells of a row, None elsewhere."""
    cells = {condition.place: condition.cell for condition in conditions if condition.is_given}
    return tuple(cells.get(place) for place in range(n_columns))


def arranged(order: Sequence[int], conditions: Conditions) -> tuple[int, ...]:
    """The columns of `order`, those of given cells first, then the narrowed ones, then the others."""
    rank = {condition.place: 0 if condition.is_given else 1 for condition in conditions}
    return tuple(sorted(order, key=lambda place: rank.get(place, 2)))


def split_known(order: Sequence[int], conditions: Conditions) -> tuple[Conditions, dict[int, str | None]]:
    """The conditions, of given cells those alone that `order` begins with; and the other given cells, by column."""
    cells = {condition.place: condition.cell for condition in conditions if condition.is_given}
    head = set(takewhile(cells.__contains__, order))
    kept = tuple(condition for condition in conditions if not condition.is_given or condition.place in head)
    return kept, {place: cell for place, cell in cells.items() if place not in head}


def head_of(order: Sequence[int], conditions: Conditions) -> Conditions:
    """The conditions before which nothing is free: those of given cells that `order` begins with, and of the column
    behind them."""
    by_place = {condition.place: condition for condition in conditions}
    given = list(takewhile(lambda place: place in by_place and by_place[place].is_given, order))
    head = set(order[: len(given) + 1])
    return tuple(condition for condition in conditions if condition.place in head)


def _narrowed(place: int, column: Column) -> Condition:
    """The condition of a narrowed column; of a single cell that is left, it is given."""
    if column.missing == 1.0:
        return Condition(place, column, True, None)
    if not column.can_be_missing:
        if len(column.levels) == 1:
            return Condition(place, column, True, column.levels[0])
        if not column.levels and amounts.is_ordered(column) and column.lower == column.upper:
            return Condition(place, column, True, column.lower)
    return Condition(place, column)


def _contradiction(condition: Condition, value: Any) -> HarmonicError:
    left = "missing" if condition.column.missing == 1.0 else amounts.described(condition.column)
    return HarmonicError(
        f"Column {condition.column.label!r}: value {value!r} is given, and another condition leaves it only {left}. "
        "Leave one of them out."
    )


class Plan:
    """Under which conditions each row of a table stands: the same for all, but for the columns that have quotas.

    quotas: by column, how many rows each value gets (whole numbers that add up to n_rows) or which share of them
    (decimals that add up to 1). Rows of one kind stand together in contexts of `size` rows as far as they go, in an
    order that n_rows and `seed` decide. Raises HarmonicError for quotas that do not add up, and as `conditions_of`.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        given: Mapping[str, Any] | None = None,
        where: Sequence[str] = (),
        quotas: Mapping[str, Mapping[str, float]] | None = None,
        n_rows: int = 0,
        seed: int = 0,
        size: int = 1,
    ) -> None:
        self.size = size
        self.n_rows = n_rows
        common = conditions_of(schema, given, where)
        self.kinds: list[Conditions] = [common]
        self._kind_of: NDArray[np.int64] | None = None
        if quotas and n_rows:
            self._divide(schema, common, quotas, seed)

    def runs(self, first: int, stop: int) -> Iterator[Run]:
        """The rows first ... stop - 1, which lie on context boundaries, in runs of one context and one kind."""
        kinds = self._kind_of
        last = stop if kinds is None else min(stop, self.n_rows)
        if kinds is not None and stop - self.size >= self.n_rows:
            raise HarmonicError(
                f"Rows {first} to {stop - 1}: quotas divide {self.n_rows} rows. Ask for as many in [sample] rows."
            )
        at = first
        while at < last:
            end = min(last, at - at % self.size + self.size)
            if kinds is not None:
                others = np.flatnonzero(kinds[at:end] != kinds[at])
                end = at + int(others[0]) if len(others) else end
            yield Run(at, end - at, self.kinds[0 if kinds is None else int(kinds[at])])
            at = end

    def _divide(
        self, schema: Schema, common: Conditions, quotas: Mapping[str, Mapping[str, float]], seed: int
    ) -> None:
        left = {condition.place: condition.column for condition in common}
        columns = [_quota(schema, name, parts, self.n_rows, left) for name, parts in quotas.items()]
        taken = {condition.place for condition in common if condition.is_given}
        for (first, *_), _ in columns:
            if first.place in taken:
                raise HarmonicError(
                    f"Quotas of {first.column.label!r}: the column is given already. Leave one of them out."
                )
            taken.add(first.place)
        spread = [
            np.random.default_rng([seed, QUOTA_STREAM, conditions[0].place]).permutation(
                np.repeat(np.arange(len(conditions)), counts)
            )
            for conditions, counts in columns
        ]
        sizes = tuple(len(conditions) for conditions, _ in columns)
        joint, counts = np.unique(np.ravel_multi_index(spread, sizes), return_counts=True)
        self.kinds = [
            _merged(common, [columns[number][0][code] for number, code in enumerate(codes)])
            for codes in np.stack(np.unravel_index(joint, sizes), axis=1).tolist()
        ]
        self._kind_of = _in_contexts(counts, self.size, np.random.default_rng([seed, QUOTA_STREAM]))


def _quota(
    schema: Schema, name: str, parts: Mapping[str, float], n_rows: int, left: Mapping[int, Column]
) -> tuple[list[Condition], list[int]]:
    """The conditions of a column's quotas and how many rows each gets."""
    if not isinstance(parts, Mapping) or not parts:
        raise HarmonicError(
            f"Quotas of {name!r}: {parts!r} names no values. Give each value a number of rows or a share."
        )
    conditions = [given_cell(schema, name, value, left) for value in parts]
    if len({condition.cell for condition in conditions}) < len(conditions):
        raise HarmonicError(f"Quotas of {name!r}: a value stands there twice. Give each value one quota.")
    return conditions, _counts(name, list(parts.values()), n_rows)


def _counts(name: str, parts: list[float], n_rows: int) -> list[int]:
    """Rows of each part: as they stand, or the shares of n_rows by largest remainders."""
    wrong = [
        part for part in parts if isinstance(part, bool) or not isinstance(part, int | float) or part < 0
    ]
    if wrong:
        raise HarmonicError(
            f"Quotas of {name!r}: {wrong[0]!r} is neither a number of rows nor a share. Write 500 or 0.5."
        )
    if all(isinstance(part, int) for part in parts):
        if sum(parts) != n_rows:
            raise HarmonicError(
                f"Quotas of {name!r}: add up to {sum(parts)} rows, {n_rows} are asked for. Mend the numbers, or write "
                "shares that add up to 1.0."
            )
        return [int(part) for part in parts]
    if abs(sum(parts) - 1.0) > _SHARE_SLACK:
        raise HarmonicError(
            f"Quotas of {name!r}: the shares add up to {sum(parts):g}, expected 1. Mend them, or write whole numbers "
            "of rows throughout."
        )
    exact = np.array(parts) * n_rows
    counts = np.floor(exact + _SHARE_SLACK).astype(np.int64)
    behind = np.argsort(counts - exact, kind="stable")[: n_rows - int(counts.sum())]
    counts[behind] += 1
    return [int(count) for count in counts]


def _merged(common: Conditions, further: Sequence[Condition]) -> Conditions:
    found = {condition.place: condition for condition in (*common, *further)}
    return tuple(found[place] for place in sorted(found))


def _in_contexts(counts: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The kind of each row: whole contexts of one kind in random order, then what is left of each kind."""
    kinds = np.arange(len(counts))
    whole = rng.permutation(np.repeat(kinds, counts // size))
    return np.concatenate([np.repeat(whole, size), np.repeat(kinds, counts % size)])

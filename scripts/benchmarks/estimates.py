"""Densities of rows from a handful of rows: what a model that reads examples has to beat.

What enters is a schema, the rows that may be seen and the rows that are asked about; what leaves is the natural
logarithm of each row's probability, over exactly the cells that the schema allows, as our decoder's are: levels, places
on the grid between the bounds, missing where it may be. Three estimates, all of which are uniform where nothing is
seen: marginals (columns on their own), marginals within a class or a part of the target, and a sum of kernels around
the rows seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from harmonic.table.amounts import is_ordered, present_cells, span_of, units_of
from harmonic.table.schema import Column, Row, Schema

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_JEFFREYS = 0.5
_TENTHS = 10
_FEWEST_IN_PART = 2
_BORROWED = 2.0
"""A part's marginals lean on those of all rows as if it had so many more rows."""
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""How much of a kernel is the column's marginal: the best of these on the rows seen, each left out in turn."""


@dataclass(frozen=True)
class Support:
    """What a column's cells can be, as codes: 0 ... size - 1 is a value, -1 a missing cell."""

    size: int
    is_ordered: bool
    can_be_missing: bool


def encode(schema: Schema, rows: Sequence[Row]) -> tuple[list[Support], Codes]:
    """What the columns can hold, and the rows as codes, int64 [n_rows, n_columns]; the schema must allow every cell."""
    supports, codes = [], []
    for column, cells in zip(schema.modelled, zip(*rows, strict=True), strict=True):
        low, size = _extent(column)
        supports.append(Support(size, is_ordered(column), column.can_be_missing))
        codes.append(_codes(column, cells, low))
    return supports, np.array(codes, dtype=np.int64).T


def _extent(column: Column) -> tuple[int, int]:
    if is_ordered(column):
        low, high = span_of(column)
        return low, high - low + 1
    return 0, len(column.levels)


def _codes(column: Column, cells: Sequence[str | None], low: int) -> list[int]:
    if is_ordered(column):
        amounts = present_cells(cells, column)
        return [-1 if amount is None else units_of(amount, column, up=False) - low for amount in amounts]
    places = {level: place for place, level in enumerate(column.levels)}
    return [-1 if cell is None else places[cell] for cell in cells]


def marginals(supports: Sequence[Support], seen: Codes, asked: Codes, target: int | None = None) -> Floats:
    """Logarithms, float [n_asked]: every column on its own."""
    return np.log(_by_column(supports, seen, asked)).sum(axis=1)


def conditional_marginals(
    supports: Sequence[Support], seen: Codes, asked: Codes, target: int | None = None
) -> Floats:
    """Logarithms, float [n_asked]: the target on its own, the others within its class, or its tenth (fewer parts on
    few rows)."""
    overall = _by_column(supports, seen, asked)
    if target is None or not len(seen):
        return np.log(overall).sum(axis=1)
    seen_parts, asked_parts = _parts(supports[target], seen[:, target], asked[:, target])
    found = overall.copy()
    for part in np.unique(asked_parts):
        inside, here = seen[seen_parts == part], asked_parts == part
        weight = len(inside) / (len(inside) + _BORROWED)
        within = _by_column(supports, inside, asked[here])
        found[here] = weight * within + (1 - weight) * overall[here]
    found[:, target] = overall[:, target]
    return np.log(found).sum(axis=1)


def kernels(supports: Sequence[Support], seen: Codes, asked: Codes, target: int | None = None) -> Floats:
    """Logarithms, float [n_asked]: a kernel around each row seen, and the marginals as one row more."""
    plain = np.log(_by_column(supports, seen, asked)).sum(axis=1)
    if len(seen) < 2:
        return plain
    around = _kernel(supports, seen, asked, _best_share(supports, seen))
    return np.asarray(logsumexp(np.column_stack([around, plain]), axis=1) - np.log(len(seen) + 1.0))


def _best_share(supports: Sequence[Support], seen: Codes) -> float:
    """The share under which rows seen are most probable from all but themselves."""
    totals = []
    for share in _SHARES:
        among = _kernel(supports, seen, seen, share)
        np.fill_diagonal(among, -np.inf)
        totals.append(float(logsumexp(among, axis=1).sum()))
    return _SHARES[int(np.argmax(totals))]


def _kernel(supports: Sequence[Support], seen: Codes, asked: Codes, share: float) -> Floats:
    """Logarithms, float [n_asked, n_seen]: rows asked about under the kernel of each row seen."""
    total = np.zeros((len(asked), len(seen)))
    overall = _by_column(supports, seen, asked)
    for at, support in enumerate(supports):
        own = _around(support, seen[:, at], asked[:, at])
        total += np.log((1 - share) * own + share * overall[:, [at]])
    return total


def _around(support: Support, seen: Codes, asked: Codes) -> Floats:
    """Float [n_asked, n_seen]: one column's cells around each cell seen."""
    same = (asked[:, None] == seen[None, :]).astype(float)
    if not support.is_ordered:
        return same
    present = seen[seen >= 0]
    bumps = _bumps(support, seen, asked, _bandwidth(support, present))
    both = (asked[:, None] >= 0) & (seen[None, :] >= 0)
    return np.where(both, bumps, same)


def _by_column(supports: Sequence[Support], seen: Codes, asked: Codes) -> Floats:
    """Float [n_asked, n_columns]: the smoothed share of each cell asked about."""
    columns = [_cell_shares(support, seen[:, at], asked[:, at]) for at, support in enumerate(supports)]
    return np.stack(columns, axis=1)


def _cell_shares(support: Support, seen: Codes, asked: Codes) -> Floats:
    if not support.is_ordered:
        n_values = support.size + support.can_be_missing
        counts = (asked[:, None] == seen[None, :]).sum(axis=1)
        return np.asarray((counts + _JEFFREYS) / (len(seen) + _JEFFREYS * n_values))
    gone = (np.sum(seen < 0) + _JEFFREYS) / (len(seen) + 1.0) if support.can_be_missing else 0.0
    present = seen[seen >= 0]
    return np.where(asked < 0, gone, (1.0 - gone) * _amount_shares(support, present, asked))


def _amount_shares(support: Support, seen: Codes, asked: Codes) -> Floats:
    """Values seen twice as points of their own, the others as bumps, and one value's weight anywhere."""
    values, counts = np.unique(seen, return_counts=True)
    repeated = np.isin(seen, values[counts > 1])
    points = (asked[:, None] == seen[None, repeated]).sum(axis=1)
    bumps = _bumps(support, seen[~repeated], asked, _bandwidth(support, seen)).sum(axis=1)
    return np.asarray((points + bumps + 1.0 / support.size) / (len(seen) + 1.0))


def _bumps(support: Support, seen: Codes, asked: Codes, width: float) -> Floats:
    """Float [n_asked, n_seen]: the normal distribution around each place, in steps of the grid, cut at the bounds."""

    def below(place: Floats) -> Floats:
        return np.asarray(ndtr((place - seen[None, :]) / width))

    inside = below(np.full((1, 1), support.size - 0.5)) - below(np.full((1, 1), -0.5))
    here = asked[:, None].astype(float)
    return np.maximum(below(here + 0.5) - below(here - 0.5), 1e-300) / inside


def _bandwidth(support: Support, seen: Codes) -> float:
    """Silverman's rule, at least half a step; a quarter of the range where spread is unknown."""
    if len(np.unique(seen)) < 2:
        return max(0.5, support.size / 4)
    low, high = np.quantile(seen, [0.25, 0.75])
    spreads = [spread for spread in (float(np.std(seen, ddof=1)), float(high - low) / 1.34) if spread > 0]
    return max(0.5, 0.9 * min(spreads) * len(seen) ** -0.2)


def _parts(support: Support, seen: Codes, asked: Codes) -> tuple[Codes, Codes]:
    """The part of the target that each row stands in: its class, or its share of the rows seen."""
    if not support.is_ordered:
        return seen, asked
    n_parts = max(1, min(_TENTHS, len(seen) // _FEWEST_IN_PART))
    cuts = np.quantile(seen, np.arange(1, n_parts) / n_parts)
    return np.searchsorted(cuts, seen, side="right"), np.searchsorted(cuts, asked, side="right")


ESTIMATES: dict[str, Callable[[Sequence[Support], Codes, Codes, int | None], Floats]] = {
    "marginals": marginals,
    "conditional_marginals": conditional_marginals,
    "kernels": kernels,
}

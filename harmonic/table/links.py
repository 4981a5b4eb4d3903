"""Links: columns that go together, since a cell of one says what stands in the other, or nearly so.

What enters is rows; what leaves is the columns in blocks. Many tables say one thing twice (a code and its name, a town
and its state), measure one thing in several ways (rooms and bedrooms, a length and a weight), or hold levels that say
most of each other's (a husband is a man): a row that takes one of
these cells from another row is one that no table holds, and every model and every classifier sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import PermutationMethod, chi2_contingency, spearmanr

from harmonic.table.schema import Row

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]
SKILL = 0.8
"""A column determines another if two rows that agree in it disagree in the other a fifth as often as any two, at most.
At 0.6 what repeats by luck is a link: a mass and a region."""
TREND = 0.7
"""Two amounts go together if the correlation of their ranks is this at least, whatever its sign: below it, half of what
one varies is free of the other."""
ASSOCIATION = 0.7
"""Two columns of levels go together if Cramér's V, less its bias, is this at least."""
SHUFFLES = 1999
"""And if none of so many shuffles of one column is associated as much: of few rows V is high by luck."""
EXPECTED = 20.0
"""So many rows at least would break a link if there were none, else it is luck."""
LEAST_SHARE = 1 / 3
"""So many of the rows at least agree with another one in the column that determines, its commonest cell aside: a gap or
a zero alone says nothing of the rows that have neither."""
MOST_ROWS = 2000
"""A link that holds is seen in so many rows."""


def linked(
    rows: Sequence[Row], columns: Sequence[int], amounts: Collection[int] = ()
) -> list[tuple[int, ...]]:
    """The columns in blocks, each in the order given and by its first column; most of them by themselves.

    amounts: those of the columns whose cells are numbers.
    """
    some = rows[:: max(1, -(-len(rows) // MOST_ROWS))]
    codes = {column: _codes([row[column] for row in some]) for column in columns}
    sizes = {column: _sizes([row[column] for row in some]) for column in columns if column in amounts}
    block = {column: column for column in columns}
    for at, left in enumerate(columns):
        for right in columns[at + 1 :]:
            if block[left] != block[right] and (
                _says(codes[left], codes[right])
                or _says(codes[right], codes[left])
                or (left in sizes and right in sizes and _go_together(sizes[left], sizes[right]))
                or (left not in sizes and right not in sizes and _are_associated(codes[left], codes[right]))
            ):
                former = block[right]
                block |= {column: block[left] for column, name in block.items() if name == former}
    found: dict[int, list[int]] = {}
    for column in columns:
        found.setdefault(block[column], []).append(column)
    return [tuple(members) for members in found.values()]


def _codes(cells: Sequence[str | None]) -> Codes:
    numbers: dict[str | None, int] = {}
    return np.array([numbers.setdefault(cell, len(numbers)) for cell in cells], dtype=np.intp)


def _sizes(cells: Sequence[str | None]) -> Floats:
    return np.array([np.nan if cell is None else float(cell) for cell in cells])


def _go_together(left: Floats, right: Floats) -> bool:
    """Whether the ranks of two amounts are correlated."""
    known = ~(np.isnan(left) | np.isnan(right))
    if known.sum() < EXPECTED:
        return False
    one, other = left[known], right[known]
    if one.min() == one.max() or other.min() == other.max():
        return False
    return bool(abs(spearmanr(one, other).statistic) >= TREND)


def _are_associated(left: Codes, right: Codes) -> bool:
    """Whether levels of one column stand with levels of the other."""
    n_rows = len(left)
    if n_rows < EXPECTED or min(left.max(), right.max()) == 0 or 2 * max(left.max(), right.max()) >= n_rows:
        return False
    table = np.zeros((left.max() + 1, right.max() + 1), dtype=np.intp)
    np.add.at(table, (left, right), 1)
    if cramers_v(table) < ASSOCIATION:
        return False
    shuffles = PermutationMethod(n_resamples=SHUFFLES, rng=np.random.default_rng(0))
    return bool(chi2_contingency(table, correction=False, method=shuffles).pvalue <= 1 / (SHUFFLES + 1))


def cramers_v(table: Codes) -> float:
    """Cramér's V of counts [n_levels, n_other_levels], none of whose rows and columns is empty, less what it is on
    average where nothing is associated (Bergsma 2013)."""
    freedom, n_rows = np.array(table.shape) - 1.0, table.sum()
    excess = chi2_contingency(table, correction=False).statistic / n_rows - freedom.prod() / (n_rows - 1)
    most = (freedom - freedom**2 / (n_rows - 1)).min()
    return float(np.sqrt(max(0.0, excess) / most))


def _says(left: Codes, right: Codes) -> bool:
    """Whether a cell of `left` says what stands in `right`."""
    totals, n_rows = np.bincount(left), len(left)
    repeated = np.where(totals > 1, totals, 0)
    if n_rows == 0 or repeated.sum() - repeated.max() < LEAST_SHARE * n_rows:
        return False
    chance = _pairs(np.bincount(right)).sum() / (n_rows * (n_rows - 1))
    if repeated.sum() * (1.0 - chance) < EXPECTED:
        return False
    both, counts = np.unique(left * (right.max() + 1) + right, return_counts=True)
    # Of a row whose cell stands elsewhere, too: how often another row with it agrees.
    others = np.maximum(totals - 1, 1)[both // (right.max() + 1)]
    agreed = (_pairs(counts) / others).sum() / repeated.sum()
    return bool(1.0 - agreed <= (1.0 - SKILL) * (1.0 - chance))


def _pairs(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Ordered pairs of different rows."""
    return counts * (counts - 1)

"""Links: columns that go together, since a cell of one says what stands in the other.

What enters is rows; what leaves is the columns in blocks. Many tables say one thing twice (a code and its name, a town
and its state): a row that takes one of these cells from another row is one that no table holds, and every model and
every classifier sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from harmonic.table.schema import Row

SKILL = 0.8
"""A column determines another if two rows that agree in it disagree in the other a fifth as often as any two, at most.
At 0.6 what repeats by luck is a link: a mass and a region."""
EXPECTED = 20.0
"""So many rows at least would break a link if there were none, else it is luck."""


def linked(rows: Sequence[Row], columns: Sequence[int]) -> list[tuple[int, ...]]:
    """The columns in blocks, each in the order given and by its first column; most of them by themselves."""
    block = {column: column for column in columns}
    for at, left in enumerate(columns):
        for right in columns[at + 1 :]:
            if block[left] != block[right] and (_says(rows, left, right) or _says(rows, right, left)):
                former = block[right]
                block |= {column: block[left] for column, name in block.items() if name == former}
    found: dict[int, list[int]] = {}
    for column in columns:
        found.setdefault(block[column], []).append(column)
    return [tuple(members) for members in found.values()]


def _says(rows: Sequence[Row], left: int, right: int) -> bool:
    """Whether a cell of `left` says what stands in `right`."""
    counts = Counter((row[left], row[right]) for row in rows)
    totals = Counter(row[left] for row in rows)
    repeated = sum(total for total in totals.values() if total > 1)
    chance = _agreement(Counter(row[right] for row in rows).values(), len(rows))
    if repeated * (1.0 - chance) < EXPECTED:
        return False
    # Of a row whose cell stands elsewhere, too: how often another row with it agrees.
    agreed = sum(count * (count - 1) / (totals[cell] - 1) for (cell, _), count in counts.items() if count > 1)
    return 1.0 - agreed / repeated <= (1.0 - SKILL) * (1.0 - chance)


def _agreement(counts: Iterable[int], n_rows: int) -> float:
    """How often two different rows agree."""
    return sum(count * (count - 1) for count in counts) / max(1, n_rows * (n_rows - 1))

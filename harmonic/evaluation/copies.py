"""Rows that equal a training row, or nearly: counted one by one, before any filter, beside a control.

What enters is row hashes of the tables and the rows a sampler refused as copies; what leaves is counts and
one-sided p-values. A filter that hides copies tells who is a member, so refused copies count too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.distances import RowHashes
from harmonic.evaluation.figures import Figure, p_more, rate_figure, smallest_share, undefined

MIN_COLUMNS = 3
"""Near copies mean little in narrower tables."""
N_NEAREST = 8

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Copies:
    """Rows that equal a training row (in all columns, or all but one)."""

    n_synthetic: int
    synthetic: Figure
    """Share of the generated rows; its noise floor is the holdout's."""
    holdout: Figure
    """Share of the holdout rows for which the same is true: the control."""
    twins: Figure
    """Share of the training rows with such a twin in training: the control where splits part no twins."""
    p_value: float
    smallest: Figure
    """The smallest share of copied rows that would have raised an alarm with so many rows; smaller leaks
    cannot be seen."""


@dataclass(frozen=True)
class NearRow:
    """A synthetic row and the training row it resembles most: numbers only, so that a report may be
    stored."""

    row: int
    train_row: int
    distance: float
    equal: tuple[str, ...]
    """Labels of the columns in which both rows are the same."""
    unequal: tuple[str, ...]


def count_copies(hashes: RowHashes, n_rejected: int, level: float) -> Copies:
    """Rows equal to a training row in every cell. level: p below which an alarm is sure."""
    return _copies(
        hashes.copies("synthetic", "real"),
        hashes.copies("holdout", "real"),
        hashes.twins("real"),
        n_rejected,
        level,
    )


def count_near_copies(hashes: RowHashes, n_rejected: int, n_columns: int, level: float) -> Copies:
    """Rows equal to a training row in all cells but one at most; not defined in narrow tables."""
    if n_columns < MIN_COLUMNS:
        nothing = undefined(f"a table of {n_columns} columns has near copies by chance")
        return Copies(0, nothing, nothing, nothing, 1.0, nothing)
    return _copies(
        hashes.near_copies("synthetic", "real"),
        hashes.near_copies("holdout", "real"),
        hashes.twins("real", near=True),
        n_rejected,
        level,
    )


def _copies(synthetic: Flags, holdout: Flags, twins: Flags, n_rejected: int, level: float) -> Copies:
    count, total = int(synthetic.sum()) + n_rejected, len(synthetic) + n_rejected
    control = rate_figure(int(holdout.sum()), len(holdout))
    natural = rate_figure(int(twins.sum()), len(twins))
    figure = replace(rate_figure(count, total), noise_floor=control.value, worst_case=1.0)
    counts = _fair(holdout, twins)
    smallest = smallest_share(total, *counts, level)
    return Copies(count, figure, control, natural, p_more(count, total, *counts), smallest)


def _fair(holdout: Flags, twins: Flags) -> tuple[int, int]:
    """Hits and rows of the control that finds more, of both where they agree.

    Twins come in pairs, so half of the training rows are independent observations at most.
    Where a split parted no twins, the holdout finds none and training's own twins are the fair control. Where the
    holdout finds more, twins would only dilute it: a training table with few twins happens to hold more distinct rows,
    which fresh rows repeat the more.
    """
    own, fresh = (flags.mean() if len(flags) else 0.0 for flags in (twins, holdout))
    ours, others = (int(twins.sum()) // 2, len(twins) // 2), (int(holdout.sum()), len(holdout))
    if own == fresh:
        return ours[0] + others[0], ours[1] + others[1]
    return ours if own > fresh else others


def near_rows(
    real: Codes, synthetic: Codes, rows: Ints, nearest_real: Ints, distances: Floats
) -> tuple[NearRow, ...]:
    """The first `N_NEAREST` distinct synthetic rows with the training row each resembles, in the order given.

    rows, nearest_real: int [n], row numbers of the synthetic and of the training table; distances: [n].
    """
    found: dict[int, NearRow] = {}
    labels = [column.label for column in real.columns]
    for row, train_row, distance in zip(
        rows.tolist(), nearest_real.tolist(), distances.tolist(), strict=True
    ):
        made, known = synthetic.cells[row], real.cells[train_row]
        same = (made == known) | (np.isnan(made) & np.isnan(known))
        equal, unequal = (
            tuple(label for label, is_same in zip(labels, same, strict=True) if is_same == wanted)
            for wanted in (True, False)
        )
        found.setdefault(row, NearRow(row, train_row, distance, equal, unequal))
        if len(found) == N_NEAREST:
            break
    return tuple(found.values())

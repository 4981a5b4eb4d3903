"""Attribute inference and singling out (Giomi et al. 2023): what holds of members more often than of controls.

What enters is coded tables; what leaves is success rates for members and for controls, and the risk that
training on a record added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.distances import nearest, ranges
from harmonic.evaluation.figures import (
    NORMAL_QUANTILE,
    Figure,
    p_more,
    p_sign,
    rate_figure,
    undefined,
)

STREAM_INFERENCE, STREAM_SINGLING = 543, 544
MAX_SECRETS = 12
"""Secret columns, those in which two records differ most often."""
MAX_ASKED = 1_000
"""Members, and as many controls, whose cells are guessed."""
TOLERANCE = 0.05
"""An amount is guessed within this share of its true value (a datetime: within a day)."""
N_PREDICATES = 1_000
N_COLUMNS = 3
"""Columns of a predicate over several."""
LEAST_ROWS = 10

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Inference:
    """Guessing one cell of a record from its other cells with the synthetic rows: members beside controls."""

    label: str
    members: Figure
    """Share of the members whose cell is guessed."""
    controls: Figure
    """Share of the controls: what the law of the table gives away about anybody."""
    risk: Figure
    """(members - controls) / (1 - controls): what training on a record adds; 0 is none."""
    p_value: float


@dataclass(frozen=True)
class SinglingOut:
    """Predicates read off synthetic rows that are true of exactly one record: members beside controls."""

    mode: str
    """"one column" or "several columns"."""
    n_predicates: int
    members: Figure
    controls: Figure
    risk: Figure
    p_value: float


def infer_attributes(
    real: Codes, synthetic: Codes, holdout: Codes, *, seed: int, max_base: int
) -> tuple[Inference, ...]:
    """Each column in turn is a secret, guessed from the synthetic row nearest in all other columns (Giomi et
    al. 2023, section 4.3.3).

    At most `MAX_ASKED` members and controls, `MAX_SECRETS` columns and `max_base` synthetic rows. Records whose
    secret is missing are not asked. None for tables of one column.
    """
    generator = np.random.default_rng([seed, STREAM_INFERENCE])
    base = synthetic.head(max_base, generator)
    members, controls = (table.head(MAX_ASKED, generator) for table in (real, holdout))
    widths = ranges(real)
    if len(real.columns) < 2:
        return ()
    made = []
    for i in _secrets(holdout if len(holdout) else real):
        hits = [_guessed(table, base, i, widths) for table in (members, controls)]
        made.append(_inference(real.columns[i].label, *hits))
    return tuple(made)


def _secrets(table: Codes) -> list[int]:
    """The columns in which two rows differ most often."""
    agree = []
    for i in range(len(table.columns)):
        _, counts = np.unique(table.cells[:, i], return_counts=True)
        agree.append(float(((counts / len(table)) ** 2).sum()))
    return sorted(np.argsort(agree, kind="stable")[:MAX_SECRETS].tolist())


def _guessed(asked: Codes, base: Codes, secret: int, widths: Floats) -> Flags:
    """Which records' secret the nearest row knows; those whose secret is missing are left out."""
    asked = asked.take(np.flatnonzero(~np.isnan(asked.cells[:, secret])))
    others = np.arange(len(asked.columns)) != secret
    _, rows = nearest(_columns(asked, others), _columns(base, others), widths[others])
    truth, guess = asked.cells[:, secret], base.cells[rows, secret]
    column = asked.columns[secret]
    if column.kind == "datetime":
        return np.asarray(np.abs(guess - truth) <= 1.0)
    if column.is_numeric:
        return np.asarray(np.abs(guess - truth) <= TOLERANCE * np.abs(truth))
    return np.asarray(guess == truth)


def _columns(table: Codes, kept: Flags) -> Codes:
    """The table of some columns."""
    places = np.flatnonzero(kept)
    return Codes(
        tuple(table.columns[i] for i in places),
        table.cells[:, places],
        table.lengths[:, places],
        tuple(table.levels[i] for i in places),
    )


def _inference(label: str, members: Flags, controls: Flags) -> Inference:
    if min(len(members), len(controls)) < LEAST_ROWS:
        nothing = undefined(f"guessing needs {LEAST_ROWS} members and controls with a value")
        return Inference(label, nothing, nothing, nothing, 1.0)
    counts = int(members.sum()), len(members), int(controls.sum()), len(controls)
    return Inference(label, *_rates(*counts), p_more(*counts))


def _rates(count: int, total: int, control_count: int, control_total: int) -> tuple[Figure, Figure, Figure]:
    """Success with members (floor: with controls), with controls, and the risk."""
    controls = rate_figure(control_count, control_total)
    members = replace(rate_figure(count, total), noise_floor=controls.value)
    return members, controls, _risk(count, total, control_count, control_total)


def _risk(count: int, total: int, control_count: int, control_total: int) -> Figure:
    """(rate - control) / (1 - control) with the interval of propagated errors, cut at 0 and 1; rates are drawn
    towards a half (Wilson's centre), so that none is without an error."""
    if control_count == control_total:
        return undefined("every control is hit")
    half = NORMAL_QUANTILE**2 / 2
    rate, control = ((n + half) / (m + 2 * half) for n, m in ((count, total), (control_count, control_total)))
    left = 1.0 - control
    variance = rate * (1 - rate) / total / left**2
    variance += ((1 - rate) / left**2) ** 2 * control * (1 - control) / control_total
    centre, margin = (rate - control) / left, NORMAL_QUANTILE * float(np.sqrt(variance))
    plain = count / total, control_count / control_total
    value = min(1.0, max(0.0, (plain[0] - plain[1]) / (1.0 - plain[1])))
    low, high = min(value, max(0.0, centre - margin)), max(value, min(1.0, max(0.0, centre + margin)))
    return Figure(value, low=low, high=high, noise_floor=0.0, worst_case=1.0)


def single_out(
    real: Codes, synthetic: Codes, holdout: Codes, *, seed: int, max_rows: int
) -> tuple[SinglingOut, ...]:
    """Predicates that are true of one synthetic row, tried on members and controls (Giomi et al. 2023, section
    4.3.1): a value of one column, and values of `N_COLUMNS` columns at once.

    Members and controls are cut to equal numbers, at most `max_rows`; each predicate is tried on equally many of them
    that know its columns, or gaps on one side would be a leak. The p-value is that of a sign test on
    distinct records singled out among members only against among controls only: several predicates may find
    the same record.
    """
    generator = np.random.default_rng([seed, STREAM_SINGLING])
    n = min(len(real), len(holdout), max_rows)
    members, controls = (table.take(generator.permutation(len(table))[:n]) for table in (real, holdout))
    base = synthetic.head(max_rows, generator)
    made = []
    for mode, width in (("one column", 1), (f"{N_COLUMNS} columns", N_COLUMNS)):
        if n < LEAST_ROWS or width > len(real.columns):
            reason = f"it needs {LEAST_ROWS} members and controls and {width} column{'s' * (width > 1)}"
            made.append(SinglingOut(mode, 0, undefined(reason), undefined(reason), undefined(reason), 1.0))
        else:
            made.append(_singling_out(mode, width, base, members, controls, generator))
    return tuple(made)


def _singling_out(
    mode: str, width: int, base: Codes, members: Codes, controls: Codes, generator: np.random.Generator
) -> SinglingOut:
    predicates = _predicates(base, width, generator)
    if not predicates:
        reason = "no predicate is true of one synthetic row alone"
        return SinglingOut(mode, 0, undefined(reason), undefined(reason), undefined(reason), 1.0)
    ours, others = np.array(
        [_only_rows(members.cells, controls.cells, predicate) for predicate in predicates]
    ).T
    only_ours = len(np.unique(ours[(ours >= 0) & (others < 0)]))
    only_others = len(np.unique(others[(others >= 0) & (ours < 0)]))
    n = len(predicates)
    rates = _rates(int((ours >= 0).sum()), n, int((others >= 0).sum()), n)
    return SinglingOut(mode, n, *rates, p_sign(only_ours, only_others))


Predicate = tuple[tuple[int, str, float], ...]
"""Column, relation ("=", "<=", ">=") and value; all must hold."""


def _predicates(base: Codes, width: int, generator: np.random.Generator) -> list[Predicate]:
    """At most `N_PREDICATES` different ones of known values, each true of exactly one row of the base."""
    medians = np.array([np.nanmedian(cells) if (~np.isnan(cells)).any() else 0.0 for cells in base.cells.T])
    found: dict[Predicate, None] = {}
    for row in generator.integers(len(base), size=2 * N_PREDICATES):
        columns = np.sort(generator.choice(len(base.columns), size=width, replace=False))
        predicate = tuple(_clause(base, int(row), int(i), width, medians) for i in columns)
        if np.isnan([value for _, _, value in predicate]).any():
            continue
        if predicate not in found and _only_row(base.cells, predicate) >= 0:
            found[predicate] = None
            if len(found) == N_PREDICATES:
                break
    return list(found)


def _clause(base: Codes, row: int, i: int, width: int, medians: Floats) -> tuple[int, str, float]:
    """Levels, and any value of a predicate of one column, are equal; amounts lie beyond, away from the median."""
    value = float(base.cells[row, i])
    if width == 1 or not base.is_ordered[i]:
        return i, "=", value
    return i, ">=" if value > medians[i] else "<=", value


def _only_rows(members: Floats, controls: Floats, predicate: Predicate) -> tuple[int, int]:
    """`_only_row` of equally many members and controls that know all columns of the predicate, each the first."""
    columns = [i for i, _, _ in predicate]
    tables = members[:, columns], controls[:, columns]
    known = [np.flatnonzero(~np.isnan(cells).any(axis=1)) for cells in tables]
    n = min(len(rows) for rows in known)
    narrow = tuple((place, relation, value) for place, (_, relation, value) in enumerate(predicate))
    found = []
    for cells, rows in zip(tables, known, strict=True):
        place = _only_row(cells[rows[:n]], narrow)
        found.append(int(rows[place]) if place >= 0 else -1)
    return found[0], found[1]


def _only_row(cells: Floats, predicate: Predicate) -> int:
    """The number of the one row of which the predicate is true; -1 where none or several are."""
    rows = np.arange(len(cells))
    for i, relation, value in predicate:
        column = cells[rows, i]
        if relation == "=":
            rows = rows[column == value]
        else:
            rows = rows[column >= value if relation == ">=" else column <= value]
    return int(rows[0]) if len(rows) == 1 else -1

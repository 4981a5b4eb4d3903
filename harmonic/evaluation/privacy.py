"""Does the synthetic table give its training rows away? Attacks with controls, and a verdict in words.

What enters is the coded tables (real = the training rows, holdout = rows of the same law that were not
trained on) and the rows a sampler refused as copies; what leaves is, for every attack, what it finds beside
what it finds on rows that cannot leak. Copies are counted before any filter: a filter that hides copies
tells who is a member. Four checks decide the verdict (copies, near copies, membership, column echo), their
p-values corrected together (Holm). The distance to the closest record stands beside them but decides
nothing: with 5 % of the rows copied it hardly moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.distances import RowHashes, nearest, ranges
from harmonic.evaluation.figures import (
    Comparison,
    Figure,
    Progress,
    auc_figure,
    compare,
    holm,
    p_above,
    percent,
    rate_figure,
    undefined,
)

STREAM_ATTACK, STREAM_ECHO = 541, 542
ALARM = 0.05
"""Family-wise chance of an alarm on a table that leaks nothing."""
MIN_COLUMNS = 3
"""Near copies mean little in narrower tables."""
MIN_ATTACK_ROWS = 10
N_NEAREST = 8

Ints = NDArray[np.intp]


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


@dataclass(frozen=True)
class Echo:
    """Values of one column that only training rows, or only holdout rows, have, seen again in synthetic
    rows."""

    label: str
    n_train_only: int
    n_holdout_only: int
    share_in_train: float
    """Share of the synthetic cells whose value stands in as many training rows as there are holdout rows."""
    share_in_holdout: float
    p_value: float


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


@dataclass(frozen=True)
class Privacy:
    """What the attacks found. Everything is read beside its control."""

    copies: Copies
    near_copies: Copies
    membership: Figure
    """AUC of guessing who was trained on; noise floor: independent marginals, worst case: copied rows."""
    dcr: Figure
    """Chance that a synthetic row lies nearer to train than a holdout row does; .5 is ideal, 1 means
    copies."""
    echoes: tuple[Echo, ...]
    nearest: tuple[NearRow, ...]
    n_members: int
    n_controls: int
    p_values: dict[str, float]
    """Holm-corrected, by check."""
    leaks: tuple[str, ...]
    """A sentence for every check that found something."""
    verdict: str


@dataclass(frozen=True)
class Tables:
    """The tables of an attack, in one codebook."""

    real: Codes
    synthetic: Codes
    holdout: Codes
    independent: Codes
    resampled: Codes


def measure_privacy(
    tables: Tables, *, n_rejected_copies: int, seed: int, max_rows: int, max_base: int, progress: Progress
) -> Privacy:
    """All attacks. At most `max_rows` rows ask for their nearest neighbour among at most `max_base`."""
    progress("privacy: counting copies")
    hashes = RowHashes({"real": tables.real, "synthetic": tables.synthetic, "holdout": tables.holdout})
    copies = _count_copies(hashes, n_rejected_copies)
    near = _count_near_copies(hashes, n_rejected_copies, len(tables.real.columns))
    echoes = _column_echoes(tables, seed)
    progress("privacy: looking for nearest rows")
    generator = np.random.default_rng([seed, STREAM_ATTACK])
    attacked = _attacked(tables, generator, max_rows, max_base)
    membership, p_membership = _membership(attacked)
    asked = generator.permutation(len(tables.synthetic))[:max_rows]
    dcr, closest = _closest_records(tables, attacked, hashes.copies("synthetic", "real"), asked)
    p_values = holm(
        {
            "copies": copies.p_value,
            "near copies": near.p_value,
            "membership": p_membership,
            "column echo": min([1.0, *holm({echo.label: echo.p_value for echo in echoes}).values()]),
        }
    )
    found = Privacy(
        copies,
        near,
        membership,
        dcr,
        echoes,
        closest,
        len(attacked.real),
        len(attacked.holdout),
        p_values,
        (),
        "",
    )
    leaks = tuple(_leaks(found))
    return replace(found, leaks=leaks, verdict=_verdict(found, leaks))


def _attacked(tables: Tables, generator: np.random.Generator, max_rows: int, max_base: int) -> Tables:
    """The tables as the distance attacks see them."""
    return Tables(
        real=tables.real.head(max_rows, generator),
        holdout=tables.holdout.head(max_rows, generator),
        synthetic=tables.synthetic.head(max_base, generator),
        independent=tables.independent.head(max_base, generator),
        resampled=tables.resampled.head(max_base, generator),
    )


def _count_copies(hashes: RowHashes, n_rejected: int) -> Copies:
    return _copies(
        hashes.copies("synthetic", "real"), hashes.copies("holdout", "real"), hashes.twins("real"), n_rejected
    )


def _count_near_copies(hashes: RowHashes, n_rejected: int, n_columns: int) -> Copies:
    if n_columns < MIN_COLUMNS:
        nothing = undefined(f"a table of {n_columns} columns has near copies by chance")
        return Copies(0, nothing, nothing, nothing, 1.0)
    return _copies(
        hashes.near_copies("synthetic", "real"),
        hashes.near_copies("holdout", "real"),
        hashes.twins("real", near=True),
        n_rejected,
    )


def _copies(
    synthetic: NDArray[np.bool_], holdout: NDArray[np.bool_], twins: NDArray[np.bool_], n_rejected: int
) -> Copies:
    count, total = int(synthetic.sum()) + n_rejected, len(synthetic) + n_rejected
    control, natural = (
        rate_figure(int(holdout.sum()), len(holdout)),
        rate_figure(int(twins.sum()), len(twins)),
    )
    # where a split parted no twins, the holdout finds none and training's own twins are the fair control
    fair = twins if twins.mean() > holdout.mean() else np.concatenate([holdout, twins])
    p_value = _p_more(count, total, int(fair.sum()), len(fair))
    figure = replace(rate_figure(count, total), noise_floor=control.value, worst_case=1.0)
    return Copies(count, figure, control, natural, p_value)


def _p_more(count: int, total: int, control_count: int, control_total: int) -> float:
    """One-sided p (Fisher) that the first rate is no larger than the control's."""
    table = [[count, total - count], [control_count, control_total - control_count]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def _column_echoes(tables: Tables, seed: int) -> tuple[Echo, ...]:
    """One test for every amount or text: were more values that only train has repeated than values only
    holdout has?

    Train is cut to the holdout's size, so that without a leak both are repeated equally often.
    """
    generator = np.random.default_rng([seed, STREAM_ECHO])
    n = min(len(tables.real), len(tables.holdout))
    real, holdout = tables.real.head(n, generator), tables.holdout.head(n, generator)
    echoes = []
    for i, column in enumerate(real.columns):
        if real.is_ordered[i] or column.kind == "text":
            echoes.append(
                _echo(column.label, real.cells[:, i], tables.synthetic.cells[:, i], holdout.cells[:, i])
            )
    return tuple(echoes)


def _echo(
    label: str, real: NDArray[np.float64], synthetic: NDArray[np.float64], holdout: NDArray[np.float64]
) -> Echo:
    real, synthetic, holdout = (cells[~np.isnan(cells)] for cells in (real, synthetic, holdout))
    values = np.unique(synthetic)
    in_real, in_holdout = np.isin(values, real), np.isin(values, holdout)
    n_real, n_holdout = int((in_real & ~in_holdout).sum()), int((in_holdout & ~in_real).sum())
    p_value = (
        binomtest(n_real, n_real + n_holdout, alternative="greater").pvalue if n_real + n_holdout else 1.0
    )
    in_train, in_control = (
        float(np.isin(synthetic, group).mean()) if len(synthetic) else 0.0 for group in (real, holdout)
    )
    return Echo(label, n_real, n_holdout, in_train, in_control, float(p_value))


def _membership(tables: Tables) -> tuple[Figure, float]:
    """Attack: the nearer a record's nearest synthetic row, the likelier it was trained on. AUC and one-
    sided p.

    An alarm needs an AUC above .5 and above that of independent marginals, which know no row: where holdout
    and training rows differ in law, both rise.
    """
    if min(len(tables.real), len(tables.holdout)) < MIN_ATTACK_ROWS:
        return undefined(f"an attack needs {MIN_ATTACK_ROWS} training and holdout rows"), 1.0
    widths = ranges(tables.real)

    def attack(published: Codes) -> Comparison:
        return compare(
            -nearest(tables.real, published, widths)[0], -nearest(tables.holdout, published, widths)[0]
        )

    found, ignorant, copied = (attack(t) for t in (tables.synthetic, tables.independent, tables.resampled))
    excess = Comparison(found.above - ignorant.above, found.below - ignorant.below)
    p_value = max(p_above(found.auc - 0.5, found.variance), p_above(excess.auc, excess.variance))
    return replace(auc_figure(found), noise_floor=ignorant.auc, worst_case=copied.auc), p_value


def _closest_records(
    tables: Tables, attacked: Tables, is_copy: NDArray[np.bool_], asked: Ints
) -> tuple[Figure, tuple[NearRow, ...]]:
    """DCR of the rows `asked` beside the holdout's, and the synthetic rows that lie nearest to a training
    row."""
    widths = ranges(tables.real)
    distances, rows = nearest(tables.synthetic.take(asked), tables.real, widths)
    control, _ = nearest(attacked.holdout, tables.real, widths)
    figure = replace(
        auc_figure(compare(-distances, -control)),
        noise_floor=0.5,
        worst_case=compare(np.zeros(1), -control).auc,
    )
    copied = np.flatnonzero(is_copy)[:N_NEAREST]  # copies are shown even where they were not asked
    near, near_rows = nearest(tables.synthetic.take(copied), tables.real, widths)
    distances = np.concatenate([near, distances])
    first = np.argsort(distances, kind="stable")
    asked, rows = np.concatenate([copied, asked])[first], np.concatenate([near_rows, rows])[first]
    return figure, _near_rows(tables, asked, rows, distances[first])


def _near_rows(
    tables: Tables, asked: Ints, rows: Ints, distances: NDArray[np.float64]
) -> tuple[NearRow, ...]:
    found: dict[int, NearRow] = {}
    for row, train_row, distance in zip(asked.tolist(), rows.tolist(), distances.tolist(), strict=True):
        made, real = tables.synthetic.cells[row], tables.real.cells[train_row]
        same = (made == real) | (np.isnan(made) & np.isnan(real))
        labels = [column.label for column in tables.real.columns]
        equal, unequal = (
            tuple(label for label, is_same in zip(labels, same, strict=True) if is_same == wanted)
            for wanted in (True, False)
        )
        found.setdefault(row, NearRow(row, train_row, distance, equal, unequal))
        if len(found) == N_NEAREST:
            break
    return tuple(found.values())


def _leaks(found: Privacy) -> list[str]:
    """A sentence for every check below the alarm level."""
    leaks = []
    for name, copies, what in (
        ("copies", found.copies, "equal a training row in every cell"),
        ("near copies", found.near_copies, "equal a training row in all cells but one at most"),
    ):
        if found.p_values[name] < ALARM:
            leaks.append(
                f"{copies.n_synthetic:,} generated rows ({percent(copies.synthetic.value)}) {what} "
                f"(holdout rows: {percent(copies.holdout.value)}; "
                f"training rows among themselves: {percent(copies.twins.value)})."
            )
    if found.p_values["membership"] < ALARM:
        leaks.append(
            f"A distance attack tells training rows from holdout rows with AUC {found.membership.value:.2f}; "
            f"on independent columns with {found.membership.noise_floor:.2f}."
        )
    if found.p_values["column echo"] < ALARM:
        worst = min(found.echoes, key=lambda echo: echo.p_value)
        leaks.append(
            f"Column {worst.label!r} repeats {worst.n_train_only:,} values that only training rows have, "
            f"and {worst.n_holdout_only:,} that only as many holdout rows have."
        )
    return leaks


def _verdict(found: Privacy, leaks: tuple[str, ...]) -> str:
    """Never "anonymous": what was found, or above which size something would have been found."""
    if leaks:
        return "Leakage found. " + " ".join(leaks)
    limits = [f"{percent(found.copies.synthetic.high)} copied rows"]
    if found.membership.is_defined:
        limits.append(f"a membership AUC of {found.membership.high:.2f}")
    said = f"No leakage found above {' and '.join(limits)} (95 % limits)."
    return f"{said}{_unflagged(found.copies)} Other attacks may find more."


def _unflagged(copies: Copies) -> str:
    """What to think of copies that are too few for an alarm; nothing where there are none."""
    if not copies.n_synthetic:
        return ""
    rows = "1 row equals" if copies.n_synthetic == 1 else f"{copies.n_synthetic:,} rows equal"
    natural = max(copies.holdout.value or 0.0, copies.twins.value or 0.0)
    if not natural:
        return f" {rows} a training row: look there, though so few may be chance."
    return (
        f" {rows} a training row, no more than chance allows where {percent(natural)} of the real rows "
        "repeat one another."
    )

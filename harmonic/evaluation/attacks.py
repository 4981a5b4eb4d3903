"""Membership attacks: a score for every member and every control, and the worst of a fixed family.

What enters is the training rows (members), the holdout rows (controls), the published rows and perhaps
further reference rows; what leaves is AUC and TPR at 1 % FPR of every attack, and the headline: the attack
that was strongest on one half of the records, measured on the other. No attack dominates, so the family is
fixed in advance (`FAMILY`). All attacks share one neighbour search a table. An attack that learns from
controls (a reference density, a classifier) learns from one half and is judged on the other alone.

Sources: distance and its calibration by reference rows: Chen et al. 2020 (GAN-Leaks); density ratio: van
Breugel et al. 2023 (DOMIAS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.distances import Near, bandwidth_of, ranges, search
from harmonic.evaluation.figures import (
    Comparison,
    Figure,
    Progress,
    Roc,
    auc_figure,
    compare,
    n_caught,
    p_above,
    p_auc,
    p_caught,
    p_more,
    roc,
    smallest_tpr,
    tpr_figure,
    undefined,
)
from harmonic.evaluation.rowtexts import nearest_texts, row_texts
from harmonic.evaluation.twosample import tree_features

STREAM_ATTACK, STREAM_TREES, STREAM_BLUR = 541, 545, 548
MIN_ATTACK_ROWS = 10
MIN_TREE_ROWS = 80
"""Members and controls a classifier needs: a quarter of them trains it where the attack is chosen."""
N_NEAR = 5
N_ROUNDS = 60
MEASURE = 2
"""The fold that measures; folds 0 and 1 choose, and each learns from the other."""

FAMILY: Mapping[str, str] = {
    "distance": "the nearer a record's nearest published row, the likelier it was trained on",
    "distance difference": "the same, minus the distance to the nearest reference row",
    "neighbour ratio": "the nearest published row lies much nearer than the fifth nearest",
    "text": "the fewer edits lead from the record's text to a published one (Levenshtein)",
    "density ratio": "published rows are dense around the record where reference rows are not (DOMIAS)",
    "classifier": "boosted trees on all of these, trained on other members and controls",
}
"""The attacks, fixed in advance. Ties of strength go to the earlier one."""
CALIBRATED = ("distance difference", "density ratio")

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Tables:
    """The tables of an attack, in one codebook."""

    real: Codes
    synthetic: Codes
    holdout: Codes
    independent: Codes
    resampled: Codes
    reference: Codes | None = None
    """Further rows of the same law that nothing was trained on; None: half of the holdout serves as such."""
    drawn: Codes | None = None
    """The holdout as it was drawn, before rows that training rows equal were left out; None: `holdout` is that."""


@dataclass(frozen=True)
class Attack:
    """One way of guessing who was trained on: a score for every member and every control."""

    name: str
    """Key of `FAMILY`."""
    what: str
    """The attack in one sentence, for readers."""
    auc: Figure
    """Noise floor: the same attack on independent marginals; worst case: on copied training rows."""
    tpr: Figure
    """Share of the members accused where 1 % of the controls are (order statistic); floor, worst case as above."""
    roc: Roc
    n_members: int
    n_controls: int
    p_value: float
    """One-sided, of AUC and TPR together, against chance and against independent marginals. Not corrected."""


@dataclass(frozen=True)
class Headline:
    """The strongest attack of the family, chosen on one half of the records and measured on the other."""

    attack: str
    """Name of the chosen attack; "" where none could be measured."""
    auc: Figure
    tpr: Figure
    roc: Roc
    n_members: int
    """Of the measuring half."""
    n_controls: int
    p_value: float
    smallest_tpr: Figure
    """The smallest TPR at 1 % FPR that so many records tell from 1 %; leaks below cannot be seen."""


@dataclass(frozen=True)
class Membership:
    """What the family found."""

    attacks: tuple[Attack, ...]
    headline: Headline


@dataclass(frozen=True)
class Records:
    """Members and controls in one table, and the fold of each."""

    table: Codes
    is_member: NDArray[np.bool_]
    fold: Ints

    def split(self, scores: Floats, folds: tuple[int, ...]) -> tuple[Floats, Floats]:
        """The scores of the members and of the controls of those folds."""
        chosen = np.isin(self.fold, folds)
        return scores[chosen & self.is_member], scores[chosen & ~self.is_member]

    def teachers(self, fold: int) -> NDArray[np.bool_]:
        """Which records the attacks on a fold may learn from."""
        return np.isin(self.fold, (0, 1) if fold == MEASURE else (1 - fold,))


ALL_FOLDS = (0, 1, MEASURE)
Scores = dict[str, Floats]
"""By attack: a score for every record, higher for likelier members."""


def attack_membership(tables: Tables, *, seed: int, progress: Progress) -> Membership:
    """The whole family on the synthetic rows; floor: on independent marginals; worst case: on copied rows.

    The tables are those the attacks shall see: whoever calls cuts them to size. An alarm needs scores above
    chance and above those on independent marginals, which know no row: where holdout and training rows differ
    in law, both rise.
    """
    n_members, n_controls = len(tables.real), len(tables.holdout)
    if min(n_members, n_controls) < MIN_ATTACK_ROWS:
        return _nothing(
            f"an attack needs {MIN_ATTACK_ROWS} training and as many holdout rows that equal no other",
            n_members,
            n_controls,
        )
    records = _records(tables, seed)
    widths = ranges(tables.real)
    bandwidth = bandwidth_of(records.table, tables.synthetic, widths)
    tables = replace(tables, independent=_without_digits(tables.independent, tables.real, seed))
    known = _reference(records, tables.reference, widths, bandwidth)
    found = {}
    for name in ("synthetic", "independent", "resampled"):
        progress(f"privacy: membership attacks on {name} rows")
        found[name] = _scores(records, getattr(tables, name), known, widths, bandwidth, seed)
    learns = {"classifier", *(() if tables.reference is not None else CALIBRATED)}
    attacks = tuple(
        _attack(name, records, found, (MEASURE,) if name in learns else ALL_FOLDS) for name in FAMILY
    )
    return Membership(attacks, _headline(records, found))


def _nothing(reason: str, n_members: int, n_controls: int) -> Membership:
    nothing, curve = undefined(reason), Roc((), ())
    attacks = tuple(
        Attack(name, what, nothing, nothing, curve, n_members, n_controls, 1.0)
        for name, what in FAMILY.items()
    )
    return Membership(attacks, Headline("", nothing, nothing, curve, 0, 0, 1.0, nothing))


def _records(tables: Tables, seed: int) -> Records:
    generator = np.random.default_rng([seed, STREAM_ATTACK])
    real, holdout = tables.real, tables.holdout
    table = Codes(
        real.columns,
        np.vstack([real.cells, holdout.cells]),
        np.vstack([real.lengths, holdout.lengths]),
        real.levels,
    )
    # every second row measures, every fourth belongs to each of the folds that choose
    folds = [
        generator.permutation(np.array([MEASURE, 0, MEASURE, 1])[np.arange(len(t)) % 4])
        for t in (real, holdout)
    ]
    is_member = np.arange(len(table)) < len(real)
    return Records(table, is_member, np.concatenate(folds))


def _without_digits(table: Codes, real: Codes, seed: int) -> Codes:
    """Marginals whose amounts lie somewhere between neighbouring training values, to the column's decimals.

    Marginals repeat the digits of training cells, which the finer attacks see: as what is known without any
    record they would be no control. Rare levels and texts stay, since nothing lies between them.
    """
    generator = np.random.default_rng([seed, STREAM_BLUR])
    cells = table.cells.copy()
    for i in np.flatnonzero(table.is_ordered):
        known = np.unique(real.cells[~np.isnan(real.cells[:, i]), i])
        if len(known):
            edges = np.concatenate([known[:1], (known[1:] + known[:-1]) / 2, known[-1:]])
            place = np.searchsorted(known, cells[:, i]).clip(max=len(known) - 1)
            drawn = edges[place] + generator.random(len(cells)) * (edges[place + 1] - edges[place])
            decimals = table.columns[i].decimals
            blurred = drawn if table.columns[i].kind == "datetime" else np.round(drawn, decimals or 0)
            cells[:, i] = np.where(np.isnan(cells[:, i]), np.nan, blurred)
    return replace(table, cells=cells)


def _reference(records: Records, reference: Codes | None, widths: Floats, bandwidth: float) -> Near:
    """Every record's search among reference rows: those given, or the controls its fold may learn from."""
    if reference is not None:
        return search(records.table, reference, widths, k=N_NEAR, bandwidth=bandwidth)
    n = len(records.table)
    near = Near(np.empty((n, N_NEAR)), np.empty(n, dtype=np.intp), np.empty(n))
    for fold in ALL_FOLDS:
        asked = np.flatnonzero(records.fold == fold)
        base = records.table.take(np.flatnonzero(records.teachers(fold) & ~records.is_member))
        part = search(records.table.take(asked), base, widths, k=N_NEAR, bandwidth=bandwidth)
        near.distances[asked], near.rows[asked], near.log_density[asked] = (
            part.distances,
            part.rows,
            part.log_density,
        )
    return near


def _scores(
    records: Records, published: Codes, known: Near, widths: Floats, bandwidth: float, seed: int
) -> Scores:
    """The family's scores; an attack that these few rows do not allow is left out."""
    near = search(records.table, published, widths, k=N_NEAR, bandwidth=bandwidth)
    first, last = near.distances[:, 0], near.distances[:, -1]
    edits = nearest_texts(row_texts(records.table), row_texts(published), near.rows, seed)
    scores = {
        "distance": -first,
        "distance difference": known.distances[:, 0] - first,
        "neighbour ratio": 1.0 - np.divide(first, last, out=np.ones_like(first), where=last > 0),
        "text": -edits,
        "density ratio": near.log_density - known.log_density,
    }
    if min(records.is_member.sum(), (~records.is_member).sum()) >= MIN_TREE_ROWS:
        features = np.column_stack(
            [
                *scores.values(),
                near.distances,
                known.distances,
                _gaps(records.table, published, near.rows, widths),
            ]
        )
        scores["classifier"] = _classified(records, features, seed)
    return scores


def _gaps(table: Codes, published: Codes, rows: Ints, widths: Floats) -> Floats:
    """How far each cell lies from that of the nearest published row: a share of the range, or 1 for another
    level; NaN where one is missing, [n_records, n_columns]."""
    near = published.cells[rows]
    return np.where(table.is_ordered, np.abs(table.cells - near) / widths, table.cells != near)


def _classified(records: Records, features: Floats, seed: int) -> Floats:
    """Log odds of membership; each fold is judged by trees that never saw it."""
    scores = np.empty(len(features))
    for fold in ALL_FOLDS:
        taught, asked = records.teachers(fold), records.fold == fold
        trees = HistGradientBoostingClassifier(
            max_iter=N_ROUNDS,
            max_leaf_nodes=8,
            min_samples_leaf=10,
            early_stopping=False,
            random_state=int(np.random.default_rng([seed, STREAM_TREES]).integers(2**31)),
        )
        seen, questions = tree_features(features[taught], features[asked])
        trees.fit(seen, records.is_member[taught])
        scores[asked] = trees.decision_function(questions)
    return scores


def _attack(name: str, records: Records, found: Mapping[str, Scores], folds: tuple[int, ...]) -> Attack:
    """One attack on the synthetic rows, measured on these folds."""
    if name not in found["synthetic"]:
        nothing = undefined(f"it needs {MIN_TREE_ROWS} training and holdout rows")
        counts = int(records.is_member.sum()), int((~records.is_member).sum())
        return Attack(name, FAMILY[name], nothing, nothing, Roc((), ()), *counts, 1.0)
    members, controls = records.split(found["synthetic"][name], folds)
    floor, worst = (records.split(found[other][name], folds) for other in ("independent", "resampled"))
    auc, tpr = (
        measure(members, controls).beside(noise_floor=measure(*floor), worst_case=measure(*worst))
        for measure in (_auc, tpr_figure)
    )
    p_value = _p_value((members, controls), floor)
    return Attack(name, FAMILY[name], auc, tpr, roc(members, controls), len(members), len(controls), p_value)


def _auc(members: Floats, controls: Floats) -> Figure:
    return auc_figure(compare(members, controls))


def _p_value(found: tuple[Floats, Floats], ignorant: tuple[Floats, Floats]) -> float:
    """One-sided p of AUC and TPR together (twice the smaller one), each the larger of its p against chance and
    its p against the same attack on independent marginals."""
    ours, theirs = compare(*found), compare(*ignorant)
    excess = Comparison(ours.above - theirs.above, ours.below - theirs.below)
    p_area = max(p_auc(*found), p_above(excess.auc, excess.variance))
    n_members, n_controls = len(found[0]), len(found[1])
    count, natural = n_caught(*found), n_caught(*ignorant)
    p_tpr = max(p_caught(count, n_members, n_controls), p_more(count, n_members, natural, n_members))
    return min(1.0, 2.0 * min(p_area, p_tpr))


def _headline(records: Records, found: Mapping[str, Scores]) -> Headline:
    """Chosen where p is smallest on folds 0 and 1 (on a tie the earlier in the family), measured on the other."""

    def p_in(name: str, folds: tuple[int, ...]) -> float:
        return _p_value(
            *(records.split(found[source][name], folds) for source in ("synthetic", "independent"))
        )

    name = min(found["synthetic"], key=lambda name: p_in(name, (0, 1)))
    attack = _attack(name, records, found, (MEASURE,))
    return Headline(
        attack=name,
        auc=attack.auc,
        tpr=attack.tpr,
        roc=attack.roc,
        n_members=attack.n_members,
        n_controls=attack.n_controls,
        p_value=attack.p_value,
        smallest_tpr=smallest_tpr(attack.n_members, attack.n_controls),
    )

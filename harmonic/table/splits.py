"""Roles of the rows: train, val and test, seeded, stratified, without a row in two roles.

A frame and its schema enter; `Parts` leave with the frames, their row numbers in the original table, digests of
their canonical rows and a sentence for everything that was done. Rows of a later role that also stand in an
earlier one are removed from the later one, for a holdout that was trained on is none. What was removed from test
leaves, too: attacks compare rows of one law, and a test without its twins follows another than train.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table.cells import to_rows
from harmonic.table.infer import check_frame
from harmonic.table.schema import Row, Schema

SPLIT_STREAM = 102
"""Name of the random stream that splits are drawn from."""
VAL_FROM_ROWS = 1000
"""Below this many rows a validation part costs more than it tells: the likelihood of some dozen rows is best long
before what a class means is learnt (adult, 400 rows: AUC .69 with it, .83 without)."""
VAL_SHARE = 0.1
_ROLES = ("train", "val", "test")


@dataclass(frozen=True)
class Parts:
    """The rows of a table by role. `index` holds row positions in the original frame, ascending, by role."""

    train: pd.DataFrame
    val: pd.DataFrame
    test: pd.DataFrame
    index: dict[str, np.ndarray]
    digests: dict[str, str]
    removed: dict[str, int]
    """Rows removed from a role because an earlier role has them, by role."""
    twins: pd.DataFrame
    """The rows removed from test."""
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        return {role: len(self.index[role]) for role in _ROLES}

    def to_json(self) -> dict[str, Any]:
        """Counts, digests and notes: never rows."""
        facts = {"counts": self.counts, "removed": self.removed, "digests": self.digests}
        return {**facts, "notes": list(self.notes)}


def split_table(
    frame: pd.DataFrame, schema: Schema, *, seed: int = 0, test: float = 0.2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(train, holdout): a seeded split, stratified on a class target, no row in both. See `split_roles`.

    The holdout rows that were left out, for train has them too, are `split_roles(...).twins`: pass them to
    `evaluate(twins=)` where rows of the table repeat one another.
    """
    parts = split_roles(frame, schema, seed=seed, test=test, val=0.0)
    return parts.train, parts.test


def split_roles(
    frame: pd.DataFrame, schema: Schema, *, seed: int = 0, test: float = 0.2, val: float | None = None
) -> Parts:
    """Parts of the table: shares `test` and `val` of its rows, the rest is train.

    `val=None` means a tenth from 1,000 rows on and none below. Classes are stratified; a class with one member
    goes to train. A table of one row is all train. Raises HarmonicError for shares that leave no training
    row, and for what is no share or no seed.
    """
    check_frame(frame)
    notes: list[str] = []
    val = _val_share(len(frame), val, notes)
    _check_settings(seed, test, val)
    rows = to_rows(frame, schema)
    roles = _assign(
        _strata(rows, schema, notes),
        {"test": test, "val": val},
        np.random.default_rng([seed, SPLIT_STREAM]),
        notes,
    )
    index = {role: np.flatnonzero(roles == role) for role in _ROLES}
    drawn = index["test"]
    removed = _remove_twins(index, rows, notes)
    twins = frame.iloc[np.setdiff1d(drawn, index["test"])].reset_index(drop=True)
    frames = {role: frame.iloc[index[role]].reset_index(drop=True) for role in _ROLES}
    digests = {role: digest_rows([rows[row] for row in index[role]]) for role in _ROLES}
    return Parts(**frames, index=index, digests=digests, removed=removed, twins=twins, notes=tuple(notes))


def with_test(parts: Parts, holdout: pd.DataFrame, schema: Schema) -> Parts:
    """The parts with rows from elsewhere as test, without those that stand in train or val already, counted.

    Where most training rows repeat one another, such rows are no leak and stay. Raises HarmonicError where no row is
    left that the training rows have not.
    """
    rows = to_rows(holdout, schema)
    earlier = [row for part in (parts.train, parts.val) for row in to_rows(part, schema)]
    every = np.arange(len(rows))
    index, notes = _without(set(earlier), every, rows, "test", may_keep=has_few_distinct_rows(earlier))
    if len(rows) and not len(index):
        raise HarmonicError(
            f"Holdout: all {len(rows):,} rows of the file stand in the training rows, expected rows to hold out. "
            "Check [table] holdout, or leave it out and let [split] test hold rows out."
        )
    return replace(
        parts,
        test=holdout.iloc[index].reset_index(drop=True),
        index={**parts.index, "test": index},
        digests={**parts.digests, "test": digest_rows([rows[place] for place in index])},
        removed={**parts.removed, "test": len(rows) - len(index)},
        twins=holdout.iloc[np.setdiff1d(every, index)].reset_index(drop=True),
        notes=(*parts.notes, *notes),
    )


def with_fewer(parts: Parts, n_rows: int, schema: Schema, *, seed: int = 0) -> Parts:
    """The parts with `n_rows` of the training rows, classes in their shares; the others have no role.

    Raises HarmonicError where there are fewer rows than that.
    """
    n_train = len(parts.train)
    if not 0 < n_rows <= n_train:
        raise HarmonicError(
            f"[split] train_rows = {n_rows}: the training part has {n_train} rows, expected 1 to {n_train}. "
            "Ask for fewer, or make [split] test smaller."
        )
    if n_rows == n_train:
        return parts
    kept = split_roles(parts.train, schema, seed=seed, test=1.0 - n_rows / n_train, val=0.0)
    return replace(
        parts,
        train=kept.train,
        index={**parts.index, "train": parts.index["train"][kept.index["train"]]},
        digests={**parts.digests, "train": kept.digests["train"]},
        notes=(*parts.notes, f"Split: {len(kept.train)} of {n_train} training rows are used (train_rows)."),
    )


def has_few_distinct_rows(rows: Sequence[Row]) -> bool:
    """Whether most rows have a twin in their own table: a row found elsewhere, too, is no leak then."""
    return 2 * n_repeated(rows) > len(rows)


def n_repeated(rows: Sequence[Row]) -> int:
    """Rows that have a twin in their own table."""
    return sum(count for count in Counter(rows).values() if count > 1)


def digest_rows(rows: Sequence[Row]) -> str:
    """sha256 of canonical rows, one JSON array a line, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def _check_settings(seed: Any, test: Any, val: Any) -> None:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise HarmonicError(f"Split: seed={seed!r}, a whole number from 0 on is expected. Correct the seed.")
    for name, share in (("test", test), ("val", val)):
        if not isinstance(share, int | float | np.integer | np.floating) or math.isnan(share):
            raise HarmonicError(
                f"Split: {name}={share!r}, a share of the rows from 0 to below 1 is expected. Correct it."
            )
    if min(test, val) < 0.0 or test + val >= 1.0:
        raise HarmonicError(
            f"Split: test={test} and val={val} leave no training row. Use shares whose sum is below 1."
        )


def _val_share(n_rows: int, val: float | None, notes: list[str]) -> float:
    if val is not None:
        return val
    if n_rows < VAL_FROM_ROWS:
        notes.append(
            f"Split: no validation part, since the table has {n_rows} rows, fewer than {VAL_FROM_ROWS}."
        )
        return 0.0
    return VAL_SHARE


def _strata(rows: Sequence[Row], schema: Schema, notes: list[str]) -> np.ndarray:
    """A number for each row's class; all zeros where the target is no class."""
    names = [column.name for column in schema.modelled]
    if schema.target not in names or schema.task == "regression":
        return np.zeros(len(rows), dtype=np.int64)
    place = names.index(schema.target)
    classes, counts = np.unique([row[place] or "" for row in rows], return_counts=True)
    if len(classes) == 1:
        notes.append(f"Split: the target has one class in all {len(rows)} rows; nothing to stratify.")
    lonely = int((counts == 1).sum())
    if lonely and len(rows) > 1:
        notes.append(f"Split: {lonely} class(es) with one member stay in train.")
    return np.searchsorted(classes, [row[place] or "" for row in rows])


def _assign(
    strata: np.ndarray, shares: dict[str, float], rng: np.random.Generator, notes: list[str]
) -> np.ndarray:
    """The role of every row: within each class the first of a seeded order go to test, the next to val."""
    roles = np.full(len(strata), "train", dtype="U5")
    order = rng.permutation(len(strata))
    if len(strata) < 2:
        notes.append("Split: one row only; it trains, and there is no holdout.")
        return roles
    taken = np.zeros(strata.max() + 1, dtype=np.int64)
    sizes = np.bincount(strata)
    for role, share in shares.items():
        quota = _quota(sizes, taken, share)
        for stratum in np.flatnonzero(quota):
            members = order[strata[order] == stratum]
            roles[members[taken[stratum] : taken[stratum] + quota[stratum]]] = role
        taken += quota
    return roles


def _quota(sizes: np.ndarray, taken: np.ndarray, share: float) -> np.ndarray:
    """Rows of each class for a role: rounded so that the total is right, one left to train in every class."""
    room = np.maximum(sizes - taken - 1, 0)
    ideal = sizes * share
    quota = np.minimum(np.floor(ideal).astype(np.int64), room)
    wanted = max(round(share * int(sizes.sum())), 1) if share else 0
    for stratum in np.argsort(quota - ideal, kind="stable"):
        if quota.sum() >= wanted:
            break
        if quota[stratum] < room[stratum]:
            quota[stratum] += 1
    return quota


def _remove_twins(index: dict[str, np.ndarray], rows: Sequence[Row], notes: list[str]) -> dict[str, int]:
    """Drops from val and test the rows that an earlier role has; keeps them where most rows are such."""
    seen = {rows[row] for row in index["train"]}
    removed = {}
    for role in ("val", "test"):
        drawn = index[role]
        index[role], said = _without(seen, drawn, rows, role, may_keep=True)
        seen |= {rows[row] for row in drawn}
        removed[role] = len(drawn) - len(index[role])
        notes += said
    return removed


def _without(
    seen: set[Row], places: np.ndarray, rows: Sequence[Row], role: str, *, may_keep: bool
) -> tuple[np.ndarray, list[str]]:
    """The places whose rows were not `seen`, and what was done; all places where most were seen and `may_keep`."""
    fresh = np.array([place for place in places if rows[place] not in seen], dtype=np.int64)
    n_twins = len(places) - len(fresh)
    if not n_twins:
        return fresh, []
    if may_keep and 2 * n_twins > len(places):
        what = "the table has few distinct rows, so equal rows are no leak"
        return places, [
            f"Split: {n_twins} of {len(places)} {role} rows also stand in an earlier part; kept: {what}."
        ]
    return fresh, [
        f"Split: {n_twins} of {len(places)} {role} rows removed: an earlier part has the same row."
    ]

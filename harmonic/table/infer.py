"""What the columns of a frame are: kinds, dtypes, resolutions; and what of them the training rows show.

A frame enters `infer_schema`, with overrides that a person declared; a Schema leaves in which every inference
is also a sentence, so that nobody has to guess why a column became what it is. `observe` then replaces levels,
bounds, missing shares and decimals by those of the training rows alone: nothing of the holdout reaches a model.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table.cells import locate
from harmonic.table.columns import encode_column
from harmonic.table.kinds import facts_of, infer_column, nearest
from harmonic.table.observed import observed
from harmonic.table.overrides import check_labels, check_overrides
from harmonic.table.policy import Policy
from harmonic.table.schema import Column, Schema

__all__ = ["Policy", "infer_schema", "observe", "unseen_levels"]

_LONGEST_LABEL = 60


def infer_schema(
    frame: pd.DataFrame,
    *,
    target: Hashable | None = None,
    title: str | None = None,
    overrides: Mapping[Hashable, Mapping[str, Any]] | None = None,
    policy: Policy | None = None,
) -> Schema:
    """The schema of `frame`: kinds, dtypes, levels and bounds, each inference a sentence in `decisions`.

    `overrides` declares facts column by column: kind, levels, lower, upper, decimals, step, resolution,
    pattern, label. Raises HarmonicError for doubled names, an empty table, an unknown target or override, infinities.
    """
    policy = policy or Policy()
    overrides = {} if overrides is None else overrides
    check_frame(frame)
    check_overrides(overrides)
    for name in (*overrides, *(() if target is None else (target,))):
        if name not in list(frame.columns):
            raise HarmonicError(f"Column {name!r}: not in the table.{nearest(name, frame.columns)}")
    columns, decisions = [], []
    for position, (name, label) in enumerate(zip(frame.columns, labels_of(list(frame.columns)), strict=True)):
        facts = facts_of(frame.iloc[:, position], name, label, name == target, overrides.get(name, {}))
        column, reason = infer_column(facts, policy)
        columns.append(column)
        decisions.append(f"Column {column.label!r}: {column.kind}, {reason}.")
    check_labels(columns)
    schema = Schema(tuple(columns), target, title or "a table", tuple(decisions))
    plain = replace(policy, rare_levels="keep", extremes="keep")  # these two speak of training rows
    return _observe(schema, frame, plain)[0]


def check_frame(frame: pd.DataFrame) -> None:
    """Raises HarmonicError unless `frame` is a table with rows, columns and distinct names."""
    if not isinstance(frame, pd.DataFrame):
        raise HarmonicError(f"Table: a {type(frame).__name__} was given, a pandas DataFrame is expected.")
    names = list(frame.columns)
    doubled = (
        list(dict.fromkeys(name for name in names if names.count(name) > 1))
        if len({*names}) < len(names)
        else []
    )
    if doubled:
        raise HarmonicError(
            f"Columns {', '.join(map(repr, doubled))}: stand more than once in the table. Rename them."
        )
    _check_names(names)
    if not names:
        raise HarmonicError("Table: has no columns. Check the file and its separator.")
    if not len(frame):
        raise HarmonicError(
            f"Table: has no rows under its {len(names)} columns. Check the file or the query."
        )


def _check_names(names: Sequence[Hashable]) -> None:
    """Raises HarmonicError for a name that a schema's file could not give back."""
    odd = [name for name in names if not _can_be_written(name)]
    if odd:
        raise HarmonicError(
            f"Column {odd[0]!r}: its name is a {type(odd[0]).__name__}, a text or an int is expected. "
            "Rename the columns, for instance with frame.columns = frame.columns.astype(str)."
        )


def _can_be_written(name: Any) -> bool:
    if isinstance(name, tuple):
        return all(map(_can_be_written, name))
    return isinstance(name, str | int) or (isinstance(name, float) and math.isfinite(name))


def labels_of(names: list[Hashable]) -> list[str]:
    """Names as unique, printable, single-line texts of at most about 60 characters."""
    labels: list[str] = []
    taken: set[str] = set()
    for position, name in enumerate(names):
        label = _printable(name) or f"column {position + 1}"
        unique, copy = label, 1
        while unique in taken:
            copy += 1
            unique = f"{label} ({copy})"
        taken.add(unique)
        labels.append(unique)
    return labels


def _printable(name: Hashable) -> str:
    text = " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    kept = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return " ".join(kept.split())[:_LONGEST_LABEL].strip()


def observe(schema: Schema, train: pd.DataFrame, policy: Policy | None = None) -> Schema:
    """The same kinds with levels, bounds, steps, missing shares and decimals of the training rows only.

    Rare levels and extremes are kept, grouped or rounded as `policy` says, and each such choice is added to
    `decisions`. A column without a value in `train` becomes a constant. What was declared stays as declared.
    """
    check_frame(train)
    policy = policy or Policy()
    schema, decisions = _observe(schema, train, policy)
    bounded = [column.label for column in schema.columns if column.lower is not None]
    if bounded and policy.extremes == "keep":
        decisions.append(
            f"Bounds are the extremes of the training rows (extremes='keep'): {', '.join(bounded)}."
        )
    return schema.with_columns(schema.columns, *decisions)


def _observe(schema: Schema, frame: pd.DataFrame, policy: Policy) -> tuple[Schema, list[str]]:
    positions = locate(frame, schema)
    columns: list[Column] = []
    decisions: list[str] = []
    for column in schema.columns:
        series = frame.iloc[:, positions[column.name]]
        found, said = observed(column, series, policy, is_target=column.name == schema.target)
        columns.append(found)
        decisions += said
    return replace(schema, columns=tuple(columns)), decisions


def unseen_levels(schema: Schema, frame: pd.DataFrame) -> dict[Hashable, tuple[str, ...]]:
    """Levels that stand in `frame` but not in the schema, by column: reported, never modelled."""
    positions = locate(frame, schema)
    unseen = {}
    for column in schema.modelled:
        if column.kind == "categorical":
            texts = encode_column(frame.iloc[:, positions[column.name]], column)
            found = {text for text in texts if text is not None} - set(column.levels) - {column.other}
            if found:
                unseen[column.name] = tuple(sorted(found))
    return unseen

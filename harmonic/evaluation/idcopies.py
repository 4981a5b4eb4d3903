"""Identifiers of training rows that stand in the synthetic table: one that was copied names a person.

What enters is frames by role; what leaves is, for every identifier column, counts beside a control. Fresh identifiers
hit real ones by chance where their shape has little room, and then those of the holdout as often: which half of the
real rows was trained on does not matter to chance. So the share of the training rows' own identifiers that come back
is compared with that of the holdout rows' own. That asks for a holdout whose identifiers lie among the training ones:
where numbers were given in turn and rows split in turn, a tool that counts on finds training rows alone. And a table
that numbers its rows tells nothing, whoever numbered them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from harmonic.evaluation.figures import Figure, p_more, rate_figure
from harmonic.table.columns import encode_values
from harmonic.table.dtypes import family
from harmonic.table.schema import Column, Schema

APART = 0.01
"""Chance at which identifiers of training and holdout rows that are ordered apart make no comparison."""
ALL_SHARED = "all of them stand in holdout rows, too"
NO_OWN = "no identifier stands in holdout rows alone"
ORDERED = "those of training and holdout rows are ordered apart, so fresh ones would hit one side, too"


@dataclass(frozen=True)
class IdCopies:
    """One identifier column."""

    label: str
    n_copied: int
    """Synthetic rows that hold an identifier of a training row."""
    n_rows: int
    """Synthetic rows that hold one at all."""
    repeated: Figure
    """Share of the identifiers of training rows alone that stand in the synthetic table; noise floor: the same of
    holdout rows alone."""
    p_value: float
    """One-sided (Fisher): are more of the training rows' identifiers repeated? Not corrected; 1 where untested."""
    untested: str
    """Why the holdout is no control of identifiers that were found; "" where it is."""
    is_numbering: bool
    """Whether the synthetic identifiers number their rows, which says nothing."""


def count_id_copies(frames: Mapping[str, pd.DataFrame], schema: Schema) -> tuple[IdCopies, ...]:
    """All identifier columns. `frames` holds "real", "synthetic" and "holdout", the last one as it was drawn."""
    return tuple(
        _count({role: _ids(frames[role][column.name], column) for role in frames}, column)
        for column in schema.columns
        if column.kind == "identifier"
    )


def id_notes(found: Iterable[IdCopies]) -> list[str]:
    """What could not be asked of row numbers, in words."""
    return [
        f"Column {ids.label}: its synthetic values number the rows, so they do not tell whether real ones were copied."
        for ids in found
        if ids.is_numbering
    ]


def id_warnings(found: Iterable[IdCopies]) -> list[str]:
    """Columns that hold identifiers of training rows and could not be tested."""
    return [
        f"Column {ids.label}: {ids.n_copied:,} of {ids.n_rows:,} synthetic identifiers stand in the training rows, and "
        f"whether by chance could not be tested: {ids.untested}."
        for ids in found
        if ids.untested
    ]


def _ids(series: pd.Series, column: Column) -> list[str]:
    """The canonical texts of the filled cells, blanks at the ends cut; a cell that cannot be read is left out."""
    codes, texts, _ = encode_values(series, column)
    return [text.strip() for code in codes if code >= 0 and (text := texts[code]) is not None]


def _count(ids: Mapping[str, list[str]], column: Column) -> IdCopies:
    real, holdout, made = (set(ids[role]) for role in ("real", "holdout", "synthetic"))
    own, others = real - holdout, holdout - real
    is_numbering = _number_rows(ids["synthetic"], column)
    n_copied = sum(text in real for text in ids["synthetic"])
    untested = "" if is_numbering or not n_copied else _no_control(own, others, made, column)
    is_tested = not is_numbering and not untested
    control = rate_figure(len(others & made), len(others))
    return IdCopies(
        label=column.label,
        n_copied=n_copied,
        n_rows=len(ids["synthetic"]),
        repeated=rate_figure(len(own & made), len(own)).beside(noise_floor=control),
        p_value=p_more(len(own & made), len(own), len(others & made), len(others)) if is_tested else 1.0,
        untested=untested,
        is_numbering=is_numbering,
    )


def _no_control(own: set[str], others: set[str], made: set[str], column: Column) -> str:
    """Why identifiers of holdout rows are no control of those that were found; "" where they are."""
    if not own:
        return ALL_SHARED
    if not own & made:
        return ""
    if not others:
        return NO_OWN
    places = {text: place for place, text in enumerate(sorted(own | others, key=_order_of(column)))}
    first, second = ([places[text] for text in texts] for texts in (own, others))
    return ORDERED if mannwhitneyu(first, second).pvalue < APART else ""


def _order_of(column: Column) -> Callable[[str], float | str]:
    return float if family(column) in ("int", "float") else str


def _number_rows(texts: list[str], column: Column) -> bool:
    """Whether these are 0.., 1.. or where the pattern starts: each number once, or rising with half of them used."""
    if not texts or not all(text.isdecimal() for text in texts):
        return False
    numbers = np.array([int(text) for text in texts], dtype=object)
    first, span = min(numbers), max(numbers) - min(numbers) + 1
    start = column.pattern.removesuffix("..")
    if first not in {0, 1, int(start) if start.isdecimal() and start != column.pattern else 0}:
        return False
    rises = bool(np.all(numbers[1:] > numbers[:-1]))
    return (len(set(texts)) == len(texts) == span) or (rises and span <= 2 * len(texts))

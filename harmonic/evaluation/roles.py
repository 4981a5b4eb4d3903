"""Who is who: the real, synthetic and holdout rows of a report, checked against one another before any measurement.

What enters is frames by role and their schema; what leaves is the frames to measure, and `Roles`: counts and digests,
never rows. A holdout row that stands verbatim among the training rows was trained on: it is counted and left out of
the holdout. Where training rows repeat one another as often, that is the table's nature, and such a holdout row still
shows what fresh rows repeat by chance: where copies and echoes are counted it stays (`Roles.is_natural`). A split may
have taken such rows out before: attacks need them back (`twins`), or members and controls would be no rows of one law.
Synthetic rows are never left out: a copy is what the report is there to count.
Files that were passed in each other's place are refused or warned of, for every figure would look plausible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.evaluation.figures import p_more
from harmonic.evaluation.levels import Unseen, find_unseen
from harmonic.table.columns import encode_values
from harmonic.table.dtypes import family
from harmonic.table.kinds import nearest
from harmonic.table.schema import Column, Row, Schema
from harmonic.table.splits import digest_rows, has_few_distinct_rows, n_repeated

SAME_FROM = 10
"""Two tables of fewer rows may be equal by chance."""
SURE = 1e-3
"""Chance at which rows found in the wrong table are worth a warning, or are more than twins explain."""

Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Role:
    """One table of the report."""

    name: str
    """ "real", "synthetic", "holdout" or "reference"."""
    n_given: int
    n_rows: int
    """Rows measured: those given but for rows left out because the training rows hold them."""
    digest: str
    """sha256 of the rows as given: canonical texts of the modelled columns, one JSON array a line. For the
    training rows of a run it is the one in its split.json."""


@dataclass(frozen=True)
class Roles:
    """What was found when the tables were laid beside one another."""

    tables: tuple[Role, ...]
    n_shared: int
    """Holdout rows that stand verbatim among the training rows; left out unless most real rows have twins."""
    is_natural: bool
    """Whether there are such rows (or `twins`), and no more than the twins among the training rows explain: then
    the holdout with all of them is the fair control of copies and echoes."""
    warnings: tuple[str, ...]
    """Sentences about tables that may be in each other's place, and about rows left out."""
    notes: tuple[str, ...]
    """Sentences about columns and levels that differ."""
    caveats: tuple[str, ...] = ()
    """Sentences that the verdict must be read with."""

    def role(self, name: str) -> Role:
        """The role of that name. Raises KeyError."""
        for role in self.tables:
            if role.name == name:
                return role
        raise KeyError(f"Role {name!r}: not in this report, which has {[role.name for role in self.tables]}.")


def assign_roles(
    frames: Frames, schema: Schema, twins: pd.DataFrame | None = None
) -> tuple[dict[str, pd.DataFrame], Roles]:
    """The frames to measure, by role, and what is to be said about them.

    `frames` holds "real", "synthetic", "holdout" and perhaps "reference"; `twins` are the holdout rows that a split
    has taken out already, None where nobody knows. Raises HarmonicError for an empty table, an
    absent or doubled column, a column none of whose cells can be read, and a holdout that is no holdout.
    """
    for role, frame in frames.items():
        check_columns(frame, schema, role)
    if twins is not None:
        check_frame(twins, "twins")
    rows, notes = {}, _extra_columns(frames, schema)
    for role, frame in frames.items():
        rows[role], said = _canonical_rows(frame, schema, role)
        notes += said
    unseen = [found for role in frames if role != "real" for found in _unseen_levels(frames, schema, role)]
    notes += [found.note for found in unseen if not found.is_coded]
    coded = [found for found in unseen if found.is_coded]
    warnings = [found.warning for found in coded] + _in_wrong_place(rows)
    kept, n_shared, is_natural = {}, 0, False
    for role in [name for name in ("holdout", "reference") if name in frames]:
        places, n_twins = _fresh(rows[role], rows["real"], role, warnings)
        kept[role] = frames[role].iloc[places].reset_index(drop=True)
        if role == "holdout":
            n_shared, n_known, n_all = n_twins, n_twins, len(rows[role])
            if twins is None:
                warnings += _without_twins(n_twins, n_all, rows["real"])
            elif len(twins):
                known = set(rows["real"])
                n_known += sum(row in known for row in _canonical_rows(twins, schema, role)[0])
                n_all += len(twins)
            is_natural = _is_natural(n_known, n_all, rows["real"])
    measured = {**frames, **kept}
    tables = tuple(
        Role(name, len(frame), len(measured[name]), digest_rows(rows[name])) for name, frame in frames.items()
    )
    caveats = tuple(found.caveat for found in coded)
    return measured, Roles(tables, n_shared, is_natural, tuple(warnings), tuple(notes), caveats)


def check_frame(frame: object, role: str) -> None:
    """Raises HarmonicError for anything but a DataFrame."""
    if not isinstance(frame, pd.DataFrame):
        raise HarmonicError(
            f"Table {role!r}: a {type(frame).__name__} was given, a pandas DataFrame is expected with the columns of "
            "the real one. Make it one, or read files with read_inputs."
        )


def check_columns(frame: pd.DataFrame, schema: Schema, role: str) -> None:
    """Raises HarmonicError where the `role` table is no DataFrame, is empty, or has not each column once."""
    check_frame(frame, role)
    if not len(frame):
        raise HarmonicError(f"Table {role!r}: 0 rows, expected at least 1. Pass the rows to evaluate.")
    names: list[Hashable] = list(frame.columns)
    others = [name for name in names if name not in schema.names]
    for name in schema.names:
        if names.count(name) > 1:
            raise HarmonicError(
                f"Column {name!r}: stands {names.count(name)} times in the {role} table, expected once. "
                "Rename or drop one of them."
            )
        if name not in names:
            known = nearest(name, others) if others else f" It has {', '.join(map(str, names))}."
            raise HarmonicError(
                f"Column {name!r}: not in the {role} table, expected once as in the real one.{known} Rename or add it."
            )


def _extra_columns(frames: Frames, schema: Schema) -> list[str]:
    notes = []
    for role, frame in frames.items():
        extra = [name for name in frame.columns if name not in schema.names]
        if extra:
            notes.append(f"The {role} table has columns that the schema has not, left out: {_listed(extra)}.")
    return notes


def _canonical_rows(frame: pd.DataFrame, schema: Schema, role: str) -> tuple[list[Row], list[str]]:
    """The rows as canonical texts, cells that cannot be read as they stand; and what is odd about them."""
    columns, notes = [], []
    is_as_written = _is_as_written(frame)
    for column in schema.modelled:
        series = frame[column.name]
        codes, texts, errors = encode_values(series, column)
        if errors:
            count = int(np.isin(codes, list(errors)).sum())
            notes.append(_unreadable(series, column, role, count, next(iter(errors.values()))))
        elif not is_as_written and _is_text_for_numbers(series, column):
            notes.append(f"Column {column.label}: texts in the {role} table, read as {column.kind}.")
        shown = [str(errors[code][0]) if code in errors else text for code, text in enumerate(texts)]
        columns.append(np.array([*shown, None], dtype=object)[codes].tolist())
    rows: list[Row] = list(zip(*columns, strict=True)) if columns else [()] * len(frame)
    return rows, notes


def _unreadable(series: pd.Series, column: Column, role: str, count: int, first: tuple[object, str]) -> str:
    """A note on cells that are not of their column's kind. Raises HarmonicError where no cell is."""
    n_filled = int(series.notna().sum())
    if count == n_filled:
        raise HarmonicError(
            f"Column {column.name!r}: no cell of the {role} table is of kind {column.kind!r}, as the real ones are; "
            f"its dtype is {series.dtype}, and value {first[0]!r} {first[1]}. "
            "Write the column as in the real table, or drop it from all of them."
        )
    return (
        f"Column {column.label}: {count:,} of {n_filled:,} cells of the {role} table are not of kind "
        f"{column.kind!r}; they count as invalid, and as missing elsewhere."
    )


def _is_text_for_numbers(series: pd.Series, column: Column) -> bool:
    """Whether numbers of the real table arrive as texts, all of which can be read."""
    if family(column) not in ("int", "float") or column.dtype in ("object", "category"):
        return False
    if series.dtype == object:  # numbers beside missing cells are objects, too
        return _holds(str, series, any)
    return isinstance(series.dtype, pd.StringDtype)


def _is_as_written(frame: pd.DataFrame) -> bool:
    """Whether every cell is a text, as in a frame read from a CSV: then no column stands out."""
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    return all(isinstance(cells.dtype, pd.StringDtype) or _holds(str, cells, all) for cells in columns)


def _holds(kind: type, cells: pd.Series, which: Callable[[Iterable[bool]], bool]) -> bool:
    """Whether all (or any) cells that are not missing are of that type."""
    return which(isinstance(value, kind) for value in cells.dropna())


def _unseen_levels(frames: Frames, schema: Schema, role: str) -> list[Unseen]:
    """Columns of a table with levels that the training rows do not have; few of them are nothing where rare levels were
    grouped, for the group may hold them."""
    unseen = []
    for column in schema.modelled:
        if column.kind == "categorical":
            found = find_unseen(frames[role][column.name], frames["real"][column.name], column, role)
            if found.is_coded or (found.n_cells and not column.other):
                unseen.append(found)
    return unseen


def _in_wrong_place(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """Warnings about tables that may be in each other's place. Raises HarmonicError where they surely are."""
    counts = {role: Counter(found) for role, found in rows.items()}
    for first, second in (("holdout", "real"), ("synthetic", "holdout")):
        if counts[first] == counts[second] and len(rows[first]) >= SAME_FROM:
            raise HarmonicError(
                f"Tables {first!r} and {second!r}: hold the same {len(rows[first]):,} rows, expected different ones: "
                "the holdout is real rows that the generator never saw. Check which file is which."
            )
    if counts["synthetic"] == counts["real"] and len(rows["real"]) >= SAME_FROM:
        return [
            f"The synthetic table holds exactly the {len(rows['real']):,} real rows. Are these the right files?"
        ]
    return _seen_in_holdout(counts)


def _seen_in_holdout(counts: Mapping[str, Counter[Row]]) -> list[str]:
    """A warning where synthetic rows repeat the holdout far more than the training rows."""
    hits, totals = {}, {}
    for role in ("holdout", "real"):
        only = counts[role].keys() - counts["real" if role == "holdout" else "holdout"].keys()
        hits[role], totals[role] = len(only & counts["synthetic"].keys()), len(only)
    if p_more(hits["holdout"], totals["holdout"], hits["real"], totals["real"]) >= SURE:
        return []
    return [
        f"{hits['holdout']:,} of {totals['holdout']:,} holdout rows stand in the synthetic table, and "
        f"{hits['real']:,} of {totals['real']:,} training rows. Is the real file what the generator learnt from?"
    ]


def _fresh(
    rows: Sequence[Row], real: Sequence[Row], role: str, warnings: list[str]
) -> tuple[np.ndarray, int]:
    """Places of the rows that do not stand among the real ones, and how many do."""
    known = set(real)
    fresh = np.array([place for place, row in enumerate(rows) if row not in known], dtype=np.intp)
    n_twins = len(rows) - len(fresh)
    if not n_twins:
        return fresh, 0
    said = f"{n_twins:,} of {len(rows):,} {role} rows stand verbatim in the real table"
    if 2 * n_twins > len(rows) and has_few_distinct_rows(real):
        warnings.append(f"{said}; kept, for most real rows have twins, so equal rows are no leak.")
        return np.arange(len(rows)), n_twins
    if not len(fresh):
        raise HarmonicError(
            f"Table {role!r}: all {len(rows):,} rows stand verbatim in the real table, expected rows that the "
            "generator never saw. Check which file is which, or hold rows out before training."
        )
    if role == "holdout" and _is_natural(n_twins, len(rows), real):
        warnings.append(
            f"{said}, as often as real rows repeat one another; left out of it, but for the counts of copies: there "
            "they show what chance repeats."
        )
    else:
        warnings.append(f"{said}; left out of it, for what was trained on is no control.")
    return fresh, n_twins


def _is_natural(n_twins: int, n_rows: int, real: Sequence[Row]) -> bool:
    """Whether real rows have twins in their own table, and no fewer than this many of `n_rows` fresh ones would."""
    n_own = n_repeated(real)
    return min(n_twins, n_own) > 0 and p_more(n_twins, n_rows, n_own, len(real)) >= SURE


def _without_twins(n_twins: int, n_rows: int, real: Sequence[Row]) -> list[str]:
    """A warning where real rows have twins in their own table and too few in the holdout: somebody took these out.

    Twins come in pairs, so half of them are independent observations.
    """
    n_own = n_repeated(real)
    if p_more(n_own // 2, len(real) // 2, n_twins, n_rows) >= SURE:
        return []
    return [
        f"{n_own:,} of {len(real):,} real rows have a twin among themselves, and {n_twins:,} of {n_rows:,} holdout "
        "rows one there: such rows were left out of the holdout, so it is no fair control, and attacks may find what "
        "is no leak. Keep them in it, or pass them as twins."
    ]


def _listed(names: Sequence[Hashable]) -> str:
    return ", ".join(map(str, names))

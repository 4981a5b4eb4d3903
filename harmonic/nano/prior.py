"""Endless random tables in the house's form, for pretraining nano.

What enters is a random generator and the settings of the law; what leaves is a complete `Schema` and its rows as
canonical texts. Behind each table stands a random structural causal model: hidden causes, features, a target that
leans on several of them. Schema bounds, levels and missing shares come from a population of rows of which the first
`n_rows` are shown, because in use, too, a prompt shows few rows of the table that the schema was read from. Rows are
exchangeable. No real table enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from harmonic.errors import HarmonicError
from harmonic.nano import columns as render
from harmonic.nano import names
from harmonic.nano.columns import Drawn, Mask
from harmonic.nano.derived import measured_flag
from harmonic.nano.graphs import draw_columns, draw_law
from harmonic.nano.mechanisms import limited, log_uniform, pick
from harmonic.table.graph import Parents
from harmonic.table.schema import Column, Kind, Row, Schema

LEAST_SEEN = 8
"""A schema is read from at least so many rows."""
LEAST_DRAWN = 256
"""Columns are drawn for at least so many rows: signals become units by their ranks, and few ranks lie too evenly."""


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """The law of the tables."""

    min_columns: int = 3
    max_columns: int = 30
    mean_columns: float = 10.0
    min_rows: int = 16
    """Rows of a table where the call does not say."""
    max_rows: int = 128
    population: int = 2048
    """Most rows that a schema is read from (at least as many as are shown)."""
    max_levels: int = 30
    missing_tables: float = 0.3
    """Share of the tables that have missing cells."""
    nonsense_names: float = 0.2
    """Share of the tables whose columns are numbered or called in syllables."""
    shuffled_levels: float = 0.1
    """Share of the tables whose levels stand in random order, not commonest first."""
    without_target: float = 0.05

    def __post_init__(self) -> None:
        if not 2 <= self.min_columns <= self.mean_columns <= self.max_columns:
            raise HarmonicError(
                f"PriorSettings: columns {self.min_columns} <= {self.mean_columns} <= {self.max_columns} do not hold. "
                "Set 2 <= min_columns <= mean_columns <= max_columns."
            )


def sample_table(
    rng: Generator, settings: PriorSettings = PriorSettings(), *, n_rows: int | None = None
) -> tuple[Schema, list[Row]]:
    """One random table: its schema and `n_rows` rows (default: log-uniform between the settings' bounds).

    Deterministic in the state of `rng`. Raises HarmonicError where `n_rows` is not positive.
    """
    return sample_causal_table(rng, settings, n_rows=n_rows)[:2]


def sample_causal_table(
    rng: Generator, settings: PriorSettings = PriorSettings(), *, n_rows: int | None = None
) -> tuple[Schema, list[Row], Parents]:
    """The table that `sample_table` gives, and its causal graph, hidden causes left out: what only a generated
    table can tell."""
    if n_rows is None:
        n_rows = round(float(log_uniform(rng, settings.min_rows, settings.max_rows)))
    if n_rows < 1:
        raise HarmonicError(f"sample_table: n_rows {n_rows} is not positive. Ask for at least one row.")
    while True:
        fewest = max(LEAST_SEEN, n_rows)
        seen = int(log_uniform(rng, fewest, max(fewest, settings.population)))
        n = max(seen, LEAST_DRAWN)
        law = draw_law(rng, settings.max_levels)
        has_target = bool(rng.random() >= settings.without_target)
        drawn, target = draw_columns(rng, law, n, _n_columns(rng, settings), has_target)
        if rng.random() < settings.missing_tables:
            flags = _punch(rng, drawn, target)[: settings.max_columns - len(drawn)]
            for flag in flags:
                drawn.insert(int(rng.integers(0, len(drawn))), flag)
        kept = [column for column in drawn if _varies(column, seen)]
        if len(kept) >= settings.min_columns and (target is None or any(c is target for c in kept)):
            return (*_write(rng, settings, kept, target, seen, n_rows), _graph(kept))


def _graph(drawn: list[Drawn]) -> Parents:
    numbers = {id(column): number for number, column in enumerate(drawn)}
    return tuple(
        tuple(sorted({numbers[id(parent)] for parent in column.parents if id(parent) in numbers}))
        for column in drawn
    )


def _n_columns(rng: Generator, settings: PriorSettings) -> int:
    extra = rng.gamma(2.0, (settings.mean_columns - settings.min_columns) / 2.0)
    return min(settings.max_columns, settings.min_columns + round(float(extra)))


# --- missing cells --------------------------------------------------------------------------------


def _punch(rng: Generator, drawn: list[Drawn], target: Drawn | None) -> list[Drawn]:
    """Missing cells at random, by another column, by the value itself, or together with a column before.

    Returns columns to add beside their sources: whether a cell is there.
    """
    affected, together = rng.uniform(0.05, 0.8), rng.random() < 0.3
    mask: Mask | None = None
    flags = []
    for column in drawn:
        if column is target or rng.random() > affected:
            continue
        if mask is None or not together or rng.random() < 0.4:
            mask = _missing(rng, column, drawn)
        column.missing = mask
        if rng.random() < 0.07:
            flags.append(measured_flag(rng, column))
    return flags


def _missing(rng: Generator, column: Drawn, drawn: list[Drawn]) -> Mask:
    share = float(min(0.9, max(0.003, rng.beta(0.6, 4.0))))
    driver = rng.standard_normal(len(column.values))
    if rng.random() < 0.4:
        other = column if rng.random() < 0.3 else pick(rng, drawn)
        driver = driver + log_uniform(rng, 0.5, 5.0) * limited(other.read(rng))
    return np.asarray(driver > np.quantile(driver, 1 - share))


# --- schema and rows ------------------------------------------------------------------------------


def _varies(column: Drawn, seen: int) -> bool:
    """Whether the cells that the schema is read from hold two values at least."""
    values = column.values[:seen]
    if column.missing is not None:
        values = values[~column.missing[:seen]]
    return len(values) > 1 and bool((values != values[0]).any())


def _write(
    rng: Generator, settings: PriorSettings, drawn: list[Drawn], target: Drawn | None, seen: int, n_rows: int
) -> tuple[Schema, list[Row]]:
    """Names, schema and canonical texts of the drawn columns."""
    namer = names.Namer(rng, settings.nonsense_names)
    shuffle = bool(rng.random() < settings.shuffled_levels)
    cells, written = [], []
    for column in drawn:
        label = namer.label(column, column is target)
        render.settle(column, seen)
        written.append(_column(rng, column, label, seen, shuffle))
        texts: list[str | None] = list(render.texts(column, slice(0, n_rows)))
        if column.missing is not None:
            texts = [
                None if gone else text for text, gone in zip(texts, column.missing.tolist(), strict=False)
            ]
        cells.append(texts)
    at = next((i for i, column in enumerate(drawn) if column is target), None)
    schema = Schema(tuple(written), None if at is None else written[at].name, names.title(rng))
    return schema, list(zip(*cells, strict=True))


def _dtype(kind: Kind, has_missing: bool, rng: Generator) -> str:
    if kind == "integer":
        return "float64" if has_missing else "int64"
    if kind == "boolean":
        return "object" if has_missing else "bool"
    return {"decimal": "float64", "datetime": "datetime64[us]"}.get(kind) or (
        "str" if rng.random() < 0.9 else "category"
    )


def _column(rng: Generator, drawn: Drawn, label: str, seen: int, shuffle: bool) -> Column:
    """The schema's column, read from the first `seen` rows."""
    present = np.ones(seen, bool) if drawn.missing is None else ~drawn.missing[:seen]
    missing = float(1.0 - present.mean())
    dtype = _dtype(drawn.kind, missing > 0, rng)
    values = drawn.values[:seen][present]
    if drawn.is_coded:
        counts = np.bincount(values, minlength=len(drawn.levels))
        order = rng.permutation(len(counts)) if shuffle else np.argsort(-counts, kind="stable")
        levels = tuple(drawn.levels[int(i)] for i in order if counts[i])
        if drawn.kind == "boolean":
            levels = ("false", "true")
        category_dtype = "str" if dtype == "category" else ""
        return Column(label, label, drawn.kind, dtype, missing, levels, category_dtype=category_dtype)
    ends = np.array([int(np.argmin(values)), int(np.argmax(values))])
    lower, upper = render.texts(drawn, np.flatnonzero(present)[ends])
    return Column(
        label, label, drawn.kind, dtype, missing, lower=lower, upper=upper, decimals=drawn.decimals,
        resolution=drawn.resolution,
    )  # fmt: skip

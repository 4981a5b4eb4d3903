"""The prior's tables: complete schemas, canonical cells, the same for the same seed, and as varied as real ones."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from graphlib import TopologicalSorter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, rankdata

from harmonic.errors import HarmonicError
from harmonic.nano.laws import QUIRKS, Law
from harmonic.nano.prior import PriorSettings, sample_causal_table, sample_table
from harmonic.nano.words import CATEGORIES
from harmonic.table.schema import MODELLED, Column, Row, Schema

PRIOR_STREAM = 7
INTEGER = re.compile(r"-?[1-9][0-9]*|0")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
DATES = {"day": "%Y-%m-%d", "minute": "%Y-%m-%d %H:%M", "second": "%Y-%m-%d %H:%M:%S"}


def table(
    seed: int, n_rows: int | None = 64, settings: PriorSettings | None = None
) -> tuple[Schema, list[Row]]:
    rng = np.random.default_rng([seed, PRIOR_STREAM])
    return sample_table(rng, settings or PriorSettings(), n_rows=n_rows)


@cache
def tables() -> tuple[tuple[Schema, list[Row]], ...]:
    """300 tables of 64 rows."""
    return tuple(table(seed) for seed in range(300))


def is_canonical(cell: str, column: Column) -> bool:
    """Whether the cell may stand in the column: form, levels and bounds."""
    if column.levels:
        return cell in column.levels
    assert column.lower is not None and column.upper is not None
    if column.kind == "datetime":
        written = datetime.strptime(cell, DATES[column.resolution]).strftime(DATES[column.resolution])
        return written == cell and column.lower <= cell <= column.upper
    form = INTEGER if column.kind == "integer" else DECIMAL
    places = len(cell.partition(".")[2])
    is_within = Decimal(column.lower) <= Decimal(cell) <= Decimal(column.upper)
    return form.fullmatch(cell) is not None and cell != "-0" and places <= column.decimals and is_within


def check(schema: Schema, rows: Sequence[Row]) -> None:
    labels = [column.label for column in schema.columns]
    assert len(set(labels)) == len(labels)
    assert all(label and label == label.strip() for label in labels)
    assert all(column.kind in MODELLED - {"text"} for column in schema.columns)
    assert schema.target is None or schema.target in labels
    for j, column in enumerate(schema.columns):
        assert len(set(column.levels)) == len(column.levels)
        assert all(level and level == level.strip() for level in column.levels)
        assert len(column.levels) >= 2 if column.levels else column.lower != column.upper
        for row in rows:
            cell = row[j]
            assert column.can_be_missing if cell is None else is_canonical(cell, column), (column, cell)


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_every_cell_obeys_its_schema(seed: int, n_rows: int) -> None:
    schema, rows = table(seed, n_rows)
    assert len(rows) == n_rows
    assert all(len(row) == len(schema.columns) for row in rows)
    check(schema, rows)


def test_one_seed_gives_one_table() -> None:
    assert table(3) == table(3)
    assert table(3)[1] != table(4)[1]


def test_a_generator_goes_on_to_other_tables() -> None:
    rng = np.random.default_rng([0, PRIOR_STREAM])
    assert len({repr(sample_table(rng, n_rows=8)) for _ in range(20)}) == 20


def test_a_schema_survives_json() -> None:
    for schema, _ in tables()[:20]:
        assert Schema.from_json(schema.to_json()) == schema


def test_the_settings_bound_rows_and_columns() -> None:
    settings = PriorSettings(
        min_columns=4, mean_columns=5, max_columns=6, min_rows=10, max_rows=20, max_levels=3
    )
    for seed in range(60):
        schema, rows = table(seed, None, settings)
        assert 4 <= len(schema.columns) <= 6
        assert 10 <= len(rows) <= 20


def test_tables_without_missing_cells_can_be_asked_for() -> None:
    for seed in range(40):
        schema, rows = table(seed, 32, PriorSettings(missing_tables=0.0, without_target=0.0))
        assert schema.target is not None
        assert not any(column.can_be_missing for column in schema.columns)
        assert not any(cell is None for row in rows for cell in row)


def test_levels_stand_commonest_first_where_nothing_is_shuffled() -> None:
    settings = PriorSettings(shuffled_levels=0.0, missing_tables=0.0, population=2)
    for seed in range(40):
        schema, rows = table(seed, 100, settings)
        for j, column in enumerate(schema.columns):
            if column.kind == "categorical":
                counts = Counter(row[j] for row in rows)
                found = [counts[level] for level in column.levels]
                assert found == sorted(found, reverse=True)


def test_rows_are_exchangeable() -> None:
    """First and second halves of the rows differ no more than chance allows."""
    gaps = []
    for schema, rows in tables():
        for j, column in enumerate(schema.columns):
            if column.is_numeric and not column.can_be_missing:
                values = np.array([float(row[j]) for row in rows])  # type: ignore[arg-type]
                ranks = rankdata(values)
                gaps.append(float(ranks[:32].mean() - ranks[32:].mean()))
    assert abs(np.mean(gaps)) < 0.5
    assert 3.5 < np.std(gaps) < 5.0  # sqrt(64 * 65 / 12 * 4 / 64) = 4.65 without ties


def test_kinds_and_sizes_are_mixed() -> None:
    kinds = Counter(column.kind for schema, _ in tables() for column in schema.columns)
    assert set(kinds) == {"integer", "decimal", "categorical", "boolean", "datetime"}
    assert min(kinds["integer"], kinds["decimal"], kinds["categorical"]) > 0.15 * kinds.total()
    widths = [len(schema.columns) for schema, _ in tables()]
    assert 8 < np.mean(widths) < 12
    assert min(widths) == 3
    assert max(widths) >= 20
    features = [[c.is_numeric for c in schema.columns if c.name != schema.target] for schema, _ in tables()]
    assert sum(all(table) for table in features) > 30
    assert sum(not any(table) for table in features) > 20
    tasks = Counter(schema.task for schema, _ in tables())
    assert tasks["binary"] > tasks["regression"] > 30
    assert tasks["multiclass"] > 20
    assert 0 < tasks[None] < 40


def test_the_target_stands_last_in_most_tables() -> None:
    last = [schema.target == schema.columns[-1].name for schema, _ in tables() if schema.target is not None]
    assert 0.75 < np.mean(last) < 0.97


def test_some_cells_are_missing_and_their_share_is_declared() -> None:
    declared, found = [], []
    for schema, rows in tables():
        declared += [column.missing for column in schema.columns]
        found += [float(np.mean([row[j] is None for row in rows])) for j in range(len(schema.columns))]
    assert 0.04 < np.mean([share > 0 for share in declared]) < 0.3
    assert max(declared) > 0.3
    assert abs(np.mean(declared) - np.mean(found)) < 0.01


def _codes(schema: Schema, rows: Sequence[Row], j: int) -> np.ndarray:
    """The column as at most five codes of about equal share; -1 where it is missing."""
    column, cells = schema.columns[j], [row[j] for row in rows]
    if column.levels:
        return np.array([-1 if cell is None else min(column.levels.index(cell), 4) for cell in cells])
    if column.kind == "datetime":
        values = np.array([np.nan if cell is None else float(re.sub(r"\D", "", cell)) for cell in cells])
    else:
        values = np.array([np.nan if cell is None else float(cell) for cell in cells])
    cuts = np.nanquantile(values, (0.2, 0.4, 0.6, 0.8)) if not np.isnan(values).all() else np.zeros(4)
    return np.where(np.isnan(values), -1, np.searchsorted(cuts, values))


def _depends(one: np.ndarray, two: np.ndarray) -> bool | None:
    """Whether a chi-squared test at .001 finds a dependence; None where too few rows are present."""
    present = (one >= 0) & (two >= 0)
    counts = np.zeros((5, 5))
    np.add.at(counts, (one[present], two[present]), 1)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if present.sum() < 50 or min(counts.shape) < 2:
        return None
    return bool(chi2_contingency(counts, correction=False).pvalue < 0.001)


def test_dependence_between_columns_ranges_from_none_to_nearly_all_pairs() -> None:
    shares = []
    for seed in range(80):
        schema, rows = table(seed, 256)
        codes = [_codes(schema, rows, j) for j in range(min(8, len(schema.columns)))]
        pairs = [_depends(codes[i], codes[j]) for i in range(len(codes)) for j in range(i)]
        if known := [pair for pair in pairs if pair is not None]:
            shares.append(float(np.mean(known)))
    low, middle, high = np.quantile(shares, (0.1, 0.5, 0.9))
    assert low < 0.15
    assert 0.15 < middle < 0.6
    assert high > 0.6


def test_functional_dependencies_occur() -> None:
    """In some tables one category or number settles another that has several values."""
    found = 0
    for schema, rows in tables():
        columns = [[row[j] for row in rows] for j in range(len(schema.columns))]
        distinct = [len(set(column)) for column in columns]
        found += any(
            3 <= distinct[j] <= distinct[i] <= 25
            and len(set(zip(columns[i], columns[j], strict=True))) == distinct[i]
            for i in range(len(columns))
            for j in range(len(columns))
            if i != j
        )
    assert found > 15


def test_numbers_are_heaped_in_some_columns_and_smooth_in_others() -> None:
    commonest = []
    for schema, rows in tables():
        for j, column in enumerate(schema.columns):
            if column.is_numeric:
                commonest.append(Counter(row[j] for row in rows).most_common(1)[0][1] / len(rows))
    assert np.quantile(commonest, 0.1) < 0.05
    assert np.quantile(commonest, 0.9) > 0.4


@pytest.mark.parametrize("n_rows", [0, -3])
def test_no_rows_are_an_error(n_rows: int) -> None:
    with pytest.raises(HarmonicError, match="at least one row"):
        table(0, n_rows)


def test_impossible_settings_are_an_error() -> None:
    with pytest.raises(HarmonicError, match="min_columns"):
        PriorSettings(min_columns=12)


def test_the_listed_levels_are_distinct() -> None:
    for names, levels, _ in CATEGORIES:
        assert names and len(set(levels)) == len(levels) >= 2, names


def test_thousands_of_tables_a_minute_come_from_one_core() -> None:
    rng = np.random.default_rng([0, PRIOR_STREAM])
    start = time.process_time()
    for _ in range(100):
        sample_table(rng, n_rows=64)
    assert (time.process_time() - start) / 100 < 0.015


def test_the_causal_graph_has_no_cycles_and_belongs_to_the_same_table() -> None:
    edges = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, PRIOR_STREAM])
        schema, rows, parents = sample_causal_table(rng, n_rows=64)
        assert (schema, rows) == table(seed)
        assert len(parents) == len(schema.columns)
        graph = {child: set(found) for child, found in enumerate(parents)}
        assert len(list(TopologicalSorter(graph).static_order())) == len(parents)
        edges += sum(map(len, parents))
    assert edges > 500


def test_columns_depend_on_their_parents_more_than_on_others() -> None:
    near: list[bool] = []
    far: list[bool] = []
    for seed in range(60):
        rng = np.random.default_rng([seed, PRIOR_STREAM])
        schema, rows, parents = sample_causal_table(rng, n_rows=256)
        codes = [_codes(schema, rows, j) for j in range(min(8, len(schema.columns)))]
        for i in range(len(codes)):
            for j in range(i):
                depends = _depends(codes[i], codes[j])
                if depends is not None:
                    (near if i in parents[j] or j in parents[i] else far).append(depends)
    assert np.mean(near) > np.mean(far) + 0.2


@pytest.mark.parametrize("decimals", range(10))
def test_every_quirk_takes_a_law_of_any_number_of_decimals(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    signal = rng.standard_normal(64)
    law = Law(np.round(signal, decimals), decimals, "measure")
    for quirk in QUIRKS:
        for _ in range(20):
            assert np.isfinite(quirk(rng, signal, law).values).all()

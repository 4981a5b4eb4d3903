"""Where the causal graph begins: structure search by BIC over discretised columns.

What enters is a table of training rows; what leaves is the `CausalGraph` that hill-climbing ends at, from no edges, one
edge added, removed or turned a step (Koller and Friedman 2009, 18.4). BIC is a sum over columns of what a column's
parents explain of it less what their table of probabilities costs, so a step rescores one column or two. Amounts are
cut into few ranges: with some dozen rows a finer law would cost more than it explains, and no edge would be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.evaluation.codes import Codebook
from harmonic.table.graph import CausalGraph, Edit
from harmonic.table.schema import Schema

Codes = NDArray[np.intp]
MOST_PARENTS = 3
MOST_RANGES = 4
"""Amounts are cut at quantiles of the training rows, into fewer ranges where rows are few."""
ROWS_PER_RANGE = 12
MOST_LEVELS = 8
"""Rarer levels count as one: a level of its own costs a row of probabilities."""
_GAIN = 1e-9
"""Steps that gain less are rounding: turning an edge back and forth must not go on for ever."""


def learn_graph(frame: pd.DataFrame, schema: Schema, most_parents: int = MOST_PARENTS) -> CausalGraph:
    """The graph over the modelled columns that no single edit makes better by BIC; the same for the same rows.

    Raises HarmonicError for a table without rows.
    """
    if not len(frame):
        raise HarmonicError(
            "Causal graph: the table has no rows, expected some to learn from. Give the rows."
        )
    search = Search(discretise(frame, schema), most_parents)
    names = tuple(column.label for column in schema.modelled)
    return search.climb(CausalGraph.empty(names))


def discretise(frame: pd.DataFrame, schema: Schema) -> Codes:
    """Every cell as the number of its range or level, int [n_rows, n_columns]; missing is a level of its own."""
    table = Codebook(schema, [frame]).encode(frame)
    n_ranges = int(np.clip(len(frame) // ROWS_PER_RANGE, 2, MOST_RANGES))
    columns = [
        _ranges(cells, n_ranges) if is_ordered else _levels(cells)
        for cells, is_ordered in zip(table.measures.T, ~table.is_level, strict=True)
    ]
    return np.stack(columns, axis=1)


class Search:
    """Hill-climbing over graphs of discretised columns: int [n_rows, n_columns], codes from 0."""

    def __init__(self, codes: Codes, most_parents: int = MOST_PARENTS) -> None:
        self.codes = codes
        self.most_parents = most_parents
        self.n_levels = codes.max(axis=0, initial=0) + 1
        self._scores: dict[tuple[int, tuple[int, ...]], float] = {}

    def climb(self, graph: CausalGraph) -> CausalGraph:
        """The graph at the end of the steepest way up; among equal steps the first in the order of the columns."""
        while True:
            steps = [(self._gain(graph, after), after) for after in self._reachable(graph)]
            gain, best = max(steps, key=lambda step: step[0], default=(0.0, graph))
            if gain <= _GAIN:
                return graph
            graph = best

    def score(self, graph: CausalGraph) -> float:
        """The BIC of the whole graph in nats: log-likelihood less log(n) / 2 for each free probability."""
        return sum(self.family(child, parents) for child, parents in enumerate(graph.parents))

    def family(self, child: int, parents: tuple[int, ...]) -> float:
        """What one column adds to the score, given its parents."""
        key = (child, parents)
        if key not in self._scores:
            self._scores[key] = self._family(child, parents)
        return self._scores[key]

    def _family(self, child: int, parents: tuple[int, ...]) -> float:
        n_levels, n_rows = int(self.n_levels[child]), len(self.codes)
        shape = [int(self.n_levels[parent]) for parent in parents]
        n_cases = int(np.prod(shape, dtype=object))
        case = np.zeros(n_rows, dtype=np.intp)
        for parent, n_parent in zip(parents, shape, strict=True):
            case = case * n_parent + self.codes[:, parent]
        # Of all cases only those that occur have counts.
        occurring, case = np.unique(case, return_inverse=True)
        counts = np.bincount(case * n_levels + self.codes[:, child], minlength=len(occurring) * n_levels)
        table = counts.reshape(len(occurring), n_levels)
        totals = table.sum(axis=1, keepdims=True)
        nats = np.sum(table * np.log(np.where(table, table, 1) / totals))
        return float(nats - 0.5 * np.log(n_rows) * (n_levels - 1) * n_cases)

    def _gain(self, before: CausalGraph, after: CausalGraph) -> float:
        return sum(
            self.family(child, new) - self.family(child, old)
            for child, (old, new) in enumerate(zip(before.parents, after.parents, strict=True))
            if old != new
        )

    def _reachable(self, graph: CausalGraph) -> Iterator[CausalGraph]:
        """Every graph one edit away, without those that have a cycle or a column with too many parents."""
        for source, target in permutations(range(len(graph.names)), 2):
            if (source, target) in graph.edges:
                edits = [Edit("remove", source, target), Edit("reverse", source, target)]
            elif (target, source) in graph.edges:
                continue
            else:
                edits = [Edit("add", source, target)]
            for edit in edits:
                child = source if edit.operation == "reverse" else target
                grows = edit.operation != "remove"
                if grows and len(graph.parents[child]) >= self.most_parents:
                    continue
                if grows and _would_close(graph, edit):
                    continue
                yield graph.edited(edit)


def _would_close(graph: CausalGraph, edit: Edit) -> bool:
    """Whether the edge that the edit makes would close a cycle."""
    start, end = (edit.target, edit.source) if edit.operation == "reverse" else (edit.source, edit.target)
    # A new edge start -> end closes a cycle where start already comes from end.
    edges = graph.edges - {(end, start)}
    children: dict[int, list[int]] = {}
    for parent, child in edges:
        children.setdefault(parent, []).append(child)
    waiting, seen = [end], {end}
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child == start:
                return True
            if child not in seen:
                seen.add(child)
                waiting.append(child)
    return False


def _ranges(cells: NDArray[np.float64], n_ranges: int) -> Codes:
    """The range of each amount between quantiles of those present; the last number is that of missing ones."""
    present = cells[~np.isnan(cells)]
    if not len(present):
        return np.zeros(len(cells), dtype=np.intp)
    cuts = np.unique(np.quantile(present, np.arange(1, n_ranges) / n_ranges))
    # A quantile that is the smallest value cuts nothing off.
    cuts = cuts[cuts > present.min()]
    codes = np.searchsorted(cuts, cells, side="right")
    return _from_zero(np.where(np.isnan(cells), len(cuts) + 1, codes))


def _levels(cells: NDArray[np.float64]) -> Codes:
    """The level of each cell, rare ones as one, missing as the last: codes are commonest first."""
    codes = np.minimum(np.nan_to_num(cells, nan=0.0), MOST_LEVELS - 1)
    return _from_zero(np.where(np.isnan(cells), MOST_LEVELS, codes).astype(np.intp))


def _from_zero(codes: Codes) -> Codes:
    """The same numbers without gaps: a level that no row has would cost as much as any."""
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)

"""Causal graphs over the columns of a table: which columns each one is made from, without cycles.

What enters is parents by column name (JSON) or by number; what leaves is a checked `CausalGraph`, the order in which
rows can be written parents first, and graphs one edit away. A graph is a promise that rows can be drawn column by
column, so a graph with a cycle cannot exist here: edits that would close one are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from numpy.random import Generator

from harmonic.errors import HarmonicError

Parents = tuple[tuple[int, ...], ...]
"""For each column the numbers of the columns it is made from, in rising order."""
Operation = Literal["add", "remove", "reverse"]
OPERATIONS: tuple[Operation, ...] = ("add", "remove", "reverse")


class Edit(NamedTuple):
    """One step from a graph to another: what happens to the edge between two columns, by number."""

    operation: Operation
    source: int
    target: int


@dataclass(frozen=True)
class CausalGraph:
    """Parents of each named column. Raises HarmonicError for unknown columns, loops and cycles."""

    names: tuple[str, ...]
    parents: Parents

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.names):
            raise HarmonicError(
                f"Causal graph: parents of {len(self.parents)} columns, expected {len(self.names)}. "
                "Give each column its parents, if only an empty list."
            )
        for name, parents in zip(self.names, self.parents, strict=True):
            strange = [parent for parent in parents if not 0 <= parent < len(self.names)]
            if strange:
                raise HarmonicError(
                    f"Causal graph: {name!r} has parent {strange[0]}, expected 0 to {len(self.names) - 1}. "
                    "Number the columns from 0."
                )
        object.__setattr__(self, "parents", tuple(tuple(sorted(set(parents))) for parents in self.parents))
        try:
            TopologicalSorter(dict(enumerate(self.parents))).prepare()
        except CycleError as error:
            cycle = " -> ".join(repr(self.names[column]) for column in error.args[1])
            raise HarmonicError(
                f"Causal graph: {cycle} is a cycle, expected none. Remove one of its edges."
            ) from None

    @classmethod
    def empty(cls, names: Sequence[str]) -> CausalGraph:
        """The graph in which no column has a parent."""
        return cls(tuple(names), ((),) * len(names))

    @classmethod
    def from_mapping(cls, parents: Mapping[str, Sequence[str]], names: Sequence[str]) -> CausalGraph:
        """The graph over `names` with these parents; columns that are not mentioned have none."""
        numbers = {name: number for number, name in enumerate(names)}
        mentioned = [*parents, *(parent for found in parents.values() for parent in found)]
        unknown = [name for name in mentioned if name not in numbers]
        if unknown:
            raise HarmonicError(
                f"Causal graph: column {unknown[0]!r} is unknown, expected one of {', '.join(map(repr, names))}. "
                "Name columns as the table does."
            )
        return cls(
            tuple(names), tuple(tuple(numbers[parent] for parent in parents.get(name, ())) for name in names)
        )

    @classmethod
    def from_json(cls, text: str, names: Sequence[str]) -> CausalGraph:
        """The inverse of `to_json`. Raises HarmonicError for what is no JSON object of lists of names."""
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise HarmonicError(
                f"Causal graph: no JSON at line {error.lineno}, column {error.colno}: {error.msg}. "
                'Write {"column": ["parent", ...], ...}.'
            ) from None
        lists = found.values() if isinstance(found, dict) else ()
        if not isinstance(found, dict) or not all(_is_names(parents) for parents in lists):
            raise HarmonicError(
                f"Causal graph: {text[:60]!r} is no object of lists of names. "
                'Write {"column": ["parent", ...], ...}.'
            )
        return cls.from_mapping(found, names)

    def to_mapping(self) -> dict[str, list[str]]:
        """Each column's parents by name, columns in the order of the table."""
        return {
            name: [self.names[parent] for parent in parents]
            for name, parents in zip(self.names, self.parents, strict=True)
        }

    def to_json(self) -> str:
        """Each column's parents by name, one column a line."""
        lines = [
            f"  {json.dumps(name, ensure_ascii=False)}: {json.dumps(parents, ensure_ascii=False)}"
            for name, parents in self.to_mapping().items()
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @cached_property
    def edges(self) -> frozenset[tuple[int, int]]:
        """(parent, child) pairs."""
        return frozenset((parent, child) for child, found in enumerate(self.parents) for parent in found)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All columns, parents first; among those that could be next, the first of the table."""
        sorter = TopologicalSorter(dict(enumerate(self.parents)))
        sorter.prepare()
        ready: list[int] = []
        order: list[int] = []
        while sorter.is_active():
            for column in sorter.get_ready():
                heappush(ready, column)
            order.append(heappop(ready))
            sorter.done(order[-1])
        return tuple(order)

    def edited(self, edit: Edit) -> CausalGraph:
        """The graph after `edit`. Raises HarmonicError where it says nothing new or closes a cycle."""
        operation, source, target = edit
        is_there = (source, target) in self.edges
        if is_there != (operation != "add") or source == target:
            state = "is there already" if is_there else "is not there"
            raise HarmonicError(
                f"Edit of the causal graph: {operation} {self.names[source]!r} -> {self.names[target]!r}: the edge "
                f"{state if source != target else 'would be a loop'}. Edit another edge."
            )
        edges = set(self.edges) - {(source, target)}
        if operation != "remove":
            edges.add((source, target) if operation == "add" else (target, source))
        return self.with_edges(edges)

    def with_edges(self, edges: set[tuple[int, int]]) -> CausalGraph:
        """A graph over the same columns with these (parent, child) pairs."""
        parents: list[list[int]] = [[] for _ in self.names]
        for parent, child in edges:
            parents[child].append(parent)
        return CausalGraph(self.names, tuple(map(tuple, parents)))


def random_edit(graph: CausalGraph, rng: Generator) -> Edit:
    """An edit of a random kind: of an edge that is there, or a new one between any two columns, possible or not.

    Raises HarmonicError for a graph of one column.
    """
    edges, n_columns = sorted(graph.edges), len(graph.names)
    if n_columns < 2:
        raise HarmonicError(
            f"Causal graph over {n_columns} columns: no edit is possible, expected two columns or more."
        )
    operation = OPERATIONS[int(rng.integers(len(OPERATIONS)))] if edges else "add"
    if operation == "add":
        source, target = rng.choice(n_columns, size=2, replace=False).tolist()
    else:
        source, target = edges[int(rng.integers(len(edges)))]
    return Edit(operation, source, target)


def _is_names(parents: object) -> bool:
    return isinstance(parents, list) and all(isinstance(parent, str) for parent in parents)

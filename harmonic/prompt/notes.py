"""What a prompt says beyond columns and rows: a causal graph, or scored graphs and what should change in them.

What enters is a codec and graphs; what leaves is text of whole lines for `write_instruction`. Edits of a graph are the
rows of a small table (operation, from, to), so the same codecs, decoder and validity serve a model that edits graphs as
one that writes rows (MALLM-GAN, arXiv 2406.10521, lets its optimizer write free text, which must then be parsed).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from harmonic.prompt.rows import Codec
from harmonic.table.graph import OPERATIONS, CausalGraph, Edit, Operation
from harmonic.table.schema import Column, Row, Schema

_FROM, _TO = 1, 2


class ScoredGraph(NamedTuple):
    """A graph, and how far rows written from it are from real ones (0 is best)."""

    graph: CausalGraph
    score: float


def graph_note(codec: Codec, graph: CausalGraph) -> str:
    """The graph over the codec's columns, one line: `Causes: C from A; G from A, E`."""
    return f"Causes: {_arrows(graph, codec.mark)}\n"


def guidance_note(guidance: str) -> str:
    """A sentence on how rows are to look, one line; nothing where there is none."""
    return f"Guidance: {' '.join(guidance.split())}\n" if guidance.strip() else ""


def guidance_schema(longest: int) -> Schema:
    """The table whose one cell is guidance of at most `longest` bytes."""
    column = Column("guidance", "guidance", "text", "str", max_bytes=longest, min_bytes=1)
    return Schema((column,), title="guidance for whoever writes rows like those of the table")


def edits_schema(names: Sequence[str]) -> Schema:
    """The table of edits of a causal graph over columns called `names`, in their order."""
    columns = [("operation", OPERATIONS), ("from", tuple(names)), ("to", tuple(names))]
    return Schema(
        tuple(Column(name, name, "categorical", "str", levels=tuple(levels)) for name, levels in columns),
        title="edits of a causal graph",
    )


def edits_note(codec: Codec, scored: Sequence[ScoredGraph], told_by: Sequence[str]) -> str:
    """Graphs with their scores, the best first, and the columns by which rows of the best were told from real ones.

    `codec` is one of `edits_schema`; columns are called as its rows call them.
    """

    def called(column: int) -> str:
        return codec.literal(_FROM, scored[0].graph.names[column])

    lines = [f"Score {score:.3f}: {_arrows(graph, called)}\n" for graph, score in scored]
    telling = ", ".join(codec.literal(_FROM, name) for name in told_by) or "none"
    return "".join(lines) + f"Told apart by: {telling}\n"


def row_of(edit: Edit, names: Sequence[str]) -> Row:
    """The edit as a row of `edits_schema`."""
    return (edit.operation, names[edit.source], names[edit.target])


def edit_of(row: Row, names: Sequence[str]) -> Edit:
    """The inverse of `row_of`."""
    operation, source, target = row
    return Edit(cast(Operation, operation), names.index(str(source)), names.index(str(target)))


def _arrows(graph: CausalGraph, called: Callable[[int], str]) -> str:
    """Every column with parents, in the order of the table."""
    found = [
        f"{called(child)} from {', '.join(map(called, parents))}"
        for child, parents in enumerate(graph.parents)
        if parents
    ]
    return "; ".join(found) or "none"

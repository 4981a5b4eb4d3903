"""Graph edits as rows: what pretraining teaches is true, and is what MALLM-GAN's optimizer will be asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.nano.edits import draw_edits, mending_edits
from harmonic.prompt.notes import ScoredGraph, edit_of, edits_note, edits_schema, graph_note, row_of
from harmonic.prompt.rows import codec_for
from harmonic.table.graph import CausalGraph, Edit
from harmonic.table.schema import Column, Schema

NAMES = ("age", "job", "income", "debt")
TRUTH = CausalGraph.from_mapping({"income": ["age", "job"], "debt": ["income"]}, NAMES)


def _random_graph(rng: np.random.Generator, n: int) -> CausalGraph:
    places = rng.permutation(n)
    edges = {
        (int(a), int(b)) for a in range(n) for b in range(n) if places[a] < places[b] and rng.random() < 0.3
    }
    return CausalGraph.empty([f"c{number}" for number in range(n)]).with_edges(edges)


@given(st.integers(0, 10_000), st.integers(2, 9))
def test_each_mending_edit_brings_a_graph_nearer_to_the_truth(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    graph, truth = _random_graph(rng, n), _random_graph(rng, n)
    for edit in mending_edits(rng, graph, truth):
        mended = graph.edited(edit)
        assert len(mended.edges ^ truth.edges) < len(graph.edges ^ truth.edges)
        graph = mended


def test_a_graph_that_only_lacks_edges_is_mended_wholly() -> None:
    rng = np.random.default_rng(0)
    graph = CausalGraph.empty(NAMES)
    for edit in mending_edits(rng, graph, TRUTH):
        graph = graph.edited(edit)
    assert graph == TRUTH


@pytest.mark.parametrize("codec_name", ["compact", "json"])
def test_an_instruction_of_edits_answers_with_rows_of_the_table_of_edits(codec_name: str) -> None:
    rng = np.random.default_rng(1)
    codec = codec_for(codec_name, edits_schema(NAMES))
    found = [draw_edits(rng, TRUTH, codec_name) for _ in range(30)]
    rows = [row for instruction in found if instruction is not None for row in instruction.rows]
    assert len(rows) >= 30
    for text in rows:
        row = codec.parse_row(text, range(3))
        assert row_of(edit_of(row, NAMES), NAMES) == row  # type: ignore[arg-type]


def test_the_optimizer_reads_graphs_with_scores_in_the_words_of_its_rows() -> None:
    codec = codec_for("compact", edits_schema(NAMES))
    worse = TRUTH.edited(Edit("remove", 0, 2))
    note = edits_note(codec, [ScoredGraph(TRUTH, 0.05), ScoredGraph(worse, 0.2)], ["income", "age"])
    assert (
        note == "Score 0.050: c from a, b; d from c\nScore 0.200: c from b; d from c\nTold apart by: c, a\n"
    )


def test_the_generator_reads_the_graph_in_the_words_of_its_codec() -> None:
    schema = Schema(tuple(Column(name, name, "integer", "int64", lower="0", upper="9") for name in NAMES))
    assert graph_note(codec_for("compact", schema), TRUTH) == "Causes: C from A, B; D from C\n"
    assert graph_note(codec_for("json", schema), TRUTH) == (
        'Causes: "income" from "age", "job"; "debt" from "income"\n'
    )
    assert graph_note(codec_for("compact", schema), CausalGraph.empty(NAMES)) == "Causes: none\n"

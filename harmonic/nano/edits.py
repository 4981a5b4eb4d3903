"""Instructions that teach to edit a causal graph: scored graphs in, edits towards the true one out.

What enters is the true graph of a generated table; what leaves is an instruction as MALLM-GAN's optimizer writes it.
The graphs shown are the truth with some edges lost, turned or made up; a score grows with the number of edges that are
wrong, with noise, as a discriminator's does; the answer mends some of the best graph's wrong edges.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import Instruction, write_instruction
from harmonic.prompt.notes import ScoredGraph, edits_note, edits_schema, row_of
from harmonic.prompt.rows import codec_for
from harmonic.table.graph import CausalGraph, Edit, random_edit

_MOST_GRAPHS = 4
_MOST_EDITS = 5
_MOST_TELLING = 4


def draw_edits(rng: Generator, truth: CausalGraph, codec_name: str) -> Instruction | None:
    """One instruction; None where none of the graphs drawn can be mended."""
    steepness = rng.uniform(0.5, 3.0) / max(1, len(truth.edges))
    noise = rng.uniform(0.002, 0.03)
    drawn = [_spoilt(rng, truth) for _ in range(int(rng.integers(1, _MOST_GRAPHS + 1)))]
    scored = [
        ScoredGraph(
            graph, float(np.clip(_score(graph, truth, steepness) + noise * rng.standard_normal(), 0, 0.5))
        )
        for graph in drawn
    ]
    scored.sort(key=lambda found: found.score)
    edits = mending_edits(rng, scored[0].graph, truth)[: int(rng.integers(1, _MOST_EDITS + 1))]
    if not edits:
        return None
    codec = codec_for(codec_name, edits_schema(truth.names))
    note = edits_note(codec, scored, _telling(rng, scored[0].graph, truth))
    rows = [row_of(edit, truth.names) for edit in edits]
    return write_instruction(codec, (), len(rows), range(3), rows, note)


def mending_edits(rng: Generator, graph: CausalGraph, truth: CausalGraph) -> list[Edit]:
    """Edits that turn `graph` into `truth` in random order, as far as none of them closes a cycle on the way."""
    wrong = sorted(graph.edges - truth.edges)
    turned = {(source, target) for source, target in wrong if (target, source) in truth.edges}
    lost = sorted(edge for edge in truth.edges - graph.edges if edge[::-1] not in turned)
    edits = [Edit("reverse" if edge in turned else "remove", *edge) for edge in wrong]
    edits += [Edit("add", *edge) for edge in lost]
    done: list[Edit] = []
    for number in rng.permutation(len(edits)):
        try:
            graph = graph.edited(edits[number])
        except HarmonicError:
            continue
        done.append(edits[number])
    return done


def _spoilt(rng: Generator, truth: CausalGraph) -> CausalGraph:
    """The truth after some random edits; now and then next to nothing is left of it."""
    graph = truth
    if rng.random() < 0.2:
        graph = graph.with_edges({edge for edge in sorted(graph.edges) if rng.random() < 0.3})
    for _ in range(int(rng.geometric(0.3))):
        try:
            graph = graph.edited(random_edit(graph, rng))
        except HarmonicError:
            continue
    return graph


def _score(graph: CausalGraph, truth: CausalGraph, steepness: float) -> float:
    """0.02 for the truth, towards 0.5 the more edges are wrong; a turned edge is two."""
    return float(0.02 + 0.45 * (1.0 - np.exp(-steepness * len(graph.edges ^ truth.edges))))


def _telling(rng: Generator, graph: CausalGraph, truth: CausalGraph) -> list[str]:
    """Names of columns on wrong edges, and now and then of another, in random order."""
    wrong = {column for edge in graph.edges ^ truth.edges for column in edge}
    heard = [
        column for column in range(len(truth.names)) if rng.random() < (0.8 if column in wrong else 0.15)
    ]
    return [truth.names[int(column)] for column in rng.permutation(heard)[:_MOST_TELLING]]

"""Where the loop begins: the graph that [mallm] names, and perhaps others that it is first compared with.

What enters is the section and the training rows; what leaves is candidates. Which structure helps a model to write
rows need not be the one that BIC finds in them, so "best" lets the first contest choose among three that are cheap.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from harmonic.config import MallmSection
from harmonic.errors import HarmonicError
from harmonic.mallm.generator import Candidate
from harmonic.mallm.structure import learn_graph
from harmonic.table.graph import CausalGraph
from harmonic.table.schema import Schema

STREAM_GRAPH = 706


def begin(
    section: MallmSection, train: pd.DataFrame, schema: Schema, *, seed: int
) -> tuple[Candidate, tuple[CausalGraph, ...]]:
    """The candidate to begin with, and the graphs it is compared with in the first step.

    Raises HarmonicError for a file that holds no graph over the modelled columns.
    """
    names = [column.label for column in schema.modelled]
    if section.graph == "none":
        return Candidate(CausalGraph.empty(names)), ()
    if section.graph == "classes":
        return Candidate(class_graph(schema)), ()
    if section.graph not in ("best", "learnt", "random"):
        return Candidate(read_graph(section.graph, names)), ()
    learnt = learn_graph(train, schema)
    if section.graph == "random":
        return Candidate(random_graph(names, len(learnt.edges), seed=seed)), ()
    others = (class_graph(schema), CausalGraph.empty(names)) if section.graph == "best" else ()
    return Candidate(learnt), others


def class_graph(schema: Schema) -> CausalGraph:
    """The target as the cause of every other column; no edges without a target."""
    labels = [column.label for column in schema.modelled]
    target = [column.label for column in schema.modelled if column.name == schema.target]
    return CausalGraph.from_mapping({name: target for name in labels if [name] != target}, labels)


def random_graph(names: list[str], n_edges: int, *, seed: int) -> CausalGraph:
    """A graph of so many edges, or as many as there can be, drawn at random under a random order of the columns."""
    rng = np.random.default_rng([seed, STREAM_GRAPH])
    order = rng.permutation(len(names)).tolist()
    pairs = [(parent, child) for at, child in enumerate(order) for parent in order[:at]]
    chosen = rng.permutation(len(pairs))[:n_edges]
    return CausalGraph.empty(names).with_edges({pairs[number] for number in chosen})


def read_graph(place: str, names: list[str]) -> CausalGraph:
    """The graph of a JSON file. Raises HarmonicError where there is none."""
    try:
        text = Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HarmonicError(
            f"[mallm] graph {place!r}: cannot be read ({error}). Name a JSON file, "
            'or one of "best", "learnt", "classes", "none", "random".'
        ) from None
    return CausalGraph.from_json(text, names)

"""The optimizer: readable edits only, no cycle ever, and a control without a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.mallm.generator import Candidate
from harmonic.mallm.optimizer import Optimizer, proposal, random_proposals
from harmonic.model.load import NANO, LoadedModel, load_model
from harmonic.prompt.notes import ScoredGraph
from harmonic.table.graph import OPERATIONS, CausalGraph, Edit

NAMES = ("age", "kind", "wage", "town", "owner")
START = CausalGraph.from_mapping({"wage": ["age", "kind"], "town": ["wage"]}, NAMES)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(str(NANO))


_EDITS = st.builds(
    Edit, st.sampled_from(OPERATIONS), st.integers(0, len(NAMES) - 1), st.integers(0, len(NAMES) - 1)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_EDITS, max_size=30))
def test_whatever_edits_are_proposed_the_graph_stays_without_cycles(edits: list[Edit]) -> None:
    found = proposal(Candidate(START), edits)
    assert len(found.done) + len(found.refused) == len(edits)
    assert sorted(found.graph.order) == list(range(len(NAMES)))
    place = {column: number for number, column in enumerate(found.graph.order)}
    assert all(place[parent] < place[child] for parent, child in found.graph.edges)
    assert proposal(Candidate(START), found.done).graph == found.graph


def test_a_model_proposes_readable_edits_of_the_best_graph(loaded: LoadedModel) -> None:
    best = [ScoredGraph(START, 0.2), ScoredGraph(CausalGraph.empty(NAMES), 0.4)]
    optimizer = Optimizer(loaded, NAMES, seed=0)
    first, again, next_ = (optimizer.propose(best, ["wage"], 6, step=step) for step in (0, 0, 1))
    assert first == again != next_
    assert len(first) == 6
    for found in first:
        assert len(found.done) + len(found.refused) == 3
        assert proposal(Candidate(START), found.done).graph == found.graph


@pytest.mark.parametrize("graph", [START, CausalGraph.empty(NAMES)])
def test_random_edits_are_possible_ones_and_of_every_kind(graph: CausalGraph) -> None:
    found = random_proposals(Candidate(graph), 200, seed=0, step=0)
    assert all(len(each.done) == 3 and not each.refused for each in found)
    assert {edit.operation for each in found for edit in each.done} == set(OPERATIONS)
    assert found == random_proposals(Candidate(graph), 200, seed=0, step=0)
    assert found != random_proposals(Candidate(graph), 200, seed=0, step=1)
    added = [edit for each in found for edit in each.done[:1] if edit.operation == "add"]
    assert len(np.unique([edit.source for edit in added])) == len(NAMES)


def test_a_graph_of_one_column_has_no_edits() -> None:
    with pytest.raises(HarmonicError, match="over 1 columns: no edit is possible"):
        random_proposals(Candidate(CausalGraph.empty(["age"])), 1, seed=0, step=0)


def test_guidance_is_one_bounded_text_beside_the_edits(loaded: LoadedModel) -> None:
    best = [ScoredGraph(START, 0.2)]
    found = Optimizer(loaded, NAMES, seed=0, guidance=30).propose(best, [], 3, step=0, guidance="be brief")
    plain = Optimizer(loaded, NAMES, seed=0).propose(best, [], 3, step=0, guidance="be brief")
    texts = [each.candidate.guidance for each in found]
    assert all(0 < len(text.encode()) <= 30 for text in texts)
    assert len(set(texts)) == 3
    assert [each.done for each in found] == [each.done for each in plain]
    assert {each.candidate.guidance for each in plain} == {"be brief"}

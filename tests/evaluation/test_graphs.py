"""The graph on the page: causes above effects, every name and arrow there, and the loop as a table."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harmonic.evaluation.graphs import graph_picture, layers, loop_picture

STEPS: list[dict[str, Any]] = [
    {"number": 0, "score": 0.3, "gain": 0.0, "error": 0.0, "defended": 0.3, "judged": []},
    {
        "number": 1,
        "score": 0.2,
        "gain": 0.1,
        "error": 0.02,
        "defended": 0.3,
        "judged": [{"score": 0.2, "rows": 50}],
    },
]


@given(st.lists(st.sets(st.integers(0, 11), max_size=4), min_size=1, max_size=12))
def test_causes_stand_above_their_effects_and_loose_columns_last(found: list[set[int]]) -> None:
    names = [f"c{number}" for number in range(len(found))]
    parents = {
        names[child]: [names[p] for p in sorted(found[child]) if p < child] for child in range(len(found))
    }
    rows = layers(parents)
    place = {name: number for number, row in enumerate(rows) for name in row}
    assert sorted(place) == sorted(names)
    assert all(place[parent] < place[child] for child in names for parent in parents[child])
    causes = {parent for above in parents.values() for parent in above}
    loose = [name for name in names if not parents[name] and name not in causes]
    assert not loose or rows[-1] == loose


def test_the_picture_names_every_column_and_draws_every_edge() -> None:
    parents = {"age": [], "kind": ["age"], "wage": ["age", "kind"], "a < b & c": []}
    picture = graph_picture(parents)
    assert all(f">{name}<" in picture for name in ("age", "kind", "wage", "a &lt; b &amp; c"))
    assert "Causal graph: kind from age; wage from age, kind" in picture
    # Each arrow is a line and a head.
    assert (
        picture.count('<g id="patch_') - graph_picture({name: [] for name in parents}).count('<g id="patch_')
        >= 3
    )


def test_a_graph_without_edges_or_with_one_column_is_drawn() -> None:
    assert "no edges" in graph_picture({"a": [], "b": []})
    assert ">a<" in graph_picture({"a": []})


def test_the_loop_is_drawn_with_and_without_challengers() -> None:
    assert "best challenger" in loop_picture(STEPS)
    assert "<svg" in loop_picture(STEPS[:1])

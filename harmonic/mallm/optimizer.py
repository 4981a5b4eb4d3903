"""The optimizer: the same model as the generator, asked which edges of the causal graph to add, remove or turn.

What enters is the best graphs so far with their scores, and the columns by which the discriminator told the best one's
rows; what leaves is proposals, each a graph some edits away. Edits are rows of a small table (operation, from, to) and
decoded like any rows, so an answer is always readable; an edit that says nothing new or closes a cycle is refused and
counted. `random_proposals` draws edits without any model: what the model contributes is the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harmonic.decode.choice import Choice
from harmonic.decode.sampler import Grammar, Sampler
from harmonic.errors import HarmonicError
from harmonic.model.load import LoadedModel
from harmonic.prompt.notes import ScoredGraph, edit_of, edits_note, edits_schema
from harmonic.prompt.rows import codec_for
from harmonic.table.graph import OPERATIONS, CausalGraph, Edit

STREAM_EDITS = 703
MOST_GRAPHS = 4
"""Scored graphs that a prompt shows: as many as nano was pretrained on."""
N_EDITS = 3
_ORDER = (0, 1, 2)
_MOST_TRIES = 1000


@dataclass(frozen=True)
class Proposal:
    """A graph, the edits that led to it, and those that were refused on the way."""

    graph: CausalGraph
    done: tuple[Edit, ...]
    refused: tuple[Edit, ...]


class Optimizer:
    """Asks a model for edits of graphs over columns called `names`."""

    def __init__(
        self,
        loaded: LoadedModel,
        names: Sequence[str],
        *,
        seed: int,
        n_edits: int = N_EDITS,
        temperature: float = 1.0,
        codec: str = "compact",
    ) -> None:
        self.names = tuple(names)
        self.seed = seed
        self.n_edits = n_edits
        grammar = Grammar(codec_for(codec, edits_schema(self.names)), loaded.tokenizer)
        self.sampler = Sampler(
            loaded.model,
            grammar,
            context_length=loaded.context_length,
            choice=Choice(temperature=temperature),
        )

    def propose(
        self, best: Sequence[ScoredGraph], told_by: Sequence[str], n: int, *, step: int
    ) -> list[Proposal]:
        """n proposals from the first of `best`, which are sorted by score; another `step` draws others.

        Raises HarmonicError where the prompt is longer than the model's context.
        """
        note = edits_note(self.sampler.grammar.codec, best[:MOST_GRAPHS], told_by)
        first = step * n * self.n_edits
        prompts = [
            self.sampler.prompt(
                [], _ORDER, first_row=first + number * self.n_edits, n_rows=self.n_edits, note=note
            )
            for number in range(n)
        ]
        rows = self.sampler.draw(prompts, seed=self.seed).rows
        edits = [edit_of(rows[number], self.names) for number in sorted(rows)]
        return [
            proposal(best[0].graph, edits[at : at + self.n_edits])
            for at in range(0, len(edits), self.n_edits)
        ]


def random_proposals(
    graph: CausalGraph, n: int, *, seed: int, step: int, n_edits: int = N_EDITS
) -> list[Proposal]:
    """n proposals of edits drawn blindly among those that are possible: the control."""
    rng = np.random.default_rng([seed, STREAM_EDITS, step])
    found = []
    for _ in range(n):
        edits: list[Edit] = []
        after = graph
        for _ in range(n_edits):
            edit = _possible(after, rng)
            edits.append(edit)
            after = after.edited(edit)
        found.append(proposal(graph, edits))
    return found


def proposal(graph: CausalGraph, edits: Sequence[Edit]) -> Proposal:
    """What is left of the edits, one after another, once those that cannot be done are refused."""
    done: list[Edit] = []
    refused: list[Edit] = []
    for edit in edits:
        try:
            graph = graph.edited(edit)
        except HarmonicError:
            refused.append(edit)
        else:
            done.append(edit)
    return Proposal(graph, tuple(done), tuple(refused))


def _possible(graph: CausalGraph, rng: np.random.Generator) -> Edit:
    """An edit of a random kind that the graph can take. Raises HarmonicError for a graph of one column."""
    edges, n_columns = sorted(graph.edges), len(graph.names)
    for _ in range(_MOST_TRIES if n_columns > 1 else 0):
        operation = OPERATIONS[int(rng.integers(len(OPERATIONS)))] if edges else "add"
        if operation == "add":
            source, target = rng.choice(n_columns, size=2, replace=False).tolist()
        else:
            source, target = edges[int(rng.integers(len(edges)))]
        edit = Edit(operation, source, target)
        if proposal(graph, [edit]).done:
            return edit
    raise HarmonicError(
        f"Causal graph over {n_columns} columns: no edit is possible, expected two columns or more."
    )

"""The optimizer: the same model as the generator, asked which edges of the causal graph to add, remove or turn.

What enters is the best graphs so far with their scores, and the columns by which the discriminator told the best one's
rows; what leaves is proposals, each a graph some edits away, and perhaps a sentence of guidance. Edits are rows of a
small table (operation, from, to) and decoded like any rows, so an answer is always readable; an edit that says nothing
new or closes a cycle is refused and counted. `random_proposals` draws edits without any model: what the model
contributes is the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harmonic.decode.choice import Choice
from harmonic.decode.sampler import Grammar, Sampler
from harmonic.decode.slot import Usage
from harmonic.errors import HarmonicError
from harmonic.mallm.generator import Candidate
from harmonic.model.load import LoadedModel
from harmonic.prompt.notes import (
    ScoredGraph,
    edit_of,
    edits_note,
    edits_schema,
    guidance_note,
    guidance_schema,
)
from harmonic.prompt.rows import codec_for
from harmonic.table.graph import CausalGraph, Edit, random_edit
from harmonic.table.schema import Row, Schema

STREAM_EDITS = 703
MOST_GRAPHS = 4
"""Scored graphs that a prompt shows: as many as nano was pretrained on."""
N_EDITS = 3
_ORDER = (0, 1, 2)


@dataclass(frozen=True)
class Proposal:
    """A candidate, the edits that led to its graph, and those that were refused on the way."""

    candidate: Candidate
    done: tuple[Edit, ...]
    refused: tuple[Edit, ...]

    @property
    def graph(self) -> CausalGraph:
        return self.candidate.graph


class Optimizer:
    """Asks a model for edits of graphs over columns called `names`, and for guidance of at most `guidance` bytes."""

    def __init__(
        self,
        loaded: LoadedModel,
        names: Sequence[str],
        *,
        seed: int,
        n_edits: int = N_EDITS,
        temperature: float = 1.0,
        codec: str = "compact",
        guidance: int = 0,
    ) -> None:
        self.names = tuple(names)
        self.n_edits = n_edits
        self._calls, self._usage = 0, Usage()
        # Keys of its own: the generator draws rows of the same numbers under `seed`.
        self._seeds = np.random.default_rng([seed, STREAM_EDITS, 1]).integers(2**31, size=2).tolist()

        def sampler(schema: Schema) -> Sampler:
            return Sampler(
                loaded.model,
                Grammar(codec_for(codec, schema), loaded.tokenizer),
                context_length=loaded.context_length,
                choice=Choice(temperature=temperature),
            )

        self.sampler = sampler(edits_schema(self.names))
        self._guide = sampler(guidance_schema(guidance)) if guidance else None

    def propose(
        self, best: Sequence[ScoredGraph], told_by: Sequence[str], n: int, *, step: int, guidance: str = ""
    ) -> list[Proposal]:
        """n proposals from the first of `best`, which are sorted by score; another `step` draws others.

        guidance: that of the first. Raises HarmonicError where the prompt is longer than the model's context.
        """
        note = edits_note(self.sampler.grammar.codec, best[:MOST_GRAPHS], told_by)
        answers = self._ask(self.sampler, _ORDER, note, n, self.n_edits, step, self._seeds[0])
        edits = [edit_of(row, self.names) for row in answers]
        texts = [guidance] * n
        if self._guide is not None:
            further = note + guidance_note(guidance)
            texts = [
                str(text) for (text,) in self._ask(self._guide, (0,), further, n, 1, step, self._seeds[1])
            ]
        return [
            proposal(
                Candidate(best[0].graph, text), edits[number * self.n_edits : (number + 1) * self.n_edits]
            )
            for number, text in enumerate(texts)
        ]

    def spent(self) -> tuple[int, Usage]:
        """(calls, tokens) since this was asked the last time."""
        spent = self._calls, self._usage
        self._calls, self._usage = 0, Usage()
        return spent

    def _ask(
        self, sampler: Sampler, order: tuple[int, ...], note: str, n: int, n_rows: int, step: int, seed: int
    ) -> list[Row]:
        """The rows of n answers of n_rows each."""
        first = step * n * n_rows
        prompts = [
            sampler.prompt([], order, first_row=first + number * n_rows, n_rows=n_rows, note=note)
            for number in range(n)
        ]
        draw = sampler.draw(prompts, seed=seed)
        self._calls += n
        self._usage.add(draw.usage)
        return [draw.rows[number] for number in sorted(draw.rows)]


def random_proposals(
    best: Candidate, n: int, *, seed: int, step: int, n_edits: int = N_EDITS
) -> list[Proposal]:
    """n proposals of edits drawn blindly among those that are possible: the control."""
    rng = np.random.default_rng([seed, STREAM_EDITS, step])
    found = []
    for _ in range(n):
        edits: list[Edit] = []
        after = best.graph
        for _ in range(n_edits):
            edit = _possible(after, rng)
            edits.append(edit)
            after = after.edited(edit)
        found.append(proposal(best, edits))
    return found


def proposal(start: Candidate, edits: Sequence[Edit]) -> Proposal:
    """What is left of the edits, one after another, once those that cannot be done are refused."""
    graph = start.graph
    done: list[Edit] = []
    refused: list[Edit] = []
    for edit in edits:
        try:
            graph = graph.edited(edit)
        except HarmonicError:
            refused.append(edit)
        else:
            done.append(edit)
    return Proposal(Candidate(graph, start.guidance), tuple(done), tuple(refused))


def _possible(graph: CausalGraph, rng: np.random.Generator) -> Edit:
    """An edit of a random kind that the graph can take. Raises HarmonicError for a graph of one column."""
    while True:
        edit = random_edit(graph, rng)
        if proposal(Candidate(graph), [edit]).done:
            return edit

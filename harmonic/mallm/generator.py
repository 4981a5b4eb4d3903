"""The generator: rows from a prompt that holds the columns, a causal graph and some training rows.

What enters is a sampler, the training rows and a causal graph; what leaves is rows, as many as asked for, each under
the schema, its columns in the graph's order, parents first. A call shows examples of its own and asks for several. The
examples and the random numbers of call i depend on (seed, i) alone, whatever the graph, so that two graphs are compared
on equal terms; but for `scarce` examples, which look at the rows made before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harmonic.decode.conditions import Plan, given_row, is_complete
from harmonic.decode.sampler import Draw, Prompt, Sampler
from harmonic.mallm.examples import Choice, Examples
from harmonic.prompt.contexts import ContextLaw
from harmonic.prompt.fitting import fit_law
from harmonic.prompt.notes import graph_note
from harmonic.table.graph import CausalGraph
from harmonic.table.schema import Row, Schema

WAVE = 32
"""Calls whose `scarce` examples look at the same rows: those of all calls before them."""


@dataclass(frozen=True)
class Calls:
    """How the generator is asked."""

    examples: int = 25
    """Training rows that a call shows."""
    rows: int = 5
    """Rows that a call asks for."""
    choice: Choice = "balanced"
    says_graph: bool = True
    """Whether the prompt names the causes; columns stand parents first either way."""


class Generator:
    """Asks one sampler for rows. `notes` says in words what did not fit the model's context and is smaller."""

    def __init__(
        self, sampler: Sampler, rows: Sequence[Row], schema: Schema, calls: Calls | None = None, *, seed: int
    ) -> None:
        calls = calls or Calls()
        self.sampler = sampler
        self.schema = schema
        self.seed = seed
        self.calls, self.notes = self._fitted(calls, rows)
        self.examples = Examples(rows, schema, self.calls.examples, calls.choice, seed=seed)

    def draw(
        self,
        graph: CausalGraph,
        n_rows: int,
        *,
        plan: Plan | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Draw:
        """Rows 0 ... n_rows - 1, by number, under the conditions of `plan`; calls progress(rows so far).

        Raises HarmonicError where a call keeps failing.
        """
        plan = plan or Plan(self.schema, size=self.calls.rows)
        n_calls = -(-n_rows // self.calls.rows)
        wave = WAVE if self.calls.choice == "scarce" else max(1, n_calls)
        whole = Draw()
        for first in range(0, n_calls, wave):
            self._draw_calls(graph, plan, first, min(first + wave, n_calls), whole, progress)
        whole.rows = {number: whole.rows[number] for number in range(n_rows)}
        return whole

    def _draw_calls(
        self,
        graph: CausalGraph,
        plan: Plan,
        first: int,
        stop: int,
        whole: Draw,
        progress: Callable[[int], None] | None,
    ) -> None:
        """Adds the rows of calls first ... stop - 1, which see the rows that are there."""
        prompts = self._prompts(graph, plan, first, stop, whole)
        done = len(whole.rows)
        part = self.sampler.draw(
            prompts, seed=self.seed, progress=None if progress is None else lambda n: progress(done + n)
        )
        whole.rows.update(part.rows)
        whole.rejects.update(part.rejects)
        whole.usage.add(part.usage)

    def _prompts(self, graph: CausalGraph, plan: Plan, first: int, stop: int, whole: Draw) -> list[Prompt]:
        """The prompts of calls; rows whose cells are all given need none and go to `whole` at once."""
        codec = self.sampler.grammar.codec
        note = graph_note(codec, graph) if self.calls.says_graph else ""
        n_columns = len(codec.columns)
        prompts, made = [], [whole.rows[number] for number in sorted(whole.rows)]
        for run in plan.runs(first * plan.size, stop * plan.size):
            if is_complete(run.conditions, n_columns):
                cells = given_row(run.conditions, n_columns)
                whole.rows.update(dict.fromkeys(range(run.first_row, run.first_row + run.n_rows), cells))
                continue
            shown = self.examples.of_call(run.first_row // plan.size, made)
            prompts.append(
                self.sampler.prompt(
                    [self.examples.rows[number] for number in shown],
                    graph.order,
                    first_row=run.first_row,
                    n_rows=run.n_rows,
                    conditions=run.conditions,
                    asked=self.calls.rows,
                    note=note,
                )
            )
        return prompts

    def _fitted(self, calls: Calls, rows: Sequence[Row]) -> tuple[Calls, tuple[str, ...]]:
        """The calls reduced to the model's context, and what was reduced: a graph with every edge must fit, too."""
        grammar, n_columns = self.sampler.grammar, len(self.schema.modelled)
        names = tuple(column.label for column in self.schema.modelled)
        full = CausalGraph(names, tuple(tuple(range(column)) for column in range(n_columns)))
        n_note = len(grammar.tokenizer.encode(graph_note(grammar.codec, full))) if calls.says_graph else 0
        law, notes = fit_law(
            ContextLaw(
                contexts="random", examples=min(calls.examples, max(0, len(rows) - 1)), rows=calls.rows
            ),
            grammar.codec,
            grammar.tokenizer,
            rows,
            grammar.longest(range(n_columns)),
            self.sampler.context_length - n_note,
        )
        if calls.examples >= len(rows):
            return calls, notes  # Examples says that these are too many
        return replace(calls, examples=law.examples, rows=law.rows), notes

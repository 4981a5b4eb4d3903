"""The generator: rows from a prompt that holds the columns, a causal graph and some training rows.

What enters is a sampler, the training rows and a candidate (graph and guidance); what leaves is rows of a table, by
number, each under the schema, its columns in the graph's order, parents first, or in the one order that an adapter has
learnt. A call shows examples of its own and asks for several. The examples and the random numbers of call i depend on
(seed, i) alone, whatever the graph, so that two graphs are compared on equal terms; but for `scarce` examples, which
look at the rows made before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harmonic.candidates import Weigh, draw_rows
from harmonic.conditional import ask, check_rules
from harmonic.decode.conditions import Condition, Conditions, Plan, Run, given_row, is_complete, within
from harmonic.decode.sampler import Draw, Prompt, Sampler
from harmonic.mallm.examples import Choice, Examples
from harmonic.prompt.contexts import ContextLaw
from harmonic.prompt.fitting import fit_law
from harmonic.prompt.notes import graph_note, guidance_note
from harmonic.prompt.waves import Earlier, rows_before
from harmonic.table.graph import CausalGraph
from harmonic.table.schema import Row, Schema

WAVE = 32
"""Calls whose `scarce` examples look at the same rows: those of the calls before them."""
LOOKED_AT = 2000
"""`scarce` examples look at no more rows than this."""


@dataclass(frozen=True)
class Candidate:
    """What the optimizer improves: a causal graph, and a sentence of guidance; "" = none."""

    graph: CausalGraph
    guidance: str = ""


@dataclass(frozen=True)
class Calls:
    """How the generator is asked."""

    examples: int = 25
    """Training rows that a call shows."""
    rows: int = 5
    """Rows that a call asks for."""
    choice: Choice = "by_class"
    says_graph: bool = True
    """Whether the prompt names the causes."""
    order: tuple[int, ...] | None = None
    """The order of columns that the model has learnt; None = parents first."""


class Generator:
    """Asks one sampler for rows. `notes` says in words what did not fit the model's context and is smaller.

    guidance: bytes of guidance that a prompt must have room for; weigh: with which probability a row is taken.
    """

    def __init__(
        self,
        sampler: Sampler,
        rows: Sequence[Row],
        schema: Schema,
        calls: Calls | None = None,
        *,
        seed: int,
        guidance: int = 0,
        weigh: Weigh | None = None,
        weigh_given: Weigh | None = None,
    ) -> None:
        """weigh_given: in place of `weigh` for rows whose class is asked for."""
        calls = calls or Calls()
        self.sampler = sampler
        self.weigh, self.weigh_given = weigh, weigh_given or weigh
        self.schema = schema
        self.seed = seed
        self.calls, self.notes = self._fitted(calls, rows, guidance)
        self.examples = Examples(rows, schema, self.calls.examples, calls.choice, seed=seed)
        names = [column.name for column in schema.modelled]
        self._target = names.index(schema.target) if schema.target in names else None
        # Where nothing is shown and the target stands behind what is free, its class would only cost draws.
        order = self.calls.order
        is_free = self.calls.examples > 0 or order is None or order[0] == self._target
        self._goes_by_class = self.calls.choice == "by_class" and is_free

    @property
    def leaves_classes_free(self) -> bool:
        """Whether the class of a row on which nothing is asked is the model's to choose. Where examples are `scarce`,
        rows before see to it that classes keep their shares."""
        is_kept = self._goes_by_class or self.calls.choice == "scarce"
        return self._target is not None and self.schema.task != "regression" and not is_kept

    def draw(
        self,
        candidate: Candidate,
        first: int,
        stop: int,
        *,
        plan: Plan | None = None,
        earlier: Earlier | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Draw:
        """Rows first ... stop - 1, by number, under the conditions of `plan`; calls progress(rows so far).

        earlier(start, end) gives rows drawn before, which only `scarce` examples look at; None = they are drawn again.
        Raises HarmonicError where a call keeps failing.
        """
        plan = plan or Plan(self.schema, size=self.calls.rows)
        size, whole = self.calls.rows, Draw()
        begin, end = first // size * size, -(-stop // size) * size
        looks_back = self.calls.choice == "scarce"
        wave = WAVE * size if looks_back else max(size, end - begin)
        if looks_back and earlier is None:
            begin = 0
        while begin < end:
            until = min(end, (begin // wave + 1) * wave) if looks_back else end
            start = begin // wave * wave
            seen = range(max(0, start - LOOKED_AT), start)
            made = rows_before(whole.rows, earlier, seen.start, seen.stop) if looks_back else []
            prompts, known = self.prompts(candidate, plan, begin, until, made)
            for some, weigh in self._weighed(prompts):
                further = _shifted(progress, len(whole.rows))
                whole.add(draw_rows(self.sampler, some, seed=self.seed, weigh=weigh, progress=further))
            whole.rows.update(known)
            begin = until
        whole.rows = {number: whole.rows[number] for number in range(first, stop)}
        return whole

    def prompts(
        self, candidate: Candidate, plan: Plan, first: int, stop: int, made: Sequence[Row] = ()
    ) -> tuple[list[Prompt], dict[int, Row]]:
        """The prompts of rows first ... stop - 1, on the boundaries of calls, and the rows whose cells are all given.

        Raises HarmonicError where given cells break a rule by themselves.
        """
        n_columns = len(self.schema.modelled)
        prompts, known = [], {}
        for run in plan.runs(first, stop):
            cells = given_row(run.conditions, n_columns)
            check_rules(self.sampler.rules, cells, f"Row {run.first_row}")
            if is_complete(run.conditions, n_columns):
                known.update(dict.fromkeys(range(run.first_row, run.first_row + run.n_rows), cells))
            else:
                prompts += self._ask(candidate, run, made)
        return prompts, known

    def _weighed(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[Prompt], Weigh | None]]:
        """The prompts, and what weighs their rows."""
        for is_given, weigh in ((False, self.weigh), (True, self.weigh_given)):
            if some := [prompt for prompt in prompts if self._gives_class(prompt) is is_given]:
                yield some, weigh

    def _gives_class(self, prompt: Prompt) -> bool:
        is_asked = any(one.is_given and one.place == self._target for one in prompt.conditions)
        return is_asked or self._target in prompt.known

    def _ask(self, candidate: Candidate, run: Run, made: Sequence[Row]) -> list[Prompt]:
        codec = self.sampler.grammar.codec
        note = graph_note(codec, candidate.graph) if self.calls.says_graph else ""
        call, like = run.first_row // self.calls.rows, self._like(run.conditions)
        shown = self.examples.of_call(call, made, like)
        return ask(
            self.sampler,
            run._replace(conditions=self._of_class(run.conditions, self.examples.pool(call, like))),
            [self.examples.rows[number] for number in shown],
            self.calls.order or candidate.graph.order,
            asked=self.calls.rows,
            keeps_order=self.calls.order is not None,
            note=note + guidance_note(candidate.guidance),
        )

    def shown(self, row: int, conditions: Conditions = ()) -> tuple[list[int], list[int]]:
        """The numbers of the training rows that the call of this row shows, and of those it might have shown as likely;
        not where examples are `scarce`, which depend on the rows before."""
        call, like = row // self.calls.rows, self._like(conditions)
        shown = self.examples.of_call(call, (), like)
        return shown, sorted(set(self.examples.pool(call, like)) - set(shown))

    def _like(self, conditions: Conditions) -> Row | None:
        """A row of the class that conditions give, None where they give none."""
        given = any(condition.is_given and condition.place == self._target for condition in conditions)
        return given_row(conditions, len(self.schema.modelled)) if given else None

    def _of_class(self, conditions: Conditions, pool: Sequence[int]) -> Conditions:
        """The conditions, and that rows are of the class of the rows that a call may show, where these are of one class
        and nothing else is asked of it: rows of another class would have seen none of their own."""
        place = self._target
        is_asked = any(condition.place == place for condition in conditions)
        if not self._goes_by_class or is_asked or place is None:
            return conditions
        cell, column = self.examples.rows[pool[0]][place], self.schema.modelled[place]
        if self.schema.task != "regression":
            further = Condition(place, column, True, cell)
        elif cell is None:
            return conditions
        else:
            low, high = self.examples.range_of(pool[0])
            further = within(self.schema, place, low, high)
        return tuple(sorted((*conditions, further), key=lambda condition: condition.place))

    def _fitted(self, calls: Calls, rows: Sequence[Row], guidance: int) -> tuple[Calls, tuple[str, ...]]:
        """The calls reduced to the model's context, and what was reduced: a graph with every edge must fit, too."""
        grammar, n_columns = self.sampler.grammar, len(self.schema.modelled)
        names = tuple(column.label for column in self.schema.modelled)
        full = CausalGraph(names, tuple(tuple(range(column)) for column in range(n_columns)))
        note = graph_note(grammar.codec, full) if calls.says_graph else ""
        # A byte is a token at most.
        n_note = len(grammar.tokenizer.encode(note + guidance_note("x"))) + guidance
        notes: list[str] = []
        if calls.examples >= len(rows):
            notes.append(
                f"Calls show {len(rows) // 2} examples, not {calls.examples}: the table has {len(rows)} rows, and each "
                "call is to show others."
            )
            calls = replace(calls, examples=len(rows) // 2)
        law, shortened = fit_law(
            ContextLaw(contexts="random", examples=calls.examples, rows=calls.rows),
            grammar.codec,
            grammar.tokenizer,
            rows,
            grammar.longest(range(n_columns)),
            self.sampler.context_length - n_note,
        )
        return replace(calls, examples=law.examples, rows=law.rows), (*notes, *shortened)


def _shifted(progress: Callable[[int], None] | None, done: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda n_rows: progress(done + n_rows)

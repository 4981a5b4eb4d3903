"""Drawing: rows from a fitted model, whatever they are asked to satisfy.

What enters is what `Harmonic` has learnt (model, grammar, law of contexts, rows to show) and settings; what leaves is
`Drawn` rows and what they took, or a frame with its missing cells filled in. A row depends on settings, seed and its
own number alone, so that a table can be drawn in any pieces.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmonic.candidates import doubt, draw_rows, freed
from harmonic.conditional import Source, conditioned, prompts_of
from harmonic.config import SampleSection
from harmonic.decode.choice import Choice
from harmonic.decode.conditions import Plan, is_complete
from harmonic.decode.limits import device_name, limit_of
from harmonic.decode.sampler import Draw, Grammar, Sampler
from harmonic.decode.score import Audit, RowScore
from harmonic.decode.slot import Usage
from harmonic.imputation import Incomplete, draw_missing
from harmonic.model.load import LoadedModel
from harmonic.prompt.contexts import ContextLaw, Contexts, Order
from harmonic.prompt.waves import WAVE_POOL, Earlier, rows_before, wave_bounds, wave_of, waves
from harmonic.table.cells import from_rows, to_rows
from harmonic.table.neighbors import Neighbors
from harmonic.table.rules import Rules
from harmonic.table.schema import Row, Schema

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

AUDIT_ROWS = 256
"""So many rows are scored to say what the mask has cost: the standard error of a share is then 3 points at most."""


@dataclass(slots=True)
class Drawn:
    """Rows first_row ... of a table, and what they took."""

    rows: list[Row]
    rejects: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)

    def add(self, later: Drawn) -> None:
        """Appends rows, and adds up what they took."""
        self.rows += later.rows
        self.rejects.update(later.rejects)
        self.usage.add(later.usage)


class Synthesizer(ABC):
    """What draws a table, whole or in pieces: `Harmonic` and `MallmGan`."""

    schema_: Schema
    law_: ContextLaw

    @property
    @abstractmethod
    def _drawer(self) -> Drawer:
        """What draws. Raises HarmonicError where no table was learnt."""

    @abstractmethod
    def draw(
        self,
        first: int,
        stop: int,
        *,
        seed: int = 0,
        settings: SampleSection | None = None,
        earlier: Earlier | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Drawn:
        """Rows first ... stop - 1 of the table that `seed` means, whatever else is drawn before or beside them.

        earlier(start, end) gives rows drawn before, where prompts show such; None = they are drawn again.
        """

    @abstractmethod
    def audit(self, rows: Sequence[Row], *, settings: SampleSection) -> Audit | None:
        """What the mask has cost the drawn rows 0 ... of these settings; None where there are too few to say."""

    @abstractmethod
    def shown_to(self, n_rows: int, *, settings: SampleSection) -> list[ShownRows] | None:
        """Which training rows the prompts of rows 0 ... n_rows - 1 of these settings show, and which they might have
        shown as likely; None where no prompt shows any, or where chance alone does not choose them."""

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        settings: SampleSection | None = None,
        given: Mapping[str, Any] | None = None,
        where: Sequence[str] = (),
        quotas: Mapping[str, Any] | None = None,
    ) -> DataFrame:
        """`n` new rows in the exact columns and dtypes of the training table; one seed gives one table.

        given: cells that every row holds, {"sex": 2}; where: what a column must satisfy, ["age >= 65"]; quotas: how
        many rows, or which share, hold a value, {"class": {"yes": 0.5, "no": 0.5}}. They stand beside those of
        `settings`. Raises HarmonicError for conditions that no row could meet.
        """
        settings = conditioned(settings or SampleSection(), n, given, where, quotas)
        drawn = self.draw(0, n, seed=seed, settings=settings)
        if note := doubt(drawn.usage, n):
            log.warning(note)
        return from_rows(drawn.rows, self.schema_, seed=seed)

    def impute(
        self,
        frame: DataFrame,
        *,
        seed: int = 0,
        settings: SampleSection | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> DataFrame:
        """`frame` with its missing cells drawn given the others, which stay as they are, as do index and dtypes.

        Of `settings` decoding and rules count. progress(rows so far). Raises HarmonicError for a frame without a column
        of the training table, or with a cell that cannot be read as its column's kind.
        """
        return self._drawer.impute(frame, seed=seed, settings=settings or SampleSection(), progress=progress)

    def pace(
        self, usage: Usage, n_rows: int, seconds: float, settings: SampleSection
    ) -> dict[str, float | None]:
        """Occupancy, rows and tokens a second, and their share of the physical limit where the device is known."""
        return self._drawer.pace(usage, n_rows, seconds, settings)


class ShownRows(NamedTuple):
    """Training rows, by number, that the prompt of a row showed, and those it might have shown as likely."""

    shown: tuple[int, ...]
    left_out: tuple[int, ...]


class Shown:
    """The training rows that contexts may show, and who is near them; their neighbours are looked up when needed."""

    def __init__(self, rows: Sequence[Row], neighbors: Neighbors | None) -> None:
        self.rows = rows
        self.neighbors = neighbors
        self._near: NDArray[np.int64] | None = None

    def near(self, law: ContextLaw) -> NDArray[np.int64] | None:
        """int64 [n_rows, p]: the nearest rows of each; None where the law needs none."""
        if self.neighbors is not None and (self._near is None or self._near.shape[1] != n_near(law)):
            self._near = self.neighbors.kneighbors(None, n_near(law))
        return self._near

    def near_of(self, frame: DataFrame, law: ContextLaw) -> NDArray[np.int64] | None:
        """int64 [n, p]: the nearest rows of other, complete rows."""
        return None if self.neighbors is None else self.neighbors.kneighbors(frame, n_near(law))

    def near_incomplete(self, incomplete: Incomplete, law: ContextLaw) -> NDArray[np.int64] | None:
        """int64 [n, p]: the nearest rows of incomplete ones, by what is known of them."""
        if self.neighbors is None:
            return None
        rows = incomplete.frame.iloc[incomplete.numbers]
        return self.neighbors.near_incomplete(rows, incomplete.numbers, n_near(law))


def n_near(law: ContextLaw) -> int:
    """How many neighbours of a row the law looks at."""
    return law.examples if law.contexts == "paper" else law.pool * max(law.examples, law.rows)


class Drawer:
    """Draws rows by one law of contexts from one model. target: the target's place among the columns."""

    def __init__(
        self,
        loaded: LoadedModel,
        grammar: Grammar,
        schema: Schema,
        law: ContextLaw,
        shown: Shown,
        target: int | None,
    ) -> None:
        self.loaded = loaded
        self.grammar = grammar
        self.schema = schema
        self.law = law
        self.shown = shown
        self.target = target
        self._planned: tuple[SampleSection, int, Plan] | None = None
        self._train: Source | None = None

    def draw(
        self,
        first: int,
        stop: int,
        *,
        seed: int,
        settings: SampleSection,
        earlier: Earlier | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Drawn:
        """Rows first ... stop - 1; see Harmonic.draw."""
        drawn = Drawn([])
        if stop <= first:
            return drawn
        sampler, plan = self.sampler(settings), self.plan(settings, seed)
        earlier = earlier or (lambda low, high: self.draw(low, high, seed=seed, settings=settings).rows)
        own: dict[int, Row] = {}
        for start, end in waves(first, stop, self.law.contexts, self.law.rows):
            source = self._source(start, seed, partial(rows_before, own, earlier))
            prompts, known = prompts_of(sampler, plan, source, self.law, self.target, start, end, seed=seed)
            part = draw_rows(sampler, prompts, seed=seed, progress=progress) if prompts else Draw()
            known |= part.rows
            own |= known
            rows = [known[number] for number in range(max(start, first), min(end, stop))]
            drawn.add(Drawn(rows, part.rejects, part.usage))
        return drawn

    def pace(
        self, usage: Usage, n_rows: int, seconds: float, settings: SampleSection
    ) -> dict[str, float | None]:
        """How fast rows came, 0 where nothing was drawn: occupancy (share of slots busy), rows and tokens a second,
        share of the device's physical limit of decoded tokens, None where the device is not known."""
        busy = usage.occupied / usage.steps if usage.steps else 0.0
        limit = limit_of(self.loaded.model, device_name(self.loaded.device))
        each_second = 1.0 / seconds if seconds else 0.0
        decoded = (usage.row_tokens + usage.rejected_tokens) * each_second
        return {
            "mean_busy_slots": busy,
            "occupancy": busy / self.slots(settings),
            "rows_per_second": n_rows * each_second,
            "tokens_per_second": usage.tokens * each_second,
            "share_of_physical_limit": decoded / limit.tokens_per_second(busy) if limit and busy else None,
        }

    def slots(self, settings: SampleSection) -> int:
        """How many contexts are decoded at once."""
        return settings.slots or (64 if self.loaded.device.type == "cpu" else 256)

    def audit(self, rows: Sequence[Row], *, seed: int, settings: SampleSection) -> Audit | None:
        """What the mask has cost, from the first AUDIT_ROWS drawn rows; None where no context is whole among them.

        Contexts are those of `draw` under the same seed and settings, and rows are scored in them.
        """
        size = self.law.rows
        stop = min(len(rows), AUDIT_ROWS) // size * size
        sampler, plan = self.sampler(settings), self.plan(settings, seed)
        known = dict(enumerate(rows[:stop]))
        scores: list[RowScore] = []
        for start, end in waves(0, stop, self.law.contexts, size):
            source = self._source(start, seed, lambda low, high: list(rows[low:high]))
            prompts, _ = prompts_of(sampler, plan, source, self.law, self.target, start, end, seed=seed)
            scores += sampler.score([freed(prompt) for prompt in prompts], known).values()
        return Audit.of(scores) if scores else None

    def shown_to(self, n_rows: int, *, seed: int, settings: SampleSection) -> list[ShownRows] | None:
        """Which training rows the prompts of rows 0 ... n_rows - 1 show; None where no prompt shows any."""
        if not self.law.shows_training_rows:
            return None
        plan, source = self.plan(settings, seed), self._source(0, seed)
        assert source is not None
        made: list[ShownRows] = []
        for run in plan.runs(0, -(-n_rows // plan.size) * plan.size):
            contexts, index = source.contexts(run.conditions), run.first_row // plan.size
            is_known = is_complete(run.conditions, len(self.schema.modelled))  # such rows have no prompt
            shown = ((), ()) if is_known else (contexts[index].examples, contexts.left_out(index))
            made += [ShownRows(*shown)] * run.n_rows
        return made[:n_rows]

    def score(
        self, frame: DataFrame, *, seed: int, shown: Shown | None = None, order: Order | None = None
    ) -> list[RowScore]:
        """How probable other rows are, each in a context of its own; see Harmonic.scores."""
        rows = to_rows(frame, self.schema)
        law = replace(self.law, order=order or self.law.order)
        shown = (shown or self.shown) if law.shows_training_rows else Shown([], None)
        contexts = Contexts(
            shown.rows,
            shown.near_of(frame, law),
            law,
            seed=seed,
            purpose="val",
            asked=rows,
            target=self.target,
        )
        sampler = self.sampler(SampleSection())
        prompts = []
        for number in range(len(rows)):
            # A row's score does not depend on the rows that are scored beside it.
            context = contexts.around(number, number)
            examples = [contexts.rows[at] for at in context.examples]
            prompt = sampler.prompt(examples, context.order, first_row=number, n_rows=1, asked=law.rows)
            prompts.append(prompt)
        scores = sampler.score(prompts, dict(enumerate(rows)))
        return [scores[number] for number in range(len(rows))]

    def impute(
        self,
        frame: DataFrame,
        *,
        seed: int,
        settings: SampleSection,
        progress: Callable[[int], None] | None = None,
    ) -> DataFrame:
        """The frame with its missing cells filled in; see Harmonic.impute."""
        incomplete = Incomplete(frame, self.schema)
        if not incomplete.numbers:
            return incomplete.filled({})
        shown = self.shown if self.law.shows_training_rows else Shown([], None)
        contexts = Contexts(
            shown.rows,
            shown.near_incomplete(incomplete, self.law),
            self.law,
            seed=seed,
            purpose="sample",
            asked=incomplete.asked,
            target=self.target,
        )
        sampler = self.sampler(settings)
        return incomplete.filled(draw_missing(sampler, incomplete, contexts, seed=seed, progress=progress))

    def sampler(self, settings: SampleSection) -> Sampler:
        """The sampler of these settings. Raises HarmonicError for rules that do not fit the table."""
        loaded = self.loaded
        return Sampler(
            loaded.model,
            self.grammar,
            context_length=loaded.context_length,
            slots=self.slots(settings),
            choice=Choice(settings.temperature, settings.top_k, settings.top_p),
            exact=settings.exact,
            max_attempts=settings.max_attempts,
            rules=Rules(settings.rules, self.schema) if settings.rules else None,
        )

    def plan(self, settings: SampleSection, seed: int) -> Plan:
        """Under which conditions each row of a table of these settings stands."""
        # Kept, since the chunks of a table share it.
        if self._planned is None or self._planned[:2] != (settings, seed):
            plan = Plan(
                self.schema,
                given=settings.given,
                where=settings.where,
                quotas=settings.quotas,
                n_rows=settings.rows,
                seed=seed,
                size=self.law.rows,
            )
            self._planned = (settings, seed, plan)
        return self._planned[2]

    def _source(self, start: int, seed: int, earlier: Earlier | None = None) -> Source | None:
        """What contexts from row `start` on may show: training rows, those of the wave before, or nothing."""
        law = self.law
        if not law.examples:
            return None
        if law.contexts != "synthetic":
            if self._train is None or self._train.seed != seed:
                self._train = Source(
                    self.shown.rows, self.shown.near(law), law, seed=seed, target=self.target
                )
            return self._train
        wave = wave_of(start, law.rows)
        if wave == 0:
            return None
        low, high = wave_bounds(wave - 1, law.rows)
        high = min(high, low + WAVE_POOL)
        assert earlier is not None
        rows = earlier(low, high)
        frame = from_rows(rows, self.schema, seed=seed)
        near = Neighbors(self.schema, seed=seed).fit(frame).kneighbors(None, n_near(law))
        return Source(rows, near, law, seed=seed, target=self.target)

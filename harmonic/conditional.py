"""Prompts of rows under conditions: what they show, what they ask for, and which rows need no model at all.

What enters is a `Plan` (the conditions of each row), the law of contexts and the rows that it may show; what leaves is
the prompts of the rows to come. By that law a context shows the neighbours of a row that it asks for. Where all rows
asked for satisfy conditions, contexts are those of training rows which satisfy them, the anchors: then what is shown
speaks of such rows, and prompts are still draws of the law of training.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmonic.candidates import is_weighed
from harmonic.config import SampleSection
from harmonic.decode.conditions import Condition, Conditions, Plan, Run, given_row, is_complete, split_known
from harmonic.decode.sampler import Prompt, Sampler
from harmonic.errors import HarmonicError
from harmonic.prompt.contexts import ONE_ORDER, Context, ContextLaw, Contexts, column_order
from harmonic.table import amounts
from harmonic.table.embedding import mid_ranks
from harmonic.table.rules import Rules
from harmonic.table.schema import Row

log = logging.getLogger(__name__)

ANCHOR_STREAM = 132
"""Name of the random stream that chooses among training rows equally far from the conditions."""
FEWEST_ANCHORS = 16
"""Where fewer rows satisfy the conditions, those that nearly do join them: an exact number is seldom found often."""
NEARLY = 0.05
"""A number or date this share of the training rows away from what is asked for is nearly that."""


class Source:
    """The rows that contexts show, with their nearest neighbours (None: the law shows random rows)."""

    def __init__(
        self,
        rows: Sequence[Row],
        neighbors: NDArray[np.int64] | None,
        law: ContextLaw,
        *,
        seed: int,
        target: int | None,
    ) -> None:
        self.rows = rows
        self.seed = seed
        self._has_anchors = neighbors is not None
        self._whole = Contexts(rows, neighbors, law, seed=seed, purpose="sample", target=target)
        self._known: dict[Conditions, Contexts] = {(): self._whole}

    def contexts(self, conditions: Conditions) -> Contexts:
        """The contexts of rows that satisfy the conditions."""
        if not self._has_anchors:
            return self._whole
        if conditions not in self._known:
            self._known[conditions] = self._whole.only(anchors(self.rows, conditions, self.seed))
        return self._known[conditions]


def prompts_of(
    sampler: Sampler,
    plan: Plan,
    source: Source | None,
    law: ContextLaw,
    target: int | None,
    first: int,
    stop: int,
    *,
    seed: int,
) -> tuple[list[Prompt], dict[int, Row]]:
    """The prompts of rows first ... stop - 1, on context boundaries, and the rows whose cells are all given.

    source: None = nothing is shown; then the orders of columns depend on `seed` alone. Raises HarmonicError where
    given cells break a rule by themselves.
    """
    n_columns = len(sampler.grammar.codec.columns)
    prompts, known = [], {}
    for run in plan.runs(first, stop):
        cells = given_row(run.conditions, n_columns)
        check_rules(sampler.rules, cells, f"Row {run.first_row}")
        if is_complete(run.conditions, n_columns):
            known.update(dict.fromkeys(range(run.first_row, run.first_row + run.n_rows), cells))
            continue
        contexts = None if source is None else source.contexts(run.conditions)
        index = run.first_row // plan.size
        order = column_order(law.order, n_columns, target, seed=seed, purpose="sample", index=index)
        context = Context((), (), order) if contexts is None else contexts[index]
        shown = [] if contexts is None else [contexts.rows[row] for row in context.examples]
        keeps_order = law.order in ONE_ORDER
        prompts += ask(sampler, run, shown, context.order, asked=law.rows, keeps_order=keeps_order)
    return prompts, known


def ask(
    sampler: Sampler,
    run: Run,
    shown: Sequence[Row],
    order: tuple[int, ...],
    *,
    asked: int,
    keeps_order: bool,
    note: str = "",
) -> list[Prompt]:
    """The prompt of a run; one of each of its rows where draws have to be weighed. keeps_order: whether conditioned
    columns stay where `order` has them."""
    conditions, known = split_known(order, run.conditions) if keeps_order else (run.conditions, None)
    prompt = partial(sampler.prompt, shown, order, conditions=conditions, asked=asked, known=known, note=note)
    whole = prompt(first_row=run.first_row, n_rows=run.n_rows)
    if not is_weighed(whole):
        return [whole]
    return [prompt(first_row=run.first_row + at, n_rows=1) for at in range(run.n_rows)]


def conditioned(
    settings: SampleSection,
    n: int,
    given: Mapping[str, Any] | None,
    where: Sequence[str],
    quotas: Mapping[str, Any] | None,
) -> SampleSection:
    """The settings for n rows, with further conditions beside their own."""
    return replace(
        settings,
        rows=n,
        given={**(settings.given or {}), **(given or {})} or None,
        where=(*settings.where, *([where] if isinstance(where, str) else where)),
        quotas={**(settings.quotas or {}), **(quotas or {})} or None,
    )


def check_rules(rules: Rules | None, cells: Row, subject: str) -> None:
    """Raises HarmonicError where the given cells of a row (None elsewhere) break a rule, whatever the others are."""
    broken = None if rules is None else rules.broken(cells)
    if broken is not None:
        raise HarmonicError(
            f"{subject}: its given cells break the rule {broken!r}. Correct the cells, or leave the rule out."
        )


# Anchors.


def anchors(rows: Sequence[Row], conditions: Conditions, seed: int) -> NDArray[np.int64]:
    """The numbers of the rows that satisfy the conditions; where these are few, of those that nearly do.

    Where no row does, the rows nearest to them, which is said in the log.
    """
    gaps = np.zeros(len(rows))
    for condition in conditions:
        gaps += gaps_of([row[condition.place] for row in rows], condition)
    satisfied = np.flatnonzero(gaps == 0.0)
    if len(satisfied) >= FEWEST_ANCHORS:
        return satisfied
    chance = np.random.default_rng([seed, ANCHOR_STREAM]).random(len(rows))
    nearest = np.lexsort((chance, gaps))[:FEWEST_ANCHORS]
    near = nearest[gaps[nearest] <= NEARLY]
    if len(near):
        return np.sort(near)
    columns = ", ".join(condition.column.label for condition in conditions)
    log.warning(
        "No shown row satisfies all conditions (%s): contexts show the neighbours of the %d nearest to them.",
        columns,
        len(nearest),
    )
    return np.sort(nearest)


def gaps_of(cells: Sequence[str | None], condition: Condition) -> NDArray[np.float64]:
    """How far each cell is from a condition: 0 where it is satisfied, a share of the ranks for numbers and dates, 1."""
    held = {cell: condition.holds(cell) for cell in set(cells)} if not _is_span(condition) else {}
    if held:
        return np.array([0.0 if held[cell] else 1.0 for cell in cells])
    column = condition.column
    low, high = (condition.cell, condition.cell) if condition.is_given else (column.lower, column.upper)
    keys, ends = amounts.number_cells(cells, column), amounts.number_cells([low, high], column)
    known = np.sort(keys[~np.isnan(keys)])
    ranks, (first, last) = mid_ranks(known, keys), mid_ranks(known, ends)
    beyond = np.where(keys < ends[0], first - ranks, np.where(keys > ends[1], ranks - last, 0.0))
    is_missing = np.isnan(keys)
    allowed = column.can_be_missing and not condition.is_given
    return np.where(is_missing, 0.0 if allowed else 1.0, beyond)


def _is_span(condition: Condition) -> bool:
    """Whether a condition leaves a number or date, or an interval of them."""
    if not amounts.is_ordered(condition.column):
        return False
    return condition.cell is not None if condition.is_given else not condition.column.levels

"""The adversarial loop: the optimizer edits the causal graph, the generator writes rows, the discriminator decides.

What enters is a state and the three agents; what leaves is the state after each step. A step proposes edits of the
best graph, holds a contest between it and the edited ones, and takes the winner if it is ahead once more on fresh
rows: whoever wins a contest of many was lucky, too. Every step draws under seeds of its own, the best graph anew, so
that a score that was lucky once is not kept. The published loop compares scores of some twenty rows from different
calls, which is noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from harmonic.config import MallmSection
from harmonic.decode.slot import Usage
from harmonic.mallm.contest import Contest, Standing, hold_contest
from harmonic.mallm.discriminator import Discriminator, Judgement
from harmonic.mallm.generator import Candidate, Generator
from harmonic.mallm.optimizer import MOST_GRAPHS, Optimizer, Proposal, random_proposals
from harmonic.mallm.state import Judged, State, Step
from harmonic.prompt.notes import ScoredGraph
from harmonic.table.cells import from_rows
from harmonic.table.graph import CausalGraph
from harmonic.table.schema import Row, Schema

STREAM_LOOP = 705
FEWEST_JUDGED, MOST_JUDGED = 50, 200


class Agents(NamedTuple):
    """Who takes part: a generator for each seed, the discriminator, and the optimizer, None where none is asked."""

    generator: Callable[[int], Generator]
    discriminator: Discriminator
    optimizer: Optimizer | None


class Loop:
    """Runs steps until the budget of `section` is spent.

    The first step asks for no edits: it judges the graph to begin with, against `starts`, other ones, if there are any.
    """

    def __init__(
        self,
        agents: Agents,
        schema: Schema,
        section: MallmSection,
        n_train: int,
        *,
        starts: Sequence[CausalGraph] = (),
        seed: int,
    ) -> None:
        self.agents = agents
        self.starts = tuple(starts)
        self.schema = schema
        self.section = section
        self.seed = seed
        self.n_judged = judged_rows(section, n_train)

    def run(self, state: State) -> Iterator[State]:
        """The state after each step that is left to do."""
        while self._goes_on(state):
            state = self.step(state)
            yield state

    def step(self, state: State) -> State:
        """One step: propose, hold the contest, take the winner."""
        started, number = time.monotonic(), len(state.steps)
        proposals = self._propose(state, number) if number else []
        found = [one.candidate for one in proposals] or [Candidate(graph) for graph in self.starts]
        fresh = [one for one in dict.fromkeys(found) if one != state.best]
        counted = _Counted(self.agents.generator, self.agents.optimizer)
        contest, margin = self._contest(state.best, fresh, counted, [number, 0]), self.section.margin
        # The graphs to begin with are equals: none has proved anything.
        margin = margin if number else 0.0
        rest: tuple[Standing, ...] = ()
        if contest.winner(margin) is not contest.defender:
            first, rest = contest.challengers[0], contest.challengers[1:]
            contest = self._contest(state.best, [first.candidate], counted, [number, 1])
        winner = contest.winner(margin)
        step = Step(
            number=number,
            proposed=len(found),
            refused=sum(len(one.refused) for one in proposals),
            new=len(fresh),
            accepted=winner is not contest.defender,
            gain=contest.gain,
            error=contest.error,
            defended=contest.defender.score,
            score=winner.score,
            tells=float(np.mean(winner.judgement.tells)),
            told_by=tuple(self.agents.discriminator.told_by(from_rows(winner.rows, self.schema))),
            judged=tuple(map(_judged, (*contest.challengers, *rest))),
            calls=counted.calls,
            tokens=counted.usage.tokens,
            seconds=round(time.monotonic() - started, 3),
        )
        return state.after(step, winner.candidate, self._scored(state, contest, winner, rest))

    def _goes_on(self, state: State) -> bool:
        section, done = self.section, len(state.steps)
        spent: list[tuple[float, float | None]] = [
            (done - 1, most_steps(section)),
            (state.calls, section.calls),
            (state.tokens, section.tokens),
            (state.seconds / 60, section.minutes),
        ]
        return all(limit is None or value < limit for value, limit in spent)

    def _propose(self, state: State, number: int) -> list[Proposal]:
        section = self.section
        if self.agents.optimizer is None:
            return random_proposals(state.best, section.proposals, seed=self.seed, step=number)
        return self.agents.optimizer.propose(
            [ScoredGraph(judged.candidate.graph, judged.score) for judged in state.scored],
            state.steps[-1].told_by,
            section.proposals,
            step=number,
            guidance=state.best.guidance,
        )

    def _judge(self, rows: Sequence[Row]) -> Judgement:
        return self.agents.discriminator.judge(from_rows(rows, self.schema))

    def _contest(
        self, best: Candidate, challengers: Sequence[Candidate], counted: _Counted, key: list[int]
    ) -> Contest:
        seed = int(np.random.default_rng([self.seed, STREAM_LOOP, *key]).integers(2**31))
        return hold_contest(best, challengers, counted.under(seed), self._judge, self.n_judged)

    def _scored(
        self, state: State, contest: Contest, winner: Standing, rest: Sequence[Standing]
    ) -> list[Judged]:
        """The winner, then the others that are known, by their last scores."""
        now = {one.candidate: _judged(one) for one in (*rest, contest.defender, *contest.challengers)}
        known = {judged.candidate: judged for judged in state.scored} | now
        others = sorted(
            (judged for one, judged in known.items() if one != winner.candidate), key=lambda one: one.score
        )
        return [now[winner.candidate], *others][:MOST_GRAPHS]


def most_steps(section: MallmSection) -> int:
    """How many steps may follow the first, which asks for no edits."""
    return section.steps if section.edits != "none" else 0


def judged_rows(section: MallmSection, n_train: int) -> int:
    """On how many rows the last candidates of a step are judged."""
    return section.judged_rows or int(np.clip(n_train, FEWEST_JUDGED, MOST_JUDGED))


class _Counted:
    """Draws rows of candidates, and counts what these and the optimizer's last proposals took."""

    def __init__(self, generator: Callable[[int], Generator], optimizer: Optimizer | None) -> None:
        self.generator = generator
        self.calls, self.usage = (0, Usage()) if optimizer is None else optimizer.spent()

    def under(self, seed: int) -> Callable[[Candidate, int, int], list[Row]]:
        """How rows first ... stop - 1 of a candidate are drawn under a seed."""
        generator = self.generator(seed)

        def draw(candidate: Candidate, first: int, stop: int) -> list[Row]:
            drawn = generator.draw(candidate, first, stop)
            self.calls += drawn.usage.candidates or -(-(stop - first) // generator.calls.rows)
            self.usage.add(drawn.usage)
            return [drawn.rows[row] for row in range(first, stop)]

        return draw


def _judged(standing: Standing) -> Judged:
    return Judged(standing.candidate, standing.score, len(standing.rows))

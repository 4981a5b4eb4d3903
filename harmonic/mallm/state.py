"""The state of the loop: all that the next step needs, as plain data, and what each step did.

What enters is a finished step; what leaves is loop.json, written whole after each. A step is a function of the state
before it and of the seed, so a loop that was killed goes on to the very same graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harmonic.mallm.generator import Candidate
from harmonic.table.graph import CausalGraph


@dataclass(frozen=True)
class Judged:
    """A candidate as a contest left it."""

    candidate: Candidate
    score: float
    """How far its rows were from real ones, 0 is best; of `rows` rows."""
    rows: int


@dataclass(frozen=True)
class Step:
    """What one step did."""

    number: int
    proposed: int
    refused: int
    """Edits that could not be done: they said nothing new, or closed a cycle."""
    new: int
    """Different candidates among the proposals, but for the best one so far."""
    accepted: bool
    gain: float
    """By how much the last challenger's score was below the best one's, on the same rows."""
    error: float
    """The standard error of the gain."""
    defended: float
    """The score of what was best before, drawn anew."""
    score: float
    """The score of what is best now, on the same rows."""
    tells: float
    """|AUC - .5| of what is best now."""
    told_by: tuple[str, ...]
    judged: tuple[Judged, ...]
    """The challengers, the best first."""
    calls: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class State:
    """Where the loop stands after `len(steps)` steps."""

    first: Candidate
    best: Candidate
    scored: tuple[Judged, ...] = ()
    """The best candidates so far with their last scores: what the optimizer is told, the best first."""
    steps: tuple[Step, ...] = field(default=())

    @property
    def calls(self) -> int:
        return sum(step.calls for step in self.steps)

    @property
    def tokens(self) -> int:
        return sum(step.tokens for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def after(self, step: Step, best: Candidate, scored: Sequence[Judged]) -> State:
        """The state once `step` is done."""
        return replace(self, best=best, scored=tuple(scored), steps=(*self.steps, step))

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives an equal state back."""
        return {
            "first": _plain(self.first),
            "best": _plain(self.best),
            "scored": [_plain_judged(judged) for judged in self.scored],
            "steps": [
                {**asdict(step), "judged": [_plain_judged(judged) for judged in step.judged]}
                for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], names: Sequence[str]) -> State:
        """The state that `to_json` wrote, over columns called `names`."""
        return cls(
            _candidate(data["first"], names),
            _candidate(data["best"], names),
            tuple(_judged(judged, names) for judged in data["scored"]),
            tuple(_step(step, names) for step in data["steps"]),
        )


def _plain(candidate: Candidate) -> dict[str, Any]:
    return {"graph": candidate.graph.to_mapping(), "guidance": candidate.guidance}


def _plain_judged(judged: Judged) -> dict[str, Any]:
    return {**_plain(judged.candidate), "score": judged.score, "rows": judged.rows}


def _candidate(data: Mapping[str, Any], names: Sequence[str]) -> Candidate:
    return Candidate(CausalGraph.from_mapping(data["graph"], names), data["guidance"])


def _judged(data: Mapping[str, Any], names: Sequence[str]) -> Judged:
    return Judged(_candidate(data, names), data["score"], data["rows"])


def _step(data: Mapping[str, Any], names: Sequence[str]) -> Step:
    judged = tuple(_judged(judged, names) for judged in data["judged"])
    return Step(**{**data, "told_by": tuple(data["told_by"]), "judged": judged})

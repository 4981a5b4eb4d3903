"""Row programs: the automata of one order of columns as a single automaton of a whole row.

What enters are the token automata of the segments in order, and the ids that open and close a row; what leaves are flat
arrays in which the end of a segment offers what begins the next one, for a number ends only by what follows it. Forced
runs, where only one id is allowed at a time, are known beforehand: they are appended, never sampled. A given cell is a
segment of one path (`fixed`), so conditions and permuted orders need no new compilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.automaton import NONE, TokenAutomaton, fixed, open_states
from harmonic.errors import HarmonicError


@dataclass(frozen=True, eq=False)
class RowProgram:
    """Deterministic and acyclic; every state is reachable and every path ends in `end`.

    indptr: int32 [n_states + 1]; tokens, targets: int32 [n_edges], tokens sorted within a state; forced: int32
    [n_states], the id of a state's only edge, else -1; segment: int32 [n_states], the segment being read (-1 in the
    opening, the number of segments in the closing); longest: the longest row in tokens; costs: int32 [n_edges], None
    where all are 0; limits: int32 [n_states], what may be spent in a state's segment.
    """

    indptr: NDArray[np.int32]
    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    forced: NDArray[np.int32]
    segment: NDArray[np.int32]
    start: int
    end: int
    longest: int
    exact: bool
    costs: NDArray[np.int32] | None
    limits: NDArray[np.int32]

    @property
    def n_states(self) -> int:
        return len(self.forced)

    def edges(self, state: int, spent: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids allowed in a state, sorted, and the states after them."""
        span = slice(self.indptr[state], self.indptr[state + 1])
        tokens, targets = self.tokens[span], self.targets[span]
        if self.costs is None:
            return tokens, targets
        fits = self._spent(state, targets, spent) + self.costs[span] <= self.limits[targets]
        return tokens[fits], targets[fits]

    def step(self, state: int, token: int, spent: int = 0) -> tuple[int, int]:
        """(state, spent) after one id; state -1 where it is not allowed."""
        first = int(self.indptr[state])
        tokens = self.tokens[first : self.indptr[state + 1]]
        at = int(np.searchsorted(tokens, token))
        if at == len(tokens) or tokens[at] != token:
            return NONE, spent
        target = self.targets[first + at]
        if self.costs is not None:
            spent = int(self._spent(state, target, spent) + self.costs[first + at])
        return (int(target) if spent <= self.limits[target] else NONE), spent

    def _spent(self, state: int, targets: NDArray[np.int32], spent: int) -> NDArray[np.int64]:
        """What counts already where an edge leads: nothing in a new segment."""
        return np.where(self.segment[targets] == self.segment[state], spent, 0)

    @cached_property
    def is_open(self) -> NDArray[np.bool_]:
        """bool [n_states]: whether free text may go on from a state: nearly the whole vocabulary is allowed there."""
        return open_states(self.indptr, self.costs)

    def forced_run(self, state: int) -> tuple[list[int], int]:
        """The ids that must follow a state, and the first state after them that leaves a choice, or `end`."""
        span = slice(self.run_indptr[state], self.run_indptr[state + 1])
        return self.run_tokens[span].tolist(), int(self.run_end[state])

    @cached_property
    def run_end(self) -> NDArray[np.int32]:
        """int32 [n_states]: where each state's forced run ends; itself where it leaves a choice."""
        return self._runs[0]

    @cached_property
    def run_indptr(self) -> NDArray[np.int32]:
        """int32 [n_states + 1]: where each state's forced run lies in `run_tokens`."""
        return np.append(0, np.cumsum(self._runs[1])).astype(np.int32)

    @cached_property
    def run_tokens(self) -> NDArray[np.int32]:
        """int32: the forced runs of all states, one after another."""
        lengths = self._runs[1]
        tokens = np.empty(int(self.run_indptr[-1]), dtype=np.int32)
        at, place = np.arange(self.n_states), self.run_indptr[:-1].astype(np.int64)
        step = self._forced_step
        for length in range(int(lengths.max(initial=0))):
            going = np.flatnonzero(lengths > length)
            tokens[place[going] + length] = self.forced[at[going]]
            at[going] = step[at[going]]
        return tokens

    @cached_property
    def _forced_step(self) -> NDArray[np.int64]:
        """The state after a forced id, or the state itself."""
        step = np.arange(self.n_states)
        only = self.forced >= 0
        step[only] = self.targets[self.indptr[:-1][only]]
        return step

    @cached_property
    def _runs(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(end, length) of each state's forced run, found by doubling the steps."""
        end, length = self._forced_step, (self.forced >= 0).astype(np.int64)
        while (end[end] != end).any():
            length = length + length[end]
            end = end[end]
        return end.astype(np.int32), length


def chain(
    segments: Sequence[TokenAutomaton],
    close: Sequence[int],
    open: Sequence[int] = (),
    names: Sequence[str] | None = None,
) -> RowProgram:
    """The program of a row: the ids that open it, the segments in order, the ids that close it.

    names: what errors call the segments. Raises HarmonicError if an id both continues a segment and begins the next,
    and if nothing closes the row.
    """
    if not len(close) or any(part.accepting[0] for part in segments):
        raise HarmonicError(
            "A row's segments and its ending must hold at least one token. Correct the codec."
        )
    parts = [*([fixed(open)] if len(open) else []), *segments, fixed(close)]
    first = -1 if len(open) else 0
    names = list(names or map(str, range(len(segments))))
    labels = (
        (["the opening"] if first else []) + [f"column {name!r}" for name in names] + ["the end of the row"]
    )
    # A part's start is merged into the ends of the part before it, but for the very first.
    bases = np.cumsum([0, *(part.n_states - 1 for part in parts)])
    linked = [
        _link(part, following, bases[number], bases[number + 1], labels[number : number + 2])
        for number, (part, following) in enumerate(pairwise(parts))
    ]
    last = parts[-1]
    linked.append(_Links(np.diff(last.indptr), last.tokens, last.targets + bases[-2], _costs(last)))
    # Each part but the first leaves out its start's row; its start's edges stand with the ends before it.
    rows = [linked[0], *(_without_start(links) for links in linked[1:])]
    degrees, tokens, targets, costs = (
        np.concatenate(column).astype(np.int32) for column in zip(*rows, strict=True)
    )
    indptr = np.append(0, np.cumsum(degrees)).astype(np.int32)
    # Free text is never forced: what it may still spend is not known here.
    is_forced = (degrees == 1) & (np.append(costs, 0)[indptr[:-1]] == 0)
    sizes = [part.n_states - (number > 0) for number, part in enumerate(parts)]
    return RowProgram(
        indptr=indptr,
        tokens=tokens,
        targets=targets,
        forced=np.where(is_forced, np.append(tokens, NONE)[indptr[:-1]], NONE).astype(np.int32),
        segment=np.repeat(np.arange(first, first + len(parts)), sizes).astype(np.int32),
        start=0,
        end=len(degrees) - 1,
        longest=sum(part.longest for part in parts),
        exact=all(part.exact for part in parts),
        costs=costs if costs.any() else None,
        limits=np.repeat([part.limit for part in parts], sizes).astype(np.int32),
    )


class _Links(NamedTuple):
    """The edges of a part, by state."""

    degrees: NDArray[np.int32]
    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    costs: NDArray[np.int32]


def _link(
    part: TokenAutomaton, following: TokenAutomaton, base: int, next_base: int, labels: Sequence[str]
) -> _Links:
    """The edges of a part, its ends offering those of the next part's start."""
    begin = slice(0, following.indptr[1])
    tokens, targets = following.tokens[begin], following.targets[begin] + next_base
    costs = _costs(following)[begin]
    ends = np.flatnonzero(part.accepting)
    degrees = np.diff(part.indptr)
    # Where the new edges of each end go to stay sorted among its own.
    places = []
    for end in ends.tolist():
        own = part.tokens[part.indptr[end] : part.indptr[end + 1]]
        at = np.searchsorted(own, tokens)
        if len(own) and (own[np.minimum(at, len(own) - 1)] == tokens).any():
            raise HarmonicError(
                f"The values of {labels[0]} can go on with the same token that begins {labels[1]}: where they end is "
                "not clear. Use the codec 'json'."
            )
        places.append(part.indptr[end] + at)
    degrees[ends] += len(tokens)
    where = np.concatenate(places)
    return _Links(
        degrees,
        np.insert(part.tokens, where, np.tile(tokens, len(ends))),
        np.insert(part.targets + base, where, np.tile(targets, len(ends))),
        np.insert(_costs(part), where, np.tile(costs, len(ends))),
    )


def _without_start(links: _Links) -> _Links:
    """A part without the row of its first state."""
    first = links.degrees[0]
    return _Links(links.degrees[1:], links.tokens[first:], links.targets[first:], links.costs[first:])


def _costs(part: TokenAutomaton) -> NDArray[np.int32]:
    return np.zeros(len(part.tokens), dtype=np.int32) if part.costs is None else part.costs

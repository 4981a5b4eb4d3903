"""The contest: which of some candidates writes rows that are hardest to tell from real ones.

What enters is the best candidate so far, its challengers, and how to draw and to judge rows; what leaves is the
challenger that lasted longest and by how much it is ahead. Successive halving (Jamieson and Talwalkar 2016): all write
few rows, the better half writes as many again, and so on. Every candidate writes under the same seeds, from the same
examples, and is judged against the same real rows in the same folds, so that what chance does to one it does to all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2

from harmonic.mallm.discriminator import Judgement
from harmonic.mallm.generator import Candidate
from harmonic.table.schema import Row

LEAST_ROWS = 25
"""Fewer rows say nothing."""
Draw = Callable[[Candidate, int, int], list[Row]]
"""Rows first ... stop - 1 of a candidate."""
Judge = Callable[[Sequence[Row]], Judgement]


@dataclass(frozen=True)
class Standing:
    """A candidate, the rows it wrote and how they were judged."""

    candidate: Candidate
    rows: tuple[Row, ...]
    judgement: Judgement

    @property
    def score(self) -> float:
        return self.judgement.score


@dataclass(frozen=True)
class Contest:
    """How it ended: the defender, and the challengers, the best first: that one wrote as many rows."""

    defender: Standing
    challengers: tuple[Standing, ...]
    gain: float
    """By how much the best challenger's score is lower; 0 without challengers."""
    error: float
    """Its standard error."""

    def winner(self, margin: float) -> Standing:
        """The best challenger if it is ahead by more than `margin` standard errors, else the defender."""
        return self.challengers[0] if self.challengers and self.gain > margin * self.error else self.defender


def hold_contest(
    defender: Candidate, challengers: Sequence[Candidate], draw: Draw, judge: Judge, n_rows: int
) -> Contest:
    """The contest; its last ones write n_rows rows each. Without challengers the defender does, and is judged.

    The challenger that is ahead at the end was chosen for being ahead: its gain is somewhat overstated, the more the
    more challengers there were.
    """
    field = [defender, *challengers]
    written: list[list[Row]] = [[] for _ in field]
    standings: dict[int, Standing] = {}
    rivals, left = list(range(1, len(field))), list[int]()
    for n in rounds(len(challengers), n_rows):
        for number in (0, *rivals):
            written[number] += draw(field[number], len(written[number]), n)
            rows = tuple(written[number])
            standings[number] = Standing(field[number], rows, judge(rows))
        rivals.sort(key=lambda number: standings[number].score)
        n_kept = ceil(len(rivals) / 2)
        left = rivals[n_kept:] + left
        rivals = rivals[:n_kept]
    found = tuple(standings[number] for number in (*rivals, *left))
    gain, error = found[0].judgement.ahead_of(standings[0].judgement) if found else (0.0, 0.0)
    return Contest(standings[0], found, gain, error)


def rounds(n_challengers: int, n_rows: int) -> list[int]:
    """How many rows each candidate has written after each round: twice as many as after the one before."""
    n_rounds = max(1, ceil(log2(max(1, n_challengers))))
    counts = {max(min(LEAST_ROWS, n_rows), n_rows >> (n_rounds - 1 - number)) for number in range(n_rounds)}
    return sorted(counts)

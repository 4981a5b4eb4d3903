"""What the answers of a base say: are rows likelier in their place, and with their own amounts, than they should be?

What enters is log-probabilities of rows, in places and with amounts that are theirs and that are not; what leaves is
figures, p-values and the verdict in words, which never says more than was measured: a base that goes on with no row
may still have read the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.figures import Figure, mean_figure, p_sign, percent, rate_figure, undefined
from harmonic.evaluation.words import interval, number, signed

ALARM = 0.01
"""Family-wise chance of an accusation where nothing is known. Less than for leaks: what is known by heart is seen at
once, and a table is asked more than once in its life."""
LEAST_ROWS = 10
"""Rows without which a check says nothing."""

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]


class Answers(NamedTuple):
    """Log-probabilities in nats of the rows asked, in one order: [n] each."""

    own: Floats
    """A row in its place, below the rows before it."""
    elsewhere: Floats
    """The same row below the rows before another place."""
    near: Floats
    """The row in its place, with amounts near in rank."""
    unread: Floats
    """A row of a table whose amounts are exchanged, which nobody can have read, in its place there."""
    unread_near: Floats
    """And that one, its amounts exchanged once more."""


@dataclass(frozen=True)
class Places:
    """Rows in the file's order. A row that is known is expected where it stands."""

    nats: Figure
    """By so much a row is likelier in its place than in another place of the table; mean."""
    won: Figure
    """Share of the rows that are likelier in their place; noise floor: a half."""
    written: Figure
    """Share of the rows that greedy decoding writes in their place, letter by letter; noise floor: in another place."""
    clue: str
    """The column by which the order can be guessed, so that nothing here is counted; "" = none."""
    p_values: dict[str, float]
    """Sign tests of what is counted, not corrected: "place", "written"."""


@dataclass(frozen=True)
class Digits:
    """Rows beside themselves with amounts that are near in rank. A row that is known has its own."""

    n_rows: int
    """Rows asked that such an exchange changes."""
    nats: Figure
    """By so much a row is likelier; mean; noise floor: the same where an exchanged table plays the true one."""
    excess: Figure
    """The first minus the second, paired by row; mean."""
    won: Figure
    """Share of the rows whose excess is above zero; noise floor: a half."""
    p_values: dict[str, float]
    """The sign test, not corrected, where it can be made: "digits"."""


def measure_places(answers: Answers, is_written: Truths, is_elsewhere: Truths, clue: str) -> Places:
    """is_written, is_elsewhere: which rows greedy decoding writes in their place and in the other place, [n] each."""
    more = answers.own - answers.elsewhere
    n_here, n_there = int((is_written & ~is_elsewhere).sum()), int((is_elsewhere & ~is_written).sum())
    floor = rate_figure(int(is_elsewhere.sum()), len(is_elsewhere))
    return Places(
        nats=mean_figure(more),
        won=_won(more),
        written=rate_figure(int(is_written.sum()), len(is_written)).beside(noise_floor=floor),
        clue=clue,
        p_values={} if clue else {"place": _p_more(more), "written": p_sign(n_here, n_there)},
    )


def measure_digits(answers: Answers, is_changed: Truths) -> Digits:
    """is_changed: the rows that both exchanges of amounts have changed, [n]."""
    n = int(is_changed.sum())
    if n < LEAST_ROWS:
        nothing = undefined(
            f"it takes {LEAST_ROWS} rows with amounts that can be exchanged for others near in rank, here are {n}"
        )
        return Digits(n, nothing, nothing, nothing, {})
    more = (answers.own - answers.near)[is_changed]
    control = (answers.unread - answers.unread_near)[is_changed]
    excess = more - control
    return Digits(
        n,
        nats=mean_figure(more).beside(noise_floor=mean_figure(control)),
        excess=mean_figure(excess),
        won=_won(excess),
        p_values={"digits": _p_more(excess)},
    )


def _won(differences: Floats) -> Figure:
    """Share of the differences, zeros aside, that are above zero."""
    figure = rate_figure(int((differences > 0).sum()), int((differences != 0).sum()))
    return replace(figure, noise_floor=0.5)


def _p_more(differences: Floats) -> float:
    return p_sign(int((differences > 0).sum()), int((differences < 0).sum()))


def verdict_of(places: Places, digits: Digits, p_values: Mapping[str, float]) -> str:
    """What was found, or what was not, with the figures; never more than was measured."""
    said = {
        "place": _shown(places.won, places.nats, "in their place than elsewhere"),
        "written": f"{percent(places.written.value)} are written letter by letter in their place, "
        f"{percent(places.written.noise_floor)} elsewhere",
        "digits": _shown(
            digits.won,
            digits.excess,
            "than with amounts near in rank, beyond what a table shows that nobody has read",
        ),
    }
    unrun = ""
    if places.clue:
        unrun += f" Rows in their place are not counted: their order can be guessed, by {places.clue!r}."
    if not digits.excess.is_defined:
        unrun += f" What amounts say is {digits.excess.undefined}."
    if not p_values:
        return f"Whether the base knows this table cannot be said.{unrun}"
    known = [said[name] for name in said if p_values.get(name, 1.0) < ALARM]
    if known:
        return f"The base seems to know this table: {'; '.join(known)}.{unrun} Figures on it may be recited."
    counted = "; ".join(said[name] for name in said if name in p_values)
    least = f"p = {number(min(p_values.values()))}, below {ALARM} would be a sign"
    return f"No sign that the base knows the table by heart: {counted} ({least}).{unrun} Other prompts may find more."


def _shown(won: Figure, nats: Figure, how: str) -> str:
    """The share that the test is about, and by how much."""
    share = f"{percent(won.value)} {interval(won, as_percent=True)}".rstrip()
    return f"{share} of the rows are likelier {how} (mean {signed(nats.value)} nats)"

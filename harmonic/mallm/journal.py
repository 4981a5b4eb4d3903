"""The journal: what the loop does, said while it does it.

What enters is the state after each step; what leaves is log lines that make a table, and beforehand what all will
cost at most.
"""

from __future__ import annotations

import logging

from harmonic.config import MallmSection
from harmonic.mallm.contest import rounds
from harmonic.mallm.generator import Calls
from harmonic.mallm.loop import judged_rows, most_steps
from harmonic.mallm.pool import pool_size
from harmonic.mallm.selection import FEWEST_TRAIN
from harmonic.mallm.state import State, Step

log = logging.getLogger(__name__)
_HEAD = "step   score   gain (+- error)   taken   new of proposed   edits refused   calls    tokens   seconds"


def announce(state: State, section: MallmSection) -> None:
    """The head of the table, and the steps that are done already."""
    done = f", {len(state.steps)} of {most_steps(section) + 1} done" if state.steps else ""
    log.info(
        "Loop: %d steps at most%s. Score 0: trees cannot tell the rows from real ones.",
        most_steps(section),
        done,
    )
    log.info("%s", _HEAD)
    for step in state.steps:
        log.info("%s", line(step))


def tell(state: State) -> None:
    """The last step of `state`."""
    log.info("%s", line(state.steps[-1]))


def forecast(section: MallmSection, calls: Calls, n_train: int, n_starts: int) -> str:
    """What the loop costs at most, in words; n_starts: graphs that the first one is compared with."""
    n_rows, n_steps = judged_rows(section, n_train), most_steps(section)
    most = _most_rows(n_starts, n_rows) + n_steps * _most_rows(section.proposals, n_rows)
    selects = section.selects and n_train >= FEWEST_TRAIN
    pool = f" Selection: {pool_size(n_train):,} rows more." if selects else ""
    return (
        f"Loop: {n_steps} steps, {section.proposals} edited graphs each; at most {most:,} rows in about "
        f"{-(-most // calls.rows):,} calls, each with {calls.examples} examples.{pool} No weights change."
    )


def _most_rows(n_challengers: int, n_rows: int) -> int:
    """Rows that a step draws where its winner has to be confirmed."""
    left, rows, before = n_challengers, 0, 0
    for n in rounds(n_challengers, n_rows):
        rows += (left + 1) * (n - before)
        left, before = -(-left // 2), n
    return rows + (2 * n_rows if n_challengers else 0)


def line(step: Step) -> str:
    """One step as a line of the table."""
    gain = f"{step.gain:+.3f} +- {step.error:.3f}" if step.judged else "-"
    return (
        f"{step.number:4d}   {step.score:5.3f}   {gain:>15}   {'yes' if step.accepted else 'no':>5}   "
        f"{step.new:3d} of {step.proposed:<8d}   {step.refused:13d}   {step.calls:5d}   {step.tokens:7,d}   "
        f"{step.seconds:7.1f}"
    )

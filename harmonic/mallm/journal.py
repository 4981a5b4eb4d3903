"""The journal: what the loop does, said while it does it.

What enters is the state after each step; what leaves is log lines that make a table, and beforehand what all will
cost at most.
"""

from __future__ import annotations

import logging

from harmonic.config import MallmSection
from harmonic.mallm.contest import rounds
from harmonic.mallm.generator import Calls
from harmonic.mallm.loop import judged_rows
from harmonic.mallm.state import State, Step

log = logging.getLogger(__name__)
_HEAD = "step   score   gain (+- error)   taken   new of proposed   edits refused   calls    tokens   seconds"


class Journal:
    """Tells of each step once; the first line is the table's head."""

    def __init__(self, state: State, section: MallmSection) -> None:
        self._n_steps = section.steps if section.edits != "none" else 0
        log.info(
            "Loop: %d steps at most%s. Score 0: trees cannot tell the rows from real ones.",
            self._n_steps,
            f", {len(state.steps)} of {self._n_steps + 1} done" if state.steps else "",
        )
        log.info("%s", _HEAD)
        for step in state.steps:
            log.info("%s", line(step))

    def tell(self, state: State) -> None:
        """The last step of `state`."""
        log.info("%s", line(state.steps[-1]))

    @staticmethod
    def forecast(section: MallmSection, calls: Calls, n_train: int) -> str:
        """What the loop costs at most, in words."""
        n_rows = judged_rows(section, n_train)
        left, rows, before = section.proposals, 0, 0
        for n in rounds(section.proposals, n_rows):
            rows += (left + 1) * (n - before)
            left, before = -(-left // 2), n
        n_steps = section.steps if section.edits != "none" else 0
        most = n_steps * rows + n_rows
        return (
            f"Loop: {n_steps} steps, {section.proposals} edited graphs each; at most {most:,} rows in "
            f"{-(-most // calls.rows):,} calls, each with {calls.examples} examples. No weights change."
        )


def line(step: Step) -> str:
    """One step as a line of the table."""
    gain = f"{step.gain:+.3f} +- {step.error:.3f}" if step.judged else "-"
    return (
        f"{step.number:4d}   {step.score:5.3f}   {gain:>15}   {'yes' if step.accepted else 'no':>5}   "
        f"{step.new:3d} of {step.proposed:<8d}   {step.refused:13d}   {step.calls:5d}   {step.tokens:7,d}   "
        f"{step.seconds:7.1f}"
    )

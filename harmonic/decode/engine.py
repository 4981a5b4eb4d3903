"""Slots: many contexts decoded side by side, each at its own place in its own row.

What enters is jobs (a prompt, a row program, how many rows are wanted); what leaves is each job's rows as token ids, in
the order in which they finish. A slot whose job is done takes the next one at once, and a step of the engine is one
choice a slot. In exact mode every position is weighed against the whole vocabulary and a row is kept with just the
probability that the mask has kept: then rows follow the model's own distribution over valid rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch

from harmonic.decode.cache import Reader
from harmonic.decode.chooser import Chooser
from harmonic.decode.noise import uniform
from harmonic.decode.shared import SharedReader
from harmonic.decode.slot import DrawnRow, Job, Slot, Usage

Judge = Callable[[Slot, str | None], bool]
"""Whether a finished row is kept; the text says what the engine itself has against it. May raise to give up."""

_LUCK = -1
"""The step that keys the number by which exact mode keeps a row."""


def keep_sound(slot: Slot, flaw: str | None) -> bool:
    """The judge who has nothing against a row of his own."""
    return flaw is None


class Engine:
    """Decodes jobs in `n_slots` slots of one reader."""

    def __init__(self, reader: Reader | SharedReader, chooser: Chooser, *, n_slots: int) -> None:
        self.reader = reader
        self.chooser = chooser
        self.n_slots = n_slots
        self.usage = Usage()
        self._shared: list[int] = []

    def run(
        self, jobs: Iterable[Job], shared: list[int] | None = None, judge: Judge = keep_sound
    ) -> Iterator[tuple[Job, list[DrawnRow]]]:
        """Yields (job, its rows) as jobs finish. `shared`: prompt tokens that jobs have in common, read once."""
        waiting = iter(jobs)
        slots: list[Slot | None] = [None] * self.n_slots
        self._share(shared or [])
        while True:
            for number in range(self.n_slots):
                while slots[number] is None and (job := next(waiting, None)) is not None:
                    slot = Slot(job, self._skip(job, number), self.usage, forces=not self.chooser.weighs)
                    self._settle(slot, judge)
                    if slot.is_done:
                        yield job, slot.rows
                    else:
                        slots[number] = slot
            busy = {number: slot for number, slot in enumerate(slots) if slot is not None}
            if not busy:
                return
            self._step(busy, judge)
            for number, slot in busy.items():
                if slot.is_done:
                    yield slot.job, slot.rows
                    slots[number] = None

    def _step(self, busy: dict[int, Slot], judge: Judge) -> None:
        """One choice in every busy slot."""
        numbers, slots = list(busy), list(busy.values())
        self.usage.steps += 1
        self.usage.occupied += len(slots)
        self._read_prompts(numbers, slots)
        hidden = self.reader.read(numbers, [slot.read for slot in slots], [slot.chunk for slot in slots])
        for slot in slots:
            slot.read = len(slot.tokens)
        for slot, pick in zip(slots, self.chooser.choose(slots, hidden), strict=True):
            if pick is None:
                judge(slot, "no token goes on as the tokenizer writes")
                slot.again()
            else:
                slot.take(pick.token, pick.state, pick.spent, pick.log_prob, pick.log_kept, pick.log_known)
                self._settle(slot, judge)

    def _settle(self, slot: Slot, judge: Judge) -> None:
        """Keeps or takes back rows that are finished, until a choice is to be made."""
        while not slot.is_done and slot.is_row_done:
            if judge(slot, self._flaw(slot)):
                slot.keep()
            else:
                slot.again()

    def _flaw(self, slot: Slot) -> str | None:
        """Exact mode keeps a row with the probability that the mask kept."""
        if not self.chooser.weighs:
            return None
        key = partial(torch.tensor, dtype=torch.int64)
        keys = key([slot.number]), key([slot.attempt]), key([_LUCK]), key([[0]])
        luck = float(uniform(self.chooser.seed, *keys))
        return None if math.log(luck) < slot.log_kept else "less likely without the mask"

    def _read_prompts(self, numbers: list[int], slots: list[Slot]) -> None:
        """Reads all but the last token of fresh prompts apart, so that short chunks are not padded to their width."""
        fresh = [(number, slot) for number, slot in zip(numbers, slots, strict=True) if slot.is_fresh]
        if not fresh:
            return
        heads = [slot.chunk[:-1] for _, slot in fresh]
        self.reader.read([number for number, _ in fresh], [slot.read for _, slot in fresh], heads)
        for _, slot in fresh:
            slot.read = len(slot.tokens) - 1

    def _share(self, shared: list[int]) -> None:
        self._shared = shared
        self.reader.share(shared)
        self.usage.prompt_tokens += len(shared)

    def _skip(self, job: Job, number: int) -> int:
        """How much of the job's prompt its slot holds already; at least its last token is left to read."""
        n_shared = len(self._shared)
        shares = 0 < n_shared < len(job.prompt) and job.prompt[:n_shared] == self._shared
        return n_shared if self.reader.begin(number, shares) else 0

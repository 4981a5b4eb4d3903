"""Slots: many contexts decoded side by side, each at its own place in its own row.

What enters is jobs (a prompt, a row program, how many rows are wanted); what leaves is each job's rows as token ids, in
the order in which they finish. A slot whose job is done takes the next one at once. Forced tokens are never sampled:
they ride along with the sampled token before them in one chunk, so a step of the engine is one choice a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harmonic.decode.cache import Reader
from harmonic.decode.noise import gumbel
from harmonic.decode.program import RowProgram


@dataclass(frozen=True, slots=True)
class Job:
    """One context to decode: `n_rows` rows of one program, numbered from `first_row`, after `prompt`."""

    prompt: list[int]
    program: RowProgram
    first_row: int
    n_rows: int
    attempt: int = 0


@dataclass(slots=True)
class Usage:
    """What decoding took, in tokens; `steps` are passes of the engine, `occupied` the slots busy in them."""

    prompt_tokens: int = 0
    row_tokens: int = 0
    forced_tokens: int = 0
    steps: int = 0
    occupied: int = 0

    def add(self, other: Usage) -> None:
        for name in ("prompt_tokens", "row_tokens", "forced_tokens", "steps", "occupied"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Choice:
    """How an allowed token is chosen; the defaults are the distribution that was learnt."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class _Slot:
    """A job under way: where its program stands and what the model has yet to read."""

    def __init__(self, job: Job, skip: int, usage: Usage) -> None:
        self.job = job
        self.usage = usage
        self.at = skip
        self.chunk: list[int] = job.prompt[skip:]
        self.rows: list[list[int]] = []
        self.ids: list[int] = []
        self.step = 0
        self.state = job.program.start
        usage.prompt_tokens += len(self.chunk)
        self._run()

    @property
    def is_done(self) -> bool:
        return len(self.rows) == self.job.n_rows

    def take(self, token: int, state: int) -> None:
        """Goes on with a sampled token and the state it leads to."""
        self.chunk = [token]
        self.ids.append(token)
        self.state = state
        self.step += 1
        self._run()

    def _run(self) -> None:
        """Follows forced tokens, over row ends too, to the next choice or the end of the job."""
        program = self.job.program
        while True:
            run, self.state = program.forced_run(self.state)
            self.chunk = self.chunk + run
            self.ids += run
            self.usage.forced_tokens += len(run)
            if self.state != program.end:
                return
            self.usage.row_tokens += len(self.ids)
            self.rows.append(self.ids)
            self.ids, self.step, self.state = [], 0, program.start
            if self.is_done:
                return


@dataclass(frozen=True)
class _Edges:
    """A program's edges on the device, tokens as positions in the reader's alphabet."""

    indptr: Tensor
    tokens: Tensor
    places: Tensor
    targets: Tensor
    _widths: Tensor = field(repr=False)

    @cached_property
    def widest(self) -> int:
        return int(self._widths.max())

    @classmethod
    def of(cls, program: RowProgram, alphabet: Tensor) -> _Edges:
        tokens = torch.from_numpy(program.tokens.astype(np.int64)).to(alphabet.device)
        indptr = torch.from_numpy(program.indptr.astype(np.int64)).to(alphabet.device)
        targets = torch.from_numpy(program.targets.astype(np.int64)).to(alphabet.device)
        return cls(indptr, tokens, torch.searchsorted(alphabet, tokens), targets, indptr.diff())


class Engine:
    """Decodes jobs in `n_slots` slots of one reader."""

    def __init__(self, reader: Reader, alphabet: Tensor, *, n_slots: int, choice: Choice, seed: int) -> None:
        """alphabet: the sorted token ids [u] of the reader's logits; every edge of every program is among them."""
        self.reader = reader
        self.alphabet = alphabet
        self.n_slots = n_slots
        self.choice = choice
        self.seed = seed
        self.usage = Usage()
        self._edges: dict[int, tuple[RowProgram, _Edges]] = {}
        self._shared: list[int] = []

    def run(
        self, jobs: Iterable[Job], shared: list[int] | None = None
    ) -> Iterator[tuple[Job, list[list[int]]]]:
        """Yields (job, its rows' ids) as jobs finish. `shared`: prompt tokens that jobs have in common, read once."""
        waiting = iter(jobs)
        slots: list[_Slot | None] = [None] * self.n_slots
        self._share(shared or [])
        while True:
            for number, slot in enumerate(slots):
                while slot is None and (job := next(waiting, None)) is not None:
                    slot = _Slot(job, self._skip(job), self.usage)
                    if slot.is_done:
                        yield job, slot.rows
                        slot = None
                slots[number] = slot
            busy = [number for number, slot in enumerate(slots) if slot is not None]
            if not busy:
                return
            self._step([slots[number] for number in busy], busy)  # type: ignore[misc]
            for number in busy:
                slot = slots[number]
                if slot is not None and slot.is_done:
                    yield slot.job, slot.rows
                    slots[number] = None

    def _step(self, slots: list[_Slot], numbers: list[int]) -> None:
        """One choice in every busy slot."""
        self.usage.steps += 1
        self.usage.occupied += len(slots)
        self._read_prompts(slots, numbers)
        logits = self.reader.read(numbers, [slot.at for slot in slots], [slot.chunk for slot in slots])
        for slot in slots:
            slot.at += len(slot.chunk)
        groups: dict[int, list[int]] = {}
        for place, slot in enumerate(slots):
            groups.setdefault(id(slot.job.program), []).append(place)
        for places in groups.values():
            chosen = [slots[place] for place in places]
            tokens, states = self._choose(chosen, logits[torch.tensor(places, device=logits.device)])
            for slot, token, state in zip(chosen, tokens, states, strict=True):
                slot.take(token, state)

    def _read_prompts(self, slots: list[_Slot], numbers: list[int]) -> None:
        """Reads all but the last token of long chunks apart, so that short ones are not padded to their width."""
        fresh = [
            place
            for place, slot in enumerate(slots)
            if slot.step == 0 and not slot.rows and len(slot.chunk) > 1
        ]
        if not fresh:
            return
        chosen = [slots[place] for place in fresh]
        heads = [slot.chunk[:-1] for slot in chosen]
        self.reader.read([numbers[place] for place in fresh], [slot.at for slot in chosen], heads)
        for slot, head in zip(chosen, heads, strict=True):
            slot.at += len(head)
            slot.chunk = slot.chunk[-1:]

    def _choose(self, slots: list[_Slot], logits: Tensor) -> tuple[list[int], list[int]]:
        """Samples an edge for each slot: mask, temperature, top-k, top-p, then the largest logit plus keyed noise."""
        edges = self._tables(slots[0].job.program)
        device = logits.device
        states = torch.tensor([slot.state for slot in slots], device=device)
        first = edges.indptr[states]
        width = edges.indptr[states + 1] - first
        columns = torch.arange(int(width.max()), device=device)
        allowed = columns < width[:, None]
        at = torch.where(allowed, first[:, None] + columns, first[:, None])
        scores = logits.gather(1, edges.places[at]).double()
        scores = scores.masked_fill(~allowed, -torch.inf)
        scores = self._truncate(scores / self.choice.temperature)
        rows = torch.tensor([slot.job.first_row + len(slot.rows) for slot in slots], device=device)
        attempts = torch.tensor([slot.job.attempt for slot in slots], device=device)
        steps = torch.tensor([slot.step for slot in slots], device=device)
        noise = gumbel(self.seed, rows, attempts, steps, edges.tokens[at])
        best = (scores + noise).argmax(dim=1, keepdim=True)
        chosen = at.gather(1, best).squeeze(1)
        return edges.tokens[chosen].tolist(), edges.targets[chosen].tolist()

    def _truncate(self, scores: Tensor) -> Tensor:
        choice = self.choice
        if choice.top_k and choice.top_k < scores.shape[1]:
            least = scores.topk(choice.top_k, dim=1).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        if choice.top_p < 1.0:
            ordered, order = scores.sort(dim=1, descending=True)
            share = ordered.softmax(dim=1)
            # A token stays while those before it hold less than top_p, so the first always does.
            beyond = share.cumsum(dim=1) - share >= choice.top_p
            scores = scores.masked_fill(beyond.scatter(1, order, beyond), -torch.inf)
        return scores

    def _tables(self, program: RowProgram) -> _Edges:
        key = id(program)
        if key not in self._edges:
            # The program is kept beside its tables, or its id could be given to another one.
            self._edges[key] = (program, _Edges.of(program, self.alphabet))
        return self._edges[key][1]

    def _share(self, shared: list[int]) -> None:
        self._shared = shared
        if shared:
            self.reader.read([0], [0], [shared])
            self.reader.cache.spread(0, len(shared))
            self.usage.prompt_tokens += len(shared)

    def _skip(self, job: Job) -> int:
        """How much of the job's prompt every slot holds already; at least its last token is left to read."""
        n_shared = len(self._shared)
        return n_shared if 0 < n_shared < len(job.prompt) and job.prompt[:n_shared] == self._shared else 0

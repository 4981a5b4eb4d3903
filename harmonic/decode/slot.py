"""A context under way: what it has said, what the model has yet to read, and where its row stands.

What enters is a `Job`; what leaves, choice by choice, is its rows. Forced tokens are never sampled: they ride along
with the sampled token before them in one chunk. A rejected row is taken back: what the model has read beyond its
beginning is overwritten by the next attempt, so a rejection costs one row and not its context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harmonic.decode.program import RowProgram


@dataclass(frozen=True, slots=True)
class Job:
    """One context to decode: `n_rows` rows of one program, numbered from `first_row`, after `prompt`.

    prefixes: what each row begins with before its program starts, given and never sampled; empty = nothing. known: ids
    of segments, by their number in the program, that every row is known to hold.
    """

    prompt: list[int]
    program: RowProgram
    first_row: int
    n_rows: int
    prefixes: tuple[list[int], ...] = ()
    known: Mapping[int, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Usage:
    """What decoding took, in tokens; `steps` are passes of the engine, `occupied` the slots busy in them."""

    prompt_tokens: int = 0
    row_tokens: int = 0
    forced_tokens: int = 0
    rejected_tokens: int = 0
    """Tokens of rows that were rejected; the others count accepted rows alone."""
    steps: int = 0
    occupied: int = 0
    candidates: int = 0
    """Draws of rows that were weighed: each row had some."""
    by_weight: int = 0
    """Rows for which no candidate was taken, so that one was chosen by weight."""

    @property
    def tokens(self) -> int:
        """All tokens that the model has read."""
        return self.prompt_tokens + self.row_tokens + self.rejected_tokens

    def add(self, other: Usage) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A finished row: its ids, and the natural logarithms of its probability and of what the mask kept."""

    ids: list[int]
    log_prob: float
    """Of the row under the mask, at temperature 1."""
    log_kept: float
    """Of the mass that the mask kept, over all positions; known in exact mode alone, else 0."""
    log_known: float = 0.0
    """Of what the row was known to hold, given what stands before it."""


class Slot:
    """A job under way. `skip` tokens of its prompt are read already."""

    def __init__(self, job: Job, skip: int, usage: Usage, *, forces: bool = True) -> None:
        """forces: whether forced tokens are appended in runs; exact mode takes them one by one, to weigh them."""
        self.job = job
        self.tokens = list(job.prompt)
        self.read = skip
        self.rows: list[DrawnRow] = []
        self.attempt = 0
        self._usage = usage
        self._forces = forces
        usage.prompt_tokens += len(job.prompt) - skip
        self._begin()

    @property
    def chunk(self) -> list[int]:
        """The tokens that the model has yet to read."""
        return self.tokens[self.read :]

    @property
    def is_fresh(self) -> bool:
        """Whether most of the prompt has yet to be read."""
        return self.read < len(self.job.prompt) - 1

    @property
    def number(self) -> int:
        """The number of the row under way."""
        return self.job.first_row + len(self.rows)

    @property
    def is_row_done(self) -> bool:
        return self.state == self.job.program.end

    @property
    def is_done(self) -> bool:
        return len(self.rows) == self.job.n_rows

    @property
    def row(self) -> list[int]:
        """The ids of the row under way."""
        return self.tokens[self._first :]

    @property
    def offset(self) -> int:
        """How many ids of its segment the row has."""
        return len(self.tokens) - self._segment_first

    def segment_with(self, token: int, state: int) -> list[int]:
        """The ids of the segment of a token that leads to `state`: those before it, itself, and what it forces."""
        segment = self.job.program.segment
        ids = (
            [token] if segment[state] != segment[self.state] else [*self.tokens[self._segment_first :], token]
        )
        forced = self.job.program.forced
        while forced[state] >= 0:
            token = int(forced[state])
            after, _ = self.job.program.step(state, token)
            if segment[after] != segment[state]:
                break
            ids.append(token)
            state = after
        return ids

    def take(
        self,
        token: int,
        state: int,
        spent: int,
        log_prob: float,
        log_kept: float = 0.0,
        log_known: float = 0.0,
    ) -> None:
        """Goes on with a chosen token, the state that it leads to, and what a free text has spent by then."""
        self._enter(token, state)
        self.spent = spent
        self.step += 1
        self.log_prob += log_prob
        self.log_kept += log_kept
        self.log_known += log_known
        self._run()

    def keep(self) -> None:
        """The finished row is good: goes on to the next one."""
        self._usage.row_tokens += len(self.row)
        self._usage.forced_tokens += self._n_forced
        self.rows.append(DrawnRow(self.row, self.log_prob, self.log_kept, self.log_known))
        self.attempt = 0
        if not self.is_done:
            self._begin()

    def again(self) -> None:
        """The row is rejected: takes it back and begins it anew."""
        self._usage.rejected_tokens += len(self.row)
        del self.tokens[self._first :]
        # What comes before the row's first choice is read anew, or there would be no logits to choose by.
        self.read = min(self.read, self._first - 1)
        self.attempt += 1
        self._begin()

    def _begin(self) -> None:
        self._first = len(self.tokens)
        self._segment_first = self._first
        self._n_forced = 0
        self.step = 0
        self.spent = 0
        self.log_prob = 0.0
        self.log_kept = 0.0
        self.log_known = 0.0
        self.state = self.job.program.start
        if self.job.prefixes:
            prefix = self.job.prefixes[len(self.rows)]
            self.tokens += prefix
            self._segment_first = len(self.tokens)
            self._n_forced = len(prefix)
        self._run()

    def _run(self) -> None:
        """Follows forced tokens to the next choice or to the end of the row."""
        program = self.job.program
        if not self._forces or program.run_end[self.state] == self.state:
            return
        run, end = program.forced_run(self.state)
        self._n_forced += len(run)
        # Where segments begin matters to free text, and to what is known of a row.
        if program.costs is None and not self.job.known:
            self.tokens += run
            self.state = end
            return
        for token in run:
            self._enter(token, program.step(self.state, token)[0])

    def _enter(self, token: int, state: int) -> None:
        """Appends a token; where it begins a segment, what is counted by segment begins anew."""
        segment = self.job.program.segment
        if segment[state] != segment[self.state]:
            self._segment_first = len(self.tokens)
            self.spent = 0
        self.tokens.append(token)
        self.state = state

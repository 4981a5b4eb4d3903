"""The door of the decoder: prompts in, valid rows out.

What enters is a loaded model, a codec and contexts to continue; what leaves is a `Draw`: rows of cells by row number,
the rejects by reason, and what it took. Segments are compiled once a (schema, codec, tokenizer); a column order is
chained from them on demand, so shuffled orders cost no new compile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch

from harmonic.decode.automaton import TokenAutomaton
from harmonic.decode.cache import Reader
from harmonic.decode.engine import Choice, Engine, Job, Usage
from harmonic.decode.lift import compiler_for
from harmonic.decode.program import RowProgram, chain
from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import Instruction, write_instruction
from harmonic.prompt.rows import Codec, Reject
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Row


@dataclass(frozen=True, slots=True)
class Prompt:
    """A context to continue: its instruction without an answer, its column order, and the rows it is to give."""

    instruction: Instruction
    order: tuple[int, ...]
    first_row: int
    """The number of its first row: rows are numbered over the whole table, and noise is keyed by them."""
    n_rows: int


@dataclass(slots=True)
class Draw:
    """What came out: rows by number, rejects by reason, tokens and passes."""

    rows: dict[int, Row] = field(default_factory=dict)
    rejects: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    strange: int = 0
    """Rows whose text the tokenizer itself would have written in other ids (free text only)."""
    longest: int = 0
    """The most tokens that a row took."""


class Grammar:
    """The compiled segments of a codec's columns under one tokenizer."""

    def __init__(self, codec: Codec, tokenizer: TextTokenizer) -> None:
        self.codec = codec
        self.tokenizer = tokenizer
        self._open = tokenizer.encode(codec.row_open) if codec.row_open else []
        self._close = tokenizer.encode_ending(codec.row_close)
        self.program = lru_cache(maxsize=256)(self._chain)

    def segment(self, index: int, last: bool) -> TokenAutomaton:
        """The automaton of a modelled column's segment."""
        return compiler_for(self.tokenizer).segment(self.codec.form(index, last), self.codec.columns[index])

    def _chain(self, order: tuple[int, ...]) -> RowProgram:
        segments = [self.segment(index, place == len(order) - 1) for place, index in enumerate(order)]
        names = [self.codec.columns[index].label for index in order]
        return chain(segments, self._close, self._open, names)

    @cached_property
    def longest(self) -> int:
        """The most tokens a row can take, in any order."""
        n_columns = len(self.codec.columns)
        # A column has a form of its own where it is the last: the longer one bounds every order.
        segments = sum(
            max(self.segment(i, False).longest, self.segment(i, True).longest) for i in range(n_columns)
        )
        return len(self._open) + segments + len(self._close)

    @cached_property
    def alphabet(self) -> torch.Tensor:
        """The sorted ids, int64 [u], that a choice can ever fall on."""
        parts = [
            self.segment(i, last).tokens for i in range(len(self.codec.columns)) for last in (False, True)
        ]
        return torch.from_numpy(np.unique(np.concatenate([*parts, self._close])).astype(np.int64))


class Sampler:
    """Draws rows from one model under one grammar.

    max_attempts bounds how often a context is drawn anew because one of its rows was rejected; beyond it, an error.
    """

    def __init__(
        self,
        model: Any,
        grammar: Grammar,
        *,
        context_length: int,
        slots: int = 64,
        choice: Choice | None = None,
        max_attempts: int = 10,
    ) -> None:
        self.model = model
        self.grammar = grammar
        self.context_length = context_length
        self.slots = slots
        self.choice = choice or Choice()
        self.max_attempts = max_attempts

    def prompt(
        self, examples: Sequence[Row], order: tuple[int, ...], *, first_row: int, n_rows: int
    ) -> Prompt:
        """The context that shows `examples` and asks for rows first_row ... first_row + n_rows - 1."""
        return Prompt(
            write_instruction(self.grammar.codec, examples, n_rows, order), order, first_row, n_rows
        )

    def draw(
        self, prompts: Iterable[Prompt], *, seed: int, progress: Callable[[int], None] | None = None
    ) -> Draw:
        """Decodes every prompt; calls progress(rows so far). Raises HarmonicError if a context keeps failing."""
        draw = Draw()
        self.model.eval()
        engine = self._engine(seed)
        waiting: list[Job] = []
        by_row: dict[int, Prompt] = {}
        jobs = self._jobs(prompts, by_row)
        shared, jobs = self._shared(jobs)
        for attempt in range(self.max_attempts):
            failed: list[Job] = []
            for job, ids in engine.run(waiting if attempt else jobs, shared):
                rows = self._parse(by_row[job.first_row], ids, draw)
                if rows is None:
                    failed.append(replace(job, attempt=attempt + 1))
                    continue
                del by_row[job.first_row]
                draw.rows.update(enumerate(rows, start=job.first_row))
                if progress is not None:
                    progress(len(draw.rows))
            waiting = sorted(failed, key=lambda job: job.first_row)
            if not waiting:
                draw.usage.add(engine.usage)
                return draw
        raise HarmonicError(
            f"Row {waiting[0].first_row}: {self.max_attempts} draws of its context were all rejected "
            f"({', '.join(f'{reason} {count}' for reason, count in draw.rejects.most_common())}). "
            "Raise [sample] max_attempts, or loosen the rule or column named here."
        )

    def _engine(self, seed: int) -> Engine:
        alphabet = self.grammar.alphabet
        reader = Reader(self.model, self.slots, self.context_length, alphabet)
        return Engine(reader, alphabet.to(reader.device), n_slots=self.slots, choice=self.choice, seed=seed)

    def _jobs(self, prompts: Iterable[Prompt], by_row: dict[int, Prompt]) -> Iterator[Job]:
        for prompt in prompts:
            program = self.grammar.program(prompt.order)
            pieces = self.grammar.tokenizer.encode_prompt(prompt.instruction.parts)
            ids = [token for piece in pieces for token in piece]
            most = len(ids) + prompt.n_rows * program.longest
            if most > self.context_length:
                raise HarmonicError(
                    f"Row {prompt.first_row}: its prompt has {len(ids)} tokens and {prompt.n_rows} rows may take "
                    f"{most - len(ids)}, the model's context holds {self.context_length}. Show fewer examples or ask "
                    "for fewer rows in [prompt]."
                )
            by_row[prompt.first_row] = prompt
            yield Job(ids, program, prompt.first_row, prompt.n_rows)

    def _shared(self, jobs: Iterator[Job]) -> tuple[list[int], Iterator[Job]]:
        """What the first jobs' prompts have in common, and all the jobs."""
        first = list(islice(jobs, 2 * self.slots))
        prompts = [job.prompt for job in first]
        n_shared = 0
        if len(prompts) > 1:
            limit = min(map(len, prompts)) - 1
            while n_shared < limit and len({prompt[n_shared] for prompt in prompts}) == 1:
                n_shared += 1
        return prompts[0][:n_shared] if prompts else [], _chained(first, jobs)

    def _parse(self, prompt: Prompt, ids: list[list[int]], draw: Draw) -> list[Row] | None:
        """The rows of a finished context; None if one is rejected, which is counted."""
        tokenizer, codec = self.grammar.tokenizer, self.grammar.codec
        texts = [tokenizer.decode(row) for row in ids]
        draw.longest = max(draw.longest, *map(len, ids))
        draw.strange += sum(own != row for own, row in zip(tokenizer.encode_batch(texts), ids, strict=True))
        parsed = [codec.parse_row(text, prompt.order) for text in texts]
        rejects = [row for row in parsed if isinstance(row, Reject)]
        draw.rejects.update(reject.reason for reject in rejects)
        return None if rejects else [row for row in parsed if not isinstance(row, Reject)]


def _chained(first: list[Job], rest: Iterator[Job]) -> Iterator[Job]:
    yield from first
    yield from rest

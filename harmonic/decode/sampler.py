"""The door of the decoder: prompts in, valid rows out.

What enters is a loaded model, a codec and contexts to continue; what leaves is a `Draw`: rows of cells by row number,
the rejects by reason, and what it took. Segments are compiled once a (schema, codec, tokenizer); a column order is
chained from them on demand, so shuffled orders cost no new compile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain as joined
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harmonic.decode.automaton import TokenAutomaton
from harmonic.decode.canonical import Canonical
from harmonic.decode.choice import Choice
from harmonic.decode.chooser import Chooser
from harmonic.decode.conditions import Conditions, arranged
from harmonic.decode.engine import Engine
from harmonic.decode.head import Heads
from harmonic.decode.lift import compiler_for
from harmonic.decode.program import RowProgram, chain
from harmonic.decode.readers import open_reader
from harmonic.decode.score import Passage, RowScore, score
from harmonic.decode.slot import Job, Slot, Usage
from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import Instruction, write_instruction
from harmonic.prompt.rows import Codec, Reject
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.rules import Rules
from harmonic.table.schema import Column, Row

MAX_ATTEMPTS = 400
"""Draws of one row: rules that one row in a hundred keeps are met by all but one row in fifty."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A context to continue: its instruction without an answer, its column order, and the rows it is to give."""

    instruction: Instruction
    order: tuple[int, ...]
    first_row: int
    """The number of its first row: rows are numbered over the whole table, and noise is keyed by them."""
    n_rows: int
    conditions: Conditions = ()
    """What its rows stand under; the columns of given cells are the first of its order."""
    known: Mapping[int, str | None] = field(default_factory=dict)
    """Cells, by column, that its rows are known to hold further on: taken in their place, and weighed."""
    candidate_of: int | None = None
    """The first row of the table that its rows may become, where several candidates are drawn for it."""

    def row(self, number: int) -> int:
        """Which row of the table its row `number` is to be, for people."""
        return number if self.candidate_of is None else self.candidate_of


@dataclass(slots=True)
class Draw:
    """What came out: rows by number, rejects by reason, tokens and passes."""

    rows: dict[int, Row] = field(default_factory=dict)
    rejects: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    log_probs: dict[int, float] = field(default_factory=dict)
    """By row number: the natural logarithm of a row's probability under the mask, at temperature 1."""
    log_known: dict[int, float] = field(default_factory=dict)
    """By row number: the natural logarithm of the probability of what was known, given what stands before it."""
    longest: int = 0
    """The most tokens that a row took."""

    def add(self, later: Draw) -> None:
        """Takes in rows, rejects and usage of another draw of the same table."""
        self.rows.update(later.rows)
        self.rejects.update(later.rejects)
        self.usage.add(later.usage)


class Grammar:
    """The compiled segments of a codec's columns under one tokenizer."""

    def __init__(self, codec: Codec, tokenizer: TextTokenizer) -> None:
        self.codec = codec
        self.tokenizer = tokenizer
        self._open = tokenizer.encode(codec.row_open) if codec.row_open else []
        self._close = tokenizer.encode_ending(codec.row_close)
        self._program = lru_cache(maxsize=256)(self._chain)
        self._alphabet = lru_cache(maxsize=16)(self._make_alphabet)

    def segment(self, index: int, last: bool, column: Column | None = None) -> TokenAutomaton:
        """The automaton of a modelled column's segment; of what is left of it where `column` is narrowed."""
        compiler = compiler_for(self.tokenizer)
        if column is None:
            return compiler.segment(self.codec.form(index, last), self.codec.columns[index])
        return compiler.segment(self.codec.narrowed_form(index, last, column), column)

    def program(self, order: tuple[int, ...], conditions: Conditions = ()) -> RowProgram:
        """The program of rows whose columns stand in `order`, after their given cells, which come first.

        One program serves whatever is given: rows that differ in given cells alone need no new one.
        """
        n_given = sum(condition.is_given for condition in conditions)
        narrowed = tuple(condition for condition in conditions if not condition.is_given)
        return self._program(order[n_given:], n_given > 0, narrowed)

    def prefix(self, order: tuple[int, ...], conditions: Conditions) -> list[int]:
        """The ids of a row's opening and given cells; empty where none is given: the program opens the row then.

        Raises HarmonicError where the tokenizer changes a given text.
        """
        cells = {condition.place: condition.cell for condition in conditions if condition.is_given}
        if not cells:
            return []
        given, last = order[: len(cells)], len(order) - 1
        encoded = [self._cell(index, cells[index], at == last) for at, index in enumerate(given)]
        return [*self._open, *(token for ids in encoded for token in ids)]

    def known(
        self, order: tuple[int, ...], conditions: Conditions, cells: Mapping[int, str | None]
    ) -> dict[int, list[int]]:
        """The ids of cells, by column, under the numbers of their segments in the program of `order`.

        Raises HarmonicError where the tokenizer changes a text.
        """
        first, last = sum(condition.is_given for condition in conditions), len(order) - 1
        return {
            at - first: self._cell(index, cells[index], at == last)
            for at, index in enumerate(order)
            if index in cells
        }

    def _cell(self, index: int, cell: str | None, is_last: bool) -> list[int]:
        text = self.codec.encode_cell(index, cell, is_last)
        ids = self.tokenizer.encode(text)
        if self.tokenizer.decode(ids) != text:
            raise HarmonicError(
                f"Column {self.codec.columns[index].label!r}: the given {cell!r} comes out of this tokenizer as "
                f"{self.tokenizer.decode(ids)!r}. Give a text in characters that it keeps."
            )
        return ids

    def _chain(self, order: tuple[int, ...], is_begun: bool, narrowed: Conditions) -> RowProgram:
        left = {condition.place: condition.column for condition in narrowed}
        segments = [
            self.segment(index, place == len(order) - 1, left.get(index)) for place, index in enumerate(order)
        ]
        names = [self.codec.columns[index].label for index in order]
        return chain(segments, self._close, [] if is_begun else self._open, names)

    def alphabet(self, lasts: Collection[int]) -> Alphabet:
        """The ids that a choice can fall on, in any order that ends with one of the columns `lasts`.

        A column has a form of its own where it is the last: compiling those of all columns would double the work.
        """
        return self._alphabet(frozenset(lasts))

    def longest(self, lasts: Collection[int]) -> int:
        """The most tokens a row can take, in any order that ends with one of the columns `lasts`."""
        plain = [self.segment(index, False).longest for index in range(len(self.codec.columns))]
        more = max(self.segment(index, True).longest - plain[index] for index in lasts)
        return len(self._open) + sum(plain) + more + len(self._close)

    def _make_alphabet(self, lasts: frozenset[int]) -> Alphabet:
        closed, every = [np.array(self._close)], [np.array(self._close)]
        segments = [self.segment(index, False) for index in range(len(self.codec.columns))]
        for segment in joined(segments, (self.segment(index, True) for index in lasts)):
            is_open = np.repeat(segment.is_open, np.diff(segment.indptr))
            closed.append(segment.tokens[~is_open])
            every.append(segment.tokens)
        ids, all_ids = (np.unique(np.concatenate(parts)).astype(np.int64) for parts in (closed, every))
        open_ids = torch.from_numpy(all_ids) if len(all_ids) > len(ids) else None
        return Alphabet(torch.from_numpy(ids), open_ids)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Sorted ids, int64 [u]: those of ordinary choices, and those of all choices where there is free text."""

    closed: Tensor
    open: Tensor | None


class Sampler:
    """Draws rows from one model under one grammar.

    max_attempts bounds how often one row is drawn because it was rejected; beyond it, an error. exact: whether rows
    follow the model's own distribution over valid rows, at the price of rejections, or that of its choices under the
    mask.
    """

    def __init__(
        self,
        model: Any,
        grammar: Grammar,
        *,
        context_length: int,
        slots: int = 64,
        choice: Choice | None = None,
        exact: bool = False,
        max_attempts: int = MAX_ATTEMPTS,
        rules: Rules | None = None,
    ) -> None:
        self.model = model
        self.grammar = grammar
        self.context_length = context_length
        self.slots = slots
        self.choice = choice or Choice()
        self.exact = exact
        self.max_attempts = max_attempts
        self.rules = rules
        if exact and (self.choice.top_k or self.choice.top_p < 1):
            raise HarmonicError(
                f"[sample] exact: top_k {self.choice.top_k} and top_p {self.choice.top_p} cut the distribution that "
                "exact mode keeps. Set top_k = 0 and top_p = 1.0, or exact = false."
            )

    def prompt(
        self,
        examples: Sequence[Row],
        order: tuple[int, ...],
        *,
        first_row: int,
        n_rows: int,
        conditions: Conditions = (),
        asked: int | None = None,
        known: Mapping[int, str | None] | None = None,
        note: str = "",
    ) -> Prompt:
        """The context that shows `examples` and gives rows first_row ... first_row + n_rows - 1.

        order: conditioned columns are moved to its front. asked: how many rows its text asks for, where it is to give
        fewer of them (training asked for as many); None = n_rows. known: cells that stand in their place; then `order`
        stays as it is, and has the given cells in front. note: what it says beyond columns and rows (prompt.notes).
        """
        order = arranged(order, conditions) if known is None else order
        instruction = write_instruction(self.grammar.codec, examples, asked or n_rows, order, note=note)
        return Prompt(instruction, order, first_row, n_rows, conditions, known or {})

    def draw(
        self, prompts: Iterable[Prompt], *, seed: int, progress: Callable[[int], None] | None = None
    ) -> Draw:
        """Decodes every prompt; calls progress(rows so far). Raises HarmonicError if a context keeps failing."""
        draw = Draw()
        self.model.eval()
        prompts = list(prompts)
        engine = self._engine(seed, {prompt.order[-1] for prompt in prompts})
        for group in self._groups(prompts):
            by_row: dict[int, Prompt] = {}
            shared, jobs = self._shared(self._jobs(group, by_row))
            for job, rows in engine.run(jobs, shared, partial(self._judge, by_row, draw)):
                del by_row[job.first_row]
                for number, row in enumerate(rows, start=job.first_row):
                    draw.log_probs[number] = row.log_prob
                    draw.log_known[number] = row.log_known
                    draw.longest = max(draw.longest, len(row.ids))
                if progress is not None:
                    progress(len(draw.log_probs))
        draw.usage.add(engine.usage)
        return draw

    def score(self, prompts: Sequence[Prompt], rows: Mapping[int, Row]) -> dict[int, RowScore]:
        """How probable rows are, by row number, in the contexts of these prompts: no choice is made.

        Of the rows of one prompt each is scored after those before it, and given cells are no part of the score.
        Raises HarmonicError where a row's number is not among `rows` or a cell cannot stand in its column.
        """
        passages = [self._passage(prompt, rows) for prompt in prompts]
        scored = score(self.model, passages)
        return {
            prompt.first_row + place: found
            for prompt, scores in zip(prompts, scored, strict=True)
            for place, found in enumerate(scores)
        }

    def _passage(self, prompt: Prompt, rows: Mapping[int, Row]) -> Passage:
        grammar, numbers = self.grammar, range(prompt.first_row, prompt.first_row + prompt.n_rows)
        if absent := [number for number in numbers if number not in rows]:
            raise HarmonicError(
                f"Row {absent[0]}: its context is scored without it. Give all rows of a context."
            )
        texts = [grammar.codec.encode_row(rows[number], prompt.order) for number in numbers]
        ids = [
            token for piece in grammar.tokenizer.encode_prompt(prompt.instruction.parts) for token in piece
        ]
        n_given = len(grammar.prefix(prompt.order, prompt.conditions))
        program = grammar.program(prompt.order, prompt.conditions)
        return Passage(ids, grammar.tokenizer.encode_batch(texts), program, [n_given] * len(texts))

    def _engine(self, seed: int, lasts: Collection[int]) -> Engine:
        reader = open_reader(self.model, self.slots, self.context_length)
        alphabet = self.grammar.alphabet(lasts)
        chooser = Chooser(
            Heads(self.model, alphabet.closed, alphabet.open),
            reader.device,
            choice=self.choice,
            seed=seed,
            canonical=Canonical(self.grammar.tokenizer),
            weighs=self.exact,
        )
        return Engine(reader, chooser, n_slots=self.slots)

    def _judge(self, by_row: dict[int, Prompt], draw: Draw, slot: Slot, flaw: str | None) -> bool:
        """Takes a row into the draw, or counts why not. Raises HarmonicError if that happens too often."""
        prompt = by_row[slot.job.first_row]
        flaw = flaw or self._take(prompt, draw, slot)
        if flaw is None:
            return True
        draw.rejects[flaw] += 1
        if slot.attempt + 1 >= self.max_attempts:
            raise HarmonicError(
                f"Row {prompt.row(slot.number)}: {self.max_attempts} draws of it were all rejected "
                f"({', '.join(f'{reason}: {count}' for reason, count in draw.rejects.most_common())}). "
                "Raise [sample] max_attempts, or loosen the rule or column named here."
            )
        return False

    def _take(self, prompt: Prompt, draw: Draw, slot: Slot) -> str | None:
        """Takes a finished row into the draw, if it is a valid one; else says why not."""
        tokenizer = self.grammar.tokenizer
        text = tokenizer.decode(slot.row)
        if not slot.job.program.exact and tokenizer.encode(text) != slot.row:
            return "not as the tokenizer writes it"
        row = self.grammar.codec.parse_row(text, prompt.order)
        if isinstance(row, Reject):
            return row.reason
        broken = None if self.rules is None else self.rules.broken(row)
        if broken is None:
            draw.rows[slot.number] = row
        return broken

    def _groups(self, prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
        """Prompts with a beginning in common, enough of them that it pays to read it once; then all the others."""
        alike: dict[tuple[int, ...], list[Prompt]] = {}
        for prompt in prompts:
            alike.setdefault(prompt.order, []).append(prompt)
        enough = self.slots / 4
        yield from (group for group in alike.values() if len(group) >= enough)
        if rest := [prompt for group in alike.values() if len(group) < enough for prompt in group]:
            yield rest

    def _jobs(self, prompts: Iterable[Prompt], by_row: dict[int, Prompt]) -> Iterator[Job]:
        for prompt in prompts:
            program = self.grammar.program(prompt.order, prompt.conditions)
            prefix = self.grammar.prefix(prompt.order, prompt.conditions)
            pieces = self.grammar.tokenizer.encode_prompt(prompt.instruction.parts)
            ids = [token for piece in pieces for token in piece]
            most = len(ids) + prompt.n_rows * (len(prefix) + program.longest)
            if most > self.context_length:
                raise HarmonicError(
                    f"Row {prompt.row(prompt.first_row)}: its prompt has {len(ids)} tokens and {prompt.n_rows} rows "
                    f"may take {most - len(ids)}, the model's context holds {self.context_length}. "
                    "Show fewer examples or ask for fewer rows in [prompt]."
                )
            by_row[prompt.first_row] = prompt
            prefixes = (prefix,) * prompt.n_rows if prefix else ()
            known = self.grammar.known(prompt.order, prompt.conditions, prompt.known)
            yield Job(ids, program, prompt.first_row, prompt.n_rows, prefixes, known)

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


def _chained(first: list[Job], rest: Iterator[Job]) -> Iterator[Job]:
    yield from first
    yield from rest

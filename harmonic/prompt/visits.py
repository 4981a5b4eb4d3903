"""Visits: the endless instructions of one sequence of contexts, as tokens.

What enters is contexts, a codec and a tokenizer; what leaves is element i of a sequence that training reads in order,
written when it is asked for and the same each time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from harmonic.prompt.contexts import Contexts
from harmonic.prompt.crossover import Crossover
from harmonic.prompt.instructions import Loss, Tokens, tokenize, write_instruction
from harmonic.prompt.jitter import Jitter
from harmonic.prompt.rows import Codec
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Row

_STREAM = 14
log = logging.getLogger(__name__)


class Instructions:
    """The tokens of context 0, 1, 2, ...: written when asked for, the same each time; with `crossover` the rows asked
    for are crossed with others early on, with `jitter` the numbers of all rows are moved on each visit."""

    def __init__(
        self,
        contexts: Contexts,
        codec: Codec,
        tokenizer: TextTokenizer,
        loss: Loss,
        jitter: Jitter | None = None,
        crossover: Crossover | None = None,
        seed: int = 0,
    ) -> None:
        self.contexts = contexts
        self.codec = codec
        self.tokenizer = tokenizer
        self.loss: Loss = loss
        self.jitter = jitter
        self.crossover = crossover
        self.seed = seed

    @property
    def per_pass(self) -> int:
        """How many of them ask for every row once."""
        return self.contexts.per_pass

    def __getitem__(self, index: int) -> Tokens:
        context = self.contexts[index]
        examples = [self.contexts.rows[number] for number in context.examples]
        rows = [self.contexts.asked[number] for number in context.members]
        rng = np.random.default_rng([self.seed, _STREAM, index])
        if self.crossover is not None:
            visit = index * len(context.members)
            rows = [self.crossover(number, visit, rng) for number in context.members]
        if self.jitter is not None:
            examples, rows = ([self.jitter(row, rng) for row in part] for part in (examples, rows))
        instruction = write_instruction(self.codec, examples, len(rows), context.order, rows)
        return tokenize(instruction, self.tokenizer, self.loss)


def writable(codec: Codec, rows: Sequence[Row]) -> list[bool]:
    """Which validation rows hold only what training rows do, so that they can be written; says how many do not."""
    found = [codec.writes(row) for row in rows]
    if n_unseen := found.count(False):
        log.info(
            "%d of %d validation rows hold what no training row does (a level, a missing cell), and do not count.",
            n_unseen,
            len(rows),
        )
    return found

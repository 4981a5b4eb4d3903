"""Cells known in the middle of a row, against the enumerated probabilities of whole rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from harmonic.decode.automaton import TokenNodes
from harmonic.decode.choice import Choice
from harmonic.decode.chooser import Chooser
from harmonic.decode.engine import Engine
from harmonic.decode.head import Heads
from harmonic.decode.program import RowProgram, chain
from harmonic.decode.score import Passage, score
from harmonic.decode.shared import SharedReader
from harmonic.decode.slot import DrawnRow, Job

NUMBERS = [[5, 10], [5, 11], [5, 10, 11], [5, 10, 12], [5, 10, 10, 11]]
LEVELS = [[6, 20], [6, 21, 22, 23], [6, 24, 25]]
PROMPT, OPEN, CLOSE = [1, 2, 3], [4], [30]


def _segment(words: list[list[int]]) -> object:
    nodes = TokenNodes()
    return nodes.automaton(nodes.add_words(words))


@pytest.fixture(scope="module")
def program() -> RowProgram:
    return chain([_segment(NUMBERS), _segment(LEVELS)], close=CLOSE, open=OPEN)  # type: ignore[list-item]


def _drawn(
    model: LlamaForCausalLM, program: RowProgram, known: dict[int, list[int]], n: int
) -> list[DrawnRow]:
    heads = Heads(model, torch.from_numpy(np.unique(program.tokens).astype(np.int64)))
    chooser = Chooser(heads, torch.device("cpu"), choice=Choice(), seed=3)
    engine = Engine(SharedReader(model, 16), chooser, n_slots=16)
    jobs = [Job(PROMPT, program, number, 1, known=known) for number in range(n)]
    return [row for _, rows in engine.run(jobs) for row in rows]


def _masked(model: LlamaForCausalLM, program: RowProgram, rows: list[list[int]]) -> np.ndarray:
    passages = [Passage(PROMPT, [row], program, [0]) for row in rows]
    return np.array([scored.masked for (scored,) in score(model, passages)])


@pytest.mark.parametrize("known", [{1: LEVELS[2]}, {1: LEVELS[0]}, {0: NUMBERS[0]}, {0: NUMBERS[2]}, {}])
def test_weighted_draws_follow_the_model_given_what_is_known(
    known: dict[int, list[int]], program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    """A draw's own probability times its weight is the probability of the whole row, whatever the place."""
    model = tiny_llama(40, initializer_range=0.08)
    possible = [
        [*OPEN, *number, *level, *CLOSE]
        for number in NUMBERS
        for level in LEVELS
        if known.get(0, number) == number and known.get(1, level) == level
    ]
    rows = _drawn(model, program, known, 300)
    assert {tuple(row.ids) for row in rows} <= {tuple(ids) for ids in possible}
    assert len({tuple(row.ids) for row in rows}) > 1
    exact = dict(zip(map(tuple, possible), _masked(model, program, possible), strict=True))
    for row in rows:
        assert row.log_prob == pytest.approx(exact[tuple(row.ids)], abs=1e-4)
        assert row.log_known <= 1e-9
    # Weighed, the proposals add up to the evidence: the probability of what is known.
    evidence = np.exp(list(exact.values())).sum()
    proposed = {tuple(row.ids): np.exp(row.log_prob - row.log_known) for row in rows}
    weights = {tuple(row.ids): np.exp(row.log_known) for row in rows}
    if len(proposed) == len(possible):
        assert sum(proposed.values()) == pytest.approx(1.0, abs=1e-3)
        assert sum(proposed[ids] * weights[ids] for ids in proposed) == pytest.approx(evidence, rel=1e-3)
    assert np.mean([np.exp(row.log_known) for row in rows]) == pytest.approx(evidence, rel=0.25)


def test_what_no_row_can_hold_ends_no_draw_silently(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model = tiny_llama(40)
    heads = Heads(model, torch.from_numpy(np.unique(program.tokens).astype(np.int64)))
    chooser = Chooser(heads, torch.device("cpu"), choice=Choice(), seed=3)
    engine = Engine(SharedReader(model, 2), chooser, n_slots=2)
    flaws: list[str | None] = []

    def judge(slot: object, flaw: str | None) -> bool:
        flaws.append(flaw)
        if len(flaws) > 3:
            raise ValueError("given up")
        return flaw is None

    with pytest.raises(ValueError, match="given up"):
        list(engine.run([Job(PROMPT, program, 0, 1, known={1: [6, 39]})], judge=judge))
    assert all(flaws)

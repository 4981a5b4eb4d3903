"""The engine against a decoder that has nothing: no cache, no slots, no forced runs, one row at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from harmonic.decode.automaton import TokenNodes
from harmonic.decode.cache import Reader
from harmonic.decode.engine import Choice, Engine, Job
from harmonic.decode.noise import gumbel
from harmonic.decode.program import RowProgram, chain

VOCABULARY = 40


def _segment(words: list[list[int]]) -> object:
    nodes = TokenNodes()
    return nodes.automaton(nodes.add_words(words))


@pytest.fixture(scope="module")
def program() -> RowProgram:
    """Two columns behind tags: numbers of one to three tokens, and three levels of unlike length."""
    digits = (
        [[5, a] for a in range(10, 13)]
        + [[5, a, b] for a in (10, 11) for b in (10, 11, 12)]
        + [[5, 10, 10, 11]]
    )
    levels = [[6, 20], [6, 21, 22, 23], [6, 24, 25]]
    return chain([_segment(digits), _segment(levels)], close=[30, 31], open=[4])  # type: ignore[list-item]


def _alphabet(program: RowProgram) -> torch.Tensor:
    return torch.from_numpy(np.unique(program.tokens).astype(np.int64))


def _plain(model: LlamaForCausalLM, job: Job, seed: int) -> list[list[int]]:
    """The same law, written as plainly as can be."""
    ids = list(job.prompt)
    rows = []
    for number in range(job.n_rows):
        state, row, step = job.program.start, [], 0
        while state != job.program.end:
            tokens, targets = job.program.edges(state)
            pick = 0
            if len(tokens) > 1:
                with torch.inference_mode():
                    logits = model(input_ids=torch.tensor([ids])).logits[0, -1].detach().double()
                keys = [torch.tensor([key]) for key in (job.first_row + number, job.attempt, step)]
                allowed = torch.from_numpy(tokens.astype(np.int64))
                pick = int((logits[allowed] + gumbel(seed, *keys, allowed[None])[0]).argmax())
                step += 1
            row.append(int(tokens[pick]))
            ids.append(int(tokens[pick]))
            state = int(targets[pick])
        rows.append(row)
    return rows


def _jobs(program: RowProgram, n: int, seed: int = 0, shared: int = 4) -> list[Job]:
    rng = np.random.default_rng(seed)
    head = [1, 2, 3, 2][:shared]
    return [
        Job([*head, *rng.integers(1, 40, int(rng.integers(1, 12))).tolist()], program, 3 * number, 3)
        for number in range(n)
    ]


def _run(
    model: LlamaForCausalLM, program: RowProgram, jobs: list[Job], n_slots: int, **options: object
) -> dict:
    alphabet = _alphabet(program)
    reader = Reader(model, n_slots, 512, alphabet)
    shared = options.pop("shared", None)
    engine = Engine(reader, alphabet, n_slots=n_slots, choice=Choice(**options), seed=7)  # type: ignore[arg-type]
    done = {job.first_row: rows for job, rows in engine.run(jobs, shared)}  # type: ignore[arg-type]
    assert len(done) == len(jobs)
    return done


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("n_slots", [1, 3, 16])
def test_slots_cache_and_forced_runs_change_no_token(
    heads: int, groups: int, n_slots: int, program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model = tiny_llama(VOCABULARY, num_attention_heads=heads, num_key_value_heads=groups)
    jobs = _jobs(program, 9)
    expected = {job.first_row: _plain(model, job, 7) for job in jobs}
    assert _run(model, program, jobs, n_slots) == expected
    assert _run(model, program, jobs[::-1], n_slots, shared=[1, 2, 3, 2]) == expected


def test_a_shared_prefix_is_read_once(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model, jobs, alphabet = tiny_llama(VOCABULARY), _jobs(program, 8), _alphabet(program)
    spent = {}
    for shared in ([], [1, 2, 3, 2]):
        engine = Engine(Reader(model, 4, 512, alphabet), alphabet, n_slots=4, choice=Choice(), seed=0)
        list(engine.run(jobs, shared))
        spent[len(shared)] = engine.usage.prompt_tokens
    assert spent[0] - spent[4] == 4 * 8 - 4


def test_every_slot_is_refilled_while_jobs_wait(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    alphabet = _alphabet(program)
    engine = Engine(
        Reader(tiny_llama(VOCABULARY), 4, 512, alphabet), alphabet, n_slots=4, choice=Choice(), seed=0
    )
    assert len(list(engine.run(_jobs(program, 80)))) == 80
    assert engine.usage.occupied / engine.usage.steps > 0.95 * 4


def test_a_row_without_a_choice_needs_no_step(tiny_llama: Callable[..., LlamaForCausalLM]) -> None:
    forced = chain([_segment([[5, 6, 7]])], close=[30])  # type: ignore[list-item]
    assert _run(tiny_llama(VOCABULARY), forced, [Job([1], forced, 0, 2)], 2) == {0: [[5, 6, 7, 30]] * 2}


def test_sampling_follows_the_renormalised_probabilities(tiny_llama: Callable[..., LlamaForCausalLM]) -> None:
    """Chi-square of 4,000 rows against the enumerated product of renormalised steps."""
    model = tiny_llama(VOCABULARY)
    words = [[5, 10], [5, 11, 10], [5, 11, 12], [6, 10]]
    two = chain([_segment(words)], close=[30])  # type: ignore[list-item]
    expected = {(*word, 30): _probability(model, two, [*word, 30]) for word in words}
    assert sum(expected.values()) == pytest.approx(1.0)
    jobs = [Job([1, 2], two, number, 1) for number in range(4000)]
    counts = Counter(tuple(rows[0]) for rows in _run(model, two, jobs, 512).values())
    statistic = sum((counts[row] - 4000 * p) ** 2 / (4000 * p) for row, p in expected.items())
    assert statistic < 16.3  # chi-square of 3 degrees of freedom at .001


def _probability(model: LlamaForCausalLM, program: RowProgram, row: list[int]) -> float:
    state, ids, probability = program.start, [1, 2], 1.0
    for token in row:
        tokens, _ = program.edges(state)
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1].detach().double()
        shares = logits[torch.from_numpy(tokens.astype(np.int64))].softmax(0)
        probability *= float(shares[int(np.searchsorted(tokens, token))])
        state = program.step(state, token)
        ids.append(token)
    return probability


def test_top_k_of_one_and_a_tiny_top_p_are_greedy(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model, jobs = tiny_llama(VOCABULARY), _jobs(program, 6)
    greedy = _run(model, program, jobs, 3, top_k=1)
    assert greedy == _run(model, program, jobs, 3, top_p=1e-9)
    assert greedy == _run(model, program, jobs, 3, temperature=1e-6)
    assert greedy != _run(model, program, jobs, 3)

"""The engine against a decoder that has nothing: no cache, no slots, no forced runs, one row at a time."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from harmonic.decode.automaton import TokenNodes
from harmonic.decode.cache import Reader
from harmonic.decode.choice import Choice
from harmonic.decode.chooser import Chooser
from harmonic.decode.engine import Engine
from harmonic.decode.head import Heads
from harmonic.decode.noise import gumbel
from harmonic.decode.program import RowProgram, chain
from harmonic.decode.score import Passage, score
from harmonic.decode.shared import SharedReader, can_share
from harmonic.decode.slot import Job, Slot
from harmonic.errors import HarmonicError

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


def _plain(model: PreTrainedModel, job: Job, seed: int) -> list[list[int]]:
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
                keys = [torch.tensor([key]) for key in (job.first_row + number, 0, step)]
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


def _engine(
    model: PreTrainedModel,
    program: RowProgram,
    n_slots: int,
    *,
    seed: int = 7,
    exact: bool = False,
    **choice: object,
) -> Engine:
    chooser = Chooser(
        Heads(model, _alphabet(program)),
        torch.device("cpu"),
        choice=Choice(**choice),  # type: ignore[arg-type]
        seed=seed,
        weighs=exact,
    )
    return Engine(_reader(model, n_slots), chooser, n_slots=n_slots)


def _of_any_device(model: PreTrainedModel, n_slots: int) -> Reader:
    return Reader(model, n_slots, 512)


def _of_shared_beginnings(model: PreTrainedModel, n_slots: int) -> SharedReader:
    assert can_share(model)
    return SharedReader(model, n_slots)


_reader: Callable[[PreTrainedModel, int], Reader | SharedReader] = _of_any_device


@pytest.fixture(autouse=True, params=[_of_any_device, _of_shared_beginnings])
def each_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here is made with both ways of reading."""
    monkeypatch.setattr(sys.modules[__name__], "_reader", request.param)


def _run(
    model: PreTrainedModel, program: RowProgram, jobs: list[Job], n_slots: int, **options: object
) -> dict[int, list[list[int]]]:
    shared = options.pop("shared", None)
    engine = _engine(model, program, n_slots, **options)  # type: ignore[arg-type]
    done = {job.first_row: [row.ids for row in rows] for job, rows in engine.run(jobs, shared)}  # type: ignore[arg-type]
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


@pytest.mark.parametrize("groups", [4, 2])
def test_a_qwen_is_read_as_one_row_at_a_time(groups: int, program: RowProgram) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        model = Qwen2ForCausalLM(
            Qwen2Config(vocab_size=VOCABULARY, num_key_value_heads=groups, **sizes)
        ).eval()
    jobs = _jobs(program, 7)
    expected = {job.first_row: _plain(model, job, 7) for job in jobs}
    assert _run(model, program, jobs, 3, shared=[1, 2, 3, 2]) == expected


def test_jobs_that_share_nothing_stand_beside_those_that_do(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model = tiny_llama(VOCABULARY)
    others = [Job([9, *job.prompt], program, job.first_row + 100, 2) for job in _jobs(program, 6, seed=1)]
    jobs = [job for pair in zip(_jobs(program, 6), others, strict=True) for job in pair]
    expected = {job.first_row: _plain(model, job, 7) for job in jobs}
    for n_slots in (1, 4):
        assert _run(model, program, jobs, n_slots, shared=[1, 2, 3, 2]) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hidden_states_are_the_models_own(
    dtype: torch.dtype, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    """Chunks of unlike lengths, in slots out of order, behind a shared beginning or not."""
    model = tiny_llama(VOCABULARY).to(dtype)
    reader = _reader(model, 5)
    reader.share([1, 2, 3])
    texts: dict[int, list[int]] = {slot: [] for slot in (3, 0, 4)}
    starts = {slot: 3 * reader.begin(slot, shares=slot != 0) for slot in texts}
    rng = np.random.default_rng(0)
    for lengths in ((4, 1, 9), (1, 1, 2), (1, 70, 1)):
        chunks = [rng.integers(1, 40, length).tolist() for length in lengths]
        found = reader.read(list(texts), list(starts.values()), chunks)
        for (slot, text), chunk, hidden in zip(texts.items(), chunks, found, strict=True):
            text += chunk
            starts[slot] += len(chunk)
            whole = text if slot == 0 else [1, 2, 3, *text]
            own = model.model(input_ids=torch.tensor([whole])).last_hidden_state[0, -1].detach()
            torch.testing.assert_close(hidden, own, atol=1e-5 if dtype == torch.float32 else 0.05, rtol=1e-3)


def test_a_shared_prefix_is_read_once(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model, jobs = tiny_llama(VOCABULARY), _jobs(program, 8)
    spent = {}
    for shared in ([], [1, 2, 3, 2]):
        engine = _engine(model, program, 4)
        list(engine.run(jobs, shared))
        spent[len(shared)] = engine.usage.prompt_tokens
    assert spent[0] - spent[4] == 4 * 8 - 4


def test_every_slot_is_refilled_while_jobs_wait(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    engine = _engine(tiny_llama(VOCABULARY), program, 4)
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
        state, _ = program.step(state, token)
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


def test_log_probabilities_are_those_of_a_teacher_forced_pass(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model, jobs = tiny_llama(VOCABULARY), _jobs(program, 12)
    for job, rows in _engine(model, program, 5).run(jobs):
        passage = Passage(job.prompt, [row.ids for row in rows], program, [0] * len(rows))
        for row, scored in zip(rows, score(model, [passage])[0], strict=True):
            assert row.log_prob == pytest.approx(scored.masked, abs=1e-4)
            assert scored.kept < 0


def test_scores_add_up_to_what_the_model_says(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    """Against cross entropy over the whole vocabulary, and against the enumerated steps."""
    model, prompt = tiny_llama(VOCABULARY), [1, 2]
    row = [4, 5, 10, 11, 6, 20, 30, 31]
    ids = torch.tensor([[*prompt, *row]])
    logits = model(input_ids=ids).logits[0, 1:-1].detach().double()
    ((scored,),) = score(model, [Passage(prompt, [row], program, [0])])
    assert scored.full == pytest.approx(
        -float(torch.nn.functional.cross_entropy(logits, ids[0, 2:], reduction="sum"))
    )
    assert scored.masked == pytest.approx(math.log(_probability(model, program, row)))
    behind = Passage(prompt, [[9, 9, *row]], program, [2])
    ((given,),) = score(model, [behind])
    ((same,),) = score(model, [Passage([*prompt, 9, 9], [row], program, [0])])
    assert (given.masked, given.full) == pytest.approx((same.masked, same.full))


def test_a_row_of_another_table_is_not_scored(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    for row in ([4, 5, 12, 12, 6, 20, 30, 31], [4, 5, 10]):
        with pytest.raises(HarmonicError, match="Row: it"):
            score(tiny_llama(VOCABULARY), [Passage([1], [row], program, [0])])


def test_exact_mode_follows_the_models_own_distribution_over_valid_rows(
    tiny_llama: Callable[..., LlamaForCausalLM],
) -> None:
    """Chi-square of 1,200 rows against the enumerated probabilities of whole rows, which the mask bends."""
    model = tiny_llama(5, initializer_range=0.3)
    words = [[1], [2], [1, 2]]
    two = chain([_segment(words)], close=[3])  # type: ignore[list-item]
    scores = [score(model, [Passage([1, 2], [[*word, 3]], two, [0])])[0][0] for word in words]
    weights = np.exp([scored.full for scored in scores])
    masked = np.exp([scored.masked for scored in scores])
    assert abs(masked - weights / weights.sum()).sum() > 0.1, "the mask bends this model's distribution"
    jobs = [Job([1, 2], two, number, 1) for number in range(1200)]
    rejected: list[str] = []

    def judge(slot: Slot, flaw: str | None) -> bool:
        rejected.extend([flaw] if flaw else [])
        return flaw is None

    engine = _engine(model, two, 512, exact=True)
    counts = Counter(tuple(rows[0].ids) for _, rows in engine.run(jobs, judge=judge))
    expected = {(*word, 3): weight for word, weight in zip(words, weights / weights.sum(), strict=True)}
    statistic = sum((counts[row] - 1200 * p) ** 2 / (1200 * p) for row, p in expected.items())
    assert statistic < 13.8  # chi-square of 2 degrees of freedom at .001
    share = 1200 / (1200 + len(rejected))
    assert share == pytest.approx(weights.sum(), rel=0.15), (
        "a masked row is kept as often as the model writes a valid one"
    )


def test_a_rejected_row_is_drawn_again_in_its_place(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    """Rows before it stay, rows after it follow the new one; slots and refill change nothing."""
    model, jobs = tiny_llama(VOCABULARY), _jobs(program, 8)

    def judge(slot: Slot, flaw: str | None) -> bool:
        return flaw is None and (slot.attempt == 1 or slot.number % 3 != 1)

    tables = []
    for n_slots in (1, 4):
        engine = _engine(model, program, n_slots)
        tables.append(
            {job.first_row: [row.ids for row in rows] for job, rows in engine.run(jobs, judge=judge)}
        )
        assert engine.usage.rejected_tokens > 0
        assert engine.usage.row_tokens == sum(len(row) for rows in tables[-1].values() for row in rows)
    assert tables[0] == tables[1]
    untouched = _run(model, program, jobs, 4)
    assert all(rows[0] == untouched[first][0] for first, rows in tables[0].items())
    assert tables[0] != untouched


def test_a_prefix_is_written_and_not_drawn(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    """A row behind a prefix is the row that follows it as part of the prompt."""
    model = tiny_llama(VOCABULARY)
    given = Job([1, 2], program, 0, 2, prefixes=([7, 8], [9]))
    (first, second) = _run(model, program, [given], 1)[0]
    assert (first[:2], second[:1]) == ([7, 8], [9])
    assert _run(model, program, [Job([1, 2, 7, 8], program, 0, 1)], 1)[0] == [first[2:]]
    assert _run(model, program, [Job([1, 2, *first, 9], program, 1, 1)], 1)[1] == [second[1:]]


def test_what_stands_at_a_choice_is_what_the_distribution_says(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    """Mean and deviation of the logarithm over the allowed tokens, longhand; forced tokens are no choices."""
    model, prompt = tiny_llama(VOCABULARY), [1, 2]
    row = [4, 5, 10, 11, 6, 20, 30, 31]
    ((scored,),) = score(model, [Passage(prompt, [row], program, [0])])
    state, expected = program.start, []
    for place, token in enumerate(row):
        tokens, _ = program.edges(state)
        state, _ = program.step(state, token)
        if len(tokens) == 1:
            continue
        logits = model(input_ids=torch.tensor([[*prompt, *row[:place]]])).logits[0, -1].detach().double()
        shares = logits[torch.from_numpy(tokens.astype(np.int64))].softmax(0).numpy()
        own = np.log(shares[int(np.searchsorted(tokens, token))])
        mean = float((shares * np.log(shares)).sum())
        spread = float(np.sqrt((shares * (np.log(shares) - mean) ** 2).sum()))
        expected.append([own, mean, spread, float(own >= np.log(shares).max())])
    assert len(expected) < len(row)
    np.testing.assert_allclose(scored.choices, expected, atol=1e-5)


def test_rows_behind_one_prompt_are_scored_as_if_each_stood_alone(
    program: RowProgram, tiny_llama: Callable[..., LlamaForCausalLM]
) -> None:
    model = tiny_llama(VOCABULARY)
    jobs = _jobs(program, 12)
    rows = [row.ids for _, rows in _engine(model, program, 5).run(jobs) for row in rows]
    passages = [Passage([1, 2, 3], [row], program, [0]) for row in rows]
    together = score(model, [*passages, Passage([1], [rows[0]], program, [0])])
    assert len(rows) > 8
    for passage, (found,) in zip(passages, together, strict=False):
        ((alone,),) = score(model, [passage])
        assert (found.masked, found.full) == pytest.approx((alone.masked, alone.full), abs=1e-4)

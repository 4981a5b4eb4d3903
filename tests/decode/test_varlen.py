"""The CUDA reader on CPUs: an exact stand-in for its kernel, and a graph that runs its pass anew."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from harmonic.decode import readers, varlen
from harmonic.decode.automaton import TokenNodes
from harmonic.decode.cache import Reader
from harmonic.decode.choice import Choice
from harmonic.decode.chooser import Chooser
from harmonic.decode.engine import Engine
from harmonic.decode.graphs import Steps, sizes
from harmonic.decode.head import Heads
from harmonic.decode.program import RowProgram, chain
from harmonic.decode.readers import open_reader
from harmonic.decode.shared import SharedReader
from harmonic.decode.slot import Job
from harmonic.decode.varlen import Segments, VarlenReader, can_run_varlen, obstacle

VOCABULARY = 40
_GROUPS = [4, 2, 1]


def exact(query: Tensor, keys: Tensor, values: Tensor, segments: Segments, scale: float) -> Tensor:
    """What the kernel promises, a segment at a time; and what it asks for."""
    n = len(segments.seen)
    assert segments.queries.shape == segments.keys.shape == (n + 1,)
    assert {part.dtype for part in (segments.queries, segments.keys, segments.seen)} == {torch.int32}
    widths = segments.queries.diff()
    assert int(widths.sum()) == len(query) and int(widths.max()) <= segments.most_queries
    # Only so may it fold heads; and a captured graph keeps this bound.
    assert segments.most_queries > 1 or bool((widths == 1).all())
    assert int(segments.seen.max()) <= segments.most_keys
    found = torch.empty_like(query)
    for begin, end, first, seen in zip(
        segments.queries[:-1].tolist(),
        segments.queries[1:].tolist(),
        segments.keys[:-1].tolist(),
        segments.seen.tolist(),
        strict=True,
    ):
        looks = torch.arange(seen) <= torch.arange(seen - (end - begin), seen)[:, None]
        some, held, valued = (
            part.transpose(0, 1)[None] for part in (query[begin:end], *_held(keys, values, first, seen))
        )
        attended = torch.nn.functional.scaled_dot_product_attention(
            some, held, valued, attn_mask=looks, scale=scale, enable_gqa=True
        )
        found[begin:end] = attended[0].transpose(0, 1)
    return found


def _held(keys: Tensor, values: Tensor, first: int, seen: int) -> tuple[Tensor, Tensor]:
    assert first + seen <= len(keys)
    return keys[first : first + seen], values[first : first + seen]


def _llama(groups: int) -> PreTrainedModel:
    return _random(LlamaForCausalLM, LlamaConfig, groups)


def _qwen2(groups: int) -> PreTrainedModel:
    return _random(Qwen2ForCausalLM, Qwen2Config, groups)


def _random(family: Any, config: Any, groups: int) -> PreTrainedModel:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = family(config(vocab_size=VOCABULARY, num_key_value_heads=groups, **sizes))
        return model.eval()


def _reader(model: PreTrainedModel, n_slots: int) -> VarlenReader:
    return VarlenReader(model, n_slots, 512, attention=exact)


@pytest.mark.parametrize("groups", _GROUPS)
@pytest.mark.parametrize("make", [_llama, _qwen2])
def test_hidden_states_are_those_of_the_padded_reader(
    make: Callable[[int], PreTrainedModel], groups: int
) -> None:
    """Short chunks and prompts, slots out of order, behind a shared beginning or not, past the first room."""
    model = make(groups)
    readers = [_reader(model, 5), Reader(model, 5, 512)]
    slots = [3, 0, 4]
    for reader in readers:
        reader.share([1, 2, 3])
    begun = [[reader.begin(slot, shares=slot != 0) for slot in slots] for reader in readers]
    assert begun[0] == begun[1] == [True, False, True]
    starts = [3 * shares for shares in begun[0]]
    rng = np.random.default_rng(0)
    for lengths in ((4, 1, 9), (1, 1, 2), (1, 70, 1), (1, 1, 1), (2, 200, 300), (1, 2, 1)):
        chunks = [rng.integers(1, VOCABULARY, length).tolist() for length in lengths]
        found, expected = (reader.read(slots, starts, chunks) for reader in readers)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]


def test_padding_is_written_where_nobody_reads() -> None:
    reader = _reader(_llama(2), 3)
    reader.read([0, 1, 2], [0, 0, 0], [[1, 2], [3], [4, 5, 6]])
    kept = [buffer.clone() for pair in reader.cache._buffers for buffer in pair]
    # Nine tokens: one of padding.
    reader.read([2, 0], [3, 2], [[1, 2, 3, 4, 5, 6], [7, 8, 9]])
    length = reader.cache.length
    for before, after in zip(kept, (b for pair in reader.cache._buffers for b in pair), strict=True):
        changed = torch.nonzero((before != after).flatten(1).any(1))[:, 0].tolist()
        written = {*range(2, 5), *range(2 * length + 3, 2 * length + 9)}
        assert written <= set(changed) <= written | {3 * length}


@given(st.integers(1, 5000))
def test_sizes_rise_to_the_most_and_waste_little(most: int) -> None:
    found = sizes(most)
    assert found == sorted(set(found)) and found[-1] >= most and (len(found) == 1 or found[-2] < most)
    assert all((after - before - 1) / after < 0.2 for before, after in pairwise(found) if after > 8)
    assert all(size % 8 == 0 for size in found if size >= 32)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_every_run_sees_its_tokens_then_padding_in_a_buffer_that_stays(counts: list[int]) -> None:
    seen: list[Tensor] = []
    places: dict[int, int] = {}

    def read(tokens: Tensor) -> Tensor:
        assert places.setdefault(tokens.shape[1], tokens.data_ptr()) == tokens.data_ptr()
        seen.append(tokens.clone())
        return tokens.T.double()

    steps = Steps(read, torch.device("cpu"), torch.tensor([0, 0, 7]), most=40, captures=False)
    for n in counts:
        tokens = torch.randint(1, 99, (3, n))
        assert torch.equal(steps.run(tokens), tokens.T.double())
        assert torch.equal(seen[-1][:, :n], tokens)
        assert (seen[-1][:, n:] == torch.tensor([0, 0, 7])[:, None]).all()
    assert steps.takes(40) and not steps.takes(41)


class _Graph:
    """A CUDA graph as a CPU can have one: replay runs the captured pass anew, into what capture returned."""

    def __init__(self) -> None:
        self.again: Callable[[], None] = lambda: pytest.fail("replayed before it was captured")

    def replay(self) -> None:
        self.again()

    def pool(self) -> object:
        return self


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes captured so far; `torch.cuda` plays along, and no more than capture and replay is pretended."""
    sizes_captured: list[int] = []
    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name in ("device", "stream"):
        monkeypatch.setattr(torch.cuda, name, lambda _: nullcontext())
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", _Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, pool: nullcontext())
    capture = Steps._capture

    def recorded(self: Steps, buffer: Tensor) -> Any:
        captured = capture(self, buffer)

        def again() -> None:
            captured.found.copy_(self._read(buffer))

        graph: Any = captured.graph
        graph.again = again
        sizes_captured.append(buffer.shape[1])
        # Capturing runs nothing.
        captured.found.fill_(torch.nan)
        return captured

    monkeypatch.setattr(Steps, "_capture", recorded)
    return sizes_captured


def test_a_size_is_captured_once_and_again_when_keys_have_moved(captures: list[int]) -> None:
    model = _llama(2)
    readers = [VarlenReader(model, 2, 600, attention=exact, captures=True), Reader(model, 2, 600)]
    starts, rng = [0, 0], np.random.default_rng(0)
    for lengths in ((3, 2), (1, 4), (40, 30), (2, 3), (250, 1), (3, 2)):
        chunks = [rng.integers(1, VOCABULARY, length).tolist() for length in lengths]
        found, expected = (reader.read([0, 1], starts, chunks) for reader in readers)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    assert captures == [8, 8], "once before the slots' room grew and once after; prompts are read without"


def _program() -> RowProgram:
    """Two columns behind tags: numbers of one to three tokens, and three levels of unlike length."""

    def segment(words: list[list[int]]) -> Any:
        nodes = TokenNodes()
        return nodes.automaton(nodes.add_words(words))

    digits = [[5, a, b] for a in (10, 11) for b in (10, 11, 12)] + [[5, 12], [5, 10, 10, 11]]
    levels = [[6, 20], [6, 21, 22, 23], [6, 24, 25]]
    return chain([segment(digits), segment(levels)], close=[30, 31], open=[4])


def _rows(model: PreTrainedModel, reader: Reader, n_slots: int) -> dict[int, list[list[int]]]:
    program, rng = _program(), np.random.default_rng(0)
    alphabet = torch.from_numpy(np.unique(program.tokens).astype(np.int64))
    chooser = Chooser(Heads(model, alphabet), torch.device("cpu"), choice=Choice(), seed=7)
    shared = [1, 2, 3, 2]
    prompts = [[*(shared if n % 3 else []), *rng.integers(1, 40, int(rng.integers(1, 45)))] for n in range(9)]
    jobs = [Job([int(i) for i in ids], program, 3 * n, 3) for n, ids in enumerate(prompts)]
    done = Engine(reader, chooser, n_slots=n_slots).run(jobs, shared)
    return {job.first_row: [row.ids for row in rows] for job, rows in done}


@pytest.mark.parametrize("n_slots", [1, 3, 16])
@pytest.mark.parametrize("make", [_llama, _qwen2])
def test_the_same_rows_are_drawn(make: Callable[[int], PreTrainedModel], n_slots: int) -> None:
    model = make(2)
    expected = _rows(model, Reader(model, n_slots, 512), n_slots)
    assert len(expected) == 9
    assert _rows(model, _reader(model, n_slots), n_slots) == expected


def test_the_same_rows_are_drawn_from_graphs(captures: list[int]) -> None:
    model = _llama(2)
    reader = VarlenReader(model, 4, 512, attention=exact, captures=True)
    assert _rows(model, reader, 4) == _rows(model, Reader(model, 4, 512), 4)
    assert len(captures) == len(set(captures)) > 1


@pytest.mark.parametrize("attention", [varlen._public, varlen._private])
@pytest.mark.parametrize("most_queries", [1, 9])
def test_this_torch_takes_what_the_kernel_is_given(attention: varlen.Attention, most_queries: int) -> None:
    """On tensors without content: names, types and shapes."""
    with FakeTensorMode():
        query, keys = (
            torch.empty(9, 8, 64, dtype=torch.bfloat16),
            torch.empty(90, 2, 64, dtype=torch.bfloat16),
        )
        n = 9 if most_queries == 1 else 1
        begins, seen = torch.empty(n + 1, dtype=torch.int32), torch.empty(n, dtype=torch.int32)
        found = attention(query, keys, keys, Segments(begins, begins, seen, most_queries, 30), 0.125)
    assert (found.shape, found.dtype) == (query.shape, query.dtype)


def test_a_torch_that_hides_what_its_kernel_takes_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert varlen.flash_attention() is varlen._public
    monkeypatch.setattr(
        varlen, "varlen_attn", lambda query, key, value, cu_seq_q, cu_seq_k, max_q, max_k: query
    )
    assert varlen.flash_attention() is varlen._private


def _on_cuda(config: Any = None, dtype: torch.dtype = torch.bfloat16, **others: Any) -> Any:
    """As much of a model on a CUDA device as is looked at."""
    weight = SimpleNamespace(device=torch.device("cuda", 0), dtype=dtype, is_floating_point=lambda: True)
    facts = {"config": config or LlamaConfig(), "parameters": lambda: [weight, *others.get("more", [])]}
    return SimpleNamespace(**facts)


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)


@pytest.mark.usefixtures("hopper")
def test_plain_models_in_half_precision_are_read_with_flash_attention() -> None:
    for config in (LlamaConfig(), Qwen2Config()):
        for dtype in (torch.bfloat16, torch.float16):
            assert can_run_varlen(_on_cuda(config, dtype))


@pytest.mark.usefixtures("hopper")
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_on_cuda(dtype=torch.float32), "torch.float32"),
        (_on_cuda(MistralConfig()), "'mistral'"),
        (_on_cuda(Qwen2Config(use_sliding_window=True, max_window_layers=0)), "no family"),
        (_on_cuda(LlamaConfig(head_dim=288)), "width 288"),
        (
            _on_cuda(LlamaConfig(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})),
            "how it was set",
        ),
        (_on_cuda(more=[SimpleNamespace(device=torch.device("cuda", 1))]), "several devices"),
        (
            _on_cuda(more=[SimpleNamespace(device=torch.device("cuda", 0), is_floating_point=lambda: False)]),
            "quantized",
        ),
    ],
)
def test_other_models_are_not_and_it_is_said_why(model: Any, reason: str) -> None:
    assert reason in str(obstacle(model))
    assert not can_run_varlen(model)


@pytest.mark.usefixtures("hopper")
def test_older_devices_and_builds_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert "without flash attention" in str(obstacle(_on_cuda()))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "8.0" in str(obstacle(_on_cuda()))


def test_the_choice_is_made_at_once_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="harmonic.decode.readers")
    readers._say.cache_clear()
    model = _llama(2)
    assert isinstance(open_reader(model, 2, 64), SharedReader)
    monkeypatch.setattr("harmonic.decode.readers.can_share", lambda model: False)
    assert type(open_reader(model, 2, 64)) is Reader
    monkeypatch.setattr("harmonic.decode.readers.obstacle", lambda model: None)
    assert type(open_reader(model, 2, 64)) is VarlenReader
    said = [record.message for record in caplog.records]
    words = ("CPU", "not on a CUDA device", "unverified")
    assert all(word in line for word, line in zip(words, said, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("groups", _GROUPS)
@pytest.mark.parametrize("is_captured", [False, True])
def test_on_a_gpu_hidden_states_are_those_of_the_padded_reader(groups: int, is_captured: bool) -> None:
    """In bfloat16, as a kernel knows no other: near, and from graphs as without."""
    model: Any = _llama(groups)
    model.to("cuda", torch.bfloat16)
    readers = [VarlenReader(model, 5, 512, captures=is_captured), Reader(model, 5, 512)]
    starts, rng = [0] * 5, np.random.default_rng(0)
    for lengths in ((40, 1, 9, 3, 3), (1, 1, 2, 1, 1), (1, 1, 2, 1, 1), (1, 300, 1, 1, 1), (1, 1, 4, 1, 1)):
        chunks = [rng.integers(1, VOCABULARY, length).tolist() for length in lengths]
        found, expected = (reader.read([0, 1, 2, 3, 4], starts, chunks) for reader in readers)
        torch.testing.assert_close(found, expected, atol=0.06, rtol=0.02)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]

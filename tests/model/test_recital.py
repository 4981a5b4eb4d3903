from __future__ import annotations

import numpy as np
import pytest
import torch

from harmonic.model import recital
from harmonic.model.load import LoadedModel, load_model
from harmonic.model.recital import recite


@pytest.fixture(scope="module")
def loaded(base: str) -> LoadedModel:
    return load_model(base, device="cpu")


def passages() -> list[tuple[list[int], list[int]]]:
    rng = np.random.default_rng(0)
    return [
        (rng.integers(5, 320, size=before).tolist(), rng.integers(5, 320, size=asked).tolist())
        for before, asked in [(3, 9), (20, 4), (1, 1), (11, 30)]
    ]


def by_hand(loaded: LoadedModel, before: list[int], asked: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits = loaded.model(torch.tensor([before + asked])).logits[0].double().log_softmax(1)
    return logits[len(before) - 1 : -1].gather(1, torch.tensor(asked)[:, None])[:, 0].numpy()


def test_each_passage_reads_as_it_does_alone(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [by_hand(loaded, *passage) for passage in passages()]
    for n_tokens in (1, 40, 10_000):
        monkeypatch.setattr(recital, "_BATCH_TOKENS", n_tokens)
        for said, expected in zip(recite(loaded, passages()), alone, strict=True):
            assert said.log_probs == pytest.approx(expected, abs=1e-4)
            assert said.log_prob == pytest.approx(expected.sum(), abs=1e-3)


def test_what_is_written_is_what_greedy_decoding_writes(loaded: LoadedModel) -> None:
    before = passages()[1][0]
    with torch.no_grad():
        ids = loaded.model.generate(
            torch.tensor([before]),
            attention_mask=torch.ones(1, len(before)),
            do_sample=False,
            max_new_tokens=6,
        )
    greedy = ids[0, len(before) :].tolist()
    other = [*greedy[:3], (greedy[3] + 1) % 320, *greedy[4:]]
    first, second = recite(loaded, [(before, greedy), (before, other)])
    assert first.is_written and first.is_top.all()
    assert not second.is_written
    assert second.is_top[:3].all() and not second.is_top[3]

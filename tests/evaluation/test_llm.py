"""The model itself under attack: one that learnt its rows by heart is caught, and prompts show no member."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harmonic import Harmonic
from harmonic.config import BudgetSection, PromptSection
from harmonic.evaluation.llm import attack_model
from harmonic.evaluation.whitebox import WhiteBox
from harmonic.table.schema import Schema

BY_HEART = PromptSection(jitter=0, crossover=0)
ONCE = {"per_device_train_batch_size": 8}
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}


@pytest.fixture(scope="module")
def parts(people: Callable[[int, int], pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    return people(24, 5), people(60, 6)


@pytest.fixture(scope="module")
def by_heart(
    parts: tuple[pd.DataFrame, pd.DataFrame], people_schema: Schema, tmp_path_factory: pytest.TempPathFactory
) -> Harmonic:
    """All weights, 60 steps on 24 rows."""
    model = Harmonic(prompt=BY_HEART, budget=BudgetSection(steps=60), train=ONCE)
    return model.fit(parts[0], people_schema, out=tmp_path_factory.mktemp("heart"))


@pytest.fixture(scope="module")
def found(by_heart: Harmonic, parts: tuple[pd.DataFrame, pd.DataFrame]) -> WhiteBox:
    return attack_model(by_heart, members=parts[0], holdout=parts[1])


def test_rows_learnt_by_heart_are_told_from_fresh_ones(found: WhiteBox) -> None:
    by_name = {attack.name: attack for attack in found.attacks}
    assert by_name["reference"].auc.value > 0.8
    assert by_name["loss"].auc.low > 0.5
    assert found.leakage.nats.low > 0
    assert found.p_value < 0.01
    assert found.n_members == 24


def test_the_base_knows_none_of_them(found: WhiteBox) -> None:
    assert found.leakage.base.high < found.leakage.nats.low
    assert abs(found.leakage.base.value) < found.leakage.nats.value / 4
    assert 0.3 < found.attacks[0].auc.noise_floor < 0.7


def test_rows_that_the_schema_does_not_allow_are_counted_and_left_out(
    found: WhiteBox, by_heart: Harmonic, parts: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Bounds are those of 24 training rows, so some fresh ages lie beyond them."""
    low, high = parts[0]["age"].min(), parts[0]["age"].max()
    beyond = ~parts[1]["age"].between(low, high) | ~parts[1]["dose"].between(
        parts[0]["dose"].min(), parts[0]["dose"].max()
    )
    assert 0 < beyond.sum() < len(parts[1])
    assert found.n_controls == len(parts[1]) - beyond.sum()
    assert found.notes == (
        f"{beyond.sum()} of {len(parts[1])} holdout rows hold what no training row may hold, so that the model cannot "
        "be asked for them.",
    )


def test_one_seed_is_one_finding_and_rows_are_cut_to_size(
    by_heart: Harmonic, parts: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    once, again = (
        attack_model(by_heart, members=parts[0], holdout=parts[1], seed=3, n_rows=12) for _ in range(2)
    )
    assert once == again
    assert (once.n_members, once.n_controls) == (12, 12)


def test_where_prompts_show_rows_they_show_no_member(
    parts: tuple[pd.DataFrame, pd.DataFrame],
    people_schema: Schema,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt = PromptSection(contexts="neighbors", examples=3, fewest=2)
    model = Harmonic(prompt=prompt, budget=BudgetSection(steps=1), train=ONCE)
    model.fit(parts[0], people_schema, out=tmp_path)
    seen: list[pd.DataFrame] = []
    scores = Harmonic.scores

    def watched(self: Harmonic, frame: pd.DataFrame, **named: object) -> object:
        seen.append(named["shown"])  # type: ignore[arg-type]
        return scores(self, frame, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Harmonic, "scores", watched)
    found = attack_model(model, members=parts[0], holdout=parts[1])
    shown = seen[0]
    assert all(frame is shown for frame in seen)
    assert len(shown.merge(parts[0])) == 0, "no training row is shown"
    assert len(shown.merge(parts[1])) == len(shown) > 0
    assert found.n_controls + len(shown) <= len(parts[1])
    assert found.notes[-1] == f"Prompts show {len(shown)} holdout rows, which are no controls."


def test_a_base_in_four_bits_is_attacked_alike(
    parts: tuple[pd.DataFrame, pd.DataFrame], people_schema: Schema, tmp_path: Path
) -> None:
    model = Harmonic(quantization=NF4, prompt=BY_HEART, budget=BudgetSection(steps=60), train=ONCE)
    model.fit(parts[0], people_schema, out=tmp_path)
    found = attack_model(model, members=parts[0], holdout=parts[1])
    assert model.loaded_.quantization is not None
    assert {attack.name: attack for attack in found.attacks}["reference"].auc.value > 0.8
    assert found.leakage.nats.low > 0
    assert abs(found.leakage.base.value) < found.leakage.nats.value / 4

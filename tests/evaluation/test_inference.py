from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.inference import Inference, infer_attributes, single_out
from harmonic.table.infer import infer_schema


def _people(n: int, seed: int) -> pd.DataFrame:
    """A diagnosis of 10 kinds that nothing tells, ages, amounts, and wards with gaps."""
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": generator.integers(18, 90, size=n),
            "income": generator.lognormal(10, 1, size=n).round(),
            "ward": np.where(generator.random(n) < 0.1, None, generator.choice(list("abcde"), size=n)),
            "illness": generator.choice([f"ill {i}" for i in range(10)], size=n),
        }
    )


SCHEMA = infer_schema(_people(2_000, 9))


def _coded(*frames: pd.DataFrame) -> list[Codes]:
    book = Codebook(SCHEMA, list(frames))
    return [book.encode(frame) for frame in frames]


def _infer(synthetic: pd.DataFrame) -> dict[str, Inference]:
    coded = _coded(_people(400, 0), synthetic, _people(400, 2))
    return {found.label: found for found in infer_attributes(*coded, seed=0, max_base=1_000)}


def test_nobody_is_guessed_better_from_fresh_rows() -> None:
    found = _infer(_people(400, 1))
    assert list(found) == ["age", "income", "ward", "illness"]
    assert min(inference.p_value for inference in found.values()) > 0.01
    assert found["illness"].members.value == pytest.approx(0.1, abs=0.05)
    assert found["illness"].risk.low == 0.0


def test_members_are_guessed_from_copies_and_controls_are_not() -> None:
    illness = _infer(_people(400, 0))["illness"]
    assert illness.members.value > 0.95
    assert illness.controls.value == pytest.approx(0.1, abs=0.05)
    assert illness.risk.value == pytest.approx(
        (illness.members.value - illness.controls.value) / (1 - illness.controls.value)
    )
    assert illness.risk.low > 0.9
    assert illness.p_value < 1e-20


def test_half_a_table_of_copies_is_half_the_risk() -> None:
    synthetic = pd.concat([_people(400, 0)[:200], _people(200, 1)], ignore_index=True)
    illness = _infer(synthetic)["illness"]
    assert illness.risk.low < 0.5 < illness.risk.high


def test_the_guess_is_the_nearest_row_in_the_other_columns() -> None:
    """Three rows, by hand: 41 is nearest to 40 in age, 100 is within 5 % of 104, missing secrets are not asked."""
    base = pd.DataFrame(
        {"age": [41, 80], "income": [100.0, 900.0], "ward": ["a", "b"], "illness": ["ill 1", "ill 2"]}
    )
    asked = pd.DataFrame(
        {
            "age": [40, 79] * 10,
            "income": [104.0, 500.0] * 10,
            "ward": ["a", None] * 10,
            "illness": ["ill 1", "ill 1"] * 10,
        }
    )
    coded = _coded(asked, base, asked)
    found = {i.label: i for i in infer_attributes(*coded, seed=0, max_base=10)}
    assert [found[label].members.value for label in ("income", "ward", "illness")] == [0.5, 1.0, 0.5]


def test_fresh_rows_single_nobody_out_and_copies_do() -> None:
    real, fresh, holdout = (_people(400, seed) for seed in range(3))
    for synthetic, is_leak in ((fresh, False), (real, True)):
        found = single_out(*_coded(real, synthetic, holdout), seed=0, max_rows=1_000)
        assert [singled.mode for singled in found] == ["one column", "3 columns"]
        for singled in found:
            assert singled.n_predicates > 100
            assert (singled.p_value < 1e-6) == is_leak
            assert (singled.risk.low > 0.1) == is_leak


def test_controls_with_more_gaps_are_no_reason_to_single_members_out() -> None:
    alarms = 0
    for seed in range(10):
        real, fresh, holdout = (_people(300, 3 * seed + place) for place in range(3))
        gaps = np.random.default_rng(seed).random((300, 2)) < 0.5
        holdout[["age", "income"]] = holdout[["age", "income"]].mask(gaps)
        found = single_out(*_coded(real, fresh, holdout), seed=seed, max_rows=1_000)
        alarms += min(singled.p_value for singled in found) * 2 < 0.05
    assert alarms <= 2


def test_few_rows_and_single_columns_say_what_is_not_defined() -> None:
    few = _people(5, 0)
    found = infer_attributes(*_coded(few, few, few), seed=0, max_base=10)
    assert {inference.risk.undefined for inference in found} == {
        "not defined because guessing needs 10 members and controls with a value"
    }
    singled = single_out(*_coded(few, few, few.head(0)), seed=0, max_rows=10)
    assert all(s.risk.undefined.startswith("not defined because it needs 10 members") for s in singled)

"""The discriminator: blind to real rows, sharp on broken ones, and not to be bought with copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.mallm.discriminator import Discriminator
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema


def _people(seed: int, n: int = 120) -> pd.DataFrame:
    """Age decides the pension and much of the income; the coin decides nothing."""
    rng = np.random.default_rng(seed)
    age = rng.integers(20, 80, n)
    return pd.DataFrame(
        {
            "age": age,
            "income": np.round(300.0 * age + rng.normal(0, 1500, n), 2),
            "coin": rng.choice(["heads", "tails"], n),
            "pension": np.where(age + rng.normal(0, 4, n) > 62, "yes", "no"),
        }
    )


TRAIN = _people(0)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return infer_schema(pd.concat([TRAIN, *map(_people, range(1, 5))]), target="pension")


@pytest.fixture(scope="module")
def discriminator(schema: Schema) -> Discriminator:
    return Discriminator(TRAIN, schema, seed=0, n_repeats=1)


def _shuffled(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    moved = frame.copy()
    for number, column in enumerate(columns):
        moved[column] = frame[column].sample(frac=1.0, random_state=number).to_numpy()
    return moved


def test_fresh_real_rows_are_hard_to_tell_and_shuffled_ones_are_not(discriminator: Discriminator) -> None:
    real = [discriminator.judge(_people(seed)) for seed in (1, 2)]
    broken = discriminator.judge(_shuffled(_people(1), "age", "income"))
    assert max(judgement.score for judgement in real) < 0.25
    assert np.mean(broken.tells) > 0.3
    ahead, error = real[0].ahead_of(broken)
    assert ahead > 5 * error > 0.0
    assert broken.ahead_of(real[0])[0] == pytest.approx(-ahead)


def test_the_columns_that_are_broken_are_named_first(discriminator: Discriminator) -> None:
    told = discriminator.told_by(_shuffled(_people(1), "income"))
    assert set(told[:2]) == {"age", "income"}
    assert "coin" not in told


def test_copies_look_real_to_the_trees_and_cost_what_they_are(schema: Schema) -> None:
    discriminator = Discriminator(TRAIN, schema, seed=0, n_repeats=1)
    half = pd.concat([TRAIN.head(60), _people(1).head(60)], ignore_index=True)
    assert discriminator.judge(half).copies == pytest.approx(0.5)
    assert discriminator.judge(TRAIN).score > discriminator.judge(_people(1)).score + 0.5


def test_rows_said_twice_and_a_drift_of_classes_cost_their_shares(schema: Schema) -> None:
    discriminator = Discriminator(TRAIN, schema, seed=0, n_repeats=1)
    made = _people(2)
    said_twice = pd.concat([made.head(60), made.head(60)], ignore_index=True)
    assert discriminator.judge(said_twice).repeats == pytest.approx(0.5)
    share = float((TRAIN["pension"] == "yes").mean())
    assert discriminator.judge(made.assign(pension="yes")).drift == pytest.approx(1.0 - share)
    assert discriminator.judge(TRAIN).drift == 0.0


def test_the_drift_of_a_quantity_is_that_of_its_fifths(schema: Schema) -> None:
    by_income = Schema(schema.columns, "income", schema.title)
    discriminator = Discriminator(TRAIN, by_income, seed=0, n_repeats=1)
    top = TRAIN.assign(income=TRAIN["income"].max())
    assert discriminator.judge(top).drift == pytest.approx(0.8, abs=0.02)
    assert discriminator.judge(TRAIN).drift == 0.0


def test_one_seed_is_one_judgement_and_folds_are_shared(schema: Schema) -> None:
    first, again = (Discriminator(TRAIN, schema, seed=4, n_repeats=1) for _ in range(2))
    made = _people(3)
    assert np.array_equal(first.judge(made).tells, again.judge(made).tells)
    ahead, error = first.judge(made).ahead_of(again.judge(made))
    assert ahead == 0.0
    assert error == pytest.approx(np.sqrt(2) * first.judge(made).error)


@pytest.mark.parametrize("n", [0, 9])
def test_too_few_rows_are_an_error(n: int, schema: Schema, discriminator: Discriminator) -> None:
    with pytest.raises(HarmonicError, match=f"{n} training rows, expected 10 at least"):
        Discriminator(TRAIN.head(n), schema, seed=0)
    with pytest.raises(HarmonicError, match=f"{n} synthetic rows, expected 10 at least"):
        discriminator.judge(TRAIN.head(n))


def test_the_error_is_that_of_drawing_other_rows(schema: Schema) -> None:
    """Over fresh tables of one law the mean tell varies as much as each judgement says."""
    judge = Discriminator(TRAIN, schema, seed=0, n_repeats=1)
    judged = []
    for seed in range(12):
        made = _people(100 + seed)
        judged.append(judge.judge(made.assign(age=(made["age"] + 15).clip(upper=79))))
    spread = float(np.std([np.mean(one.tells) for one in judged], ddof=1))
    stated = float(np.mean([one.error for one in judged]))
    assert 0.5 < stated / spread < 2.0

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from harmonic.baselines import IndependentMarginals, ResampledRows, Smote
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.privacy import Privacy, Tables, measure_privacy
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema


def _attack(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: Schema,
    n_rejected_copies: int = 0,
    seed: int = 0,
) -> Privacy:
    frames = {
        "real": real,
        "synthetic": synthetic,
        "holdout": holdout,
        "independent": IndependentMarginals().fit(real, schema).sample(len(synthetic), seed),
        "resampled": ResampledRows().fit(real, schema).sample(len(synthetic), seed),
    }
    book = Codebook(schema, list(frames.values()))
    return measure_privacy(
        Tables(**{name: book.encode(frame) for name, frame in frames.items()}),
        n_rejected_copies=n_rejected_copies,
        seed=seed,
        max_rows=500,
        max_base=2_000,
        progress=lambda _: None,
    )


def _numbers(n: int, seed: int) -> pd.DataFrame:
    """Four numbers that hang together, with many digits."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(n, 1))
    return pd.DataFrame((common + generator.normal(size=(n, 4))).round(4), columns=list("abcd"))


SCHEMA = infer_schema(_numbers(500, 99))


def test_fresh_rows_leak_nothing_and_the_verdict_promises_nothing() -> None:
    alarms = 0
    for seed in range(15):
        found = _attack(
            _numbers(300, 3 * seed), _numbers(400, 3 * seed + 1), _numbers(200, 3 * seed + 2), SCHEMA
        )
        alarms += bool(found.leaks)
    assert alarms <= 3  # 5 % each
    assert found.verdict.startswith("No leakage found above 0.9 % copied rows and a membership AUC of 0.")
    assert "anonym" not in found.verdict
    assert found.membership.low < 0.5 < found.membership.high
    assert found.dcr.low < 0.5 < found.dcr.high


def test_copies_are_counted_one_by_one_and_before_any_filter() -> None:
    real = _numbers(300, 0)
    synthetic = pd.concat([real.iloc[:12], _numbers(388, 1)], ignore_index=True)
    found = _attack(real, synthetic, _numbers(200, 2), SCHEMA)
    assert found.copies.n_synthetic == found.near_copies.n_synthetic == 12
    assert found.copies.synthetic.value == 0.03
    assert found.copies.holdout.value == 0.0
    assert "12 generated rows (3.0 %) equal a training row in every cell" in found.verdict
    assert [near.row for near in found.nearest] == list(range(8))
    assert all(near.train_row == near.row and not near.unequal for near in found.nearest)
    filtered = _attack(real, synthetic.iloc[12:], _numbers(200, 2), SCHEMA, n_rejected_copies=12)
    assert filtered.copies.n_synthetic == 12
    assert filtered.copies.synthetic.value == 0.03


def test_a_copy_too_rare_for_an_alarm_is_still_named() -> None:
    real = _numbers(100, 0)
    found = _attack(real, pd.concat([real.iloc[:1], _numbers(99, 1)]), _numbers(50, 2), SCHEMA)
    assert not found.leaks
    assert "1 row equals a training row: look there" in found.verdict


def test_rows_that_change_one_cell_of_a_copy_are_near_copies() -> None:
    real = _numbers(300, 0)
    blurred = real.iloc[:20].assign(c=lambda rows: rows["c"] + 1)
    synthetic = pd.concat([blurred, _numbers(380, 1)], ignore_index=True)
    found = _attack(real, synthetic, _numbers(200, 2), SCHEMA)
    assert (found.copies.n_synthetic, found.near_copies.n_synthetic) == (0, 20)
    assert len(found.leaks) >= 1
    assert "all cells but one" in found.verdict


def test_interpolated_rows_are_caught_by_the_distance_attack() -> None:
    real = _numbers(300, 0)
    found = _attack(real, Smote().fit(real, SCHEMA).sample(600), _numbers(300, 2), SCHEMA)
    assert found.membership.low > 0.6
    assert found.dcr.value > 0.8
    assert "distance attack" in found.verdict


def test_a_column_copied_digit_by_digit_is_caught_though_rows_lie_far_apart() -> None:
    real, synthetic = _numbers(400, 0), _numbers(400, 1)
    synthetic["b"] = real["b"].sample(frac=1, random_state=0).to_numpy()
    found = _attack(real, synthetic, _numbers(200, 2), SCHEMA)
    assert [name for name, p in found.p_values.items() if p < 0.05] == ["column echo"]
    assert "Column 'b' repeats 198 values that only training rows have, and 0" in found.verdict
    echoes = {echo.label: echo for echo in found.echoes}
    assert echoes["b"].share_in_train > 0.4
    assert echoes["a"].p_value > 0.01


def test_in_a_table_of_few_combinations_copies_are_no_leak() -> None:
    generator = np.random.default_rng(0)
    real, synthetic, holdout = (
        pd.DataFrame(generator.integers(2, size=(n, 5)), columns=list("abcde")).map("ny".__getitem__)
        for n in (200, 300, 100)
    )
    schema = infer_schema(real)
    found = _attack(real, synthetic, holdout, schema)
    assert found.copies.synthetic.value > 0.9
    assert not found.leaks
    assert "no more than chance allows" in found.verdict
    # a split that parts no twins leaves a holdout without any: training's own twins are the control then
    apart = holdout.head(0)
    apart = pd.concat([apart, real.head(30).map({"n": "y", "y": "n"}.__getitem__)], ignore_index=True)
    assert not _attack(real, synthetic, apart, schema).leaks


def test_where_the_holdout_follows_another_law_the_attack_is_read_beside_independent_columns() -> None:
    real = _numbers(300, 0)
    found = _attack(real, _numbers(400, 1), _numbers(200, 2) + 1.5, SCHEMA)
    assert found.membership.low > 0.5
    assert found.p_values["membership"] > 0.05


def test_tiny_and_narrow_tables_say_what_is_not_defined(
    people: Callable[[int, int], pd.DataFrame],
) -> None:
    frame = people(30, 0)[["age", "outcome"]]
    found = _attack(frame, frame.head(2), frame.tail(4), infer_schema(frame))
    assert found.near_copies.synthetic.undefined
    assert found.membership.undefined == "not defined because an attack needs 10 training and holdout rows"
    assert found.verdict.startswith("No leakage found above")

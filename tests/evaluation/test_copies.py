from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.copies import Copies, _fair, count_copies, count_near_copies
from harmonic.evaluation.distances import RowHashes
from harmonic.evaluation.figures import p_more
from harmonic.table.infer import infer_schema


def _table(n: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(n, 4)).round(3), columns=list("abcd"))


def _hashes(real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame) -> RowHashes:
    book = Codebook(infer_schema(_table(300, 9)), [real, synthetic, holdout])
    return RowHashes(
        {"real": book.encode(real), "synthetic": book.encode(synthetic), "holdout": book.encode(holdout)}
    )


def _count(n_copies: int, n_rejected: int = 0, n_holdout: int = 1_000) -> Copies:
    real = _table(1_000, 0)
    synthetic = pd.concat([real[:n_copies], _table(1_000 - n_copies, 1)], ignore_index=True)
    return count_copies(_hashes(real, synthetic, _table(n_holdout, 2)), n_rejected, 0.05 / 7)


def test_one_percent_of_copies_stand_out_against_a_thousand_controls() -> None:
    found = _count(10)
    assert found.p_value < 0.001
    assert found.synthetic.value == 0.01
    assert p_more(10, 1_000, 0, 1_000) == pytest.approx(0.001, abs=3e-4)  # against the holdout alone


def test_the_smallest_alarm_is_where_alarms_begin() -> None:
    least = round(1_000 * _count(0).smallest.value)
    assert _count(least).p_value < 0.05 / 7 <= _count(least - 1).p_value


def test_refused_copies_count_like_kept_ones() -> None:
    assert _count(0, n_rejected=12).n_synthetic == 12


def test_without_a_holdout_the_twins_of_training_are_the_control() -> None:
    found = _count(10, n_holdout=0)
    assert found.holdout.undefined == "not defined because there are no rows to count"
    assert found.p_value == pytest.approx(p_more(10, 1_000, 0, 500))


def _count_shared(n_twins: int, n_held: int, n_made: int) -> Copies:
    """100 training rows, so many of them doubled; 100 holdout and 200 generated rows, so many of them copies."""
    distinct = _table(400, 0)
    real = pd.concat([distinct[: 100 - n_twins // 2], distinct[: n_twins // 2]], ignore_index=True)
    holdout = pd.concat([distinct[:n_held], distinct[100 : 200 - n_held]], ignore_index=True)
    made = pd.concat([real[:n_made], distinct[200 : 400 - n_made]], ignore_index=True)
    return count_copies(_hashes(real, made, holdout), 0, 0.05 / 7)


def test_where_rows_repeat_by_nature_the_control_that_finds_more_is_the_fair_one() -> None:
    """Twins of training would dilute the holdout: few of them mean many distinct rows, which fresh rows repeat more."""
    assert _count_shared(10, 40, 80).p_value == pytest.approx(p_more(80, 200, 40, 100))
    assert _count_shared(40, 10, 80).p_value == pytest.approx(p_more(80, 200, 20, 50))
    assert _count_shared(20, 20, 80).p_value == pytest.approx(p_more(80, 200, 30, 150))


def test_twins_come_in_pairs_and_fresh_rows_raise_no_more_alarms_than_said() -> None:
    """Rows of 20,000 equally likely kinds, the holdout without twins: counted one by one, twins alarm in 2 to 5 %."""
    generator = np.random.default_rng(1)
    level, alarms = 0.05 / 7, 0
    for _ in range(400):
        real, made = generator.integers(20_000, size=1_000), generator.integers(20_000, size=4_000)
        is_twin = np.isin(real, np.flatnonzero(np.bincount(real) > 1))
        control = _fair(np.zeros(300, dtype=bool), is_twin)
        alarms += p_more(int(np.isin(made, real).sum()), len(made), *control) < level
    assert alarms <= 7  # 3 are expected of an exact test


def test_near_copies_of_a_narrow_table_say_nothing() -> None:
    hashes = _hashes(_table(50, 0), _table(50, 1), _table(50, 2))
    assert count_near_copies(hashes, 0, 2, 0.01).synthetic.undefined
    assert count_near_copies(hashes, 0, 4, 0.01).synthetic.value == 0

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.jackknife import MIN_ROWS, N_HALVES, halves_of, jackknife_figure, on_halves
from harmonic.table.infer import infer_schema


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    generator = np.random.default_rng(0)
    widths = []
    for _ in range(40):
        rows = generator.normal(size=100)
        values = np.array([rows.mean(), *(rows[half].mean() for half in halves_of(100, generator))])
        figure = jackknife_figure(values, -9.0, 9.0)
        widths.append(figure.high - figure.low)
    assert np.mean(widths) / 2 == pytest.approx(2.093 / np.sqrt(100), rel=0.06)


def test_halves_are_of_distinct_rows_and_few_rows_have_none() -> None:
    generator = np.random.default_rng(0)
    halves = halves_of(41, generator)
    assert len(halves) == N_HALVES
    assert all(len(set(half.tolist())) == len(half) == 20 for half in halves)
    assert halves_of(MIN_ROWS - 1, generator) == []
    assert jackknife_figure(np.array([0.5]), 0.0, 1.0).low is None


def test_a_statistic_is_taken_of_halves_of_both_tables_and_its_interval_cut_to_its_range() -> None:
    frame = pd.DataFrame({"x": np.arange(60) / 4})
    coded = Codebook(infer_schema(frame), [frame]).encode(frame)
    values = on_halves(
        coded, coded.take(np.arange(40)), lambda a, b: np.array([len(a), len(b)]), np.random.default_rng(0)
    )
    assert values.tolist() == [[60, 40]] + [[30, 20]] * N_HALVES
    wide = jackknife_figure(np.array([0.9, *[0.0, 1.0] * 10]), 0.0, 1.0)
    assert (wide.low, wide.high) == (0.0, 1.0)

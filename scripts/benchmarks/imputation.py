"""Imputed cells of the quickstart's holdout against the cells that were taken away.

One number a row is taken away and drawn again under several seeds. Errors are root mean squares in standard deviations
of the column: of single draws, of their mean, of random training cells, and of the column's mean. Draws from a perfect
conditional distribution miss by more than its mean does, by a factor of the square root of two.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quickstart import FILE
from benchmarks.runs import config_of
from harmonic import journey
from harmonic.run import Run

_MOST_ROWS = 80


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """One row of figures; `seeds` says how often every cell is drawn, `rows` how many rows lose one."""
    out = Path(arguments.out) / "imputation-quickstart"
    config = config_of(FILE, {}, arguments.set, out)
    with Run.open(config.folder, config.to_json(), resume=True) as run:
        model = journey.train(run, config, resume=True)
        schema, parts = journey.prepare(run, config, write=False)
    numeric = [column.name for column in schema.modelled if column.is_numeric]
    truth = parts.test.head(min(arguments.rows, _MOST_ROWS)).reset_index(drop=True)
    taken = np.random.default_rng(0).choice(len(numeric), size=len(truth))
    holes = _without(truth, numeric, taken)
    started = time.monotonic()
    drawn = np.stack(
        [_cells(model.impute(holes, seed=seed), numeric, taken) for seed in range(arguments.seeds)]
    )
    seconds = time.monotonic() - started
    train = parts.train[numeric].to_numpy(dtype=float)
    random = train[:, taken]
    spread, centre = np.nanstd(train, axis=0)[taken], np.nanmean(train, axis=0)[taken]
    known = _cells(truth, numeric, taken)
    yield {
        "rows": len(truth),
        "draws": len(drawn),
        "seconds": seconds,
        "one_draw": _miss(drawn, known, spread),
        "mean_of_draws": _miss(drawn.mean(axis=0), known, spread),
        "random_cell": _miss(random, known, spread),
        "column_mean": _miss(centre, known, spread),
    }


def _without(frame: pd.DataFrame, names: list[object], taken: NDArray[np.int64]) -> pd.DataFrame:
    """The frame with one number a row missing."""
    holes = frame.copy()
    for place, name in enumerate(names):
        holes[name] = frame[name].astype("Float64").mask(taken == place)
    return holes


def _cells(frame: pd.DataFrame, names: list[object], taken: NDArray[np.int64]) -> NDArray[np.float64]:
    return frame[names].to_numpy(dtype=float)[np.arange(len(frame)), taken]


def _miss(found: NDArray[np.float64], known: NDArray[np.float64], spread: NDArray[np.float64]) -> float:
    return float(np.sqrt((((found - known) / spread) ** 2).mean()))

"""What selection makes of a generator's rows: every draw taken, draws taken by trees of the columns alone, and by trees
of which half see the target's fit, too.

On the tables of `fewrows.FEWER`, 100 training rows each, on which selection was decided. A table and seed is fitted
once by HARMONIC's defaults; the pool of `mallm.selection` and further rows are drawn, and of the further rows as many
as trained are taken, several times, as `candidates` would take them. The yardstick of `rivals` is laid to each drawing.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.fewrows import FEWER, Split, config_of, fitted, means_of, split_of, yardstick_of
from benchmarks.kept import kept
from harmonic.mallm.pool import pool_size
from harmonic.mallm.selection import select
from harmonic.table.cells import to_rows

N_DRAWINGS = 8
FURTHER = 30
"""Rows drawn beside the pool, for each training row: trees that take one of ten leave three tables of them."""
FORM = 1


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of means over the seeds for each table and way to take rows; `--only` names tables."""
    for name in arguments.only or FEWER:
        found = [
            kept(
                Path(arguments.out) / "selection" / f"{name}-s{seed}.json",
                {"set": arguments.set, "form": FORM},
                partial(_measured, arguments, name, seed),
            )
            for seed in range(arguments.seeds)
        ]
        for way in found[0]:
            yield {"table": name, "taken by": way, **means_of([figures[way] for figures in found])}


def _measured(arguments: Namespace, name: str, seed: int) -> dict[str, dict[str, float | None]]:
    split = split_of(arguments.data_dir, name, seed)
    n_pool = pool_size(len(split.train))
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        config = config_of([*arguments.set, f"run.seed={seed}"])
        model = fitted(split.train, str(split.schema.target), config, seed, Path(folder))
        made = model.sample(n_pool + FURTHER * len(split.train), seed=seed, settings=config.sample)
        pool, further = made.iloc[:n_pool], made.iloc[n_pool:].reset_index(drop=True)
        return {
            "nothing": _judged(split, further, np.ones(len(further)), seed),
            "columns": _taken(split, pool, further, seed, sees_target=False),
            "target's fit, too": _taken(split, pool, further, seed, sees_target=True),
        }


def _taken(
    split: Split, pool: pd.DataFrame, further: pd.DataFrame, seed: int, *, sees_target: bool
) -> dict[str, float | None]:
    schema = split.schema if sees_target else replace(split.schema, target=None)
    selection = select(split.train, to_rows(pool, schema), schema, seed=seed)
    chances = np.exp(selection(to_rows(further, schema)))
    growth = {"rounds": float(selection.growth.rounds), "rate": selection.rate}
    return {**growth, **_judged(split, further, chances, seed)}


def _judged(split: Split, rows: pd.DataFrame, chances: np.ndarray, seed: int) -> dict[str, float | None]:
    """Means over the drawings."""
    found = []
    for drawing in range(N_DRAWINGS):
        rng = np.random.default_rng([seed, drawing])
        order = rng.permutation(len(rows))
        taken = order[rng.random(len(rows)) < chances[order]][: len(split.train)]
        found.append(asdict(yardstick_of(split, rows.iloc[taken].reset_index(drop=True), seed)))
    return {
        name: None if value is None else float(np.mean([figures[name] for figures in found]))
        for name, value in found[0].items()
    }

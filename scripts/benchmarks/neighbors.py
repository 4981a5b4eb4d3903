"""50,000 rows of 20 columns: seconds and memory of the neighbour search, and brute force on some rows."""

from __future__ import annotations

import resource
import time
from argparse import Namespace
from collections.abc import Iterator

import numpy as np
import pandas as pd

from harmonic.table.infer import infer_schema
from harmonic.table.neighbors import Neighbors


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """One row of figures: seconds, peak memory in MB, and how many of 200 rows agree with a plain search."""
    rng = np.random.default_rng(0)
    numbers = {f"x{place}": rng.normal(size=50_000).round(3) for place in range(10)}
    levels = {f"c{place}": rng.choice(list("abcdefghij"), 50_000) for place in range(10)}
    frame = pd.DataFrame(numbers | levels)
    schema = infer_schema(frame)
    started = time.monotonic()
    near = Neighbors(schema).fit(frame).kneighbors(None, 15)
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    agreeing = sum(_is_nearest(frame, near, row) for row in rng.integers(0, 50_000, 200))
    yield {
        "rows": 50_000,
        "columns": 20,
        "k": 15,
        "seconds": seconds,
        "peak_mb": memory,
        "agree_of_200": agreeing,
    }


def _is_nearest(frame: pd.DataFrame, near: np.ndarray, row: int) -> bool:
    """Whether no row is nearer than the farthest of those found, by ranks and mismatches computed here."""
    total = np.zeros(len(frame))
    for name in frame:
        column = frame[name]
        if column.dtype.kind == "f":
            ranks = column.rank().to_numpy() / len(frame)
            ordered = np.sort(ranks)
            weights = 2 * np.arange(1, len(ranks) + 1) - len(ranks) - 1
            scale = 2 * (weights * ordered).sum() / (len(ranks) * (len(ranks) - 1))
            total += np.abs(ranks - ranks[row]) / scale
        else:
            shares = column.value_counts(normalize=True)
            total += (column != column.iloc[row]).to_numpy() / (1 - (shares**2).sum())
    total[row] = np.inf
    found = near[row][near[row] >= 0]
    # The search lives on an integer grid: ties within its width may be taken in another order.
    return bool(total[found].max() <= np.partition(total, len(found) - 1)[len(found) - 1] + 1e-3)

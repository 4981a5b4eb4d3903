"""How often the interval of the two-sample test holds what it shall: the mean AUC over fresh pairs of tables."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

import numpy as np
import pandas as pd

from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.figures import Figure
from harmonic.evaluation.twosample import c2st, c2st_linear
from harmonic.table.infer import infer_schema

ROWS = (100, 300)
FACTORS = (1.0, 2.0, 5.0)
"""By which one table's doses are multiplied: one law, AUC near .7, AUC near .9."""


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row a test, size and difference, of `seeds` pairs of tables; `only` names tests ("trees", "linear")."""
    schema = infer_schema(_patients(2_000, 999), target="outcome")
    for name in arguments.only or ("linear", "trees"):
        for n_rows in ROWS:
            for factor in FACTORS:
                found = []
                for seed in range(arguments.seeds):
                    first, second = (_patients(n_rows, 2 * seed + 10_000 + i) for i in range(2))
                    second["dose"] = (second["dose"] * factor).round(2)
                    book = Codebook(schema, [first, second])
                    pair, key = (book.encode(first), book.encode(second)), [seed, 511]
                    found.append(
                        c2st(*pair, seed=key, max_rows=n_rows, n_repeats=1)
                        if name == "trees"
                        else c2st_linear(*pair, seed=key, max_rows=n_rows)
                    )
                yield {"test": name, "rows": n_rows, "factor": factor, **_coverage(found)}


def _coverage(found: list[Figure]) -> dict[str, object]:
    values = np.array([figure.value for figure in found], dtype=float)
    mean = float(values.mean())
    held = [figure.low is not None and figure.low <= mean <= (figure.high or 0.0) for figure in found]
    return {"auc": mean, "deviation": float(values.std(ddof=1)), "coverage": float(np.mean(held))}


def _patients(n: int, seed: int) -> pd.DataFrame:
    """Numbers, levels, a date and an outcome that hangs on two of them."""
    generator = np.random.default_rng(seed)
    age = generator.integers(18, 90, n)
    sex = generator.choice(["f", "m"], n)
    dose = np.round(generator.gamma(2, 3, n), 2)
    smoker = generator.random(n) < 0.3
    admitted = pd.to_datetime("2020-01-01") + pd.to_timedelta(generator.integers(0, 900, n), unit="D")
    ward = generator.choice(["A", "B", "C", "D"], n, p=[0.5, 0.3, 0.15, 0.05])
    chance = 1 / (1 + np.exp(-(age - 55) / 10 - smoker + 0.5))
    outcome = np.where(generator.random(n) < chance, "dead", "alive")
    return pd.DataFrame(
        {
            "age": age,
            "sex": sex,
            "dose": dose,
            "smoker": smoker,
            "admitted": admitted,
            "ward": ward,
            "outcome": outcome,
        }
    )

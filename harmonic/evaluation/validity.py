"""Does every row fit the schema, and are there as many twins and gaps as in the real rows?

What enters is the synthetic frame as it is, the real ones and the sampler's counts; what leaves is the
share of valid rows among all that were generated, by reason where they are not, beside duplicates and
missing rates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.distances import RowHashes
from harmonic.evaluation.figures import Figure, rate_figure, undefined
from harmonic.table.cells import validate
from harmonic.table.schema import Schema

STREAM_DUPLICATES = 502


@dataclass(frozen=True)
class Validity:
    """Rows by fate. `n_generated` = accepted rows + rejects."""

    n_generated: int
    n_accepted: int
    n_valid: int
    valid: Figure
    """Valid rows / generated rows."""
    rejects: dict[str, int]
    """Refused rows by the sampler's reason."""
    problems: dict[str, int]
    """Cells of accepted rows that do not fit, by column."""
    duplicates: Figure
    """Share of the synthetic rows with a twin among as many synthetic as real rows; noise floor: the same in
    real."""
    missing: Figure
    """Mean over columns of |missing rate synthetic - real|; noise floor: holdout - real."""
    missing_most: Figure
    """The largest of them."""
    missing_column: str
    """And its column."""


def measure_validity(
    frames: Mapping[str, pd.DataFrame],
    codes: Mapping[str, Codes],
    schema: Schema,
    rejects: Mapping[str, int],
    seed: int,
) -> Validity:
    """Of `frames` and `codes` by "real", "synthetic", "holdout"."""
    synthetic = frames["synthetic"]
    problems = [problem for problem in validate(synthetic, schema) if problem.row >= 0]
    n_valid = len(synthetic) - len({problem.row for problem in problems})
    n_generated = len(synthetic) + sum(rejects.values())
    gaps, control = (_missing_gaps(frames[name], frames["real"], schema) for name in ("synthetic", "holdout"))
    worst = int(gaps.argmax()) if len(gaps) else 0
    return Validity(
        n_generated=n_generated,
        n_accepted=len(synthetic),
        n_valid=n_valid,
        valid=rate_figure(n_valid, n_generated),
        rejects=dict(rejects),
        problems=dict(Counter(str(problem.column) for problem in problems).most_common()),
        duplicates=_duplicates(codes, seed),
        missing=Figure(float(gaps.mean()), noise_floor=float(control.mean())),
        missing_most=Figure(float(gaps.max()), noise_floor=float(control.max())),
        missing_column=schema.columns[worst].label if gaps.max() > 0 else "",
    )


def _missing_gaps(first: pd.DataFrame, second: pd.DataFrame, schema: Schema) -> np.ndarray:
    """|difference of missing rates| of every column of the schema."""
    gaps = [abs(first[name].isna().mean() - second[name].isna().mean()) for name in schema.names]
    return np.array(gaps, dtype=float)


def _duplicates(codes: Mapping[str, Codes], seed: int) -> Figure:
    """Twins grow with the number of rows, so both tables are cut to the smaller one's size."""
    generator = np.random.default_rng([seed, STREAM_DUPLICATES])
    n = min(len(codes["synthetic"]), len(codes["real"]))
    if n < 2:
        return undefined("a twin needs two rows")
    hashes = RowHashes({name: codes[name].head(n, generator) for name in ("synthetic", "real")})
    found, control = (hashes.twins(name) for name in ("synthetic", "real"))
    return rate_figure(int(found.sum()), n).beside(noise_floor=rate_figure(int(control.sum()), n))

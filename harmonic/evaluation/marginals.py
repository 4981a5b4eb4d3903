"""Contingency tables, and three columns at a time: the dependence that pairs cannot show.

What enters is coded tables, the holdout as the reference; what leaves is the total variation of three-column
contingency tables. Amounts fall into fifths of the reference and rare levels together, else nearly every cell would
be empty; still two samples of one law differ much here, so the tables are cut to equal row counts and the noise
floor (training rows) stands beside every error. The triples are drawn before any row is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, undefined
from harmonic.evaluation.jackknife import halves_of, jackknife_figure

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
STREAM_TRIPLES, STREAM_ROWS = 512, 513
N_BINS = 5
MAX_LEVELS = 10
"""The commonest levels of the training rows stay, the others fall together."""
MAX_TRIPLES = 500
N_SHOWN = 10


@dataclass(frozen=True)
class Triple:
    """Three columns. `error`: total variation of their contingency tables, synthetic against holdout."""

    labels: tuple[str, str, str]
    error: float
    noise_floor: float
    """The same for training rows."""
    worst_case: float
    """The same for independent marginals."""


@dataclass(frozen=True)
class Triples:
    """A fixed random set of column triples."""

    score: Figure
    """1 - mean error: 1 is best; interval by the jackknife over rows."""
    n_measured: int
    n_possible: int
    n_rows: int
    """Rows of every table that is compared with the holdout."""
    farthest: tuple[Triple, ...]
    """Those whose error exceeds their noise floor most, at most `N_SHOWN`."""


def measure_triples(tables: Mapping[str, Codes], *, seed: int) -> Triples:
    """Against the holdout, of `tables` by "real", "synthetic", "holdout" and "independent"."""
    holdout = tables["holdout"]
    chosen = choose_triples(len(holdout.columns))
    if not chosen:
        return Triples(undefined("a triple needs three modelled columns"), 0, 0, 0, ())
    generator = np.random.default_rng([seed, STREAM_ROWS])
    names = ("synthetic", "real", "independent")
    n_rows = min(len(tables[name]) for name in names)
    cut = {name: tables[name].head(n_rows, generator) for name in names}
    halves = list(zip(halves_of(len(holdout), generator), halves_of(n_rows, generator), strict=False))
    made = _triple_errors(holdout, cut["synthetic"], chosen, halves)
    plain = np.array([made[0], *(_triple_errors(holdout, cut[name], chosen, [])[0] for name in names[1:])])
    score = jackknife_figure(1 - made.mean(axis=1), 0.0, 1.0)
    references = [Figure(float(1 - errors.mean())) for errors in plain[1:]]
    labels = [column.label for column in holdout.columns]
    return Triples(
        score=score.beside(noise_floor=references[0], worst_case=references[1]),
        n_measured=len(chosen),
        n_possible=comb(len(labels), 3),
        n_rows=n_rows,
        farthest=tuple(
            Triple((labels[a], labels[b], labels[c]), *plain[:, place].tolist())
            for place in np.argsort(plain[1] - plain[0], kind="stable")[:N_SHOWN]
            for a, b, c in [chosen[place]]
        ),
    )


def choose_triples(n_columns: int) -> list[tuple[int, int, int]]:
    """All triples of columns in order, or `MAX_TRIPLES` random ones: always the same for as many columns."""
    if comb(n_columns, 3) <= MAX_TRIPLES:
        return list(combinations(range(n_columns), 3))
    generator = np.random.default_rng([STREAM_TRIPLES, n_columns])
    chosen: set[tuple[int, int, int]] = set()
    while len(chosen) < MAX_TRIPLES:
        a, b, c = sorted(generator.choice(n_columns, size=3, replace=False).tolist())
        chosen.add((a, b, c))
    return sorted(chosen)


def bin_cells(
    reference: Floats, asked: Floats, *, is_level: bool, n_bins: int, max_levels: int | None = None
) -> tuple[Ints, Ints]:
    """Bin numbers of one column in both tables: 0 missing, then levels as they are (from the `max_levels`-th on
    together), amounts by the reference's quantiles."""
    if is_level:
        top = np.inf if max_levels is None else max_levels
        first, second = (
            np.minimum(np.nan_to_num(codes, nan=-1.0), top).astype(np.intp) + 1
            for codes in (reference, asked)
        )
        return first, second
    seen = reference[~np.isnan(reference)]
    cuts = np.unique(np.quantile(seen, np.linspace(0, 1, n_bins + 1)[1:-1])) if len(seen) else np.zeros(0)
    first, second = (
        np.where(np.isnan(cells), 0, np.searchsorted(cuts, cells, side="left") + 1).astype(np.intp)
        for cells in (reference, asked)
    )
    return first, second


def contingency_distance(columns: Sequence[tuple[Ints, Ints]]) -> float:
    """Total variation of two tables' contingency tables of those columns, each a pair of bin numbers."""
    first, second, n_cells = np.zeros_like(columns[0][0]), np.zeros_like(columns[0][1]), 1
    for a, b in columns:
        width = int(max(a.max(), b.max())) + 1
        first, second, n_cells = first * width + a, second * width + b, n_cells * width
    shares = [np.bincount(cells, minlength=n_cells) / len(cells) for cells in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _triple_errors(
    holdout: Codes,
    other: Codes,
    chosen: Sequence[tuple[int, int, int]],
    halves: Sequence[tuple[Ints, Ints]],
) -> Floats:
    """Errors [1 + n_halves, n_triples]: on all rows, then on those halves of both tables."""
    a, b = holdout.measures, other.measures
    binned = [
        bin_cells(a[:, i], b[:, i], is_level=bool(holdout.is_level[i]), n_bins=N_BINS, max_levels=MAX_LEVELS)
        for i in range(a.shape[1])
    ]
    tables = [binned, *([(x[first], y[second]) for x, y in binned] for first, second in halves)]
    return np.array(
        [[contingency_distance([table[i] for i in triple]) for triple in chosen] for table in tables]
    )

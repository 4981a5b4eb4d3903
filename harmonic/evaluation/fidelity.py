"""How alike two tables are: column shapes, pair trends, triples, missing rates, and whether they can be told apart.

What enters is two coded tables, `real` the reference (the holdout: rows that no generator saw); what leaves
is an error in [0, 1] for every column and every pair, 0 where nothing differs. A missing cell is a value
like any other: below all numbers, a level of its own, a bin of its own. Shape and trend are 1 - mean error,
after SDMetrics' quality report, with Spearman's correlation. Neither sees more than two columns at a time;
`marginals` sees three, `twosample` all. Where the law is known, `truth` measures the distance to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, Progress, undefined
from harmonic.evaluation.jackknife import jackknife_figure, on_halves
from harmonic.evaluation.marginals import Triples, bin_cells, contingency_distance, measure_triples
from harmonic.evaluation.overlays import Overlay, overlay
from harmonic.evaluation.truth import NetworkDistance
from harmonic.evaluation.twosample import c2st, c2st_linear

Floats = NDArray[np.float64]
STREAM_C2ST, STREAM_HALVES, STREAM_FLOOR = 511, 514, 515
NO_COLUMN, NO_PAIR = "the schema has no modelled column", "a pair needs two modelled columns"
N_BINS = 10
"""Numbers fall into tenths of the reference before they meet a level in a contingency table."""


@dataclass(frozen=True)
class ColumnFidelity:
    """One column. `error`: KS distance (amounts) or total variation (levels) between holdout and
    synthetic."""

    label: str
    kind: str
    error: float
    noise_floor: float
    worst_case: float
    missing_real: float
    missing_synthetic: float
    missing_holdout: float
    overlay: Overlay


@dataclass(frozen=True)
class Trends:
    """The pairs: symmetric matrices of errors, zeros on the diagonal."""

    labels: tuple[str, ...]
    error: tuple[tuple[float, ...], ...]
    noise_floor: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Fidelity:
    """How alike synthetic and holdout rows are; noise floor: training rows, worst case: independent
    marginals. Every `Figure` has its interval."""

    shape: Figure
    """1 - mean column error: 1 is best."""
    trend: Figure
    """1 - mean pair error: 1 is best."""
    c2st: Figure
    """AUC of boosted trees telling synthetic from holdout rows: .5 is ideal."""
    c2st_linear: Figure
    """The same of logistic regression, which is blind to most dependence."""
    columns: tuple[ColumnFidelity, ...]
    trends: Trends
    triples: Triples
    """Three columns at a time."""
    network: NetworkDistance | None = None
    """Where the rows' true law is a known Bayesian network: see `truth.measure_network`."""


def measure_fidelity(
    tables: Mapping[str, Codes],
    *,
    seed: int,
    c2st_rows: int,
    c2st_repeats: int,
    progress: Progress,
) -> Fidelity:
    """Against the holdout, of `tables` by "real", "synthetic", "holdout" and "independent".

    Fewer rows have more noise, so for shapes, trends and triples both references are cut to as many rows as the
    synthetic table has.
    """
    holdout, rivals = tables["holdout"], ("synthetic", "real", "independent")
    progress("fidelity: columns, pairs and triples")
    generator = np.random.default_rng([seed, STREAM_FLOOR])
    n_rows = len(tables["synthetic"])
    equal = {
        name: table.head(n_rows, generator) if name in ("real", "independent") else table
        for name, table in tables.items()
    }
    shapes = [shape_errors(holdout, equal[name]) for name in rivals]
    trends = [trend_errors(holdout, equal[name]) for name in rivals]
    triples = measure_triples(equal, seed=seed)
    progress("fidelity: two-sample test")
    key = [seed, STREAM_C2ST]
    boosted = [
        c2st(holdout, tables[name], seed=key, max_rows=c2st_rows, n_repeats=c2st_repeats) for name in rivals
    ]
    linear = [c2st_linear(holdout, tables[name], seed=key, max_rows=c2st_rows) for name in rivals]
    references = [(shape_figure(shapes[i]), trend_figure(trends[i])) for i in (1, 2)]
    shape, trend = _shape_and_trend(holdout, tables["synthetic"], seed)
    return Fidelity(
        shape=shape.beside(noise_floor=references[0][0], worst_case=references[1][0]),
        trend=trend.beside(noise_floor=references[0][1], worst_case=references[1][1]),
        c2st=_beside(boosted),
        c2st_linear=_beside(linear),
        columns=tuple(_column(tables, i, shapes) for i in range(len(holdout.columns))),
        trends=Trends(
            tuple(column.label for column in holdout.columns), _nested(trends[0]), _nested(trends[1])
        ),
        triples=triples,
    )


def _beside(figures: list[Figure]) -> Figure:
    return figures[0].beside(noise_floor=figures[1], worst_case=figures[2])


def _nested(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _column(tables: Mapping[str, Codes], i: int, shapes: list[Floats]) -> ColumnFidelity:
    column = tables["holdout"].columns[i]
    error, noise_floor, worst_case = (float(errors[i]) for errors in shapes)
    missing = {
        name: float(np.isnan(tables[name].cells[:, i]).mean()) for name in ("real", "synthetic", "holdout")
    }
    return ColumnFidelity(
        label=column.label,
        kind=column.kind,
        error=error,
        noise_floor=noise_floor,
        worst_case=worst_case,
        missing_real=missing["real"],
        missing_synthetic=missing["synthetic"],
        missing_holdout=missing["holdout"],
        overlay=overlay(tables["holdout"], tables["synthetic"], i),
    )


def _shape_and_trend(holdout: Codes, synthetic: Codes, seed: int) -> tuple[Figure, Figure]:
    """Both scores of the synthetic rows, with their intervals."""

    def scores(real: Codes, made: Codes) -> Floats:
        figures = shape_figure(shape_errors(real, made)), trend_figure(trend_errors(real, made))
        return np.array([np.nan if figure.value is None else figure.value for figure in figures])

    values = on_halves(holdout, synthetic, scores, np.random.default_rng([seed, STREAM_HALVES]))
    n_columns = len(holdout.columns)
    return (
        jackknife_figure(values[:, 0], 0.0, 1.0) if n_columns else undefined(NO_COLUMN),
        jackknife_figure(values[:, 1], 0.0, 1.0) if n_columns > 1 else undefined(NO_PAIR),
    )


def shape_errors(real: Codes, synthetic: Codes) -> Floats:
    """Error of every column, [n_columns]."""
    a, b = real.measures, synthetic.measures
    errors = [
        total_variation(a[:, i], b[:, i]) if real.is_level[i] else ks_distance(a[:, i], b[:, i])
        for i in range(a.shape[1])
    ]
    return np.array(errors, dtype=float)


def ks_distance(real: Floats, synthetic: Floats) -> float:
    """Largest gap between two distribution functions; missing cells (NaN) lie below all numbers."""
    a, b = (np.sort(np.nan_to_num(cells, nan=-np.inf, neginf=-np.inf)) for cells in (real, synthetic))
    points = np.concatenate([a, b])
    gaps = np.searchsorted(a, points, side="right") / len(a) - np.searchsorted(b, points, side="right") / len(
        b
    )
    return float(np.abs(gaps).max())


def total_variation(real: Floats, synthetic: Floats) -> float:
    """Half the summed difference of level shares; missing (NaN) is a level."""
    a, b = (np.nan_to_num(codes, nan=-1.0).astype(np.intp) + 1 for codes in (real, synthetic))
    n = int(max(a.max(), b.max())) + 1
    gap = np.bincount(a, minlength=n) / len(a) - np.bincount(b, minlength=n) / len(b)
    return float(np.abs(gap).sum() / 2)


def trend_errors(real: Codes, synthetic: Codes) -> Floats:
    """Error of every pair, [n_columns, n_columns]: |difference of Spearman's rho| / 2 between two amounts,
    total variation of the contingency tables otherwise. A pair with a constant column has rho 0."""
    a, b = real.measures, synthetic.measures
    binned = [
        bin_cells(a[:, i], b[:, i], is_level=bool(real.is_level[i]), n_bins=N_BINS) for i in range(a.shape[1])
    ]
    errors = np.zeros((a.shape[1], a.shape[1]))
    rho_real, rho_synthetic = spearman(a, ~real.is_level), spearman(b, ~real.is_level)
    for i in range(a.shape[1]):
        for j in range(i):
            if real.is_level[i] or real.is_level[j]:
                errors[i, j] = contingency_distance([binned[i], binned[j]])
            else:
                errors[i, j] = abs(rho_real[i, j] - rho_synthetic[i, j]) / 2
    return errors + errors.T


def spearman(values: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """Rank correlations [n_columns, n_columns] of the wanted columns, on the rows where neither is
    missing."""
    n = values.shape[1]
    rho = np.zeros((n, n))
    observed = ~np.isnan(values)
    full = [i for i in np.flatnonzero(wanted) if observed[:, i].all()]
    if len(full) > 1:
        rho[np.ix_(full, full)] = _correlations(rankdata(values[:, full], axis=0))
    for i in np.flatnonzero(wanted):
        for j in np.flatnonzero(wanted[:i]):
            both = observed[:, i] & observed[:, j]
            if not both.all() and both.any():
                rho[i, j] = rho[j, i] = _correlations(rankdata(values[both][:, [i, j]], axis=0))[0, 1]
    return rho


def shape_figure(errors: Floats) -> Figure:
    """1 - mean column error: 1 is best."""
    return Figure(float(1 - errors.mean())) if errors.size else undefined(NO_COLUMN)


def trend_figure(errors: Floats) -> Figure:
    """1 - mean pair error: 1 is best."""
    if len(errors) < 2:
        return undefined(NO_PAIR)
    return Figure(float(1 - errors[np.triu_indices(len(errors), k=1)].mean()))


def _correlations(ranks: Floats) -> Floats:
    """Pearson correlations of the columns; 0 for a constant one."""
    centred = ranks - ranks.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(norms > 0, norms, 1.0)
    return np.asarray(scaled.T @ scaled)

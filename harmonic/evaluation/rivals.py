"""How alike the simple generators' rows are: the baselines in the fidelity table, as floor and ceiling.

What enters is the coded holdout and the baselines' tables; what leaves is their shape, trend and two-sample figures.
Resampled rows are the ceiling (copies of real rows, no privacy), independent columns the floor; a learnt generator
that is told apart as easily as marginals by class or a Gaussian copula has not learnt what binds more than two columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.fidelity import STREAM_C2ST, shape_errors, shape_figure, trend_errors, trend_figure
from harmonic.evaluation.figures import Figure, Progress
from harmonic.evaluation.twosample import c2st


@dataclass(frozen=True)
class Rival:
    """One baseline against the holdout."""

    source: str
    """ "real", "resampled", "smote", "copula", "class_conditional", "independent"."""
    shape: Figure
    trend: Figure
    c2st: Figure


def measure_rivals(
    rivals: Mapping[str, Codes], holdout: Codes, *, seed: int, c2st_rows: int, progress: Progress
) -> tuple[Rival, ...]:
    """Shape, trend and C2ST of every table of `rivals`, on the folds that the synthetic rows are tested on."""
    found = []
    for name, table in rivals.items():
        progress(f"fidelity: {name.replace('_', ' ')} rows beside it")
        found.append(
            Rival(
                name,
                shape_figure(shape_errors(holdout, table)),
                trend_figure(trend_errors(holdout, table)),
                c2st(holdout, table, seed=[seed, STREAM_C2ST], max_rows=c2st_rows, n_repeats=1),
            )
        )
    return tuple(found)

"""Are training and holdout rows of one law? Every control of a report stands on it.

What enters is the members and controls of the attacks; what leaves is whether a classifier can tell them apart, and
columns that are missing more often on one side. A holdout of later years or of another ward differs from the training
rows by itself, so synthetic rows of the training law lie nearer to these, and attacks find what is no leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import fisher_exact

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import Figure, percent
from harmonic.evaluation.twosample import c2st

STREAM_LAW = 549
MAX_ROWS = 2_000
"""Rows a side."""
MARGINS = 1.5
"""How many half-widths of its 95 % interval the AUC must lie above .5: three standard errors."""
SURE = 1e-3
"""Chance, over all columns, at which shares of missing cells differ by more than it."""
WIDE = 0.1
"""Least difference of two shares of missing cells that is worth a word."""


@dataclass(frozen=True)
class Gap:
    """A column that is missing more often on one side."""

    label: str
    real: float
    holdout: float


@dataclass(frozen=True)
class OneLaw:
    """What tells training rows from holdout rows."""

    auc: Figure
    is_apart: bool
    """Whether the AUC lies clearly above .5."""
    gaps: tuple[Gap, ...]

    @property
    def signs(self) -> list[str]:
        """What shows that the rows are of two laws, in words; nothing where nothing does."""
        auc = self.auc.value if self.is_apart else None
        said = [] if auc is None else [f"training and holdout rows can be told apart (AUC {auc:.2f})"]
        return said + [
            f"column {gap.label} is missing in {percent(gap.real)} of the training rows and "
            f"{percent(gap.holdout)} of the holdout rows"
            for gap in self.gaps
        ]


def compare_laws(real: Codes, holdout: Codes, seed: int) -> OneLaw:
    """The comparison, on at most `MAX_ROWS` random rows a side."""
    auc = c2st(holdout, real, seed=[seed, STREAM_LAW], max_rows=MAX_ROWS, n_repeats=1)
    return OneLaw(auc, _is_apart(auc), tuple(_gaps(real, holdout)))


def _is_apart(auc: Figure) -> bool:
    return auc.value is not None and auc.low is not None and auc.value - 0.5 > MARGINS * (auc.value - auc.low)


def _gaps(real: Codes, holdout: Codes) -> list[Gap]:
    if not min(len(real), len(holdout)):
        return []
    gaps = []
    for column, first, second in zip(
        real.columns, np.isnan(real.cells).T, np.isnan(holdout.cells).T, strict=True
    ):
        shares = float(first.mean()), float(second.mean())
        table = [[int((~flags).sum()), int(flags.sum())] for flags in (first, second)]
        is_sure = fisher_exact(table).pvalue * len(real.columns) < SURE
        if abs(shares[0] - shares[1]) >= WIDE and is_sure:
            gaps.append(Gap(column.label, *shares))
    return gaps

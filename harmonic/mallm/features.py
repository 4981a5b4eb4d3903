"""Rows as the trees of a selection see them.

What enters is frames; what leaves is numbers: amounts, lengths of texts, codes of levels, and in a last column how well
the target fits the others (`target_fit`), where the table has a target and other columns. A missing amount lies below
all others, so that no column is ever all gaps, on which trees fail.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codebook
from harmonic.mallm.target_fit import TargetFit, fit_target
from harmonic.table.schema import Schema

Floats = NDArray[np.float64]


class Features:
    """What is learnt of the training rows. `train` holds their numbers, [n_rows, n_columns]; `is_level` says of each
    column whether it holds codes, and `n_plain` how many there are without that of the target's fit."""

    def __init__(self, schema: Schema, train: pd.DataFrame, others: pd.DataFrame, *, seed: int) -> None:
        """others: further rows whose levels and gaps may occur. A level that none of these rows holds is as good as
        missing."""
        self._book = Codebook(schema, [train, others])
        encoded = [self._book.encode(frame) for frame in (train, others)]
        is_level = np.asarray(encoded[0].is_level)
        measures = np.vstack([codes.measures for codes in encoded])
        least = np.where(np.isnan(measures), np.inf, measures).min(axis=0)
        self._gap = np.where(is_level, np.nan, np.where(np.isfinite(least), least, 0.0) - 1.0)
        self.n_plain = len(is_level)
        self._fit: TargetFit | None = None
        self.train, self.is_level = self._plain(train), is_level
        names = [column.name for column in schema.modelled]
        if schema.target in names and len(names) > 1:
            place = names.index(schema.target)
            self._fit, own = fit_target(self.train, place, is_level=bool(is_level[place]), seed=seed)
            self.train = np.column_stack([self.train, own])
            self.is_level = np.append(is_level, False)

    def of(self, frame: pd.DataFrame) -> Floats:
        """The numbers of rows that are no training rows: float64 [n_rows, n_columns]."""
        plain = self._plain(frame)
        return plain if self._fit is None else np.column_stack([plain, self._fit(plain)])

    def _plain(self, frame: pd.DataFrame) -> Floats:
        measures = self._book.encode(frame, strict=False).measures
        return np.where(np.isnan(measures), self._gap, measures)

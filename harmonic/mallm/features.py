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
from harmonic.mallm.target_fit import N_FOLDS, TargetFit, fit_target, is_known
from harmonic.table.schema import Schema

Floats = NDArray[np.float64]


class Features:
    """What is learnt of the training rows. `train` holds their numbers, `others` those of the rows from which trees are
    to learn as well, [n_rows, n_columns]; `is_level` says of each column whether it holds codes, and `n_plain` how many
    there are without that of the target's fit."""

    def __init__(self, schema: Schema, train: pd.DataFrame, others: pd.DataFrame, *, seed: int) -> None:
        """A level that none of these rows holds is as good as missing."""
        self._book = Codebook(schema, [train, others])
        encoded = [self._book.encode(frame) for frame in (train, others)]
        self.is_level = np.asarray(encoded[0].is_level)
        self.n_plain = len(self.is_level)
        seen, made = (codes.measures for codes in encoded)
        both = np.vstack([seen, made])
        least = np.where(np.isnan(both), np.inf, both).min(axis=0)
        self._gap = np.where(self.is_level, np.nan, np.where(np.isfinite(least), least, 0.0) - 1.0)
        self._fit: TargetFit | None = None
        self.train, self.others = self._filled(seen), self._filled(made)
        place = _target(schema)
        if place is not None and is_known(seen[:, place], is_level=self.is_level[place]).sum() >= N_FOLDS:
            is_level = bool(self.is_level[place])
            self._fit, *fits = fit_target(seen, made, place, is_level=is_level, seed=seed)
            self.train, self.others = (
                np.column_stack([plain, fit])
                for plain, fit in zip((self.train, self.others), fits, strict=True)
            )
            self.is_level = np.append(self.is_level, False)

    def of(self, frame: pd.DataFrame) -> Floats:
        """The numbers of any other rows: float64 [n_rows, n_columns]."""
        measures = self._book.encode(frame, strict=False).measures
        filled = self._filled(measures)
        return filled if self._fit is None else np.column_stack([filled, self._fit(measures)])

    def _filled(self, measures: Floats) -> Floats:
        return np.where(np.isnan(measures), self._gap, measures)


def _target(schema: Schema) -> int | None:
    """The target's place among the modelled columns; None where there is none, or nothing else."""
    names = [column.name for column in schema.modelled]
    return names.index(schema.target) if schema.target in names and len(names) > 1 else None

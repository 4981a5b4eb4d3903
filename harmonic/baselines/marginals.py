"""Three generators that copy cells: whole rows, single columns, columns within a class.

What enters is the training rows and their schema; what leaves is a frame of the same columns and exact dtypes.
`ResampledRows` copies rows: the best utility and no privacy at all. `IndependentMarginals` knows every column and no
dependence: the worst case of fidelity. `ClassConditionalMarginals` also knows the target: the floor that utility must
beat.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Self

import numpy as np
import pandas as pd

from harmonic.baselines.picks import Picks, checked_train, take, target_classes, target_of
from harmonic.table.schema import Schema

STREAM_RESAMPLED, STREAM_INDEPENDENT, STREAM_CLASS_CONDITIONAL = 401, 402, 403


class ResampledRows:
    """Training rows drawn with replacement: what copying looks like in every metric."""

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Keep the rows. Raises HarmonicError for a table without rows or without a column of the schema."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` training rows, drawn with replacement; dtypes and index (0..n-1) as in a fresh table."""
        picks = np.random.default_rng([seed, STREAM_RESAMPLED]).integers(len(self.train_), size=n)
        return take(self.train_, self.schema_, dict.fromkeys(self.schema_.names, picks), seed)


class IndependentMarginals:
    """Every column drawn on its own: all shapes right, every dependence gone."""

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Keep the columns. Raises HarmonicError for a table without rows or without a column of the
        schema."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows whose cells come from independently drawn training rows."""
        generator = np.random.default_rng([seed, STREAM_INDEPENDENT])
        picks = {name: generator.integers(len(self.train_), size=n) for name in self.schema_.names}
        return take(self.train_, self.schema_, picks, seed)


class ClassConditionalMarginals:
    """A class drawn (regression: a tenth of the target), then every column on its own from the rows of that
    class.

    Few lines, and few-row methods seldom beat its utility: a result counts only above it.
    """

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Group the rows by target. Raises HarmonicError as the others do, and where the schema names no
        target."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        target = target_of(schema)
        self.classes_ = target_classes(self.train_[target.name], target)
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows: the class by its training share, then each column among the rows of that class."""
        generator = np.random.default_rng([seed, STREAM_CLASS_CONDITIONAL])
        drawn = self.classes_[generator.integers(len(self.train_), size=n)]
        picks: dict[Hashable, Picks] = {name: np.zeros(n, dtype=np.intp) for name in self.schema_.names}
        for label in np.unique(drawn):
            members, rows = np.flatnonzero(self.classes_ == label), np.flatnonzero(drawn == label)
            for name in self.schema_.names:
                picks[name][rows] = generator.choice(members, size=len(rows))
        return take(self.train_, self.schema_, picks, seed)

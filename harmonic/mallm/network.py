"""BicNetwork: rows from the learnt graph alone, without any language model: what the graph by itself is worth.

What enters is the training rows and their schema (`fit`); what leaves is a frame of the same columns and exact dtypes
(`sample`), with the two methods of every baseline. Cells are copied, causes first, each from a random training row
whose causes are in the same ranges; where no row's are, from one that agrees in fewer of them.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.baselines import checked_train, take
from harmonic.mallm.structure import Codes, discretise, learn_graph
from harmonic.table.schema import Schema

STREAM_NETWORK_ROWS = 707


class BicNetwork:
    """A Bayesian network over ranges and levels, by hill-climbing with BIC; cells within them as they are."""

    def fit(self, train: pd.DataFrame, schema: Schema) -> Self:
        """Learns the graph. Raises HarmonicError for a table without rows or without a column of the schema."""
        self.train_, self.schema_ = checked_train(train, schema), schema
        self.graph_ = learn_graph(self.train_, schema)
        self.codes_ = discretise(self.train_, schema)
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` rows; one seed, one table."""
        rng = np.random.default_rng([seed, STREAM_NETWORK_ROWS])
        picks = dict.fromkeys(self.schema_.names, np.zeros(n, dtype=np.intp))
        made = np.zeros((n, len(self.schema_.modelled)), dtype=np.intp)
        for column in self.graph_.order:
            rows = self._rows(made, self.graph_.parents[column], rng)
            made[:, column] = self.codes_[rows, column]
            picks[self.schema_.modelled[column].name] = rows
        return take(self.train_, self.schema_, picks, seed)

    def _rows(self, made: Codes, parents: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.intp]:
        """For each row to be, the number of a training row whose parents are as its own."""
        cases, which = np.unique(made[:, parents], axis=0, return_inverse=True)
        rows = np.zeros(len(made), dtype=np.intp)
        for number, case in enumerate(cases):
            wanted = np.flatnonzero(which.reshape(-1) == number)
            rows[wanted] = rng.choice(self._alike(case, parents), size=len(wanted))
        return rows

    def _alike(self, case: Codes, parents: tuple[int, ...]) -> NDArray[np.intp]:
        """The training rows that agree in most parents, all of them if any do."""
        agree = (self.codes_[:, parents] == case).sum(axis=1)
        return np.flatnonzero(agree == agree.max())

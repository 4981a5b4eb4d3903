"""Rows as picks: what every baseline hands over and how a frame is made of it.

What enters is, per column, the numbers of the training rows whose cells are to be copied; what leaves is a frame of the
exact dtypes. Cells are taken, never written, so missing cells, levels and dtypes come along untouched; identifiers
alone are made fresh, for a copied one would be a person's own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.table.cells import assemble, decode_column, locate
from harmonic.table.identifiers import fresh
from harmonic.table.schema import Column, Schema

TENTHS = 10

Picks = NDArray[np.intp]
"""Row numbers of the training table, one for every row to be made."""


def take(train: pd.DataFrame, schema: Schema, picks: Mapping[Hashable, Picks], seed: int) -> pd.DataFrame:
    """The frame whose column `name` holds the training cells `picks[name]`; identifiers are made fresh."""
    columns = []
    n_rows = len(next(iter(picks.values()))) if picks else 0
    for column in schema.columns:
        if column.kind == "identifier":  # a copied identifier would be a person's own
            columns.append(decode_column(fresh(column, n_rows, seed=seed, first_row=0), column))
        else:
            columns.append(train[column.name].take(picks[column.name]).reset_index(drop=True))
    return assemble(columns, schema)


def target_classes(cells: pd.Series, column: Column) -> NDArray[np.intp]:
    """A class number for every row: the level, or the tenth of a numeric or datetime target; missing is a
    class."""
    if column.kind not in ("integer", "decimal", "datetime"):
        return np.asarray(pd.factorize(cells, use_na_sentinel=False)[0], dtype=np.intp)
    shares = cells.rank(pct=True, method="first").to_numpy(dtype=float, na_value=np.nan)
    tenths = np.ceil(shares * TENTHS) - 1
    return np.where(np.isnan(tenths), TENTHS, tenths).astype(np.intp)


def checked_train(train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The schema's columns of the training rows. Raises HarmonicError where rows or columns are absent."""
    if not len(train):
        raise HarmonicError("Training table: 0 rows, expected at least 1. Pass the rows to learn from.")
    locate(train, schema)
    return train[schema.names].reset_index(drop=True)


def target_of(schema: Schema) -> Column:
    if schema.target is None:
        raise HarmonicError(
            "Target: the schema names none, marginals by class need one. Read the table with target=..."
        )
    return schema.column(schema.target)


def numbers(cells: pd.Series) -> NDArray[np.float64]:
    """The cells of a numeric column as floats; NaN where missing."""
    return pd.to_numeric(cells).to_numpy(dtype=np.float64, na_value=np.nan)

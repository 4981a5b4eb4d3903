"""The rest of the tables from which few rows were drawn: a test that a couple of hundred rows is too small to be.

Of 200 test rows a figure such as F1 is off by .03 by luck alone, and a share of copies below half a percent cannot be
seen. Adult and Insurance are known whole: what is no training row there is a test of thousands. Training rows leave it
one for one, so that a row that stands twice in the table may stand on either side, as it may for any fresh rows: how
often rows of the rest equal a training row is the rate at which real rows do.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.distances import RowHashes
from harmonic.table.schema import Schema

MOST = 3000
"""Rows of the rest that are a test; drawn once for each table."""


class Whole(NamedTuple):
    """A complete table, of which the splits hold complete rows."""

    file: str
    left_out: tuple[str, ...] = ()
    """Columns that the splits do not have."""


WHOLE = {"adult": Whole("tables/adult.csv.gz", ("fnlwgt",)), "ins": Whole("tables/insurance.csv.gz")}
"""By the first part of a split's name."""


class Rest(NamedTuple):
    """What of a complete table is no training row."""

    rows: pd.DataFrame
    """At most `MOST` rows of it."""
    own_rate: float
    """The share of all of it that equals a training row."""


def rest_of(data_dir: Path, table: str, train: pd.DataFrame, schema: Schema) -> Rest | None:
    """The rest of the table from which a split was drawn; None where that is not known whole."""
    whole = WHOLE.get(table.partition("_")[0])
    if whole is None:
        return None
    rows = pd.read_csv(data_dir / whole.file, na_values="?").drop(columns=list(whole.left_out)).dropna()
    # The splits write one name in capitals.
    rows = rows.set_axis(train.columns, axis=1).sample(frac=1.0, random_state=0, ignore_index=True)
    book = Codebook(schema, [rows, train])
    hashes = RowHashes({"rows": book.encode(rows), "train": book.encode(train)})
    is_left = beyond(hashes.rows("rows"), hashes.rows("train"))
    is_copy = hashes.copies("rows", "train")
    return Rest(rows[is_left].head(MOST).reset_index(drop=True), float(is_copy[is_left].mean()))


def beyond(rows: NDArray[np.uint64], taken: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows are left when each of `taken` takes one equal row away, the first ones first: bool [n_rows]."""
    left = Counter(taken.tolist())
    kept = np.ones(len(rows), dtype=bool)
    for at, row in enumerate(rows.tolist()):
        if left[row] > 0:
            left[row] -= 1
            kept[at] = False
    return kept

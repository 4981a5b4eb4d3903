"""The rest of the tables from which few rows were drawn: a test that a couple of hundred rows is too small to be.

Of 200 test rows a figure such as F1 is off by .03 by luck alone, and a share of copies below half a percent cannot be
seen. Adult and Insurance are known whole: what is no training row there is a test of 3,000 rows, and of 665 to 1,239.
Training rows leave it one for one, so that a row that stands twice in the table may stand on either side: how often
rows of the rest equal a training row is the rate at which fresh real rows do (of insurance never: one row of the table
has a twin). Not quite the law of the splits: in a tenth of Adult's training rows cells stand filled in that the table
has as missing. Here rows with missing cells are left out.
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
LEAST_FOUND = 0.85
"""Where fewer of the training rows stand in the table it is another table, or written another way."""


WHOLE = {"adult": "tables/adult.csv.gz", "ins": "tables/insurance.csv.gz"}
"""The complete tables, by the first part of a split's name."""


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
    table_rows = pd.read_csv(data_dir / whole, na_values="?").dropna()
    names = [str(column) for column in train]  # the splits write one name in capitals
    ours = table_rows[[name.lower() for name in names]].set_axis(names, axis=1)
    rows = ours.sample(frac=1.0, random_state=0, ignore_index=True)
    book = Codebook(schema, [rows, train])
    hashes = RowHashes({"rows": book.encode(rows), "train": book.encode(train)})
    found = float(hashes.copies("train", "rows").mean())
    if found < LEAST_FOUND:
        raise ValueError(
            f"Table {table!r}: {found:.0%} of its training rows stand in {whole}, expected nine in ten."
        )
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

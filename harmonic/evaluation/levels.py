"""Levels that the training rows do not have: a few are news, most of a column are another code.

What enters is a categorical column of the real and of another table; what leaves is counts and sentences, never a
level, for a rare one can name a person. Rows are compared by the texts of their levels: a table that writes 0 where the
real one writes "f" hides every copy it holds. So a column none of whose cells is a level of the real one is refused,
and one of which most are not is warned of, unless the real rows have so many levels that chance does the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import beta, binom

from harmonic.errors import HarmonicError
from harmonic.table.columns import encode_values
from harmonic.table.schema import Column

CODED = 1e-3
"""Chance at which unseen levels are more than fresh rows of the law would bring."""
REMEDY = "Write the column as in the real table, or drop it from all of them."


@dataclass(frozen=True)
class Unseen:
    """The cells of one column of one table whose level no training row has."""

    label: str
    role: str
    n_cells: int
    n_filled: int
    n_levels: int
    n_blank: int
    """Cells that would hold a known level, but for blanks at its ends."""
    is_coded: bool
    """More than half of the filled cells, and more than chance."""

    @property
    def note(self) -> str:
        levels = "1 level" if self.n_levels == 1 else f"{self.n_levels:,} levels"
        return (
            f"Column {self.label}: {self.n_cells:,} cells of the {self.role} table hold {levels} that the training "
            f"rows do not have{_blanks(self)}."
        )

    @property
    def warning(self) -> str:
        return (
            f"Column {self.label}: {self.n_cells:,} of {self.n_filled:,} cells of the {self.role} table hold no level "
            f"of the real one{_blanks(self)}. {REMEDY}"
        )

    @property
    def caveat(self) -> str:
        """What it means for the verdict."""
        if self.role == "synthetic":
            return (
                f"Copies could not be seen in rows whose cell in column {self.label} is written otherwise than in the "
                f"real table ({self.n_cells:,} of {self.n_filled:,} synthetic rows)."
            )
        return (
            f"The {self.role} rows are a poor control: {self.n_cells:,} of their {self.n_filled:,} cells in column "
            f"{self.label} are written otherwise than in the real table."
        )


def find_unseen(series: pd.Series, real: pd.Series, column: Column, role: str) -> Unseen:
    """The cells of `series` whose level does not stand in `real`. Raises HarmonicError where that is every cell."""
    plain = replace(column, other="")  # a code would be one rare level more
    known, new_share = _known(real, plain, column.other)
    codes, texts, _ = encode_values(series, plain)
    new = {code: text for code, text in enumerate(texts) if text is not None and text not in known}
    blank = [code for code, text in new.items() if text.strip() in known]
    count, n_filled = int(np.isin(codes, list(new)).sum()), int((codes >= 0).sum())
    is_coded = 2 * count > n_filled and binom.sf(count - 1, n_filled, new_share) < CODED
    found = Unseen(
        column.label, role, count, n_filled, len(new), int(np.isin(codes, blank).sum()), bool(is_coded)
    )
    if is_coded and count == n_filled:
        raise HarmonicError(
            f"Column {column.name!r}: no cell of the {role} table holds a level of the real one{_blanks(found)}; its "
            f"dtype is {series.dtype}, that of the real one {real.dtype}. {REMEDY}"
        )
    return found


def _known(real: pd.Series, plain: Column, other: str) -> tuple[set[str], float]:
    """The levels of the real column, and the chance that a fresh cell has none of them.

    That chance is the share of cells whose level stands once (Good 1953, after Turing), one cell added, and of those
    that were grouped: its upper limit (Clopper and Pearson 1934), for it is a guess from few rows itself.
    """
    codes, texts, _ = encode_values(real, plain)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    grouped = sum(int(count) for text, count in zip(texts, counts, strict=True) if other and text == other)
    n_new, n_cells = 1 + int((counts == 1).sum()) + grouped, 1 + int(counts.sum())
    new_share = float(beta.ppf(1 - CODED, n_new + 1, n_cells - n_new)) if n_new < n_cells else 1.0
    return {text for text in (*texts, *plain.levels, other) if text}, new_share


def _blanks(found: Unseen) -> str:
    """That blanks are to blame, where they are."""
    return f" ({found.n_blank:,} but for blanks at the ends)" if found.n_blank else ""

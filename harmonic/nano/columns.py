"""Columns of a generated table as arrays, and their canonical text.

What enters is a signal or level codes for all rows; what leaves is a `Drawn` column, and from it the canonical texts
of the rows that are shown. Only `texts` makes strings: that is the slow part, so the population behind a schema
stays numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from harmonic.nano.laws import LAWS, Maker, number_law
from harmonic.nano.mechanisms import (
    Array,
    Codes,
    limited,
    log_uniform,
    pick,
    standardised,
    unit_ranks,
    weighted,
)
from harmonic.table.schema import Kind

Mask = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Drawn:
    """One column as drawn, for all rows."""

    kind: Kind
    values: NDArray[Any]
    """integer, decimal: floats; categorical, boolean: codes into `levels`; datetime: datetime64[s]."""
    signal: Array
    """What other columns read of it: about mean 0 and deviation 1."""
    hint: str = ""
    """What it is about, for its name: "age", "money", "ordered", ..."""
    decimals: int = 0
    resolution: str = ""
    levels: tuple[str, ...] = ()
    """By code; empty texts until they are named."""
    stem: str = ""
    """The raw name; of a derived column a pattern such as "{} code" around its source's raw name."""
    source: Drawn | None = None
    parents: tuple[Drawn, ...] = ()
    """The columns and hidden causes it was made from."""
    twin: Drawn | None = None
    """A column of the same block, whose level texts this one shares."""
    missing: Mask | None = None

    @property
    def is_coded(self) -> bool:
        return self.kind in ("categorical", "boolean")

    @property
    def is_number(self) -> bool:
        return self.kind in ("integer", "decimal")

    def read(self, rng: Generator) -> Array:
        """The signal for one reader; of an unordered category, a fresh number a level."""
        if not self.is_coded or (self.hint == "ordered" and rng.random() < 0.7):
            return self.signal
        return standardised(rng.standard_normal(len(self.levels))[self.values])


def number(
    rng: Generator,
    signal: Array,
    laws: dict[Maker, float] = LAWS,
    quirk_share: float = 0.25,
    *,
    is_raw: bool = False,
) -> Drawn:
    """A numeric column that follows the signal; others read the signal itself or (`is_raw` False) maybe the values."""
    law = number_law(rng, signal, laws, quirk_share)
    seen = limited(signal) if is_raw or rng.random() < 0.5 else limited(standardised(law.values))
    return Drawn("decimal" if law.decimals else "integer", law.values, seen, law.hint, law.decimals)


def coded(rng: Generator, codes: Codes, k: int, *, is_ordered: bool) -> Drawn:
    """A category column of these codes; its levels are named later."""
    signal = standardised(codes.astype(float)) if is_ordered else standardised(rng.standard_normal(k)[codes])
    return Drawn("categorical", codes, signal, "ordered" if is_ordered else "category", levels=("",) * k)


_UNITS: dict[str, tuple[Literal["D", "m", "s"], int]] = {
    "day": ("D", 86_400),
    "minute": ("m", 60),
    "second": ("s", 1),
}


def datetime(rng: Generator, signal: Array) -> Drawn:
    """Dates between two days; times of day to the second, the minute, the quarter or the hour."""
    resolution = weighted(rng, {"day": 6.0, "minute": 2.0, "second": 1.0})
    start = np.datetime64(int(rng.integers(-3_000, 19_000)), "D").astype("datetime64[s]").astype(np.int64)
    seconds = log_uniform(rng, 20, 8_000) * 86_400 * unit_ranks(rng, signal)
    step = _UNITS[resolution][1]
    if resolution == "minute":
        step *= pick(rng, (1, 1, 5, 15, 60))
    values = (start + np.floor(seconds / step) * step).astype(np.int64).astype("datetime64[s]")
    return Drawn("datetime", values, limited(standardised(seconds)), "date", resolution=resolution)


# --- canonical text -------------------------------------------------------------------------------


def texts(column: Drawn, rows: slice | NDArray[Any]) -> list[str]:
    """The canonical texts of these rows; missing cells are not yet taken out."""
    values = column.values[rows]
    if column.is_coded:
        return [column.levels[code] for code in values.tolist()]
    if column.kind == "integer":
        return [str(value) for value in values.astype(np.int64).tolist()]
    if column.kind == "datetime":
        written = np.datetime_as_string(values, unit=_UNITS[column.resolution][0]).tolist()
        return [text.replace("T", " ") for text in written]
    form = f"%.{column.decimals}f"
    return [_short(form % value) for value in values.tolist()]


def _short(text: str) -> str:
    """Without trailing zeros, and without the minus of -0."""
    text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def settle(column: Drawn, seen: int) -> None:
    """Declare no more decimal places than the seen rows have; a decimal column of whole numbers becomes integer."""
    if column.kind != "decimal":
        return
    column.values = np.round(column.values, column.decimals) + 0.0
    while column.decimals and np.array_equal(np.round(column.values, column.decimals - 1), column.values):
        column.decimals -= 1
    if column.decimals == 0:
        column.kind = "integer"

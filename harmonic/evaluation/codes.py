"""Tables as numbers: one codebook for all tables of a report, so that equal cells get equal numbers.

What enters is frames of one schema; what leaves is one float matrix a frame. Numbers stay numbers,
datetimes are days, every other cell is the code of its text, commonest first in the training rows; a
missing cell is NaN. Texts are compared by identity where copies are counted, and by length where shapes are
(`measures`). A cell that does not fit its column (a word among numbers) counts as missing here; validity
reports it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.table.cells import encode_values
from harmonic.table.schema import Column, Schema

Floats = NDArray[np.float64]
DAY = 86_400e6
"""Microseconds."""
MAX_LEVELS = 250
"""Boosted trees take at most 255 categories: rarer levels share the last code in `measures`."""


@dataclass(frozen=True)
class Codes:
    """One table. `cells`: float [n_rows, n_columns], NaN where missing; `lengths`: the text columns'
    lengths."""

    columns: tuple[Column, ...]
    cells: Floats
    lengths: Floats
    levels: tuple[tuple[str, ...], ...]
    """The text of each code, per column; empty for numbers and datetimes."""

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def is_level(self) -> NDArray[np.bool_]:
        """Per column of `measures`: whether its numbers are codes of levels, without order."""
        return np.array([column.kind in ("categorical", "boolean") for column in self.columns], dtype=bool)

    @cached_property
    def is_ordered(self) -> NDArray[np.bool_]:
        """Per column of `cells`: whether its numbers are amounts (integer, decimal, datetime)."""
        return np.array([_is_ordered(column) for column in self.columns], dtype=bool)

    @cached_property
    def measures(self) -> Floats:
        """What shapes and classifiers see: amounts, text lengths, and level codes cut at `MAX_LEVELS`."""
        texts = np.array([column.kind == "text" for column in self.columns], dtype=bool)
        made = np.where(texts, self.lengths, self.cells)
        made[:, self.is_level] = np.minimum(made[:, self.is_level], MAX_LEVELS)
        return made

    def take(self, rows: NDArray[np.intp]) -> Codes:
        """The table of those rows."""
        return Codes(self.columns, self.cells[rows], self.lengths[rows], self.levels)

    def head(self, n: int, generator: np.random.Generator) -> Codes:
        """At most `n` random rows, without replacement; the table itself where it has no more."""
        return self if len(self) <= n else self.take(generator.choice(len(self), size=n, replace=False))

    def index(self, column: Column) -> int:
        """The position of a column."""
        return self.columns.index(column)


def stack(first: Codes, second: Codes) -> Codes:
    """The rows of both tables of one codebook, the first one's first."""
    return Codes(
        first.columns,
        np.vstack([first.cells, second.cells]),
        np.vstack([first.lengths, second.lengths]),
        first.levels,
    )


class Codebook:
    """Learns the levels of all frames, those of the first one (the training rows) commonest first."""

    def __init__(self, schema: Schema, frames: Sequence[pd.DataFrame]) -> None:
        self.schema = schema
        self.levels = tuple(
            () if _is_ordered(column) else _levels([_texts(frame, column) for frame in frames])
            for column in schema.modelled
        )

    def encode(self, frame: pd.DataFrame, *, strict: bool = True) -> Codes:
        """The frame as numbers. Every level must stand in one of the codebook's frames, or else, not strict, is missing
        (a text is not: it has its length)."""
        modelled = self.schema.modelled
        cells, lengths = np.empty((len(frame), len(modelled))), np.empty((len(frame), len(modelled)))
        for i, (column, levels) in enumerate(zip(modelled, self.levels, strict=True)):
            codes, texts = _texts(frame, column)
            known = {text: float(code) for code, text in enumerate(levels)}
            cells[:, i] = _spread(_numbers(texts, column, known, strict), codes)
            lengths[:, i] = _spread([np.nan if text is None else float(len(text)) for text in texts], codes)
        return Codes(modelled, cells, lengths, self.levels)


def _texts(frame: pd.DataFrame, column: Column) -> tuple[NDArray[np.intp], list[str | None]]:
    """Codes of the rows (-1: missing) and the canonical texts of the distinct values, None where unreadable."""
    codes, texts, _ = encode_values(frame[column.name], column)
    return codes, texts


def _numbers(
    texts: Sequence[str | None], column: Column, known: dict[str, float], strict: bool
) -> list[float]:
    if column.is_numeric:
        return [np.nan if text is None else float(text) for text in texts]
    if column.kind == "datetime":
        return [
            np.nan if text is None else float(np.datetime64(text, "us").astype("int64")) / DAY
            for text in texts
        ]
    return [np.nan if text is None else known[text] if strict else known.get(text, np.nan) for text in texts]


def _spread(values: Sequence[float], codes: NDArray[np.intp]) -> Floats:
    """The values of all rows; NaN where the code is -1."""
    return np.array([*values, np.nan])[codes]


def _levels(columns: Sequence[tuple[NDArray[np.intp], list[str | None]]]) -> tuple[str, ...]:
    """The texts of all frames: the first frame's by count, then the others'; ties by text."""
    found: dict[str, None] = {}
    for codes, texts in columns:
        counts: Counter[str] = Counter()
        for text, count in zip(texts, np.bincount(codes[codes >= 0], minlength=len(texts)), strict=True):
            if text is not None:
                counts[text] += int(count)
        found.update(dict.fromkeys(sorted(counts, key=lambda text: (-counts[text], text))))
    return tuple(found)


def _is_ordered(column: Column) -> bool:
    return column.is_numeric or column.kind == "datetime"

"""Words among numbers: which of them mean missing, and which columns write their numbers with a decimal comma.

The cells of a file's columns enter, with the markers that are declared; markers that were found leave, with a
sentence for each. A column that would be numbers but for a few other words stays text, and that is said too.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harmonic.table.markers import INFINITE
from harmonic.table.numbers import NUMBER

MARKERS = (
    "?",
    "NA",
    "N/A",
    "n/a",
    "nan",
    "NaN",
    "null",
    "NULL",
    "None",
    "<NA>",
    "#N/A",
    "NaT",
    "-",
    ".",
    "missing",
)
"""Words that mean missing where nothing but numbers stands beside them."""
_FEW = 0.05
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Look:
    """What a column of texts holds beside its declared markers."""

    counts: Mapping[str, int]
    """Rows of each word: of each text that is no number."""
    n_numbers: int
    """Rows that hold a number."""
    decimal: str

    def words(self) -> list[str]:
        """The words that are not blank."""
        return [word for word in self.counts if word.strip()]

    def has_blanks(self) -> bool:
        return len(self.words()) < len(self.counts)


def look(cells: np.ndarray, markers: Collection[str], *, has_commas: bool) -> Look:
    """Numbers and words of a column; commas are decimal where they may be and no number has a point."""
    codes, uniques = pd.factorize(cells)
    rows = dict(zip(uniques, np.bincount(codes, minlength=len(uniques)).tolist(), strict=True))
    present = {text: n for text, n in rows.items() if text not in markers}
    points = {text for text in present if NUMBER.fullmatch(text.strip()) or text.strip() in INFINITE}
    has_commas = has_commas and not any("." in text for text in points)
    commas = {text for text in present if has_commas and _has_decimal_comma(text)}
    numbers = points | commas
    words = {text: n for text, n in present.items() if text not in numbers}
    n_numbers = sum(n for text, n in present.items() if text in numbers and text.strip() not in INFINITE)
    return Look(words, n_numbers, "," if commas else ".")


def _has_decimal_comma(text: str) -> bool:
    return "," in text and NUMBER.fullmatch(text.strip().replace(",", ".")) is not None


def add_blanks(looks: Mapping[Hashable, Look], markers: dict[Hashable, tuple[str, ...]]) -> list[str]:
    """Adds the blank cells of columns that are numbers, but for words that are markers already, and says so."""
    decisions = []
    for name, seen in looks.items():
        if seen.n_numbers and seen.has_blanks() and {*seen.words()} <= {*markers[name]}:
            markers[name] = (*markers[name], *(word for word in seen.counts if not word.strip()))
            decisions.append(f"Column {name!r}: blank cells stand among numbers only: read as missing.")
    return decisions


def add_words(looks: Mapping[Hashable, Look], markers: dict[Hashable, tuple[str, ...]]) -> list[str]:
    """Adds to `markers` the known words that keep a column from being numeric, and says so.

    "?" is then missing in every column; other words ("NA", "None") only where they stand among numbers, for
    elsewhere they may be levels.
    """
    found = {
        name: seen.words()
        for name, seen in looks.items()
        if seen.n_numbers and seen.words() and all(word.strip() in MARKERS for word in seen.words())
    }
    decisions = []
    for name, words in found.items():
        markers[name] = (*markers[name], *words)
        if said := [repr(word) for word in words if word != "?"]:
            stand = "stands" if len(said) == 1 else "stand"
            decisions.append(
                f"Column {name!r}: {', '.join(said)} {stand} among numbers only: read as missing."
            )
    numeric = [str(name) for name, words in found.items() if "?" in words]
    if numeric:
        for name, seen in looks.items():
            if "?" not in markers[name] and "?" in seen.counts:
                markers[name] = (*markers[name], "?")
        decisions.append(
            f"'?' is read as missing in every column, for it stands among numbers in {', '.join(numeric)}."
        )
    return decisions


def sentences(looks: Mapping[Hashable, Look], markers: Mapping[Hashable, tuple[str, ...]]) -> list[str]:
    """Which columns have decimal commas, and which would be numbers but for a few words."""
    decisions = []
    commas = []
    for name, seen in looks.items():
        words = {word: n for word, n in seen.counts.items() if word not in markers[name]}
        if not words and seen.decimal == ",":
            commas.append(str(name))
        n_words = sum(words.values())
        has_codes = any(word.strip().isdigit() for word in words)  # 007 is meant as it stands
        if words and not has_codes and n_words <= _FEW * (n_words + seen.n_numbers):
            example = next((word for word in words if word.strip()), next(iter(words)))[:_LONGEST_SHOWN]
            decisions.append(
                f"Column {name!r}: numbers but for {n_words} cell(s) such as {example!r}: read as texts; "
                "declare `missing` if they mean missing."
            )
    if commas:
        decisions.append(
            f"Commas are read as decimal points in: {', '.join(commas)} (dtype = 'str' keeps the texts)."
        )
    return decisions

"""Rows as text, and the fewest edits between them: what a reader who knows no schema would compare.

What enters is coded tables; what leaves is one string a row (its cells, without labels, joined by commas) and
normalized Levenshtein distances, by rapidfuzz. The search for the closest text begins with the nearest row
of the mixed-type distance, so that most comparisons end early: some ten times faster than the whole matrix,
with the same result, and in no memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from harmonic.evaluation.codes import DAY, Codes

STREAM_TEXTS = 546
MAX_CHARACTERS = 256
"""Longer row texts are cut."""
MAX_PAIRS = 40_000_000
"""Record x published texts compared; beyond, published texts are drawn at random. Some 20 s on one core."""

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def row_texts(table: Codes) -> list[str]:
    """Every row's cells, joined by commas, at most `MAX_CHARACTERS` long; a missing cell is empty."""
    columns = []
    for i in range(len(table.columns)):
        values, places = np.unique(table.cells[:, i], return_inverse=True)
        texts = [_cell_text(table, i, value) for value in values.tolist()]
        columns.append([texts[place] for place in places.tolist()])
    return [",".join(cells)[:MAX_CHARACTERS] for cells in zip(*columns, strict=True)]


def _cell_text(table: Codes, i: int, value: float) -> str:
    if np.isnan(value):
        return ""
    if not table.is_ordered[i]:
        return table.levels[i][int(value)]
    if table.columns[i].kind == "datetime":
        return str(np.datetime64(round(value * DAY), "us")).removesuffix("T00:00:00.000000")
    return np.format_float_positional(value, trim="-")


def n_compared(n_asked: int, n_published: int) -> int:
    """How many published texts each record is compared with."""
    return min(n_published, max(1, MAX_PAIRS // max(1, n_asked)))


def nearest_texts(asked: Sequence[str], published: Sequence[str], guesses: Ints, seed: int) -> Floats:
    """Edits from each text to the closest published one, as a share of the longer text: [n_asked], 0 ... 1.

    guesses: int [n_asked], a published text that is probably close; it is always among those compared.
    """
    generator = np.random.default_rng([seed, STREAM_TEXTS])
    chosen = generator.permutation(len(published))[: n_compared(len(asked), len(published))]
    kept = [published[i] for i in np.sort(chosen)]
    distances = np.empty(len(asked))
    for i, text in enumerate(asked):
        least = Levenshtein.normalized_distance(text, published[guesses[i]])
        if least > 0:
            best = process.extractOne(text, kept, scorer=Levenshtein.normalized_distance, score_cutoff=least)
            least = least if best is None else best[1]
        distances[i] = least
    return distances

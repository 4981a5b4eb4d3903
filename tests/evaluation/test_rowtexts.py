from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.evaluation import rowtexts
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.rowtexts import n_compared, nearest_texts, row_texts
from harmonic.table.infer import infer_schema

TEXTS = st.lists(st.text("ab,1", max_size=6), min_size=1, max_size=8)


def _edits(a: str, b: str) -> int:
    """Levenshtein's distance, by his recursion."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@given(TEXTS, TEXTS, st.integers(0, 100))
def test_the_closest_text_is_that_of_a_plain_loop_whatever_was_guessed(
    asked: list[str], published: list[str], guess: int
) -> None:
    guesses = np.full(len(asked), guess % len(published))
    expected = [min(_edits(a, b) / max(len(a), len(b), 1) for b in published) for a in asked]
    assert np.allclose(nearest_texts(asked, published, guesses, 0), expected)


def test_rows_read_as_their_cells_without_labels() -> None:
    frame = pd.DataFrame(
        {
            "n": [1, 2] * 10,
            "x": [0.5, None] * 10,
            "who": ["Ann, jr", "日本"] * 10,
            "when": pd.to_datetime(["2020-02-03 00:00", "2020-02-04 05:06"] * 10),
        }
    )
    schema = infer_schema(frame)
    texts = row_texts(Codebook(schema, [frame]).encode(frame))
    assert texts[0] == "1,0.5,Ann, jr,2020-02-03"
    assert texts[1].startswith("2,,日本,2020-02-04T05:06")


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowtexts, "MAX_PAIRS", 20)
    assert n_compared(10, 500) == 2
    assert n_compared(100, 500) == 1
    published = [f"row {i}" for i in range(50)]
    # what was guessed is compared even where it was not drawn
    assert nearest_texts(["row 7"] * 20, published, np.full(20, 7), 0).max() == 0

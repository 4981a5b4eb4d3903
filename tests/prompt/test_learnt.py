"""What an adapter says of the prompts it learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmonic.errors import HarmonicError
from harmonic.prompt.learnt import FILE, Learnt, read_learnt, write_learnt


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_learnt(tmp_path) is None
    learnt = Learnt("target_last", examples=0, rows=1)
    write_learnt(tmp_path, learnt)
    assert read_learnt(tmp_path) == learnt


def test_an_order_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"order": "shuffled"}')
    assert read_learnt(tmp_path) == Learnt("shuffled")


@pytest.mark.parametrize(
    "text", ['{"order": "sideways"}', '{"rows": 3}', '["fixed"]', '{"order": "fixed", "k": 5}']
)
def test_anything_else_is_a_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(HarmonicError, match="expected an object of examples, order, rows"):
        read_learnt(tmp_path)

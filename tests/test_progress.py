"""Progress: counts on a terminal or in the log, and never more than there is."""

from __future__ import annotations

import logging

import pytest

from harmonic import progress
from harmonic.progress import Progress


def test_a_line_a_minute_where_there_is_no_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 40))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    caplog.set_level(logging.INFO, logger="harmonic")
    with Progress("rows", 100) as shown:
        for done in (10, 20, 30, 40):
            shown.reach(done)
    assert [record.message.split(",")[0] for record in caplog.records] == ["20 of 100 rows", "40 of 100 rows"]


def test_pieces_add_up_and_a_quiet_one_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="harmonic")
    with Progress("rows", 10, enabled=False) as shown:
        shown.reach(3)
        shown.advance(4)
        shown.reach(99)
        shown.advance(6)
    assert shown.done == 10
    assert not caplog.records


def test_what_stood_before_is_no_part_of_the_rate(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 40))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    caplog.set_level(logging.INFO, logger="harmonic")
    with Progress("rows", 1000) as shown:
        shown.skip(900)
        shown.advance(40)
    assert caplog.records[-1].message == "940 of 1000 rows, 0.5 a second, about 120 s left"

"""The contest: halving as in the book, the same rows for all, and a winner that is ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.mallm.contest import LEAST_ROWS, hold_contest, rounds
from harmonic.mallm.discriminator import Judgement
from harmonic.mallm.generator import Candidate
from harmonic.table.graph import CausalGraph
from harmonic.table.schema import Row

GRAPH = CausalGraph.empty(["a", "b"])


def _candidates(n: int) -> list[Candidate]:
    return [Candidate(GRAPH, f"{number}") for number in range(n)]


class Lab:
    """Candidates write their own number; the judge knows how good each number is."""

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = scores
        self.drawn: dict[str, list[tuple[int, int]]] = {}

    def draw(self, candidate: Candidate, first: int, stop: int) -> list[Row]:
        self.drawn.setdefault(candidate.guidance, []).append((first, stop))
        return [(candidate.guidance,)] * (stop - first)

    def judge(self, rows: Sequence[Row]) -> Judgement:
        score = self.scores[int(str(rows[0][0]))]
        return Judgement(score + np.array([-0.01, 0.01]), 0.0, 0.0, 0.0)


def test_the_best_challenger_wins_and_the_others_write_fewer_rows() -> None:
    lab = Lab([0.30, 0.40, 0.20, 0.35, 0.25])
    defender, *challengers = _candidates(5)
    found = hold_contest(defender, challengers, lab.draw, lab.judge, 100)
    assert [one.candidate.guidance for one in found.challengers] == ["2", "4", "3", "1"]
    assert found.gain == pytest.approx(0.10)
    assert found.error == 0.0
    assert found.winner(1.0) is found.challengers[0]
    assert lab.drawn["0"] == lab.drawn["2"] == [(0, 50), (50, 100)]
    assert lab.drawn["1"] == [(0, 50)]


def test_a_challenger_that_is_behind_is_not_taken() -> None:
    lab = Lab([0.1, 0.2])
    found = hold_contest(*_split(2), lab.draw, lab.judge, 40)
    assert found.gain < 0
    assert found.winner(0.0) is found.defender


def test_without_challengers_the_defender_is_judged_alone() -> None:
    lab = Lab([0.1])
    found = hold_contest(*_split(1), lab.draw, lab.judge, 40)
    assert (found.gain, found.challengers) == (0.0, ())
    assert found.winner(0.0) is found.defender
    assert len(found.defender.rows) == 40


@given(st.integers(0, 40), st.integers(10, 2000))
def test_every_round_writes_more_rows_and_the_last_one_all(n_challengers: int, n_rows: int) -> None:
    counts = rounds(n_challengers, n_rows)
    assert counts == sorted(set(counts))
    assert counts[-1] == n_rows
    assert counts[0] >= min(LEAST_ROWS, n_rows)
    assert len(counts) <= max(1, int(np.ceil(np.log2(max(1, n_challengers)))))


def _split(n: int) -> tuple[Candidate, list[Candidate]]:
    defender, *challengers = _candidates(n)
    return defender, challengers

from __future__ import annotations

import numpy as np
import pytest

from harmonic.evaluation.byheart import Answers, measure_digits, measure_places, verdict_of
from harmonic.evaluation.figures import holm

N = 60
NONE = np.zeros(N, dtype=bool)


def answers(place: float = 0.0, digits: float = 0.0, law: float = 0.0, seed: int = 0) -> Answers:
    """place, digits: nats that memory is worth; law: nats that any exchange costs."""
    noise = np.random.default_rng(seed).normal(size=(5, N))
    row = np.random.default_rng(seed).normal(-40, 20, size=N)  # rare and frequent rows
    return Answers(*(row + noise + np.array([place + digits, digits, place - law, 0.0, -law])[:, None]))


def test_what_memory_adds_is_found_where_it_is() -> None:
    found = answers(place=3)
    assert measure_places(found, NONE, NONE, "").p_values["place"] < 1e-6
    assert measure_digits(found, ~NONE).p_values["digits"] > 0.01
    found = answers(digits=3)
    assert measure_places(found, NONE, NONE, "").p_values["place"] > 0.01
    assert measure_digits(found, ~NONE).excess.value == pytest.approx(3, abs=0.6)


def test_what_the_law_says_of_exchanged_rows_is_taken_off() -> None:
    digits = measure_digits(answers(law=5), ~NONE)
    assert digits.nats.value == pytest.approx(5, abs=0.5)
    assert digits.nats.noise_floor == pytest.approx(5, abs=0.5)
    assert digits.excess.low < 0 < digits.excess.high
    assert digits.p_values["digits"] > 0.01


def test_rows_written_in_their_place_are_counted_beside_those_written_anywhere() -> None:
    here, there = np.arange(N) < 30, np.arange(N) < 6
    places = measure_places(answers(), here, there, "")
    assert (places.written.value, places.written.noise_floor) == (0.5, 0.1)
    assert places.p_values["written"] == 0.5**24


def test_an_order_that_can_be_guessed_has_figures_and_no_p_value() -> None:
    places = measure_places(answers(place=3), NONE, NONE, "month")
    assert places.nats.value > 2
    assert places.p_values == {}


def test_the_verdict_says_what_was_counted_and_what_was_not() -> None:
    found = answers(place=3)
    places, few = measure_places(found, NONE, NONE, ""), measure_digits(found, np.arange(N) < 9)
    said = verdict_of(places, few, holm(places.p_values | few.p_values))
    assert said.startswith("The base seems to know this table: ")
    assert "it takes 10 rows with amounts that can be exchanged for others near in rank, here are 9" in said
    assert "letter by letter" not in said
    found = answers()
    places, digits = measure_places(found, NONE, NONE, "month"), measure_digits(found, ~NONE)
    said = verdict_of(places, digits, digits.p_values)
    assert said.startswith("No sign that the base knows the table by heart: ")
    assert "their order can be guessed, by 'month'" in said
    assert verdict_of(places, few, {}).startswith("Whether the base knows this table cannot be said.")

"""Rows under conditions in a learnt order follow the model given its conditions: all rows counted is the oracle."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic import Harmonic
from harmonic.candidates import CANDIDATES, ROUNDS, draw_rows, is_weighed
from harmonic.config import BudgetSection, PromptSection, SampleSection
from harmonic.decode.conditions import conditions_of, head_of, split_known
from harmonic.decode.sampler import Draw, Prompt
from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import Instruction
from harmonic.table.cells import from_rows, to_rows
from harmonic.table.infer import infer_schema

LEVELS = {"size": ["small", "middle", "large"], "colour": ["red", "green"], "class": ["no", "yes"]}
N = 400


def _fitted(columns: list[str], folder: Path, **prompt: Any) -> Harmonic:
    """Nano after some steps on twelve possible rows: size follows colour, class follows both."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 2, 96)
    size = np.where(rng.random(96) < 0.8, 2 * colour, 1)
    answer = np.where(rng.random(96) < 0.9, size > 0, size == 0).astype(int)
    codes = {"size": size, "colour": colour, "class": answer}
    frame = pd.DataFrame({name: np.array(LEVELS[name])[codes[name]] for name in columns})
    made = Harmonic(
        prompt=PromptSection(crossover=0, **prompt),
        budget=BudgetSection(steps=60),
        train={"per_device_train_batch_size": 8},
    )
    return made.fit(frame, infer_schema(frame, target="class"), out=folder)


def _law(model: Harmonic) -> dict[tuple[str, ...], float]:
    """The probability of every row under the mask."""
    rows = list(product(*(LEVELS[str(column.name)] for column in model.schema_.modelled)))
    scores = model.score(from_rows(rows, model.schema_))["masked"]
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-4)
    return dict(zip(rows, np.exp(scores), strict=True))


def _distance(model: Harmonic, law: dict[tuple[str, ...], float], asked: dict[str, Any]) -> float:
    """Total variation of N rows under conditions to the law given these."""
    conditions = conditions_of(model.schema_, asked.get("given"), asked.get("where", ()))
    meets = {row: all(one.holds(row[one.place]) for one in conditions) for row in law}
    expected = np.array([law[row] * meets[row] for row in law])
    expected /= expected.sum()
    made = Counter(to_rows(model.sample(N, seed=1, **asked), model.schema_))
    found = np.array([made[row] for row in law]) / N
    assert found[expected == 0].sum() == 0
    return float(np.abs(found - expected).sum() / 2)


LIMIT = np.sqrt(12 / (2 * np.pi * N)) + 2.5 / np.sqrt(4 * N)
"""N draws from a law of twelve rows are farther from it in one of some thousand tables at most."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Harmonic:
    return _fitted(["size", "colour", "class"], tmp_path_factory.mktemp("run"), order="target_last")


@pytest.fixture(scope="module")
def law(model: Harmonic) -> dict[tuple[str, ...], float]:
    return _law(model)


@pytest.mark.parametrize(
    "asked",
    [
        {"given": {"class": "yes"}},
        {"given": {"colour": "green", "class": "no"}},
        {"where": ["colour == 'red'"], "given": {"class": "yes"}},
        {"where": ["size != 'middle'"], "given": {"class": "yes"}},
        {"given": {"size": "large"}},
    ],
)
def test_rows_under_conditions_follow_the_model_given_them(
    asked: dict[str, Any], model: Harmonic, law: dict[tuple[str, ...], float]
) -> None:
    assert _distance(model, law, asked) < LIMIT


def test_in_exact_mode_they_follow_the_model_without_its_mask(model: Harmonic) -> None:
    rows = list(product(*LEVELS.values()))
    full = np.exp(model.score(from_rows(rows, model.schema_))["full"].to_numpy())
    law = dict(zip(rows, full, strict=True))
    for asked in ({"given": {"class": "no"}}, {"given": {"colour": "green"}, "where": ["size != 'large'"]}):
        assert _distance(model, law, {**asked, "settings": SampleSection(exact=True)}) < LIMIT


def test_without_weights_they_would_not(
    model: Harmonic, law: dict[tuple[str, ...], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmonic.candidates._weights", lambda *given: dict.fromkeys(given[2].rows, 0.0))
    assert _distance(model, law, {"given": {"class": "no"}}) > LIMIT


def test_a_narrowed_column_behind_a_free_one_is_weighed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _fitted(["class", "colour", "size"], tmp_path, order="fixed")
    asked = {"where": ["size != 'middle'"]}
    law = _law(model)
    assert _distance(model, law, asked) < LIMIT
    asked = {"where": ["size != 'large'"]}
    assert _distance(model, law, asked) < LIMIT
    monkeypatch.setattr("harmonic.candidates._weights", lambda *given: dict.fromkeys(given[2].rows, 0.0))
    assert _distance(model, law, asked) > LIMIT


def test_rows_that_are_weighed_and_rows_that_are_not_are_drawn_beside_each_other(model: Harmonic) -> None:
    sampler = model._drawer.sampler(SampleSection())
    order, schema = (0, 1, 2), model.schema_
    given = [conditions_of(schema, {"class": "yes"}), (), conditions_of(schema, {"size": "large"})]

    def prompts(numbers: range) -> list[Prompt]:
        made = []
        for number in numbers:
            kept, known = split_known(order, given[number % 3])
            made.append(
                sampler.prompt([], order, first_row=number, n_rows=1, conditions=kept, asked=1, known=known)
            )
        return made

    seen: list[int] = []
    whole = draw_rows(sampler, prompts(range(30)), seed=5, progress=seen.append).rows
    assert sorted(whole) == list(range(30))
    assert seen[-1] == 30 and seen == sorted(seen)
    parts = [draw_rows(sampler, prompts(range(first, first + 10)), seed=5).rows for first in (0, 10, 20)]
    assert {number: row for part in parts for number, row in part.items()} == whole
    assert all(whole[number][2] == "yes" for number in range(0, 30, 3))
    assert all(whole[number][0] == "large" for number in range(2, 30, 3))


def test_rows_chosen_by_weight_are_counted_and_said(
    model: Harmonic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = SampleSection(rows=8, given={"class": "yes"})
    assert model.draw(0, 8, settings=settings).usage.by_weight == 0
    monkeypatch.setattr("harmonic.candidates._weights", lambda *given: dict.fromkeys(given[2].rows, -50.0))
    usage = model.draw(0, 8, settings=settings).usage
    assert (usage.candidates, usage.by_weight) == (8 * CANDIDATES, 8)
    model.sample(8, given={"class": "yes"})
    assert "100 % of the rows" in caplog.text


def test_the_audit_asks_what_the_mask_costs_and_not_how_rare_conditions_are(model: Harmonic) -> None:
    settings = SampleSection(rows=64, given={"class": "no"}, where=("colour == 'red'",))
    free, bound = (
        model.audit(model.draw(0, 64, settings=one).rows, settings=one)
        for one in (SampleSection(rows=64), settings)
    )
    assert free is not None and bound is not None
    assert bound.kept_mass == pytest.approx(free.kept_mass, abs=0.1)


def test_what_nothing_free_stands_before_needs_no_candidates(model: Harmonic) -> None:
    schema, order = model.schema_, (0, 1, 2)
    sampler = model._drawer.sampler

    def weighed(given: dict[str, str] | None = None, where: tuple[str, ...] = ()) -> bool:
        kept, known = split_known(order, conditions_of(schema, given, where))
        ask = sampler(SampleSection()).prompt
        return is_weighed(ask([], order, first_row=0, n_rows=1, conditions=kept, known=known))

    assert not weighed()
    assert not weighed({"size": "large", "colour": "red"})
    assert not weighed(where=("size != 'large'",))
    assert weighed({"colour": "red"})
    assert weighed({"class": "yes", "size": "small"})
    assert weighed({"class": "yes"}, ("size != 'large'",))
    assert sum(ROUNDS) == CANDIDATES


def test_the_head_of_an_order_ends_at_its_first_column_that_is_not_given(model: Harmonic) -> None:
    conditions = conditions_of(model.schema_, {"size": "small"}, ["colour == 'red'"])
    assert head_of((0, 1, 2), conditions) == conditions
    assert head_of((1, 0, 2), conditions) == conditions
    assert head_of((2, 0, 1), conditions) == ()
    assert split_known((2, 0, 1), conditions) == ((), {0: "small", 1: "red"})


def test_a_row_whose_candidates_all_break_a_rule_is_named_by_its_own_number(model: Harmonic) -> None:
    settings = SampleSection(rules=("size == 'small'", "size == 'large'"), max_attempts=2)
    with pytest.raises(HarmonicError, match=r"^Row [0-4]: 2 draws of it were all rejected"):
        model.sample(5, given={"class": "yes"}, settings=settings)


class Tossing:
    """A sampler of rows that depend on their number and the seed alone: ("0",) ... ("9",), each as likely."""

    exact = False

    def draw(self, prompts: list[Prompt], *, seed: int, progress: Any = None) -> Draw:
        made = Draw()
        for prompt in prompts:
            for number in range(prompt.first_row, prompt.first_row + prompt.n_rows):
                assert number not in made.rows
                made.rows[number] = (str(np.random.default_rng([seed, number]).integers(10)),)
                made.log_known[number] = 0.0
        return made


def _calls(first: int, stop: int, size: int) -> list[Prompt]:
    return [Prompt(Instruction("", (), ""), (0,), number, size) for number in range(first, stop, size)]


def _favour(rows: Any) -> np.ndarray:
    """The greater a number the likelier it is taken: 10 % to all."""
    return np.log([(int(row[0]) + 1) / 10 for row in rows])


@pytest.mark.parametrize("size", [1, 5])
def test_rows_are_taken_as_they_weigh_whatever_a_prompt_asks_for(size: int) -> None:
    n = 4000
    drawn = draw_rows(Tossing(), _calls(0, n, size), seed=3, weigh=_favour)  # type: ignore[arg-type]
    assert sorted(drawn.rows) == list(range(n))
    found = np.bincount([int(row[0]) for row in drawn.rows.values()], minlength=10) / n
    expected = np.arange(1, 11) / 55
    assert np.abs(found - expected).sum() / 2 < np.sqrt(10 / (2 * np.pi * n)) + 2.5 / np.sqrt(4 * n)
    assert drawn.usage.by_weight <= n // 100
    part = draw_rows(Tossing(), _calls(2000, 2100, size), seed=3, weigh=_favour)  # type: ignore[arg-type]
    assert part.rows == {number: drawn.rows[number] for number in range(2000, 2100)}


def test_where_luck_takes_too_few_the_places_left_are_filled_by_weight() -> None:
    def seldom(rows: Any) -> np.ndarray:
        return np.log([0.004 if row[0] == "9" else 0.0005 for row in rows])

    drawn = draw_rows(Tossing(), _calls(0, 1000, 5), seed=3, weigh=seldom)  # type: ignore[arg-type]
    assert len(drawn.rows) == 1000
    assert drawn.usage.candidates == 1000 * CANDIDATES
    assert drawn.usage.by_weight > 900
    share = np.mean([row == ("9",) for row in drawn.rows.values()])
    assert (
        0.35 < share < 0.6
    )  # the first of a prompt 8 of 17 times, of eighty candidates, the next ones less often

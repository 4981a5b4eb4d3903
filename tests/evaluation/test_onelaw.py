"""Training and holdout rows of two laws are told apart; two random parts of one table are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation import evaluate
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.onelaw import OneLaw, compare_laws
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

People = Callable[[int, int], pd.DataFrame]


def _compare(real: pd.DataFrame, holdout: pd.DataFrame, schema: Schema) -> OneLaw:
    book = Codebook(schema, [real, holdout])
    return compare_laws(book.encode(real), book.encode(holdout), 0)


def test_two_parts_of_one_table_are_of_one_law(people: People, people_schema: Schema) -> None:
    found = [_compare(people(150, seed), people(80, 100 + seed), people_schema) for seed in range(10)]
    assert sum(bool(law.signs) for law in found) <= 1


@pytest.mark.slow
def test_two_parts_of_one_table_are_called_two_laws_less_than_once_in_fifty(
    people: People, people_schema: Schema
) -> None:
    found = [_compare(people(150, seed), people(80, 1_000 + seed), people_schema) for seed in range(100)]
    assert sum(bool(law.signs) for law in found) <= 2


def test_rows_of_another_year_or_kind_are_told_apart(people: People, people_schema: Schema) -> None:
    rows = people(400, 0).sort_values("dose", ignore_index=True)
    found = _compare(rows[:250], rows[250:], people_schema)
    assert found.auc.value is not None
    assert found.auc.value > 0.95
    assert found.signs == [f"training and holdout rows can be told apart (AUC {found.auc.value:.2f})"]


def test_a_column_that_the_holdout_lacks_is_named(people: People, people_schema: Schema) -> None:
    holdout = people(80, 1)
    holdout.loc[:39, "dose"] = np.nan
    found = _compare(people(150, 0), holdout, people_schema)
    assert (
        "column dose is missing in 0.0 % of the training rows and 50.0 % of the holdout rows" in found.signs
    )
    holdout.loc[3:, "dose"] = 100.0
    assert not _compare(people(150, 0), holdout, people_schema).gaps


def test_too_few_rows_say_nothing(people: People, people_schema: Schema) -> None:
    assert not _compare(people(5, 0), people(3, 1), people_schema).signs
    assert not _compare(people(5, 0), people(0, 1), people_schema).signs


def test_a_leak_beside_a_holdout_of_another_law_is_kept_and_qualified(
    people: People, people_schema: Schema
) -> None:
    rows = people(400, 0).sort_values("dose", ignore_index=True)
    synthetic = pd.concat([rows[:40], people(60, 1)], ignore_index=True)
    report = evaluate(real=rows[:250], synthetic=synthetic, holdout=rows[250:], schema=people_schema)
    verdict = report.privacy.verdict
    assert (
        verdict.startswith("Leakage found. 40 generated rows") and "may be of the split and not of" in verdict
    )
    assert report.roles.warnings[-1].startswith("Training and holdout rows can be told apart (AUC ")
    drawn = evaluate(
        real=people(150, 2), synthetic=people(80, 3), holdout=people(80, 4), schema=people_schema
    )
    assert "sample of one law" not in drawn.privacy.verdict


def test_the_verdict_without_a_leak_is_qualified_too(people: People) -> None:
    schema = infer_schema(people(500, 9), target="outcome")
    holdout = people(80, 2)
    holdout.loc[:39, "test"] = None
    report = evaluate(real=people(150, 0), synthetic=people(80, 1), holdout=holdout, schema=schema)
    assert "column test is missing in" in report.privacy.verdict
    assert "they are no sample of one law" in report.privacy.verdict

"""Members and controls are rows of one law also where real rows repeat one another: fresh rows raise no alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation import evaluate, suite
from harmonic.evaluation.report import Report
from harmonic.evaluation.utility import Extent
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema
from harmonic.table.splits import split_roles

COLUMNS = ["age", "workclass", "education", "marital.status", "sex", "income"]
DRAWS = range(10, 16)
pytestmark = pytest.mark.usefixtures("small_models")


@pytest.fixture(autouse=True)
def _small_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little of what is not asked here."""
    small = suite.Suite(200, 100, 1, 600, 2_000, 20, Extent())
    monkeypatch.setattr(suite, "SUITES", {**suite.SUITES, "quick": small})


@pytest.fixture(scope="module")
def adult(data_dir: Path) -> pd.DataFrame:
    """Six columns with their duplicates: of 600 rows a quarter has a twin."""
    table = pd.read_csv(data_dir / "tables" / "adult.csv.gz")
    table.columns = [name.replace("-", ".").replace("_", ".") for name in table.columns]
    return table[COLUMNS]


@pytest.fixture(scope="module")
def schema(adult: pd.DataFrame) -> Schema:
    return infer_schema(adult.sample(5_000, random_state=0).reset_index(drop=True))


def _parts(table: pd.DataFrame, seed: int, *sizes: int) -> list[pd.DataFrame]:
    drawn = table.sample(sum(sizes), random_state=seed)
    ends = np.cumsum(sizes)
    return [drawn[end - n : end].reset_index(drop=True) for end, n in zip(ends, sizes, strict=True)]


def _check_calm(reports: list[Report]) -> None:
    """Of six fresh tables one may raise an alarm by chance; the attacks hit one half on average."""
    assert sum(bool(report.privacy.leaks) for report in reports) <= 1
    aucs = [report.privacy.membership.value for report in reports]
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.02)
    assert np.mean([report.privacy.dcr.value for report in reports]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([report.privacy.dcr_share.value for report in reports]) == pytest.approx(0.5, abs=0.02)


def test_fresh_rows_beside_a_holdout_as_given_raise_few_alarms(adult: pd.DataFrame, schema: Schema) -> None:
    reports = []
    for seed in DRAWS:
        real, fresh, holdout = _parts(adult, seed, 600, 600, 600)
        reports.append(evaluate(real=real, synthetic=fresh, holdout=holdout, schema=schema, seed=seed))
        assert reports[-1].roles.n_shared > 50
    _check_calm(reports)


def test_fresh_rows_beside_a_holdout_of_our_own_split_raise_few_alarms(
    adult: pd.DataFrame, schema: Schema
) -> None:
    reports = []
    for seed in DRAWS:
        own, fresh = _parts(adult, seed, 1_200, 600)
        parts = split_roles(own, schema, seed=seed, test=0.3, val=0.1)
        assert len(parts.twins) == parts.removed["test"] > 50
        tables = {"real": parts.train, "synthetic": fresh, "holdout": parts.test}
        reports.append(evaluate(**tables, twins=parts.twins, schema=schema, seed=seed))
        assert reports[-1].sizes.holdout == len(parts.test)
    _check_calm(reports)


def test_a_holdout_whose_twins_are_unknown_is_warned_of(adult: pd.DataFrame, schema: Schema) -> None:
    own, fresh = _parts(adult, 0, 1_200, 300)
    parts = split_roles(own, schema, test=0.3, val=0.0)
    tables = {"real": parts.train, "synthetic": fresh, "holdout": parts.test, "schema": schema}
    assert "pass them as twins" in evaluate(**tables).roles.warnings[0]
    assert not evaluate(**tables, twins=parts.twins).roles.warnings


def test_every_record_of_an_attack_stands_once_in_train_and_holdout_together(
    adult: pd.DataFrame, schema: Schema
) -> None:
    real, fresh, holdout = _parts(adult, 3, 300, 300, 200)
    found = evaluate(real=real, synthetic=fresh, holdout=holdout, schema=schema).privacy
    is_alone = ~pd.concat([real, holdout]).duplicated(keep=False).to_numpy()
    assert (found.n_members, found.n_controls) == (is_alone[:300].sum(), is_alone[300:].sum())
    assert found.copies.holdout.value == pytest.approx(holdout.merge(real.drop_duplicates()).shape[0] / 200)

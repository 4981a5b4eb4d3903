"""Audit runs: coins, records of every kind, and nothing drawn from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic import auditing, journey
from harmonic.config import AuditSection, Config, config_from_dict
from harmonic.errors import HarmonicError
from harmonic.run import Run
from harmonic.table.cells import validate
from harmonic.table.infer import infer_schema, observe
from harmonic.table.policy import Policy
from harmonic.table.schema import Schema


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, Schema]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(0, 1, 80).round(2), "kind": rng.choice(["a", "b"], 80)})
    frame.loc[7, "x"] = 40.0
    return frame, observe(infer_schema(frame, target="kind"), frame, Policy())


@pytest.mark.parametrize("kind", ["rows", "outliers", "mixed"])
def test_coins_part_the_records_and_leave_the_rest_alone(
    kind: str, table: tuple[pd.DataFrame, Schema]
) -> None:
    frame, schema = table
    coins = auditing.toss(frame, schema, AuditSection(records=40, kind=kind), seed=1)  # type: ignore[arg-type]
    assert len(coins.records) == len(coins.is_in) == 40
    assert 8 < coins.is_in.sum() < 32
    assert len(coins.rest) == (80 if kind == "mixed" else 40)
    assert len(coins.train) == len(coins.rest) + coins.is_in.sum()
    assert validate(coins.records, schema) == []
    if kind != "mixed":
        together = pd.concat([coins.records, coins.rest]).sort_values(["x", "kind"], ignore_index=True)
        pd.testing.assert_frame_equal(together, frame.sort_values(["x", "kind"], ignore_index=True))
    if kind == "outliers":
        assert 40.0 in set(coins.records["x"])


def test_coins_are_those_of_the_seed(table: tuple[pd.DataFrame, Schema]) -> None:
    one, same, other = (auditing.toss(*table, AuditSection(records=30), seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.records, same.records)
    assert (one.is_in == same.is_in).all()
    assert not one.records.equals(other.records)


def test_too_many_records_are_refused_before_anything_trains(table: tuple[pd.DataFrame, Schema]) -> None:
    with pytest.raises(HarmonicError, match=r"records is 79, and 80 rows train.*Set records to 78"):
        auditing.toss(*table, AuditSection(records=79), seed=0)


def _config(folder: Path, frame: pd.DataFrame) -> Config:
    frame.to_csv(folder / "t.csv", index=False)
    data = {
        "run": {"out": str(folder / "run")},
        "table": {"source": str(folder / "t.csv"), "target": "kind"},
        "budget": {"steps": 2},
        "audit": {"records": 24},
    }
    return config_from_dict(data)


def test_an_audit_stands_in_a_folder_of_its_own_and_gives_no_rows(
    tmp_path: Path, table: tuple[pd.DataFrame, Schema]
) -> None:
    plain = _config(tmp_path, table[0])
    config = auditing.audit_config(plain)
    assert config.folder == f"{plain.folder}-audit"
    with Run.open(config.folder, config.to_json()) as run:
        bound = auditing.audit(run, config)
        found = json.loads(run.path(auditing.AUDIT).read_text())
        assert found["bound"] == bound.bound
        assert found["verdict"] == auditing.verdict(bound, AuditSection(records=24))
        assert [audit["attack"] for audit in found["audits"]] == [
            "loss", "reference", "error zone", "Min-K%++", "distance",
        ]  # fmt: skip
        again = auditing.audit(run, config)
        assert again == bound, "a finished training is read, not repeated"
        with pytest.raises(HarmonicError, match="is an audit"):
            journey.load(run, config)
    assert not (tmp_path / "run").exists()


def test_a_loop_that_trains_nothing_has_no_audit(tmp_path: Path, table: tuple[pd.DataFrame, Schema]) -> None:
    config = config_from_dict({"table": {"source": "t.csv"}, "run": {"method": "mallm"}})
    with pytest.raises(HarmonicError, match="trains nothing"):
        auditing.audit_config(config)

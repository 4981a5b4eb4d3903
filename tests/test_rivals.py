from __future__ import annotations

import importlib
import sys
import tomllib
from argparse import Namespace
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def rivals(repository: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(repository / "scripts"))
    yield importlib.import_module("benchmarks.rivals")
    sys.path.remove(str(repository / "scripts"))


def test_every_published_figure_is_a_share_or_a_score(rivals: ModuleType) -> None:
    published = tomllib.loads(rivals.PUBLISHED.read_text())
    assert list(published) == list(rivals.TABLES)
    for table in published.values():
        assert {"n_train", "n_test", "real", "resampled", "independent", "class_conditional", "smote"} == set(
            table
        )
        for rival in ("resampled", "independent", "class_conditional", "smote"):
            assert all(-1 <= value <= 1 for value in table[rival].values())
            assert len(table[rival]) == 9 + ("auc" in table["real"])


def test_a_figure_is_held_to_its_stated_noise_and_then_to_that_of_the_seeds(rivals: ModuleType) -> None:
    steady, wild = [0.60, 0.60, 0.60], [0.50, 0.60, 0.70]
    published = {"c2st": Decimal("0.64"), "utility": Decimal("0.600"), "mia": Decimal("0.53")}
    marks = rivals.compared({"c2st": steady, "utility": steady, "mia": steady}, published)
    assert marks == {
        "within": "2 of 3",
        "c2st": "0.600 (0.64)",
        "utility": "0.600 (0.600)",
        "mia": "0.600 (0.53)!",
    }
    assert rivals.compared({"mia": wild}, published)["mia"] == "0.600 (0.53)~"
    assert rivals.compared({"utility": steady}, {"utility": Decimal("0.61")})["utility"] == "0.600 (0.61)!"
    assert rivals.compared({"dcr": steady}, {}) == {"dcr": "0.600"}


def test_the_clean_splits_have_the_published_sizes(rivals: ModuleType, data_dir: Path) -> None:
    for name, n_test in (("ins_400clean", 168), ("ins_800clean", 130), ("ins_100", 200)):
        train, test, schema = rivals.read_split(data_dir, name)
        assert len(test) == n_test
        assert schema.task == "regression"
        assert not set(test.itertuples(index=False, name=None)) & set(
            train.itertuples(index=False, name=None)
        ) or (name == "ins_100")


@pytest.mark.slow
def test_real_rows_measure_what_was_published_and_are_read_again(
    rivals: ModuleType, data_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("xgboost", reason="the extra 'paper' is not installed")
    arguments = Namespace(data_dir=data_dir, only=["adult_100"], seeds=2, out=str(tmp_path))
    rows = list(rivals.measure(arguments))
    assert rows[0]["shape"] == "0.934 (0.934)" and rows[0]["pair"] == "0.838 (0.838)"
    assert [row["rival"] for row in rows] == ["real", *rivals.RIVALS]
    place = tmp_path / "rivals" / "adult_100.json"
    written = place.stat().st_mtime_ns
    assert list(rivals.measure(arguments)) == rows
    assert place.stat().st_mtime_ns == written

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from harmonic.baselines import IndependentMarginals, ResampledRows
from harmonic.errors import HarmonicError
from harmonic.evaluation import yardstick
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.yardstick import Yardstick, c2st_in_groups, measure_yardstick
from harmonic.table.infer import infer_schema

pytest.importorskip("xgboost", reason="the extra 'paper' is not installed")


def _rows(n: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=n).round(3)
    frame = pd.DataFrame({"x": x, "y": (x + generator.normal(0, 0.5, n)).round(3)})
    frame["c"] = np.where(frame["y"] + generator.normal(0, 0.5, n) > 0, "up", "down")
    frame["d"] = generator.choice(list("pqrs"), n)
    return frame


TRAIN, TEST = _rows(120, 0), _rows(100, 1)
SCHEMA = infer_schema(TRAIN, target="c")


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardstick, "N_TREES", 20)
    monkeypatch.setattr(yardstick, "N_ROUNDS", 20)


def _measured(made: pd.DataFrame, seed: int = 0) -> Yardstick:
    return measure_yardstick(real=TRAIN, synthetic=made, holdout=TEST, schema=SCHEMA, seed=seed)


def test_copied_rows_are_near_and_known_and_fresh_ones_are_not() -> None:
    copied, fresh = _measured(ResampledRows().fit(TRAIN, SCHEMA).sample(120)), _measured(_rows(120, 2))
    assert copied.copies == 1.0 and copied.dcr == 1.0 and copied.mia > 0.75
    assert fresh.copies == 0.0 and abs(fresh.dcr - 0.5) < 0.12 and abs(fresh.mia - 0.5) < 0.12
    assert abs(fresh.c2st - 0.5) < 0.15 and abs(copied.c2st - 0.5) < 0.15
    assert copied.auc is not None and copied.auc > 0.8


def test_independent_columns_keep_shapes_and_lose_pairs_and_utility() -> None:
    made, fresh = _measured(IndependentMarginals().fit(TRAIN, SCHEMA).sample(120)), _measured(_rows(120, 2))
    assert made.shape > 0.85
    assert made.pair < fresh.pair - 0.05
    assert made.c2st > fresh.c2st + 0.1
    assert made.utility < fresh.utility - 0.15
    assert made.utility <= made.utility_best


def test_shape_and_pair_are_those_of_scipy_and_pandas() -> None:
    made = _rows(90, 5)
    found = _measured(made)
    ks = [ks_2samp(TRAIN[name], made[name]).statistic for name in "xy"]
    shares = [
        (TRAIN[name].value_counts(normalize=True) - made[name].value_counts(normalize=True)).abs().sum() / 2
        for name in "cd"
    ]
    assert found.shape == pytest.approx(1 - np.mean([*ks, *shares]))
    errors = [abs(TRAIN[["x", "y"]].corr().iloc[0, 1] - made[["x", "y"]].corr().iloc[0, 1]) / 2]
    binned = {}
    for name in "xy":
        cuts = [-np.inf, *TRAIN[name].quantile(np.arange(1, 10) / 10), np.inf]
        binned[name] = [pd.cut(table[name], cuts, labels=False) for table in (TRAIN, made)]
    binned |= {name: [TRAIN[name], made[name]] for name in "cd"}
    for first, second in ("xc", "xd", "yc", "yd", "cd"):
        tables = [pd.crosstab(binned[first][i], binned[second][i], normalize=True).stack() for i in (0, 1)]
        errors.append(tables[0].sub(tables[1], fill_value=0.0).abs().sum() / 2)
    assert found.pair == pytest.approx(1 - np.mean(errors))


def test_mia_and_dcr_are_those_of_a_plain_search() -> None:
    made = _rows(40, 6)
    spans = {name: TRAIN[name].max() - TRAIN[name].min() for name in "xy"}

    def gap(row: pd.Series, table: pd.DataFrame) -> float:
        total = sum((table[name] - row[name]).abs() / spans[name] for name in "xy")
        return float((total + (table["c"] != row["c"]) + (table["d"] != row["d"])).min() / 4)

    found = _measured(made)
    members, others = ([gap(row, made) for _, row in table.iterrows()] for table in (TRAIN, TEST))
    truth = np.repeat([1, 0], [len(TRAIN), len(TEST)])
    assert found.mia == pytest.approx(roc_auc_score(truth, -np.array([*members, *others])))
    near, far = ([gap(row, TRAIN) for _, row in table.iterrows()] for table in (made, TEST))
    truth = np.repeat([1, 0], [len(made), len(TEST)])
    assert found.dcr == pytest.approx(roc_auc_score(truth, -np.array([*near, *far])))


def test_twins_of_a_row_do_not_give_it_away() -> None:
    made = ResampledRows().fit(TRAIN, SCHEMA).sample(120)
    codebook = Codebook(SCHEMA, [TEST, made])
    found = np.mean([c2st_in_groups(codebook.encode(TEST), codebook.encode(made), seed=s) for s in range(3)])
    assert abs(found - 0.5) < 0.12


def test_regression_has_r2_and_no_auc() -> None:
    schema = infer_schema(TRAIN, target="y")
    found = measure_yardstick(real=TRAIN, synthetic=_rows(120, 3), holdout=TEST, schema=schema)
    assert found.auc is None and 0.5 < found.utility <= found.utility_best < 1


def test_what_has_no_target_or_too_few_rows_is_refused_with_a_word() -> None:
    with pytest.raises(HarmonicError, match="Declare the target"):
        measure_yardstick(real=TRAIN, synthetic=TRAIN, holdout=TEST, schema=infer_schema(TRAIN))
    with pytest.raises(HarmonicError, match="Pass more rows"):
        _measured(_rows(8, 0))

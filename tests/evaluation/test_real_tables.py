"""Distances on three real tables, held to scipy's and pandas' own formulas."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, spearmanr

from harmonic.baselines import IndependentMarginals
from harmonic.evaluation import evaluate, twosample
from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.fidelity import Fidelity, measure_fidelity, shape_errors, trend_errors
from harmonic.evaluation.marginals import measure_triples
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

TARGETS = {"adult": "income", "sick": "Class", "insurance": "charges"}
N = 400
Table = tuple[Schema, dict[str, pd.DataFrame], dict[str, Codes]]


@pytest.fixture(scope="module", params=TARGETS)
def table(request: pytest.FixtureRequest, data_dir: Path) -> Table:
    """Two disjoint parts of a real table, and the second one with every column shuffled on its own."""
    name = request.param
    whole = pd.read_csv(data_dir / f"tables/{name}.csv.gz", na_values="?").sample(2 * N, random_state=0)
    target = next((column for column in whole if column == TARGETS[name]), whole.columns[-1])
    real, synthetic = whole.head(N).reset_index(drop=True), whole.tail(N).reset_index(drop=True)
    shuffled = pd.DataFrame(
        {c: synthetic[c].sample(frac=1, random_state=i).array for i, c in enumerate(whole)}
    )
    schema = infer_schema(real, target=target)
    frames = {"holdout": real, "synthetic": synthetic, "independent": shuffled, "real": synthetic}
    book = Codebook(schema, list(frames.values()))
    return schema, frames, {role: book.encode(frame) for role, frame in frames.items()}


def _texts(frame: pd.DataFrame, name: object) -> pd.Series:
    """A level column's cells as texts, missing ones as a level of their own."""
    return frame[name].astype("string").fillna("missing")


def _tenths(reference: pd.Series, asked: pd.Series, n_bins: int) -> np.ndarray:
    """Bins by hand: how many of the reference's inner quantiles lie below; -1 for a missing cell."""
    inner = [np.nanquantile(reference.astype(float), step / n_bins) for step in range(1, n_bins)]
    above = np.array([sum(float(cell) > cut for cut in sorted(set(inner))) for cell in asked])
    return np.where(asked.isna(), -1, above)


def _crossed(columns: list[np.ndarray | pd.Series]) -> pd.Series:
    """Shares of the combinations, by pandas."""
    named = pd.DataFrame({str(place): np.asarray(column) for place, column in enumerate(columns)})
    return named.value_counts(normalize=True)


def _apart(first: pd.Series, second: pd.Series) -> float:
    return float(first.sub(second, fill_value=0.0).abs().sum() / 2)


def test_column_errors_are_those_of_scipy_and_pandas(table: Table) -> None:
    schema, frames, codes = table
    found = shape_errors(codes["holdout"], codes["independent"])
    for error, column in zip(found, schema.modelled, strict=True):
        real, other = (frames[role][column.name] for role in ("holdout", "independent"))
        if column.is_numeric:
            filled = (cells.astype(float).fillna(-1e12) for cells in (real, other))
            assert error == pytest.approx(ks_2samp(*filled, method="asymp").statistic), column.label
        else:
            shares = (
                _texts(frames[role], column.name).value_counts(normalize=True)
                for role in ("holdout", "independent")
            )
            assert error == pytest.approx(_apart(*shares)), column.label


def _binned(
    schema: Schema, frames: dict[str, pd.DataFrame], role: str, n_bins: int
) -> list[np.ndarray | pd.Series]:
    return [
        _tenths(frames["holdout"][column.name], frames[role][column.name], n_bins)
        if column.is_numeric
        else _texts(frames[role], column.name)
        for column in schema.modelled
    ]


def test_pair_errors_are_those_of_contingency_tables_and_rank_correlations(table: Table) -> None:
    schema, frames, codes = table
    found = trend_errors(codes["holdout"], codes["synthetic"])
    first, second = (_binned(schema, frames, role, 10) for role in ("holdout", "synthetic"))
    numeric = [column.is_numeric for column in schema.modelled]
    names = [column.name for column in schema.modelled]
    for i, j in combinations(range(len(names)), 2):
        if numeric[i] and numeric[j]:
            rho = [_rank_correlation(frames[role][[names[i], names[j]]]) for role in ("holdout", "synthetic")]
            expected = abs(rho[0] - rho[1]) / 2
        else:
            expected = _apart(_crossed([first[i], first[j]]), _crossed([second[i], second[j]]))
        assert found[i, j] == pytest.approx(expected), (names[i], names[j])


def _rank_correlation(pair: pd.DataFrame) -> float:
    both = pair.dropna().astype(float)
    if len(both) < 2 or (both.nunique() < 2).any():
        return 0.0
    return float(spearmanr(both).statistic)


def test_triples_are_contingency_tables_of_three_columns(table: Table) -> None:
    schema, frames, codes = table
    triples = measure_triples(codes, seed=0)
    first, second = (_binned(schema, frames, role, 5) for role in ("holdout", "synthetic"))
    labels = [column.label for column in schema.modelled]
    few = [
        column.is_numeric or len(codes["holdout"].levels[i]) <= 10 for i, column in enumerate(schema.modelled)
    ]
    checked = 0
    for triple in triples.farthest:
        places = [labels.index(label) for label in triple.labels]
        if all(few[place] for place in places):
            expected = _apart(_crossed([first[i] for i in places]), _crossed([second[i] for i in places]))
            assert triple.error == pytest.approx(expected), triple.labels
            checked += 1
    assert checked or not any(few)


def test_every_figure_of_a_real_table_is_finite_and_has_an_interval(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twosample, "N_ROUNDS", 5)
    _, _, codes = table
    fidelity: Fidelity = measure_fidelity(
        codes, seed=0, c2st_rows=200, c2st_repeats=1, progress=lambda _: None
    )
    for figure in (
        fidelity.shape,
        fidelity.trend,
        fidelity.c2st,
        fidelity.c2st_linear,
        fidelity.triples.score,
    ):
        assert figure.is_defined
        assert figure.low <= figure.value <= figure.high
    assert fidelity.shape.worst_case == pytest.approx(fidelity.shape.value)  # the same columns, shuffled
    assert fidelity.trend.worst_case < fidelity.trend.value


@pytest.mark.slow
def test_insurance_reads_as_it_was_measured_elsewhere(data_dir: Path) -> None:
    """Independent columns of the published split, cleaned of its leak: C2ST .77, R2 -.14, MIA .51, real rows R2 .78."""
    train, test = (
        pd.read_csv(data_dir / f"mallm_gan_splits/ins_400_{part}.csv") for part in ("train", "test")
    )
    known = set(train.itertuples(index=False, name=None))
    test = test[[row not in known for row in test.itertuples(index=False, name=None)]]
    schema = infer_schema(train, target="charges")
    synthetic = IndependentMarginals().fit(train, schema).sample(len(train))
    report = evaluate(real=train, synthetic=synthetic, holdout=test, schema=schema)
    assert report.fidelity.c2st.value == pytest.approx(0.77, abs=0.08)
    assert report.privacy.membership.value == pytest.approx(0.51, abs=0.05)
    assert report.privacy.dcr.value == pytest.approx(0.32, abs=0.06)
    assert report.utility.source("real").scores["r2"].value == pytest.approx(0.78, abs=0.04)
    assert report.utility.source("synthetic").scores["r2"].value < 0.05
    assert report.utility.source("class_conditional").scores["r2"].value == pytest.approx(0.62, abs=0.1)

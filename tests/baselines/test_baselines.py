from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonic.baselines import (
    ClassConditionalMarginals,
    GaussianCopula,
    IndependentMarginals,
    ResampledRows,
    Smote,
)
from harmonic.errors import HarmonicError
from harmonic.table.infer import infer_schema

ALL = [ResampledRows, IndependentMarginals, ClassConditionalMarginals, Smote, GaussianCopula]


def _mixed(n: int, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    size = generator.normal(170, 9, size=n).round(1)
    frame = pd.DataFrame(
        {
            "id": [f"P-{i:05}" for i in range(n)],
            "size": size,
            "visits": pd.array(generator.integers(9, size=n), dtype="Int64"),
            "ward": pd.Categorical(np.where(size > 170, "tall", "small")),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(generator.integers(99, size=n), unit="D"),
            "nothing": np.full(n, np.nan),
            "clinic": "north",
            "sick": pd.array(size + generator.normal(0, 3, size=n) > 172, dtype="boolean"),
        }
    )
    frame.loc[generator.random(n) < 0.2, ["visits", "ward"]] = None
    return frame


FRAME = _mixed(200)
SCHEMA = infer_schema(FRAME, target="sick")


@pytest.mark.parametrize("kind", ALL)
def test_a_baseline_gives_rows_of_the_same_dtypes_and_gaps(kind: type) -> None:
    made = kind().fit(FRAME, SCHEMA).sample(500, seed=1)
    assert made.shape == (500, 8)
    assert made.dtypes.to_dict() == FRAME.dtypes.to_dict()
    assert made.index.equals(pd.RangeIndex(500))
    for name in ("visits", "ward"):
        assert 0.1 < made[name].isna().mean() < 0.3
    assert made["nothing"].isna().all()
    assert (made["clinic"] == "north").all()


@pytest.mark.parametrize("kind", ALL)
def test_identifiers_are_made_afresh(kind: type) -> None:
    assert SCHEMA.column("id").kind == "identifier"
    made = kind().fit(FRAME, SCHEMA).sample(100)
    assert made["id"].is_unique
    assert made["id"].isin(FRAME["id"]).mean() < 0.2


@pytest.mark.parametrize("kind", ALL)
def test_one_seed_gives_one_table(kind: type) -> None:
    model = kind().fit(FRAME, SCHEMA)
    pd.testing.assert_frame_equal(model.sample(50, seed=3), kind().fit(FRAME, SCHEMA).sample(50, seed=3))
    assert not model.sample(50, seed=3).equals(model.sample(50, seed=4))


@pytest.mark.parametrize("kind", ALL)
def test_no_row_can_be_asked_for_and_one_row_learnt_from(kind: type) -> None:
    made = kind().fit(FRAME, SCHEMA).sample(0)
    assert made.dtypes.to_dict() == FRAME.dtypes.to_dict()
    assert len(kind().fit(FRAME.head(1), SCHEMA).sample(7)) == 7


def test_resampled_rows_are_training_rows() -> None:
    made = ResampledRows().fit(FRAME, SCHEMA).sample(300)
    rows = set(FRAME[["size", "seen", "sick"]].itertuples(index=False, name=None))
    assert set(made[["size", "seen", "sick"]].itertuples(index=False, name=None)) <= rows


def test_independent_marginals_keep_the_columns_and_lose_the_dependence() -> None:
    made = IndependentMarginals().fit(FRAME, SCHEMA).sample(2_000)
    assert made["size"].isin(FRAME["size"]).all()
    assert made["size"].mean() == pytest.approx(FRAME["size"].mean(), abs=0.7)
    tall = made["size"][made["sick"]].mean() - made["size"][~made["sick"]].mean()
    assert abs(tall) < 1.5


def test_class_conditional_marginals_keep_what_hangs_on_the_target_alone() -> None:
    made = ClassConditionalMarginals().fit(FRAME, SCHEMA).sample(4_000)
    by_class, real = made.groupby("sick")["size"].mean(), FRAME.groupby("sick")["size"].mean()
    assert by_class[True] == pytest.approx(real[True], abs=0.7)
    assert by_class[False] == pytest.approx(real[False], abs=0.7)
    sick = made[made["sick"]]
    assert (
        abs((sick["size"][sick["ward"] == "tall"].mean()) - sick["size"].mean()) < 1.0
    )  # independent inside


def test_a_class_of_a_numeric_target_is_a_tenth_of_it() -> None:
    train = pd.DataFrame({"x": np.arange(100.0) * 2 + 0.5, "y": np.arange(100.0) + 0.25})
    made = ClassConditionalMarginals().fit(train, infer_schema(train, target="y")).sample(1_000)
    assert ((made["x"] - 0.5) // 20 == (made["y"] - 0.25) // 10).all()
    assert np.corrcoef(made["x"] % 20, made["y"] % 10)[0, 1] < 0.15


def test_smote_lies_between_neighbours_of_one_class() -> None:
    train = pd.DataFrame({"x": [0.0, 1.25, 2.0, 100.0, 101.5, 102.0], "c": list("aaabbb")})
    made = Smote(k=2).fit(train, infer_schema(train, target="c")).sample(400)
    assert made["x"][made["c"] == "a"].between(0, 2).all()
    assert made["x"][made["c"] == "b"].between(100, 102).all()
    assert made["x"].nunique() > 100
    assert (made["x"] == made["x"].round(2)).all()


def test_smote_takes_the_commonest_level_of_the_neighbours() -> None:
    train = pd.DataFrame({"x": np.arange(9.0) / 100, "y": np.arange(9.0) / 50, "c": ["odd", *["even"] * 8]})
    made = Smote(k=3).fit(train, infer_schema(train)).sample(200)
    assert (made["c"] == "even").all()


def test_smote_gives_a_tie_of_levels_to_the_alphabetically_first() -> None:
    train = pd.DataFrame({"x": [0.0, 0.5, 100.0, 101.0, 103.0], "c": ["q", "z", "b", "a", "z"]})
    made = Smote(k=2).fit(train, infer_schema(train)).sample(300)
    assert set(made["c"][made["x"] >= 100]) == {"a", "b"}  # of each two neighbours with different levels


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))),
            st.integers(-5, 5),
            st.sampled_from(["a", "b", None]),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_any_small_table_can_be_learnt_by_all_of_them(rows: list[tuple]) -> None:
    train = pd.DataFrame(rows, columns=["x", "n", "c"]).astype({"x": float, "c": "str"})
    schema = infer_schema(train, target="n")
    for kind in ALL:
        made = kind().fit(train, schema).sample(5)
        assert made.dtypes.to_dict() == train.dtypes.to_dict()


def test_bad_input_is_refused_with_a_word() -> None:
    with pytest.raises(HarmonicError, match="0 rows"):
        ResampledRows().fit(FRAME.head(0), SCHEMA)
    with pytest.raises(HarmonicError, match="Column 'ward': not in the table"):
        IndependentMarginals().fit(FRAME.drop(columns="ward"), SCHEMA)
    with pytest.raises(HarmonicError, match="Target: the schema names none"):
        ClassConditionalMarginals().fit(FRAME, infer_schema(FRAME))


def test_real_tables_keep_their_dtypes(data_dir: Path) -> None:
    for name, target in (("online_shoppers_intention", "Revenue"), ("housing", None)):
        train = pd.read_csv(data_dir / f"tables/{name}.csv.gz", nrows=300)
        schema = infer_schema(train, target=target)
        for kind in (ResampledRows, IndependentMarginals, Smote):
            assert kind().fit(train, schema).sample(100).dtypes.to_dict() == train.dtypes.to_dict()

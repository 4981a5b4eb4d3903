from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from harmonic.baselines import GaussianCopula
from harmonic.table.cells import validate
from harmonic.table.infer import infer_schema

LATENT = np.array([[1.0, 0.8, -0.5], [0.8, 1.0, 0.0], [-0.5, 0.0, 1.0]])


def _gaussian(n: int, seed: int = 0, latent: np.ndarray = LATENT) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(latent)), latent, size=n)


def _fitted(frame: pd.DataFrame) -> GaussianCopula:
    return GaussianCopula().fit(frame, infer_schema(frame))


def test_the_correlation_of_gaussian_numbers_is_recovered_whatever_their_shape() -> None:
    z = _gaussian(4_000)
    frame = pd.DataFrame({"a": np.exp(z[:, 0]), "b": z[:, 1] ** 3, "c": z[:, 2]}).round(6)
    model = _fitted(frame)
    np.testing.assert_allclose(model.correlation_, np.corrcoef(z.T), atol=0.02)
    made = model.sample(20_000, seed=1)
    expected = (
        6 / np.pi * np.arcsin(np.corrcoef(z.T) / 2)
    )  # Spearman's rho of a Gaussian copula (Pearson 1907)
    np.testing.assert_allclose(spearmanr(made).statistic, expected, atol=0.03)


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.5, 0.8])
def test_the_tetrachoric_correlation_of_halved_normals_has_its_closed_form(rho: float) -> None:
    z = _gaussian(3_000, latent=np.array([[1.0, rho], [rho, 1.0]]))
    signs = z > np.median(z, axis=0)
    model = _fitted(pd.DataFrame({"a": signs[:, 0], "b": signs[:, 1]}))
    # boolean levels are laid out by commonness, here false and true alike: the sign is free, the size is not
    expected = np.sin(np.pi / 2 * np.mean(np.where(signs[:, 0] == signs[:, 1], 1.0, -1.0)))
    assert abs(model.correlation_[0, 1]) == pytest.approx(abs(expected), abs=0.01)


def test_levels_and_numbers_keep_their_dependence() -> None:
    z = _gaussian(4_000, latent=np.array([[1.0, 0.7], [0.7, 1.0]]))
    frame = pd.DataFrame(
        {"rich": np.where(z[:, 0] > norm.ppf(0.75), "yes", "no"), "income": z[:, 1].round(6)}
    )
    model = _fitted(frame)
    assert model.correlation_[0, 1] == pytest.approx(0.7, abs=0.03)
    made = model.sample(8_000)
    for level in ("yes", "no"):
        assert made["income"][made["rich"] == level].mean() == pytest.approx(
            frame["income"][frame["rich"] == level].mean(), abs=0.06
        )


def test_every_column_keeps_its_own_shares() -> None:
    frame = pd.DataFrame({"n": [1, 1, 1, 5, None], "c": ["a", "b", "b", None, "b"]})
    made = _fitted(frame).sample(20_000)
    for name in frame:
        shares = made[name].value_counts(normalize=True, dropna=False)
        expected = frame[name].value_counts(normalize=True, dropna=False)
        for level, share in expected.items():
            found = made[name].isna().mean() if pd.isna(level) else shares[level]
            assert found == pytest.approx(share, abs=0.015)


def test_a_missing_cell_stands_below_all_others() -> None:
    x = np.arange(400.0) + 0.5
    frame = pd.DataFrame({"x": x, "y": np.where(x < 80, np.nan, x // 8 + 0.25)})
    made = _fitted(frame).sample(2_000)
    assert made["x"][made["y"].isna()].mean() < 80
    assert made["x"][made["y"].notna()].mean() > 200


def test_ordered_levels_and_dates_kept_as_text_follow_their_order() -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=300))
    frame = pd.DataFrame(
        {
            "day": days.dt.strftime("%d.%m.%Y"),
            "size": pd.Categorical(np.repeat(["s", "m", "l"], 100), ["s", "m", "l"], ordered=True),
            "x": np.arange(300) * 3 + 1,
        }
    )
    model = _fitted(frame)
    assert (model.correlation_ > 0.9).all()


def test_contradicting_or_equal_columns_still_give_a_positive_definite_matrix() -> None:
    x = np.arange(60.0) + 0.5
    missing = np.where(np.arange(60) % 2 == 0, np.nan, x)
    frame = pd.DataFrame({"a": x, "b": x, "c": -x, "d": missing, "e": ["p", "q"] * 30, "f": ["q", "p"] * 30})
    model = _fitted(frame)
    assert np.linalg.eigvalsh(model.correlation_).min() > 0
    np.testing.assert_array_equal(np.diag(model.correlation_), 1.0)
    made = model.sample(500)
    assert spearmanr(made["a"], made["c"]).statistic < -0.98


def _every_kind(n: int) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    words = generator.choice(["", "one two", "drei \U0001f600", 'q"uo,te'], size=n)
    frame = pd.DataFrame(
        {
            "integer": pd.array(generator.integers(-40, 40, size=n) * 5, dtype="Int32"),
            "decimal": generator.gamma(2, 10, size=n).round(2),
            "categorical": pd.Categorical(generator.choice(list("abc"), size=n)),
            "boolean": pd.array(generator.random(n) < 0.3, dtype="boolean"),
            "datetime": pd.Timestamp("2024-03-01", tz="Europe/Berlin")
            + pd.to_timedelta(generator.integers(10**6, size=n), unit="min"),
            "text": [f"{word} {i % 97} and more of it" for i, word in enumerate(words)],
            "constant": "here",
            "identifier": [f"AB-{i:06}" for i in range(n)],
            "empty": np.nan,
            "waited": pd.to_timedelta(generator.integers(900, size=n), unit="s"),
        }
    )
    frame.loc[generator.random(n) < 0.2, ["integer", "decimal", "categorical", "boolean", "datetime"]] = None
    return frame


@pytest.mark.parametrize("n", [1, 2, 3, 200])
def test_every_kind_of_column_comes_out_valid_from_many_rows_or_one(n: int) -> None:
    frame = _every_kind(200).iloc[200 - n :].reset_index(drop=True)
    schema = infer_schema(frame, target="boolean")
    made = GaussianCopula().fit(frame, schema).sample(300, seed=2)
    assert made.dtypes.to_dict() == frame.dtypes.to_dict()
    assert validate(made, schema) == []
    if n == 200:
        kinds = {column.kind for column in schema.columns}
        assert kinds == {
            "integer", "decimal", "categorical", "boolean", "datetime", "text", "constant", "identifier"
        }  # fmt: skip
        assert made["identifier"].isin(frame["identifier"]).mean() < 0.2


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-3, 3)), st.sampled_from(["a", "b", None]), st.booleans()),
        min_size=1,
        max_size=9,
    )
)
def test_any_small_table_has_a_finite_positive_definite_correlation(rows: list[tuple]) -> None:
    frame = pd.DataFrame(rows, columns=["n", "c", "b"]).astype({"n": "Int64", "c": "str"})
    model = _fitted(frame)
    assert np.isfinite(model.correlation_).all()
    assert not len(model.correlation_) or np.linalg.eigvalsh(model.correlation_).min() > 0


def test_real_tables_keep_dtypes_and_values(data_dir: Path) -> None:
    for name in ("sick", "bike_hour"):
        frame = pd.read_csv(data_dir / f"tables/{name}.csv.gz", nrows=300, na_values="?")
        schema = infer_schema(frame)
        made = GaussianCopula().fit(frame, schema).sample(200)
        assert made.dtypes.to_dict() == frame.dtypes.to_dict()
        assert validate(made, schema) == []

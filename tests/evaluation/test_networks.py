from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from harmonic.errors import HarmonicError
from harmonic.evaluation.networks import Network, read_network

RAIN = """network weather { }
variable rain { type discrete [ 2 ] { yes, no }; }   // a comment
variable "grass" { type discrete [ 3 ] { dry, "wet through", flooded }; }
probability ( rain ) { table 0.2, 0.8; }
probability ( grass | rain ) {
  (yes) 0.1, 0.6, 0.3;
  (no) 0.9, 0.1, 0.0;
}
"""


def _read(tmp_path: Path, text: str) -> Network:
    path = tmp_path / "weather.bif"
    path.write_text(text.replace('"grass"', "grass"))
    return read_network(path)


@pytest.mark.parametrize(
    ("name", "n_variables", "n_states"),
    [("asia", 8, 256), ("cancer", 5, 32), ("sachs", 11, 3**11), ("child", 20, 1_007_769_600)],
)
def test_published_networks_are_read_whole(
    data_dir: Path, name: str, n_variables: int, n_states: int
) -> None:
    network = read_network(data_dir / f"bayesnets/{name}.bif")
    assert (len(network.variables), network.n_states) == (n_variables, n_states)
    for variable in network.variables:
        assert np.allclose(variable.probabilities.sum(axis=-1), 1.0)
    rows = network.sample(50)
    assert list(rows.columns) == list(network.names)
    assert np.isfinite(network.log_probabilities(rows)).all()
    if n_states < 1_000_000:
        assert network.joint().sum() == pytest.approx(1.0)


def test_the_joint_is_the_product_of_the_lines_of_the_file(tmp_path: Path) -> None:
    network = _read(tmp_path, RAIN)
    assert network.name == "weather"
    assert network.states().to_numpy().tolist() == [
        list(row) for row in product(["yes", "no"], ["dry", "wet through", "flooded"])
    ]
    assert network.joint().tolist() == pytest.approx([0.02, 0.12, 0.06, 0.72, 0.08, 0.0])


def test_a_row_of_asia_is_as_probable_as_by_hand(data_dir: Path) -> None:
    network = read_network(data_dir / "bayesnets/asia.bif")
    names = ("asia", "tub", "smoke", "lung", "bronc", "either", "xray", "dysp")
    row = dict(zip(names, ("no", "no", "yes", "no", "yes", "no", "no", "yes"), strict=True))
    by_hand = 0.99 * 0.99 * 0.5 * 0.9 * 0.6 * 1.0 * 0.95 * 0.8
    assert np.exp(network.log_probabilities(pd.DataFrame([row]))[0]) == pytest.approx(by_hand)
    impossible = row | {"either": "yes"}
    assert network.log_probabilities(pd.DataFrame([impossible]))[0] == -np.inf


def test_the_joint_gives_the_marginals_of_a_parentless_variable_and_of_its_child(data_dir: Path) -> None:
    network = read_network(data_dir / "bayesnets/sachs.bif")
    joint = network.joint().reshape([3] * 11)
    places = {name: network.names.index(name) for name in ("PKC", "PKA")}
    pair = joint.sum(axis=tuple(i for i in range(11) if i not in places.values()))
    pair = pair if places["PKA"] > places["PKC"] else pair.T
    parent, child = (network.variables[places[name]] for name in ("PKC", "PKA"))
    assert child.parents == ("PKC",)
    assert np.allclose(pair, parent.probabilities[:, None] * child.probabilities)


def test_rows_are_drawn_by_their_probability_and_a_seed_draws_the_same_ones(data_dir: Path) -> None:
    network = read_network(data_dir / "bayesnets/cancer.bif")
    rows = network.sample(20_000, seed=3)
    assert rows.equals(network.sample(20_000, seed=3))
    assert not rows.equals(network.sample(20_000, seed=4))
    joint = network.joint()
    codes = np.ravel_multi_index(network.encode(rows).T, [len(each.levels) for each in network.variables])
    counts, expected = np.bincount(codes, minlength=len(joint)), joint * len(rows)
    common = expected > 5
    assert counts[joint == 0].sum() == 0
    observed = [*counts[common], counts[~common].sum()]
    assert chisquare(observed, [*expected[common], expected[~common].sum()]).pvalue > 0.001


def test_cells_of_other_dtypes_are_read_by_their_text_and_gaps_lie_outside(data_dir: Path) -> None:
    network = read_network(data_dir / "bayesnets/cancer.bif")  # its levels are True and False
    texts = network.sample(40).assign(other=1.5)
    typed = texts.astype({"Pollution": "category"}).assign(Smoker=texts["Smoker"] == "True")
    assert np.array_equal(network.encode(texts), network.encode(typed))
    gaps = texts.assign(Xray=[None, "maybe", *texts["Xray"][2:]])
    assert np.isneginf(network.log_probabilities(gaps)).tolist() == [True, True] + [False] * 38
    with pytest.raises(HarmonicError, match="Column 'Smoker': not in the table"):
        network.encode(texts.drop(columns="Smoker"))


def test_too_many_states_are_not_listed(data_dir: Path) -> None:
    with pytest.raises(HarmonicError, match="1,007,769,600 states, at most 5,000,000"):
        read_network(data_dir / "bayesnets/child.bif").joint()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("probability ( rain ) { table 0.2, 0.8; }", "", "expected the same names"),
        ("grass | rain", "grass | snow", "parent 'snow' is not a variable"),
        ("(no) 0.9, 0.1, 0.0;", "", "a line is absent"),
        ("(no) 0.9", "(never) 0.9", r"line '\(never\) 0.9, 0.1, 0.0' does not fit"),
        ("0.2, 0.8", "0.2, 0.3, 0.5", "does not fit"),
        ("0.2, 0.8", "0.2, 0.7", "a line sums to 0.9"),
        ("0.2, 0.8", "-0.2, 1.2", "or is negative"),
        (
            "( rain ) { table 0.2, 0.8; }",
            "( rain | grass ) { (dry) .5, .5; (wet through) .5, .5; (flooded) .5, .5; }",
            "is a cycle",
        ),
    ],
)
def test_a_broken_file_is_refused_with_its_fault(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RAIN
    with pytest.raises(HarmonicError, match=message):
        _read(tmp_path, RAIN.replace(old, new))

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln

from harmonic.errors import HarmonicError
from harmonic.evaluation.networks import Network, read_network
from harmonic.evaluation.truth import (
    distance_by_draws,
    distance_of_probabilities,
    distance_of_table,
    fresh_distances,
    measure_network,
)


@pytest.fixture(scope="module")
def asia(data_dir: Path) -> Network:
    return read_network(data_dir / "bayesnets/asia.bif")


def _independent(network: Network) -> np.ndarray:
    """Log-probabilities of all states under the network's own marginals."""
    sizes = [len(variable.levels) for variable in network.variables]
    joint = network.joint().reshape(sizes)
    logs = np.zeros(sizes)
    for axis in range(len(sizes)):
        marginal = joint.sum(axis=tuple(i for i in range(len(sizes)) if i != axis), keepdims=True)
        logs = logs + np.log(marginal)
    return logs.reshape(-1)


def _expected_distance(chances: np.ndarray, n: int) -> float:
    """Mean total variation of n rows to their law: half the sum of binomial mean deviations (de Moivre 1730)."""
    chances = chances[chances > 0]
    above = np.floor(n * chances) + 1
    logs = (
        gammaln(n + 1) - gammaln(above + 1) - gammaln(n - above + 1)
        + above * np.log(chances) + (n - above + 1) * np.log1p(-chances)
    )  # fmt: skip
    return float((above * np.exp(logs)).sum() / n)


@pytest.mark.parametrize(("n", "known"), [(25, 0.270), (50, 0.201), (200, 0.109)])
def test_fresh_rows_of_asia_are_as_far_from_it_as_is_known(asia: Network, n: int, known: float) -> None:
    found = fresh_distances(asia, n, n_draws=300)
    error = found.std() / np.sqrt(len(found))
    assert found.mean() == pytest.approx(_expected_distance(asia.joint(), n), abs=4 * error)
    assert found.mean() == pytest.approx(known, abs=0.005)


def test_a_table_is_as_far_as_the_summed_difference_over_all_states_says(asia: Network) -> None:
    table = asia.sample(60, seed=5)
    counts = table.value_counts(normalize=True)
    by_hand = [counts.get(tuple(state), 0.0) for state in asia.states().to_numpy()]
    expected = np.abs(np.array(by_hand) - asia.joint()).sum() / 2
    assert distance_of_table(asia, table) == pytest.approx(expected)
    outside = table.assign(lung="perhaps")
    assert distance_of_table(asia, outside) == pytest.approx(1.0)
    assert distance_of_table(asia, table.assign(more=1)) == distance_of_table(asia, table)


def test_a_generator_that_is_the_law_has_no_distance_and_lost_mass_counts(asia: Network) -> None:
    with np.errstate(divide="ignore"):
        logs = np.log(asia.joint())
    assert distance_of_probabilities(asia, logs) == pytest.approx(0.0, abs=1e-12)
    assert distance_of_probabilities(asia, logs + np.log(0.7)) == pytest.approx(0.3)
    independent = _independent(asia)
    expected = np.abs(np.exp(independent) - asia.joint()).sum() / 2
    assert distance_of_probabilities(asia, independent) == pytest.approx(expected)
    # and its endless table is as far as its probabilities are
    assert expected == pytest.approx(0.43, abs=0.01)


def test_row_probabilities_that_cannot_be_are_refused(asia: Network) -> None:
    with pytest.raises(HarmonicError, match=r"shape \(5,\), expected \(256,\)"):
        distance_of_probabilities(asia, np.zeros(5))
    for wrong in (0.0, np.nan):
        with pytest.raises(HarmonicError, match="expected at most 1"):
            distance_of_probabilities(asia, np.full(256, wrong))


def test_the_distance_by_draws_estimates_the_exact_one(asia: Network) -> None:
    logs = _independent(asia)
    drawn = asia.sample(4_000, seed=1)
    sizes = [len(variable.levels) for variable in asia.variables]
    of_rows = logs[np.ravel_multi_index(asia.encode(drawn).T, sizes)]
    figure = distance_by_draws(asia, drawn, of_rows)
    assert figure.low < distance_of_probabilities(asia, logs) < figure.high
    assert figure.high - figure.low < 0.05
    with pytest.raises(HarmonicError, match="Pass those rows"):
        distance_by_draws(asia, drawn, of_rows[:-1])
    with pytest.raises(HarmonicError, match="Pass those rows"):
        distance_by_draws(asia, drawn.assign(lung="perhaps"), of_rows)


def test_tables_stand_beside_what_fresh_and_independent_rows_get(asia: Network) -> None:
    real = asia.sample(200, seed=0)
    shuffled = pd.DataFrame(
        {name: real[name].sample(frac=1, random_state=i).array for i, name in enumerate(real)}
    )
    found = measure_network(asia, real=real, synthetic=shuffled)
    assert (found.network, found.n_variables, found.n_states) == ("asia", 8, 256)
    assert found.real.low < found.real.noise_floor < found.real.high
    assert found.real.noise_floor == pytest.approx(0.109, abs=0.005)
    assert found.synthetic.low > found.synthetic.noise_floor
    assert found.synthetic.value == pytest.approx(found.synthetic.worst_case, abs=0.1)
    assert found.n_outside > 0  # lung cancer without "either"
    assert found.generator.undefined == "not defined because no row probabilities were given"
    with pytest.raises(HarmonicError, match="0 rows"):
        distance_of_table(asia, real.head(0))


def test_a_network_of_a_billion_states_has_exact_distances_too(data_dir: Path) -> None:
    child = read_network(data_dir / "bayesnets/child.bif")
    found = measure_network(child, real=child.sample(100, 0), synthetic=child.sample(100, 1))
    assert found.synthetic.value == pytest.approx(found.synthetic.noise_floor, abs=0.03)
    assert found.synthetic.noise_floor < found.synthetic.worst_case < 1

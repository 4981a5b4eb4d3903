"""Exact distance to a known law, where a table's rows come from a Bayesian network.

What enters is the network and a table, or a generator's own row probabilities; what leaves is the total variation
to the law itself, not to a sample of it. The sum runs over the rows that are there: TV = sum of max(0, q - p) over
the states with q > 0, so that even a network with too many states to list has an exact distance to any table. A
table of n rows is far from its own law when n is small (asia: .270, .201, .109 at n = 25, 50, 200), so the same for
fresh rows of the network stands beside it; a generator's row probabilities have no such noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harmonic.errors import HarmonicError
from harmonic.evaluation.figures import Figure, interval_figure, undefined
from harmonic.evaluation.jackknife import halves_of, jackknife_figure
from harmonic.evaluation.networks import Network

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
STREAM_FRESH, STREAM_INDEPENDENT, STREAM_HALVES = 532, 533, 534
N_DRAWS = 200
"""Fresh tables drawn for the noise floor; fewer for large tables, whose distances hardly differ."""
N_WORST = 40
"""Tables drawn for the worst case, which needs no decimals."""
MAX_CELLS = 10_000_000


@dataclass(frozen=True)
class NetworkDistance:
    """Total variation to the law itself (not to a sample of it): 0 = the law, 1 = nothing in common."""

    network: str
    n_variables: int
    n_states: int
    synthetic: Figure
    """Of the synthetic rows; noise floor: mean of fresh tables of as many rows drawn from the network, worst case: as
    many rows of the network's own independent marginals."""
    real: Figure
    """Of the training rows; references for as many rows as these."""
    generator: Figure
    """Of the generator's own distribution, from its row probabilities; undefined where none were given. It has no
    sampling noise: at most half of `real` is the goal on asia with 200 rows."""
    n_outside: int
    """Synthetic rows that the network can never draw (unknown levels, missing cells, probability 0)."""


def measure_network(
    network: Network,
    *,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    generator: Figure | None = None,
    seed: int = 0,
) -> NetworkDistance:
    """Distances of both tables and of the generator (`distance_of_probabilities` or `distance_by_draws`) to the law.

    Raises HarmonicError where a variable of the network is not a column of a table, or a table has no rows.
    """
    return NetworkDistance(
        network=network.name,
        n_variables=len(network.variables),
        n_states=network.n_states,
        synthetic=_table_figure(network, synthetic, seed),
        real=_table_figure(network, real, seed),
        generator=generator or undefined("no row probabilities were given"),
        n_outside=int(np.isneginf(network.log_probabilities(synthetic)).sum()),
    )


def distance_of_table(network: Network, table: pd.DataFrame) -> float:
    """Total variation between the law and the table's empirical distribution, in [0, 1].

    Raises HarmonicError where a variable is not a column or the table has no rows.
    """
    return _distance(network, _encoded(network, table))


def distance_of_probabilities(network: Network, log_probabilities: ArrayLike) -> float:
    """Total variation between the law and a generator, given its log-probability of every state.

    Args:
        network: the law, of at most `networks.MAX_STATES` states.
        log_probabilities: natural logarithms, float [n_states], in the order of `network.states()`; they may sum to
            less than 1: what is left lies on rows that the law cannot draw.

    Raises:
        HarmonicError: another shape, NaN, or a sum above 1.
    """
    logs = np.asarray(log_probabilities, dtype=float)
    if logs.shape != (network.n_states,):
        raise HarmonicError(
            f"Row probabilities: shape {logs.shape}, expected ({network.n_states},), one for each row of "
            "network.states(), in that order."
        )
    chances = np.exp(logs)
    if not chances.sum() <= 1 + 1e-6:
        raise HarmonicError(
            f"Row probabilities: they sum to {chances.sum():.6g}, expected at most 1. Pass natural logarithms of "
            "probabilities, none NaN."
        )
    return float(np.maximum(0.0, network.joint() - chances).sum())


def distance_by_draws(network: Network, drawn: pd.DataFrame, log_probabilities: ArrayLike) -> Figure:
    """The same estimated on rows that `network.sample` drew, for networks with too many states to list.

    TV = E over the law of max(0, 1 - q / p); `log_probabilities` [n_rows] are the generator's. The interval is
    normal.

    Raises HarmonicError where the shapes differ or a drawn row is none of the law.
    """
    logs, truth = np.asarray(log_probabilities, dtype=float), network.log_probabilities(drawn)
    if logs.shape != truth.shape or len(logs) < 2 or np.isneginf(truth).any() or np.isnan(logs).any():
        raise HarmonicError(
            f"Row probabilities: shape {logs.shape} for {len(drawn)} rows, expected one number for each of at least "
            "two rows of network.sample(...). Pass those rows and the generator's log-probability of each."
        )
    shortfall = np.maximum(0.0, 1.0 - np.exp(logs - truth))
    return interval_figure(float(shortfall.mean()), float(shortfall.var(ddof=1)) / len(shortfall))


def fresh_distances(network: Network, n_rows: int, *, n_draws: int = N_DRAWS, seed: int = 0) -> Floats:
    """Distances [n_draws] of fresh tables of `n_rows` rows of the law itself: what a perfect generator gets."""
    generator = np.random.default_rng([seed, STREAM_FRESH])
    return np.array([_distance(network, network.draw(n_rows, generator)) for _ in range(n_draws)])


def _table_figure(network: Network, table: pd.DataFrame, seed: int) -> Figure:
    codes = _encoded(network, table)
    n_draws = int(np.clip(MAX_CELLS // codes.size, 5, N_DRAWS))
    fresh = fresh_distances(network, len(codes), n_draws=n_draws, seed=seed)
    halves = halves_of(len(codes), np.random.default_rng([seed, STREAM_HALVES]))
    values = np.array([_distance(network, rows) for rows in (codes, *(codes[half] for half in halves))])
    figure = jackknife_figure(values, 0.0, 1.0)
    return figure.beside(
        noise_floor=Figure(float(fresh.mean())),
        worst_case=Figure(_independent_distance(network, len(codes), min(n_draws, N_WORST), seed)),
    )


def _independent_distance(network: Network, n_rows: int, n_draws: int, seed: int) -> float:
    """Mean distance of fresh tables whose columns were shuffled, each on its own."""
    generator = np.random.default_rng([seed, STREAM_INDEPENDENT])
    found = [
        _distance(network, generator.permuted(network.draw(n_rows, generator), axis=0))
        for _ in range(n_draws)
    ]
    return float(np.mean(found))


def _distance(network: Network, codes: Ints) -> float:
    """Total variation between the law and rows of level numbers."""
    states, counts = np.unique(codes, axis=0, return_counts=True)
    truth = np.exp(network.log_chances(states))
    return float(np.maximum(0.0, counts / len(codes) - truth).sum())


def _encoded(network: Network, table: pd.DataFrame) -> Ints:
    if not len(table):
        raise HarmonicError(
            f"Table beside network {network.name!r}: 0 rows, expected at least 1. Pass its rows."
        )
    return network.encode(table)

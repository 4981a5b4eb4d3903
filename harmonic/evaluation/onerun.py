"""A lower bound on epsilon from one training: coins decided which records were trained on, an attack guesses the coins.

What enters is the attack's score of each audited record and whether its coin let it in; what leaves is how many guesses
were right, and the largest epsilon that so many right guesses refute. A mechanism that is epsilon-differentially
private lets nobody guess a coin with more than e^epsilon / (1 + e^epsilon), however the other coins fell, so the
number of right guesses is at most binomial: one training suffices. The bound is one of the guarantee that could hold,
never a guarantee: another attack may guess better.

Source: Steinke, Nasr and Jagielski 2023, "Privacy auditing with one (1) training run", for delta = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binom

from harmonic.errors import HarmonicError
from harmonic.evaluation.figures import LEVEL, Figure, rate_figure

GUESSED = 0.5
"""The share of the records that is guessed, half of it "in", half "out"; of the others the attack says nothing. Fixed
in advance: whoever tries several shares must pay for it."""
ERROR = (1.0 - LEVEL) / 2
"""Chance that a bound is too large: that of the lower end of a two-sided 95 % interval, as everywhere in the report."""
_MOST = 50.0
"""No bound is searched above this epsilon: it would take more guesses than anybody makes."""


@dataclass(frozen=True)
class CoinAudit:
    """What one attack has made of the coins."""

    attack: str
    n_records: int
    n_guesses: int
    right: Figure
    """Share of the guesses that were right; 0.5 is chance. Clopper and Pearson's interval."""
    epsilon: Figure
    """The epsilon that explains this share; `low` is the bound at the corrected level (one-sided), no upper limit is
    known. 0 where no more guesses were right than chance explains."""


@dataclass(frozen=True)
class EpsilonBound:
    """The largest bound of several attacks, each at its share of the error."""

    bound: float
    """No mechanism below this epsilon (delta = 0) explains the guesses: the lower end of a 95 % interval, all attacks
    together."""
    attack: str
    """Whose bound it is."""
    audits: tuple[CoinAudit, ...]


def bound_epsilon(scores: Mapping[str, NDArray[np.float64]], is_in: NDArray[np.bool_]) -> EpsilonBound:
    """The bound from the scores of each attack, float64 [n_records], higher for likelier members.

    Raises HarmonicError where there are too few records to guess any.
    """
    error = ERROR / len(scores)
    audits = tuple(_audit(name, values, is_in, error) for name, values in scores.items())
    best = max(audits, key=lambda audit: (audit.epsilon.low or 0.0, audit.right.value or 0.0))
    return EpsilonBound(best.epsilon.low or 0.0, best.attack, audits)


def epsilon_low(n_right: int, n_guesses: int, error: float = ERROR) -> float:
    """The largest epsilon that so many right guesses refute with this chance of error; 0 if none."""

    def excess(epsilon: float) -> float:
        return float(binom.sf(n_right - 1, n_guesses, 1.0 / (1.0 + np.exp(-epsilon)))) - error

    if excess(0.0) >= 0:
        return 0.0
    return float(brentq(excess, 0.0, _MOST, xtol=1e-9))


def _audit(name: str, scores: NDArray[np.float64], is_in: NDArray[np.bool_], error: float) -> CoinAudit:
    n = len(scores)
    each = int(GUESSED * n / 2)
    if not each:
        raise HarmonicError(
            f"Audit: {n} records, expected at least {round(2 / GUESSED)}, so that one is guessed on either side. "
            "Raise [audit] records."
        )
    order = np.argsort(scores, kind="stable")
    n_right = int((~is_in[order[:each]]).sum() + is_in[order[-each:]].sum())
    return CoinAudit(name, n, 2 * each, rate_figure(n_right, 2 * each), _epsilon(n_right, 2 * each, error))


def _epsilon(n_right: int, n_guesses: int, error: float) -> Figure:
    low = epsilon_low(n_right, n_guesses, error)
    if n_right == n_guesses:
        return Figure(low, low=low)
    estimate = max(0.0, float(np.log(n_right / (n_guesses - n_right)))) if n_right else 0.0
    return Figure(estimate, low=low)

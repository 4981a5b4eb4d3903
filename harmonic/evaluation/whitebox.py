"""Does the generator itself give its training rows away? Attacks that need its weights, and the data leakage test.

What enters is the scores of members (rows it was trained on) and controls (holdout rows) under the fitted model and
under its base, token by token, under the schema's mask: what leaves is AUC and TPR of each attack and the DLT. Only
tokens at which the schema leaves a choice count: tags, quotes and forced digits say nothing about a row. Whoever
publishes an adapter publishes what these attacks need.

Sources: loss: Yeom et al. 2018; reference: Carlini et al. 2021; error zone: Ilic et al. 2026 (EZ-MIA); Min-K%++: Zhang
et al. 2025; DLT: Wei et al. 2023 (Skywork), Wang et al. 2024 (HARMONIC). Stdlib, numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from harmonic.evaluation.figures import (
    LEVEL,
    Figure,
    Roc,
    auc_figure,
    compare,
    n_caught,
    p_auc,
    p_caught,
    roc,
    tpr_figure,
    undefined,
)

if TYPE_CHECKING:
    from harmonic.decode.score import RowScore

LEAST_RECORDS = 10
"""Members and controls without which nothing is said."""
WORST_SHARE = 0.2
"""Min-K%++ looks at this share of the tokens: the unlikeliest ones."""
_SMALL = 1e-3
"""Added to both sides of the error zone's ratio, so that a row without a shift, or with one alone, has a ratio."""
_LOG_PROB, _MEAN, _DEVIATION, _IS_TOP = range(4)
"""Places of decode.score.TokenScore."""

Floats = NDArray[np.float64]

FAMILY: Mapping[str, str] = {
    "loss": "the likelier the record's choices are to the model, the likelier it was trained on",
    "reference": "the same, beside the base before it was trained",
    "error zone": "where the model would have chosen otherwise, training has raised what the record holds (EZ-MIA)",
    "Min-K%++": "the record's unlikeliest choices are likely beside what else might stand there",
}
"""The attacks, fixed in advance."""


@dataclass(frozen=True)
class Scored:
    """Records as a model scores them; both lists in one order."""

    fitted: Sequence[RowScore]
    base: Sequence[RowScore]
    """The same records in the same prompts under the base, before it was trained."""


@dataclass(frozen=True)
class WhiteAttack:
    """One attack with the model's weights in hand."""

    name: str
    """Key of `FAMILY`."""
    what: str
    auc: Figure
    """Noise floor: the same attack on the base, which saw none of the records, where it can be made there."""
    tpr: Figure
    """Share of the members accused where 1 % of the controls are."""
    roc: Roc
    p_value: float
    """One-sided, of AUC and TPR together, against chance. Not corrected."""


@dataclass(frozen=True)
class LeakageTest:
    """HARMONIC's DLT. Positive = training rows are the likelier ones."""

    nats: Figure
    """Mean log-perplexity of the holdout rows minus that of the training rows, nats a choice; Welch's interval. Noise
    floor: the same under the base."""
    base: Figure
    """The same under the base, which saw neither."""
    perplexity: Figure
    """As the release computes it: mean of 2^(mean nats a token) over rows, all tokens, training minus holdout rows:
    HARMONIC's sign, negative = leakage. Skywork's is the opposite one."""
    p_value: float
    """One-sided (Welch's t-test) that training rows are no likelier."""


@dataclass(frozen=True)
class WhiteBox:
    """What somebody finds who holds the adapter."""

    attacks: tuple[WhiteAttack, ...]
    leakage: LeakageTest
    """In the column orders of training."""
    other_orders: LeakageTest
    """In random column orders."""
    n_members: int
    n_controls: int
    p_value: float
    """The smallest p of the attacks and the leakage test, times their number."""
    notes: tuple[str, ...] = ()

    @property
    def is_measured(self) -> bool:
        return self.leakage.nats.is_defined


def measure_white_box(
    members: Scored,
    controls: Scored,
    *,
    reordered: tuple[Scored, Scored],
    notes: Sequence[str] = (),
) -> WhiteBox:
    """The family and the DLT. reordered: members and controls scored in other column orders."""
    n_members, n_controls = len(members.fitted), len(controls.fitted)
    if min(n_members, n_controls) < LEAST_RECORDS:
        return unmeasured(
            f"attacks on the model need {LEAST_RECORDS} training and holdout rows that it can be asked for, here are "
            f"{n_members} and {n_controls}",
            notes,
        )
    attacks = tuple(_attack(name, members, controls) for name in FAMILY)
    leakage = leakage_test(members, controls)
    p_values = [*(attack.p_value for attack in attacks), leakage.p_value]
    return WhiteBox(
        attacks=attacks,
        leakage=leakage,
        other_orders=leakage_test(*reordered),
        n_members=n_members,
        n_controls=n_controls,
        p_value=min(1.0, min(p_values) * len(p_values)),
        notes=tuple(notes),
    )


def unmeasured(reason: str, notes: Sequence[str] = ()) -> WhiteBox:
    """No figures. `reason` completes the sentence "not defined because ..."."""
    nothing = undefined(reason)
    silent = LeakageTest(nothing, nothing, nothing, 1.0)
    attacks = tuple(
        WhiteAttack(name, what, nothing, nothing, Roc((), ()), 1.0) for name, what in FAMILY.items()
    )
    return WhiteBox(attacks, silent, silent, 0, 0, 1.0, tuple(notes))


def attack_scores(name: str, records: Scored) -> Floats:
    """The attack's score of each record, float64 [n]: the higher, the likelier a member. `name`: a key of `FAMILY`."""
    return np.array(
        [
            _SCORES[name](fitted.choices, base.choices)
            for fitted, base in zip(records.fitted, records.base, strict=True)
        ]
    )


def leakage_test(members: Scored, controls: Scored) -> LeakageTest:
    """The DLT of two groups of at least two records."""
    fitted, base = (
        tuple(np.array([-_likelihood(score.choices) for score in scores]) for scores in pair)
        for pair in ((members.fitted, controls.fitted), (members.base, controls.base))
    )
    reference = _difference(base[1], base[0])
    published = [
        np.array([2.0 ** (-score.full / score.n_tokens) for score in group.fitted])
        for group in (members, controls)
    ]
    return LeakageTest(
        nats=_difference(fitted[1], fitted[0]).beside(noise_floor=reference),
        base=reference,
        perplexity=_difference(*published),
        p_value=_p_greater(fitted[1], fitted[0]),
    )


def _likelihood(choices: Floats) -> float:
    """Mean log-probability of a record's choices; 0 where the schema leaves none."""
    return float(choices[:, _LOG_PROB].mean()) if len(choices) else 0.0


def _loss(fitted: Floats, base: Floats) -> float:
    return _likelihood(fitted)


def _reference(fitted: Floats, base: Floats) -> float:
    return _likelihood(fitted) - _likelihood(base)


def _error_zone(fitted: Floats, base: Floats) -> float:
    """Logarithm of how much probability training has added to how much it has taken, over the tokens that the fitted
    model would not have chosen."""
    is_error = fitted[:, _IS_TOP] == 0
    shift = np.exp(fitted[is_error, _LOG_PROB]) - np.exp(base[is_error, _LOG_PROB])
    return float(np.log(shift[shift > 0].sum() + _SMALL) - np.log(-shift[shift < 0].sum() + _SMALL))


def _least_likely(fitted: Floats, base: Floats) -> float:
    """Mean standardised log-probability of the unlikeliest choices."""
    is_open = fitted[:, _DEVIATION] > 0
    values = (fitted[is_open, _LOG_PROB] - fitted[is_open, _MEAN]) / fitted[is_open, _DEVIATION]
    n = max(1, round(WORST_SHARE * len(values)))
    return float(np.sort(values)[:n].mean()) if len(values) else 0.0


_SCORES: Mapping[str, Callable[[Floats, Floats], float]] = {
    "loss": _loss,
    "reference": _reference,
    "error zone": _error_zone,
    "Min-K%++": _least_likely,
}
_NEEDS_BASE = ("reference", "error zone")


def _attack(name: str, members: Scored, controls: Scored) -> WhiteAttack:
    inside, outside = attack_scores(name, members), attack_scores(name, controls)
    auc = auc_figure(compare(inside, outside))
    if name not in _NEEDS_BASE:
        ignorant = [attack_scores(name, Scored(group.base, group.base)) for group in (members, controls)]
        auc = auc.beside(noise_floor=auc_figure(compare(*ignorant)))
    return WhiteAttack(
        name,
        FAMILY[name],
        auc,
        tpr_figure(inside, outside),
        roc(inside, outside),
        _p_value(inside, outside),
    )


def _p_value(members: Floats, controls: Floats) -> float:
    p_tpr = p_caught(n_caught(members, controls), len(members), len(controls))
    return min(1.0, 2.0 * min(p_auc(members, controls), p_tpr))


def _difference(first: Floats, second: Floats) -> Figure:
    """Mean of the first minus mean of the second, with Welch's interval."""
    value = float(first.mean() - second.mean())
    if not (np.ptp(first) or np.ptp(second)):
        return Figure(value)
    interval = ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
    return Figure(value, low=float(interval.low), high=float(interval.high))


def _p_greater(first: Floats, second: Floats) -> float:
    """One-sided p (Welch's t-test) that the first mean is no greater; 1 where nothing varies."""
    if not (np.ptp(first) or np.ptp(second)):
        return 1.0
    return float(ttest_ind(first, second, equal_var=False, alternative="greater").pvalue)

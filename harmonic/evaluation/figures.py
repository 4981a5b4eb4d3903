"""A measured number and what it must be read against: interval, noise floor, worst case.

What enters is scores or counts; what leaves is a frozen `Figure`. A number alone says little on few rows,
so every figure carries its 95 % interval where one is cheap, the same metric for fresh real rows (the noise
floor: no generator can be asked for more) and for a known bad table (the worst case). A figure that cannot
be computed says why instead of being NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, binom, binomtest, fisher_exact, hypergeom, mannwhitneyu, norm, rankdata

Floats = NDArray[np.float64]
LEVEL = 0.95
NORMAL_QUANTILE = float(norm.ppf(0.5 + LEVEL / 2))
FALSE_POSITIVES = 0.01
"""The share of controls an attack may accuse. Lower rates need more controls than a report has: below 10,000
nothing can be said of 0.1 %."""
LEAST_CONTROLS = round(1 / FALSE_POSITIVES)
ROC_POINTS = 64
FEW_SCORES = 40
"""Below so many scores a side the normal law of an AUC is too narrow: of normal scores without a difference it calls 18
times too many sure at p < .001 where 5 stand against 5, 4 times at 20 and 1.5 times at 40."""


@dataclass(frozen=True)
class Figure:
    """One number of the report. `value` is finite, or None and `undefined` says "not defined because ..."."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """The 95 % interval."""
    noise_floor: float | None = None
    """The same metric where nothing is wrong: fresh real rows (privacy: rows that cannot know the training
    rows)."""
    worst_case: float | None = None
    """The same metric where all is wrong: independent marginals (privacy: copied training rows)."""
    undefined: str = ""

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high, self.noise_floor, self.worst_case)
        if not all(number is None or np.isfinite(number) for number in numbers):
            raise ValueError(
                f"Figure: {numbers} holds a number that is not finite. Say why it is not defined."
            )
        if (self.value is None) != bool(self.undefined):
            raise ValueError(
                f"Figure: value {self.value} with reason {self.undefined!r}; expected exactly one."
            )

    @property
    def is_defined(self) -> bool:
        return self.value is not None

    def beside(self, *, noise_floor: Figure | None = None, worst_case: Figure | None = None) -> Figure:
        """The same figure with the values of others as its references; an undefined one is left out."""
        return replace(
            self,
            noise_floor=noise_floor.value if noise_floor else self.noise_floor,
            worst_case=worst_case.value if worst_case else self.worst_case,
        )


def undefined(reason: str) -> Figure:
    """A figure without a value. `reason` completes the sentence "not defined because ..."."""
    return Figure(None, undefined=f"not defined because {reason}")


@dataclass(frozen=True)
class Comparison:
    """How well one set of scores lies above another: the AUC and its placements (DeLong et al. 1988).

    `above[i]` is the share of the second set below member i of the first, `below[j]` the share of the first
    set above member j of the second; ties count half.
    """

    above: Floats
    below: Floats

    @property
    def auc(self) -> float:
        return float(self.above.mean())

    @property
    def variance(self) -> float:
        """DeLong's variance; 0 where a set has one score or all pairs are ordered alike."""
        if min(len(self.above), len(self.below)) < 2:
            return 0.0
        first, second = self.above.var(ddof=1), self.below.var(ddof=1)
        return float(first / len(self.above) + second / len(self.below))


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """The comparison of two sets of scores, each of at least one."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    ranks = rankdata(np.concatenate([a, b]))
    above = (ranks[: len(a)] - rankdata(a)) / len(b)
    below = 1.0 - (ranks[len(a) :] - rankdata(b)) / len(a)
    return Comparison(above, below)


def auc_figure(comparison: Comparison) -> Figure:
    """AUC with DeLong's interval; where all pairs are ordered alike the rule of three bounds the other
    side."""
    return interval_figure(
        comparison.auc, comparison.variance, 3.0 / min(len(comparison.above), len(comparison.below))
    )


def interval_figure(value: float, variance: float, margin_if_degenerate: float = 0.0) -> Figure:
    """A value in [0, 1] with its normal interval, cut at 0 and 1."""
    margin = NORMAL_QUANTILE * float(np.sqrt(variance)) or margin_if_degenerate
    return Figure(value, low=max(0.0, value - margin), high=min(1.0, value + margin))


def rate_figure(count: int, total: int) -> Figure:
    """A rate with the exact interval of Clopper and Pearson (1934)."""
    if total < 1:
        return undefined("there are no rows to count")
    interval = binomtest(count, total).proportion_ci(LEVEL, method="exact")
    return Figure(count / total, low=float(interval.low), high=float(interval.high))


def mean_figure(values: Floats) -> Figure:
    """A mean with its normal interval; no interval for one value."""
    if not len(values):
        return undefined("there are no rows to count")
    mean = float(np.mean(values))
    if len(values) < 2:
        return Figure(mean)
    margin = NORMAL_QUANTILE * float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Figure(mean, low=mean - margin, high=mean + margin)


def p_more(count: int, total: int, control_count: int, control_total: int) -> float:
    """One-sided p (Fisher's exact test) that the first rate is no larger than the control's."""
    table = [[count, total - count], [control_count, control_total - control_count]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def p_sign(n_for: int, n_against: int) -> float:
    """One-sided p (sign test) that no more cases speak for than against; 1 where there are none."""
    return (
        float(binomtest(n_for, n_for + n_against, alternative="greater").pvalue) if n_for + n_against else 1.0
    )


def n_allowed(n_controls: int) -> int:
    """How many controls may be accused at the rate `FALSE_POSITIVES`."""
    return n_controls // LEAST_CONTROLS


def n_caught(members: Floats, controls: Floats) -> int:
    """Members whose score lies above all control scores but the `n_allowed` largest (ties caught by neither)."""
    return int((members > np.sort(controls)[-1 - n_allowed(len(controls))]).sum())


def tpr_figure(members: Floats, controls: Floats) -> Figure:
    """Share of the members accused where 1 % of the controls are, by an order statistic of the controls.

    The threshold is random, so each limit spends half of its chance of error on it: the threshold of exactly 1 % lies
    between two order statistics (binomial law of the controls above it), and beyond each of these the members are
    counted with Clopper and Pearson's limit.
    """
    if len(controls) < LEAST_CONTROLS:
        return undefined(
            f"a false positive rate of 1 % needs {LEAST_CONTROLS} controls, here are {len(controls)}"
        )
    error, n = (1.0 - LEVEL) / 4, len(controls)
    most, least = (int(binom.ppf(chance, n, FALSE_POSITIVES)) for chance in (1.0 - error, error))
    falling = np.sort(controls)[::-1]
    caught = int((members > falling[min(most, n - 1)]).sum())
    high = float(beta.ppf(1.0 - error, caught + 1, len(members) - caught)) if caught < len(members) else 1.0
    sure = int((members > falling[least - 1]).sum()) if least else 0
    low = float(beta.ppf(error, sure, len(members) - sure + 1)) if sure else 0.0
    return Figure(n_caught(members, controls) / len(members), low=low, high=high)


def p_caught(count: int, n_members: int, n_controls: int) -> float:
    """Exact one-sided p of `n_caught` where members and controls are alike (negative hypergeometric law)."""
    allowed = n_allowed(n_controls)
    return float(hypergeom.cdf(allowed, n_members + n_controls, n_controls, count + allowed))


def smallest_tpr(n_members: int, n_controls: int) -> Figure:
    """The smallest TPR whose interval (Clopper and Pearson's, of the members alone) lies above that of 1 % false
    positives; smaller leaks cannot be seen."""
    if n_controls < LEAST_CONTROLS or n_members < 1:
        return undefined(
            f"a false positive rate of 1 % needs {LEAST_CONTROLS} controls, here are {n_controls}"
        )
    allowed, tail = n_allowed(n_controls), 0.5 - LEVEL / 2
    ceiling = beta.ppf(1 - tail, allowed + 1, n_controls - allowed)
    counts = np.arange(1, n_members + 1)
    seen = np.flatnonzero(beta.ppf(tail, counts, n_members - counts + 1) > ceiling)
    if not len(seen):
        return undefined(
            f"not even all of {n_members} members could be told from 1 % of {n_controls} controls"
        )
    return Figure(float(counts[seen[0]] / n_members))


def smallest_share(total: int, control_count: int, control_total: int, level: float) -> Figure:
    """The smallest share of `total` whose p (Fisher) against the control is below `level`."""
    if min(total, control_total) < 1:
        return undefined("there are no rows to count")
    low, high = 0, total + 1  # p falls as the count grows
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if p_more(middle, total, control_count, control_total) < level else (middle, high)
        )
    if high > total:
        return undefined(f"not even {total:,} of {total:,} would be more than chance beside so few controls")
    return Figure(high / total)


@dataclass(frozen=True)
class Roc:
    """Points of a ROC curve, ascending, at most 65 of them, close together at low rates."""

    fpr: tuple[float, ...]
    """Share of the controls accused."""
    tpr: tuple[float, ...]
    """Share of the members accused."""


def roc(members: Floats, controls: Floats) -> Roc:
    """The curve at thresholds that are scores of controls; ties are accused by neither."""
    n = len(controls)
    accused = np.unique(np.geomspace(1, n, ROC_POINTS).astype(int) - 1)
    thresholds = np.sort(controls)[::-1][accused]
    caught = len(members) - np.searchsorted(np.sort(members), thresholds, side="right")
    return Roc((*(accused / n).tolist(), 1.0), (*(caught / len(members)).tolist(), 1.0))


def p_above(excess: float, variance: float) -> float:
    """One-sided p of an excess over its null; 1 for no excess, 0 for an excess without variance."""
    if excess <= 0:
        return 1.0
    return float(norm.sf(excess / np.sqrt(variance))) if variance > 0 else 0.0


def p_auc(members: Floats, controls: Floats) -> float:
    """One-sided p that members score no higher than controls: DeLong's, and on few scores no less than that of Mann
    and Whitney's test (exact where no scores are equal)."""
    comparison = compare(members, controls)
    p_value = p_above(comparison.auc - 0.5, comparison.variance)
    if min(len(members), len(controls)) >= FEW_SCORES:
        return p_value
    both = np.concatenate([members, controls])
    is_exact = len(both) < 2 * FEW_SCORES and len(np.unique(both)) == len(both)
    test = mannwhitneyu(
        members, controls, alternative="greater", method="exact" if is_exact else "asymptotic"
    )
    return max(p_value, float(np.nan_to_num(test.pvalue, nan=1.0)))


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Adjusted p-values: the family-wise error stays at the level they are compared with (Holm 1979)."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, p * (len(p_values) - rank)))
        adjusted[name] = running
    return adjusted


def percentile_interval(values: Floats) -> tuple[float | None, float | None]:
    """The middle 95 % of bootstrap values, those not defined (NaN) left out; None where fewer than half
    are."""
    kept = values[np.isfinite(values)]
    if len(kept) < max(20, len(values) / 2):
        return None, None
    low, high = np.quantile(kept, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def percent(value: float | None) -> str:
    """A share as per cent; a dash for none. Nearly all is never 100.0 %, and nearly none never 0.0 %."""
    if value is None:
        return "–"
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= value < 1 else f"{100 * value:.1f} %"


Progress = Callable[[str], None]
"""Called with one line before each piece of work."""

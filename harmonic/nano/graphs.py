"""The causal model behind one table: hidden causes, features that read one another, and a target.

What enters is a generator, the number of rows of the population and of columns; what leaves is the columns as arrays,
in their order, and which of them is the target. Four families of models make the tables differ as real ones do: a
random graph, features that hardly know each other, clusters (the class comes first and the features follow it), factors
(few hidden causes, many readings of them). In each, blocks repeat a column of the same kind, and some columns are
computed from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from harmonic.nano import columns as render
from harmonic.nano.columns import Drawn
from harmonic.nano.derived import calendar, derive
from harmonic.nano.laws import LAWS, TARGETS, Maker, code_number, instrument
from harmonic.nano.mechanisms import (
    Array,
    blend,
    cut_codes,
    independent_codes,
    leaf_codes,
    limited,
    log_uniform,
    logit_codes,
    noise,
    pick,
    response,
    shares,
    standardised,
    weighted,
)

FAMILIES = {"graph": 4.0, "independent": 1.3, "clusters": 2.2, "factors": 2.0}
HEAVY = 6.0
"""Weight of a hidden cause in the cluster and factor families, where a feature's own weight is about 1."""


@dataclass(slots=True)
class Law:
    """What the columns of one table have in common."""

    family: str
    dependence: float
    """Typical share of a column's variance that its parents explain, 0 to 1."""
    density: float
    """Mean number of parents."""
    categorical: float
    """Share of category and boolean columns."""
    level_mean: float
    """Mean number of levels beyond two."""
    quirks: float
    max_levels: int
    laws: dict[Maker, float]
    """The laws of its numbers."""
    blocks: float
    """Chance that the next columns are a block of the same kind."""


def draw_law(rng: Generator, max_levels: int) -> Law:
    mix = rng.random()
    categorical = 0.0 if mix < 0.17 else 1.0 if mix < 0.27 else float(rng.beta(1.3, 1.6))
    family = weighted(rng, FAMILIES)
    return Law(
        family=family,
        dependence=float(rng.beta(1.5, 1.0)) if family != "factors" else float(rng.beta(4.0, 1.2)),
        density=0.15 if family == "independent" else log_uniform(rng, 0.4, 3.5),
        categorical=categorical,
        level_mean=log_uniform(rng, 0.5, 10.0),
        quirks=float(rng.beta(1.2, 3.0)),
        max_levels=max_levels,
        laws=instrument(rng) if rng.random() < 0.2 else LAWS,
        blocks=pick(rng, (0.0, 0.0, 0.0, 0.05, 0.15, 0.5)),
    )


def draw_columns(
    rng: Generator, law: Law, n: int, count: int, has_target: bool
) -> tuple[list[Drawn], Drawn | None]:
    """`count` columns for n rows in their order, and the target among them (None where there is none)."""
    hidden = _hidden_causes(rng, law, n)
    target = None
    if has_target and law.family == "clusters":
        target = _class_of(rng, hidden[0])
    features = _features(rng, law, n, max(1, count - has_target), hidden)
    if target is not None:
        _stand_in(features, hidden[0], target)
    if rng.random() < 0.6:
        features = [features[int(i)] for i in rng.permutation(len(features))]
    if not has_target:
        return features, None
    if target is None:
        target = _target(rng, law, features, n)
    place = len(features) if rng.random() < 0.85 else int(rng.integers(0, len(features) + 1))
    return [*features[:place], target, *features[place:]], target


# --- hidden causes --------------------------------------------------------------------------------


def _cluster(rng: Generator, n: int, k: int) -> Drawn:
    return render.coded(rng, independent_codes(rng, n, shares(rng, k)), k, is_ordered=False)


def _factor(rng: Generator, n: int) -> Drawn:
    return Drawn("decimal", np.empty(0), standardised(noise(rng, n)))


def _hidden_causes(rng: Generator, law: Law, n: int) -> list[Drawn]:
    if law.family == "independent":
        return []
    if law.family == "clusters":
        k = 2 if rng.random() < 0.5 else int(rng.integers(3, 9))
        return [_cluster(rng, n, k)] + [_factor(rng, n)] * (rng.random() < 0.5)
    if law.family == "factors":
        return [_factor(rng, n) for _ in range(int(rng.integers(1, 4)))]
    causes = weighted(rng, {0: 2.0, 1: 3.0, 2: 2.0, 3: 1.0})
    return [
        _factor(rng, n) if rng.random() < 0.5 else _cluster(rng, n, int(rng.integers(2, 7)))
        for _ in range(causes)
    ]


# --- features -------------------------------------------------------------------------------------


def _features(rng: Generator, law: Law, n: int, count: int, hidden: list[Drawn]) -> list[Drawn]:
    heavy = HEAVY if law.family in ("clusters", "factors") else 2.0
    nodes, weights = list(hidden), [heavy * (0.3 + float(rng.exponential())) for _ in hidden]
    features: list[Drawn] = []
    if count >= 4 and rng.random() < 0.07:
        _add(rng, nodes, weights, features, _dates(rng, n)[:count])
    derived = 0.0 if rng.random() < 0.5 else rng.uniform(0.05, 0.3)
    gated = pick(rng, (0.0, 0.0, 0.05, 0.2))
    while len(features) < count:
        p = int(rng.poisson(law.density)) + (law.family in ("clusters", "factors"))
        parents = _parents(rng, nodes, weights, min(5, p))
        if features and rng.random() < derived:
            fresh = derive(rng, features)
        elif count >= 5 and rng.random() < law.blocks:
            fresh = _block(rng, law, n, parents, int(rng.integers(2, min(9, count))))
        else:
            fresh = [_feature(rng, law, n, parents)]
            if rng.random() < gated:
                _gate(rng, fresh[0], features)
        _add(rng, nodes, weights, features, fresh[: count - len(features)])
    return features


def _add(
    rng: Generator, nodes: list[Drawn], weights: list[float], features: list[Drawn], fresh: list[Drawn]
) -> None:
    nodes += fresh
    weights += [float(rng.exponential()) for _ in fresh]
    features += fresh


def _dates(rng: Generator, n: int) -> list[Drawn]:
    """A date, and some columns read from it."""
    date = render.datetime(rng, rng.standard_normal(n))
    return [date, *calendar(rng, date)]


def _parents(rng: Generator, nodes: list[Drawn], weights: list[float], p: int) -> tuple[Drawn, ...]:
    """Up to p nodes, drawn by their weights."""
    if p == 0 or not nodes:
        return ()
    order = np.argsort(-np.log(rng.random(len(nodes))) / np.asarray(weights))[:p]
    return tuple(nodes[int(i)] for i in order)


def _signals(rng: Generator, parents: Sequence[Drawn]) -> Array | None:
    """The parents' signals [n, p]; None without parents."""
    return np.column_stack([parent.read(rng) for parent in parents]) if parents else None


def _strength(rng: Generator, mean: float) -> float:
    return float(min(0.997, rng.beta(0.3 + 3 * mean, 0.3 + 3 * (1 - mean))))


def _signal(rng: Generator, x: Array | None, n: int, strength: float) -> Array:
    if x is None:
        return standardised(noise(rng, n))
    return standardised(blend(rng, response(rng, x), x, strength))


def _n_levels(rng: Generator, law: Law) -> int:
    return min(law.max_levels, 1 + int(rng.geometric(1.0 / (1.0 + law.level_mean))))


def _feature(rng: Generator, law: Law, n: int, parents: tuple[Drawn, ...]) -> Drawn:
    strength, x = _strength(rng, law.dependence), _signals(rng, parents)
    if rng.random() < law.categorical:
        feature = _category(rng, x, n, _n_levels(rng, law), strength)
    elif rng.random() < 0.01:
        feature = render.datetime(rng, _signal(rng, x, n, strength))
    else:
        feature = render.number(rng, _signal(rng, x, n, strength), law.laws, law.quirks)
    feature.parents = parents
    return feature


def _gate(rng: Generator, column: Drawn, features: list[Drawn]) -> None:
    """A number that is zero where some category says so: no car, no mileage."""
    gates = [feature for feature in features if feature.is_coded]
    if column.is_number and gates:
        gate = pick(rng, gates)
        shut = rng.random(len(gate.levels)) < 0.4
        column.values = np.where(shut[gate.values], 0.0, column.values)
        column.signal = limited(standardised(column.values))
        column.parents = tuple(dict.fromkeys((*column.parents, gate)))


def _category(rng: Generator, x: Array | None, n: int, k: int, strength: float) -> Drawn:
    share = shares(rng, k)
    if x is None:
        return render.coded(rng, independent_codes(rng, n, share), k, is_ordered=bool(rng.random() < 0.3))
    style = rng.random()
    if style < 0.35:
        return render.coded(rng, cut_codes(rng, _signal(rng, x, n, strength), share), k, is_ordered=True)
    draw = logit_codes if style < 0.75 else leaf_codes
    return render.coded(rng, draw(rng, x, share, strength), k, is_ordered=False)


def _block(rng: Generator, law: Law, n: int, parents: tuple[Drawn, ...], size: int) -> list[Drawn]:
    """Columns of the same kind, law and name that lean on one common signal: questions 1 to 8, sensors a to f."""
    common = _signal(rng, _signals(rng, parents), n, _strength(rng, law.dependence))
    weight = _strength(rng, law.dependence)
    signals = [_blurred(rng, common, weight) * pick(rng, (1.0, 1.0, 1.0, -1.0)) for _ in range(size)]
    if rng.random() < law.categorical:
        k = _n_levels(rng, law)
        share = shares(rng, k)
        items = [render.coded(rng, cut_codes(rng, signal, share), k, is_ordered=True) for signal in signals]
        return _related(rng, items, parents)
    seed, laws = int(rng.integers(1 << 62)), law.laws
    if rng.random() < 0.2:
        laws = {code_number: 1.0}
    items = [render.number(np.random.default_rng(seed), signal, laws, law.quirks) for signal in signals]
    return _related(rng, items, parents)


def _blurred(rng: Generator, signal: Array, weight: float) -> Array:
    """A block's columns are relatives, not copies."""
    return standardised(np.sqrt(weight) * signal + np.sqrt(1 - weight) * rng.standard_normal(len(signal)))


_ENDINGS = (
    ("{} 1", "{} 2", "{} 3", "{} 4", "{} 5", "{} 6", "{} 7", "{} 8"),
    ("{} a", "{} b", "{} c", "{} d", "{} e", "{} f", "{} g", "{} h"),
    ("mean {}", "max {}", "min {}", "last {}", "first {}", "median {}", "{} deviation", "{} range"),
    ("{} left", "{} right", "{} top", "{} bottom", "{} front", "{} back", "{} inside", "{} outside"),
    ("{} jan", "{} feb", "{} mar", "{} apr", "{} may", "{} jun", "{} jul", "{} aug"),
    ("{} 2015", "{} 2016", "{} 2017", "{} 2018", "{} 2019", "{} 2020", "{} 2021", "{} 2022"),
)


def _related(rng: Generator, columns: list[Drawn], parents: tuple[Drawn, ...]) -> list[Drawn]:
    """The columns with names and levels after the first. The common signal is hidden: their parents are its parents."""
    endings, first = pick(rng, _ENDINGS), columns[0]
    for column, ending in zip(columns, endings, strict=False):
        column.parents = parents
        if column is not first:
            column.source, column.stem, column.twin = first, ending, first
    return columns


# --- target ---------------------------------------------------------------------------------------


def _class_of(rng: Generator, cluster: Drawn) -> Drawn:
    """The cluster's number as a class, a few of them mistaken."""
    k = len(cluster.levels)
    mistaken = rng.random(len(cluster.values)) < pick(rng, (0.0, 0.02, 0.1, 0.2))
    codes = np.where(mistaken, rng.integers(0, k, len(cluster.values)), cluster.values)
    return render.coded(rng, codes, k, is_ordered=False)


def _stand_in(features: list[Drawn], cluster: Drawn, target: Drawn) -> None:
    """The class takes the hidden cluster's place among the features' parents."""
    for feature in features:
        feature.parents = tuple(target if parent is cluster else parent for parent in feature.parents)


def _target(rng: Generator, law: Law, features: list[Drawn], n: int) -> Drawn:
    """A category (mostly of two levels) or a number that depends on several features."""
    p = min(len(features), 1 + int(rng.poisson(log_uniform(rng, 1.0, 6.0))))
    parents = tuple(features[int(i)] for i in rng.permutation(len(features))[:p])
    target = _target_of(rng, law, n, np.column_stack([parent.read(rng) for parent in parents]))
    target.parents = parents
    return target


def _target_of(rng: Generator, law: Law, n: int, x: Array) -> Drawn:
    task = weighted(rng, {"binary": 5.0, "multiclass": 1.5, "number": 3.5})
    strength = float(min(0.995, max(0.05, rng.beta(2.5, 0.6 if task == "number" else 1.0))))
    if task == "number":
        signal = _signal(rng, x, n, strength)
        return render.number(rng, signal, TARGETS, 0.5 * law.quirks)
    if task == "multiclass":
        return _category(rng, x, n, 2 + int(rng.geometric(0.5)), strength)
    minority = pick(rng, (0.5, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.06))
    codes = cut_codes(rng, _signal(rng, x, n, strength), np.array([1 - minority, minority]))
    if rng.random() < 0.1:
        return Drawn("integer", codes.astype(float), standardised(codes.astype(float)), "flag")
    return render.coded(rng, codes, 2, is_ordered=False)

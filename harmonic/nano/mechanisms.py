"""How one variable of a generated table answers to others: responses, noises, category draws.

What enters is a generator and the parents' signals (columns of an array, each about unit scale); what leaves is one
standardised signal, or one array of level codes, for all rows at once. Everything is numpy over the rows, because
pretraining wants thousands of tables a minute; no loop here runs over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Option = TypeVar("Option")

LIMIT = 4.0
"""Signals are cut here before a response reads them, so that one heavy tail cannot rule a whole table."""


def pick(rng: Generator, options: Sequence[Option]) -> Option:
    """One of the options, all alike (`Generator.choice` costs ten times as much)."""
    return options[int(rng.random() * len(options))]


def weighted(rng: Generator, options: dict[Option, float]) -> Option:
    """One of the keys, by its weight."""
    left = rng.random() * sum(options.values())
    for option, weight in options.items():
        left -= weight
        if left < 0:
            return option
    return next(reversed(options))  # floating-point remainder


def log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())


def standardised(values: Array) -> Array:
    """Mean 0 and deviation 1; zeros where nothing varies."""
    centred = values - values.mean()
    deviation = float(np.sqrt(np.dot(centred, centred) / len(centred)))
    return centred / deviation if deviation > 1e-9 else np.zeros_like(centred)


def limited(values: Array) -> Array:
    return np.minimum(np.maximum(values, -LIMIT), LIMIT)


def unit_ranks(rng: Generator, values: Array) -> Array:
    """Values as uniform numbers in (0, 1) of the same order, ties broken at random."""
    n = len(values)
    ranks = np.empty(n)
    ranks[np.argsort(values + 1e-9 * rng.random(n))] = np.arange(n)
    return (ranks + rng.random(n)) / n


# --- curves of one input --------------------------------------------------------------------------


def curve(rng: Generator, x: Array) -> Array:
    """A random curve of one signal: straight, saturating, threshold, periodic, hinge, peaked or stepped."""
    shape = weighted(rng, CURVES)
    at, slope = 0.8 * rng.standard_normal(), pick(rng, (-1.0, 1.0)) * (0.7 + rng.random())
    if shape == "straight":
        return slope * x
    if shape == "saturating":
        return np.tanh(slope * 1.5 * (x - at))
    if shape == "threshold":
        return np.where(x > at, slope, 0.0)
    if shape == "periodic":
        return np.sin((1.0 + 2.0 * rng.random()) * x + 6.28 * rng.random())
    if shape == "hinge":
        return slope * np.maximum(x - at, 0.0)
    if shape == "peaked":
        return slope * np.exp(-((x - at) ** 2) * (0.5 + rng.random()))
    if shape == "squared":
        return slope * (x - at) ** 2 / 2.0
    if shape == "growing":
        return slope * np.exp(np.minimum(0.7 * x, 3.0))
    cuts = np.sort(rng.standard_normal(int(rng.integers(2, 7))))
    levels: Array = rng.standard_normal(len(cuts) + 1)
    return levels[np.searchsorted(cuts, x)]


CURVES: dict[str, float] = {
    "straight": 4,
    "saturating": 2,
    "threshold": 1.5,
    "periodic": 0.7,
    "hinge": 1.5,
    "peaked": 0.8,
    "squared": 0.8,
    "growing": 0.8,
    "stepped": 1,
}


# --- responses to several inputs ------------------------------------------------------------------


def _weights(rng: Generator, p: int) -> Array:
    """Weights of very different size: real targets lean on a few columns."""
    signs = np.where(rng.random(p) < 0.5, -1.0, 1.0)
    return signs * np.exp(rng.uniform(0.1, 1.2) * rng.standard_normal(p))


def linear(rng: Generator, x: Array) -> Array:
    return x @ _weights(rng, x.shape[1])


def additive(rng: Generator, x: Array) -> Array:
    weights = _weights(rng, x.shape[1])
    return sum((w * standardised(curve(rng, x[:, k])) for k, w in enumerate(weights)), np.zeros(len(x)))


def tree_leaves(rng: Generator, x: Array, depth: int) -> Codes:
    """The leaf each row falls into, 0 to 2^depth - 1, of a tree that asks one question a depth."""
    columns = rng.integers(0, x.shape[1], depth)
    cuts = 0.8 * rng.standard_normal(depth)
    return ((x[:, columns] > cuts) @ (1 << np.arange(depth))).astype(np.int64)


def tree(rng: Generator, x: Array) -> Array:
    """The mean of one to three small trees."""
    answer = np.zeros(len(x))
    for _ in range(int(rng.integers(1, 4))):
        depth = int(rng.integers(1, 5))
        answer += rng.standard_normal(1 << depth)[tree_leaves(rng, x, depth)]
    return answer


def interaction(rng: Generator, x: Array) -> Array:
    """A linear part, and one signal that counts only, or differently, where another is high."""
    i, j = int(rng.random() * x.shape[1]), int(rng.random() * x.shape[1])
    gate = (x[:, j] > 0.7 * rng.standard_normal()).astype(float)
    return 0.5 * linear(rng, x) + (0.5 + 2 * rng.random()) * gate * (pick(rng, (0.0, 1.0)) + x[:, i])


def multiplicative(rng: Generator, x: Array) -> Array:
    exponent = x @ _weights(rng, x.shape[1])
    return np.exp(np.minimum((0.3 + 0.6 * rng.random()) * standardised(exponent), 3.5))


def product(rng: Generator, x: Array) -> Array:
    i, j = int(rng.random() * x.shape[1]), int(rng.random() * x.shape[1])
    return (x[:, i] + rng.standard_normal()) * (x[:, j] + rng.standard_normal()) + 0.3 * linear(rng, x)


def extremes(rng: Generator, x: Array) -> Array:
    scaled = x * _weights(rng, x.shape[1])
    return scaled.max(axis=1) if rng.random() < 0.5 else scaled.min(axis=1)


def network(rng: Generator, x: Array) -> Array:
    """One hidden layer of random weights."""
    hidden = int(rng.integers(3, 9))
    inner = x @ rng.standard_normal((x.shape[1], hidden)) / np.sqrt(x.shape[1]) * (0.5 + rng.random())
    inner += rng.standard_normal(hidden)
    inner = np.tanh(inner) if rng.random() < 0.6 else np.maximum(inner, 0.0)
    return inner @ rng.standard_normal(hidden)


RESPONSES: dict[Callable[[Generator, Array], Array], float] = {
    linear: 3.0,
    additive: 4.0,
    tree: 1.5,
    interaction: 1.5,
    multiplicative: 1.0,
    product: 0.6,
    extremes: 0.5,
    network: 1.5,
}


def response(rng: Generator, x: Array) -> Array:
    """A standardised random function of the signals x [n, p], p >= 1."""
    return standardised(weighted(rng, RESPONSES)(rng, limited(x)))


# --- noise ----------------------------------------------------------------------------------------


def noise(rng: Generator, n: int) -> Array:
    """Standardised noise: mostly Gaussian, else heavy-tailed, skewed, flat or a mixture."""
    shape = weighted(rng, NOISES)
    if shape == "gaussian":
        return rng.standard_normal(n)
    if shape == "heavy":
        return standardised(np.clip(rng.standard_t(3.0, n), -12, 12))
    if shape == "laplace":
        return rng.laplace(size=n) / 1.41421356
    if shape == "skewed":
        return standardised(rng.gamma(log_uniform(rng, 0.7, 8.0), size=n)) * pick(rng, (-1.0, 1.0))
    if shape == "flat":
        return (rng.random(n) - 0.5) * 3.4641016
    if shape == "outliers":
        return standardised(rng.standard_normal(n) * np.where(rng.random(n) < 0.05, 5.0, 1.0))
    shift = 1.0 + 3.0 * rng.random()
    return standardised(rng.standard_normal(n) + shift * (rng.random(n) < rng.uniform(0.1, 0.6)))


NOISES: dict[str, float] = {
    "gaussian": 6,
    "heavy": 1,
    "laplace": 1,
    "skewed": 1.5,
    "flat": 0.8,
    "outliers": 0.7,
    "mixture": 1.2,
}


def blend(rng: Generator, answer: Array, x: Array, strength: float) -> Array:
    """`strength` (0 to 1) of the variance from the answer, the rest noise, whose size may depend on the signals."""
    rest = noise(rng, len(answer))
    if rng.random() < 0.25:
        driver = answer if rng.random() < 0.5 else limited(x[:, int(rng.random() * x.shape[1])])
        rest = standardised(rest * np.exp((0.3 + 0.6 * rng.random()) * driver))
    return np.sqrt(strength) * answer + np.sqrt(1.0 - strength) * rest


# --- categories -----------------------------------------------------------------------------------


def shares(rng: Generator, k: int) -> Array:
    """Shares of k levels: Zipf, Dirichlet, nearly even, or one level that holds nearly everything."""
    law = rng.random()
    if law < 0.4:
        raw = 1.0 / np.arange(1, k + 1) ** rng.uniform(0.3, 2.0)
    elif law < 0.75:
        raw = rng.dirichlet(np.full(k, log_uniform(rng, 0.5, 5.0)))
    elif law < 0.9:
        raw = 0.7 + 0.6 * rng.random(k)
    else:
        raw = rng.dirichlet(np.ones(k)) * (0.05 + 0.25 * rng.random())
        raw[0] += 1.0
    raw = np.maximum(raw, 0.004)
    return rng.permutation(raw / raw.sum())


def drawn_codes(rng: Generator, probabilities: Array) -> Codes:
    """One code a row from probabilities [n, k]."""
    cumulative = np.cumsum(probabilities, axis=1)
    below = cumulative < (rng.random(len(probabilities)) * cumulative[:, -1])[:, None]
    return np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)


def independent_codes(rng: Generator, n: int, share: Array) -> Codes:
    cumulative = np.cumsum(share)
    return np.minimum(np.searchsorted(cumulative, rng.random(n) * cumulative[-1]), len(share) - 1)


def logit_codes(rng: Generator, x: Array, share: Array, strength: float) -> Codes:
    """Multinomial logit: the signals push some levels up and others down."""
    k = len(share)
    sparse = rng.standard_normal((x.shape[1], k)) * _weights(rng, x.shape[1])[:, None]
    scale = 4.0 * strength / max(1e-9, np.sqrt((sparse**2).sum(axis=0).mean()))
    logits = np.log(share) + scale * (limited(x) @ sparse)
    return np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)


def leaf_codes(rng: Generator, x: Array, share: Array, strength: float) -> Codes:
    """A tree whose leaves hold shares of their own: strong dependence gives nearly pure leaves."""
    depth = int(rng.integers(1, 5))
    purity = 0.2 + 12.0 * (1.0 - strength) ** 2
    leaves = rng.gamma(np.maximum(share * purity, 1e-3), size=(1 << depth, len(share))) + 1e-9
    return drawn_codes(rng, leaves[tree_leaves(rng, limited(x), depth)])


def cut_codes(rng: Generator, signal: Array, share: Array) -> Codes:
    """Ordered levels: the signal cut so that the levels have these shares."""
    return np.minimum(np.searchsorted(np.cumsum(share), unit_ranks(rng, signal)), len(share) - 1)

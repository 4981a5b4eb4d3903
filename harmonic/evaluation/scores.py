"""Scores of predictions under row weights, for a point estimate and its bootstrap in one pass.

What enters is the truth, the predictions and `weights` [n_draws, n_rows] (all ones: the plain score; multinomial
counts: bootstrap draws); what leaves is one number a draw, NaN where a draw defines none (one class only). Draws are
counted in two bytes a row and scored a few at a time: a thousand draws of 100,000 rows would take gigabytes at once.
Written here because scikit-learn scores one draw at a time, a thousand times slower; the tests hold it to
scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Weights = NDArray[np.float64] | NDArray[np.uint16]
CHUNK_CELLS = 2**19
"""Draws x rows handled at once."""
SAFE_POWER = 100
"""Numbers below 2^100 (1e30) have squares, and sums of these, that four bytes hold nearly and eight bytes easily."""


def bootstrap_weights(n_rows: int, n_draws: int, generator: np.random.Generator) -> Weights:
    """Counts [1 + n_draws, n_rows]: first all ones, then how often each row is drawn in each bootstrap
    draw."""
    weights = np.ones((1 + n_draws, n_rows), dtype=np.uint16)
    for start, stop in _steps(n_draws, n_rows):
        chances = np.full(n_rows, 1.0 / n_rows)
        weights[1 + start : 1 + stop] = generator.multinomial(n_rows, chances, size=stop - start)
    return weights


def _steps(n_draws: int, n_rows: int) -> list[tuple[int, int]]:
    """First and past-the-last draw of every chunk."""
    step = max(1, CHUNK_CELLS // max(1, n_rows))
    return [(start, min(start + step, n_draws)) for start in range(0, n_draws, step)]


def _by_chunk(score: Callable[[Floats], dict[str, Floats]], weights: Weights) -> dict[str, Floats]:
    """The scores of all draws, of a few draws at a time."""
    parts = [score(weights[start:stop].astype(float)) for start, stop in _steps(*weights.shape)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def classification_scores(truth: Ints, probabilities: Floats, weights: Weights) -> dict[str, Floats]:
    """AUC (more than two classes: one against the rest, mean), F1 macro and weighted, balanced accuracy;
    [n_draws]."""
    return _by_chunk(lambda chunk: _class_scores(truth, probabilities, chunk), weights)


def _class_scores(truth: Ints, probabilities: Floats, weights: Floats) -> dict[str, Floats]:
    predicted = probabilities.argmax(axis=1)
    n_classes = probabilities.shape[1]
    is_true = (truth[:, None] == np.arange(n_classes)).astype(float)
    is_predicted = (predicted[:, None] == np.arange(n_classes)).astype(float)
    hits, trues, calls = weights @ (is_true * is_predicted), weights @ is_true, weights @ is_predicted
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(trues + calls > 0, 2 * hits / (trues + calls), np.nan)
        recall = np.where(trues > 0, hits / trues, np.nan)
        return {
            "auc": _mean_auc(truth, probabilities, weights),
            "f1_macro": np.nanmean(f1, axis=1),
            "f1_weighted": np.nansum(f1 * trues, axis=1) / trues.sum(axis=1),
            "balanced_accuracy": np.nanmean(recall, axis=1),
        }


def regression_scores(truth: Floats, predicted: Floats, weights: Weights) -> dict[str, Floats]:
    """R2 and mean absolute error (in units of the target); [n_draws]. R2 is NaN where the target has a single value,
    and -inf where predictions are so far off that their squares overflow."""
    return _by_chunk(lambda chunk: _number_scores(truth, predicted, chunk), weights)


def _number_scores(truth: Floats, predicted: Floats, weights: Floats) -> dict[str, Floats]:
    totals = weights.sum(axis=1)
    unit = unit_of(truth)
    truth, predicted = truth / unit, predicted / unit
    centred = truth - truth.mean()  # squares of large, close numbers would cancel
    means = weights @ centred / totals
    spread = weights @ centred**2 / totals - means**2
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        squared = weights @ (truth - predicted) ** 2 / totals
        r2 = np.where(spread > (1e-13 * np.abs(truth).max()) ** 2, 1 - squared / spread, np.nan)
        mae = weights @ np.abs(truth - predicted) / totals * unit
    return {"r2": r2, "mae": mae}


def unit_of(target: Floats) -> float:
    """A power of two: 1 where the squares of the numbers are far from overflow, else one that makes them so.

    Dividing by it changes no digit, and multiplying gives the number back.
    """
    largest = int(np.frexp(np.abs(target).max())[1])
    return float(np.ldexp(1.0, max(0, largest - SAFE_POWER)))


def weighted_auc(is_member: Floats, scores: Floats, weights: Floats) -> Floats:
    """AUC under weights, ties half; [n_draws]."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    sorted_weights = weights[:, order]
    members = np.add.reduceat(sorted_weights * is_member[order], starts, axis=1)
    others = np.add.reduceat(sorted_weights * (1 - is_member[order]), starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((members * below).sum(axis=1) / (members.sum(axis=1) * others.sum(axis=1)))


def _mean_auc(truth: Ints, probabilities: Floats, weights: Floats) -> Floats:
    n_classes = probabilities.shape[1]
    if n_classes == 2:
        return weighted_auc((truth == 1).astype(float), probabilities[:, 1], weights)
    present = [label for label in range(n_classes) if (truth == label).any() and (truth != label).any()]
    if not present:
        return np.full(len(weights), np.nan)
    return np.mean(
        [weighted_auc((truth == k).astype(float), probabilities[:, k], weights) for k in present], axis=0
    )

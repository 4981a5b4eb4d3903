"""Scores of predictions under row weights, for a point estimate and its bootstrap in one pass.

What enters is the truth, the predictions and `weights` [n_draws, n_rows] (all ones: the plain score;
multinomial
counts: bootstrap draws); what leaves is one number a draw, NaN where a draw defines none (one class only).
Written here because scikit-learn scores one draw at a time, a thousand times slower; the tests hold it to
scikit-learn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def bootstrap_weights(n_rows: int, n_draws: int, generator: np.random.Generator) -> Floats:
    """Counts [1 + n_draws, n_rows]: first all ones, then how often each row is drawn in each bootstrap
    draw."""
    drawn = generator.multinomial(n_rows, np.full(n_rows, 1.0 / n_rows), size=n_draws)
    return np.vstack([np.ones(n_rows), drawn])


def classification_scores(truth: Ints, probabilities: Floats, weights: Floats) -> dict[str, Floats]:
    """AUC (more than two classes: one against the rest, mean), F1 macro and weighted, balanced accuracy;
    [n_draws]."""
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


def regression_scores(truth: Floats, predicted: Floats, weights: Floats) -> dict[str, Floats]:
    """R2 and mean absolute error (in units of the target); [n_draws]."""
    totals = weights.sum(axis=1)
    centred = truth - truth.mean()  # squares of large, close numbers would cancel
    means = weights @ centred / totals
    spread = weights @ centred**2 / totals - means**2
    squared = weights @ (truth - predicted) ** 2 / totals
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(spread > (1e-13 * np.abs(truth).max()) ** 2, 1 - squared / spread, np.nan)
    return {"r2": r2, "mae": weights @ np.abs(truth - predicted) / totals}


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

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from harmonic.evaluation import scores as scoring
from harmonic.evaluation.scores import bootstrap_weights, classification_scores, regression_scores


@pytest.mark.parametrize("n_classes", [2, 4])
def test_class_scores_are_those_of_scikit_learn_plain_and_on_every_bootstrap_draw(n_classes: int) -> None:
    generator = np.random.default_rng(n_classes)
    truth = generator.integers(n_classes, size=60)
    probabilities = generator.dirichlet(np.ones(n_classes), size=60).round(2)
    probabilities[np.arange(60), truth] += 0.2
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = bootstrap_weights(60, 5, generator)
    scores = classification_scores(truth, probabilities, weights)
    for draw, counts in enumerate(weights):
        rows = np.repeat(np.arange(60), counts.astype(int))
        seen, predicted = truth[rows], probabilities[rows].argmax(axis=1)
        asked = probabilities[rows, 1] if n_classes == 2 else probabilities[rows]
        assert scores["auc"][draw] == pytest.approx(roc_auc_score(seen, asked, multi_class="ovr"))
        assert scores["f1_macro"][draw] == pytest.approx(f1_score(seen, predicted, average="macro"))
        assert scores["f1_weighted"][draw] == pytest.approx(f1_score(seen, predicted, average="weighted"))
        assert scores["balanced_accuracy"][draw] == pytest.approx(balanced_accuracy_score(seen, predicted))


def test_number_scores_are_those_of_scikit_learn_on_large_close_targets() -> None:
    generator = np.random.default_rng(0)
    truth = 1e6 + generator.normal(size=50)
    predicted = truth + generator.normal(size=50) / 3
    weights = bootstrap_weights(50, 5, generator)
    scores = regression_scores(truth, predicted, weights)
    for draw, counts in enumerate(weights):
        assert scores["r2"][draw] == pytest.approx(r2_score(truth, predicted, sample_weight=counts))
        assert scores["mae"][draw] == pytest.approx(
            mean_absolute_error(truth, predicted, sample_weight=counts)
        )


def test_a_bootstrap_of_many_rows_stays_small_and_gives_the_same_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights in full numbers and their copies took 74 MiB here."""
    n = 10_000
    generator = np.random.default_rng(0)
    truth, chance = generator.integers(2, size=n), generator.random(n).round(3)
    probabilities = np.column_stack([1 - chance, chance])
    tracemalloc.start()
    weights = bootstrap_weights(n, 300, np.random.default_rng(1))
    found = (
        classification_scores(truth, probabilities, weights),
        regression_scores(chance, chance**2, weights),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20
    drawn = np.random.default_rng(1).multinomial(n, np.full(n, 1 / n), size=300)
    assert (weights[1:] == drawn).all() and (weights[0] == 1).all()
    monkeypatch.setattr(scoring, "CHUNK_CELLS", 10**9)
    whole = (
        classification_scores(truth, probabilities, weights),
        regression_scores(chance, chance**2, weights),
    )
    for ours, theirs in zip(found, whole, strict=True):
        for name, values in ours.items():
            assert values == pytest.approx(theirs[name], rel=1e-12)


def test_one_class_or_a_constant_target_has_no_auc_and_no_r2() -> None:
    scores = classification_scores(np.zeros(4, dtype=int), np.full((4, 2), 0.5), np.ones((1, 4)))
    assert np.isnan(scores["auc"][0])
    assert np.isfinite(scores["f1_macro"][0])
    assert np.isnan(regression_scores(np.full(4, 0.1), np.arange(4.0), np.ones((1, 4)))["r2"][0])


def test_scores_of_huge_targets_are_those_of_small_ones_and_overflow_is_no_missing_score() -> None:
    generator = np.random.default_rng(0)
    truth, predicted = generator.normal(size=(2, 30))
    weights = bootstrap_weights(30, 5, generator)
    small, huge = (
        regression_scores(truth, predicted, weights),
        regression_scores(np.ldexp(truth, 1000), np.ldexp(predicted, 1000), weights),
    )
    assert huge["r2"] == pytest.approx(small["r2"], rel=1e-12)
    assert huge["mae"] == pytest.approx(np.ldexp(small["mae"], 1000), rel=1e-12)
    assert regression_scores(truth, np.full(30, 1e200), weights)["r2"][0] == -np.inf

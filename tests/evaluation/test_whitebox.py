"""Attacks that hold the model: formulas against longhand, chance where nothing was learnt, alarm where much was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t

from harmonic.decode.score import RowScore
from harmonic.evaluation.whitebox import FAMILY, Scored, attack_scores, leakage_test, measure_white_box


def _row(choices: Sequence[Sequence[float]], full: float = -4.0, n_tokens: int = 4) -> RowScore:
    return RowScore(full, n_tokens, np.array(choices, dtype=float).reshape(-1, 4))


def _drawn(n: int, seed: int, shift: float = 0.0) -> Scored:
    """Records of eight choices; the fitted model finds each likelier than the base by about `shift` nats."""
    rng = np.random.default_rng(seed)
    fitted, base = [], []
    for _ in range(n):
        logs = -rng.exponential(1.0, size=8)
        more = np.minimum(logs + shift + rng.normal(0, 0.1, size=8), -1e-3)
        rest = np.column_stack([np.full(8, -1.2), np.full(8, 0.7), logs > -0.4])
        fitted.append(_row(np.column_stack([more, rest]), float(more.sum()), 8))
        base.append(_row(np.column_stack([logs, rest]), float(logs.sum()), 8))
    return Scored(fitted, base)


def test_each_attack_computes_what_its_paper_says() -> None:
    fitted = _row([[np.log(0.5), -1.0, 0.5, 1], [np.log(0.2), -1.5, 0.6, 0], [np.log(0.1), -1.0, 0.9, 0]])
    base = _row([[np.log(0.4), -1.1, 0.5, 1], [np.log(0.1), -1.4, 0.6, 0], [np.log(0.3), -1.0, 0.9, 1]])
    records = Scored([fitted], [base])
    loss = np.log(0.5 * 0.2 * 0.1) / 3
    assert attack_scores("loss", records)[0] == pytest.approx(loss)
    assert attack_scores("reference", records)[0] == pytest.approx(loss - np.log(0.4 * 0.1 * 0.3) / 3)
    # The model errs at the second token, which training raised by .1, and at the third, which it lowered by .2.
    assert attack_scores("error zone", records)[0] == pytest.approx(np.log(0.101 / 0.201))
    # One choice in five, here one of three: the third, (log .1 + 1) / .9.
    assert attack_scores("Min-K%++", records)[0] == pytest.approx((np.log(0.1) + 1.0) / 0.9)


def test_a_row_without_a_choice_says_nothing() -> None:
    records = Scored([_row([])], [_row([])])
    assert [float(attack_scores(name, records)[0]) for name in FAMILY] == [0.0] * len(FAMILY)


def test_the_leakage_test_is_welchs_and_has_the_published_sign() -> None:
    members, controls = _drawn(40, 1, shift=0.5), _drawn(60, 2)
    found = leakage_test(members, controls)
    inside, outside = (
        np.array([-score.choices[:, 0].mean() for score in group.fitted]) for group in (members, controls)
    )
    parts = [values.var(ddof=1) / len(values) for values in (inside, outside)]
    freedom = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, (40, 60), strict=True))
    error = float(np.sqrt(sum(parts)))
    gap = outside.mean() - inside.mean()
    margin = t.ppf(0.975, freedom) * error
    assert found.nats.value == pytest.approx(gap)
    assert (found.nats.low, found.nats.high) == pytest.approx((gap - margin, gap + margin))
    assert found.p_value == pytest.approx(t.sf(gap / error, freedom))
    assert gap > 0 > found.perplexity.value, "HARMONIC's perplexities: training minus holdout"
    assert found.base.low < 0 < found.base.high


def test_a_model_that_learnt_its_rows_is_caught_by_every_attack() -> None:
    found = measure_white_box(_drawn(120, 3, 0.6), _drawn(120, 4), reordered=(_drawn(120, 5), _drawn(120, 6)))
    assert all(attack.auc.low > 0.5 for attack in found.attacks if attack.name != "Min-K%++")
    assert found.attacks[1].auc.value > 0.95
    assert found.p_value < 1e-6
    assert found.leakage.nats.low > 0 > found.other_orders.nats.low
    assert found.attacks[0].auc.noise_floor == pytest.approx(0.5, abs=0.1)


def test_rows_that_nothing_was_learnt_from_are_rarely_accused() -> None:
    """100 tables without a leak: the corrected p is below .05 in few, and intervals hold one half."""
    alarms, held = 0, np.zeros(len(FAMILY))
    for seed in range(100):
        members, controls = _drawn(100, 1000 + seed), _drawn(100, 2000 + seed)
        found = measure_white_box(members, controls, reordered=(members, controls))
        alarms += found.p_value < 0.05
        held += [attack.auc.low <= 0.5 <= attack.auc.high for attack in found.attacks]
    assert alarms <= 10
    assert (held >= 90).all()


def test_too_few_rows_are_no_figure() -> None:
    few = _drawn(5, 1)
    found = measure_white_box(few, few, reordered=(few, few), notes=["a note"])
    assert not found.is_measured
    assert "need 10" in found.leakage.nats.undefined
    assert found.notes == ("a note",)

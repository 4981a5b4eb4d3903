"""What holds where a run file says nothing about training: chosen on tables of tuning, the same for all.

What enters is sections of a run file as they stand; what leaves is the vendors' settings and the budget in full. Stdlib
only, as the config itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harmonic.config import BudgetSection, ModelSection, Vendor

DEFAULT_BUDGET = BudgetSection(most_tokens=1_000_000)
"""However large the table. It goes with the default length: whoever says how long training lasts is believed."""
DEFAULT_RATES: Mapping[str, float] = {"full": 1e-2, "lora": 4e-3}
"""Learning rates by method; all weights learn by Muon."""
DEFAULT_PASSES, LEAST_VISITS = 30, 6000
"""How often every training row is visited: often enough for so many visits in all, however few rows there are."""
DEFAULT_TRAIN: Vendor = {
    "per_device_train_batch_size": 16,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
}
DEFAULT_LORA: Vendor = {"r": 64, "lora_alpha": 128, "target_modules": "all-linear"}
"""What holds where a run file says nothing else. [train] may name some of its settings and leave the others as they
are; [lora] is passed on as it stands."""


def method_of(
    model: ModelSection, lora: Vendor | None, quantization: Vendor | None
) -> Literal["lora", "full"]:
    """How the base is trained, where [model] method leaves it open."""
    is_whole = model.base == "nano" and lora is None and quantization is None
    return model.method or ("full" if is_whole else "lora")


def train_settings(method: str, train: Vendor | None, n_rows: int) -> Vendor:
    """What trl.SFTConfig gets for so many training rows: [train] over the defaults. Muon's learning rate is for Muon
    alone."""
    given = train or {}
    rate = {} if method == "full" and "optim" in given else {"learning_rate": DEFAULT_RATES[method]}
    passes = max(DEFAULT_PASSES, -(-LEAST_VISITS // max(1, n_rows)))
    return {**rate, "num_train_epochs": passes, **DEFAULT_TRAIN, **given}


def default_budget(train: Vendor | None) -> BudgetSection:
    """The [budget] of a run file that has none."""
    return BudgetSection() if {"num_train_epochs", "max_steps"} & set(train or {}) else DEFAULT_BUDGET


LLE_TRAIN: Vendor = {**DEFAULT_TRAIN, "learning_rate": 2e-3, "num_train_epochs": 7}
"""The published number of passes, at half the rate of rows: one answer a row is little to go by, and at 4e-3 nano comes
to answer every row alike (shoppers, 400 real rows, one seed: AUC .91 at 2e-3; .79 at 1e-3; .72 at 4e-3 in ten
passes)."""


def lle_train_settings(train: Vendor | None) -> Vendor:
    """What trl.SFTConfig gets where the downstream model of LLE is trained."""
    return {**LLE_TRAIN, **(train or {})}

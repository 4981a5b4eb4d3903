"""What language models say of our rows: attacks on the generator itself (DLT among them), and LLE.

For each table of TABLES and each seed the defaults (or `--set`) are fitted on the split of rivals_measured, the model
is attacked with its training rows and the test rows, as many rows as trained are drawn, and LLE is taken of them, of
the real rows and of marginals by class; the yardstick of `fewrows` is laid to the same rows. Two further parts, by
`--only`: "overfitted", an adapter that learnt 64 rows by heart, which must be caught; and "fresh", in which rows that
nothing was trained on are called members, `--rows` times, and an interval must hold one half. A table and seed stand in
a file of their own and are read from there.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.fewrows import Split, config_of, fitted, means_of, split_of, yardstick_of
from benchmarks.kept import kept
from harmonic import Harmonic
from harmonic.baselines import ClassConditionalMarginals
from harmonic.config import Config, LleSection
from harmonic.evaluation.figures import Figure
from harmonic.evaluation.lle import measure_lle
from harmonic.evaluation.llm import attack_model, scored_fresh
from harmonic.evaluation.whitebox import FAMILY, Scored, WhiteBox, measure_white_box
from harmonic.inside import load_base

TABLES = ("german", "diabetes")
OVERFITTED, FRESH = "overfitted", "fresh"
BY_HEART = ("model.method=lora", "prompt.jitter=0", "prompt.crossover=0", "train.num_train_epochs=60")
"""What makes a model learn its rows by heart: many passes, and every row as it is."""
N_BY_HEART = 64


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of means over the seeds for each part."""
    for name in arguments.only or [*TABLES, OVERFITTED, FRESH]:
        found = [
            kept(
                Path(arguments.out) / "inside" / f"{name}-s{seed}.json",
                {"set": arguments.set},
                partial(_measured, arguments, name, seed),
            )
            for seed in range(1 if name == FRESH else arguments.seeds)
        ]
        yield {"table": name, "seeds": len(found), **means_of(found)}


def _measured(arguments: Namespace, name: str, seed: int) -> dict[str, float | None]:
    split = split_of(arguments.data_dir, name if name in TABLES else TABLES[0], seed)
    if name == OVERFITTED:
        return _overfitted(split, [*BY_HEART, *arguments.set], seed)
    if name == FRESH:
        return _fresh(split, [*arguments.set], arguments.rows)
    return _on_table(split, config_of([*arguments.set, f"run.seed={seed}"]), seed)


def _on_table(split: Split, config: Config, seed: int) -> dict[str, float | None]:
    target = str(split.schema.target)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        model = fitted(split.train, target, config, seed, Path(folder))
        assert isinstance(model, Harmonic)
        made = model.sample(len(split.train), seed=seed, settings=config.sample)
        drawn = time.monotonic()
        found = attack_model(model, members=split.train, holdout=split.test, seed=seed)
        attacked = time.monotonic()
    by_class = ClassConditionalMarginals().fit(split.train, model.schema_).sample(len(split.train), seed)
    taught = measure_lle(
        {"synthetic": made, "real": split.train, "by class": by_class},
        split.test,
        model.schema_,
        lambda adapter: load_base(config, adapter, trainable=adapter is None),
        settings=config.lle or LleSection(),
        seed=seed,
    )
    ended = time.monotonic()
    with threadpool_limits(1):
        yardstick = asdict(yardstick_of(split, made, seed))
    return {
        **_attacks(found),
        **{
            f"lle_{score.source}_{metric}": figure.value
            for score in taught.scores
            for metric, figure in score.scores.items()
        },
        **yardstick,
        "fit_seconds": drawn - started,
        "dlt_seconds": attacked - drawn,
        "lle_seconds": ended - attacked,
    }


def _overfitted(split: Split, overrides: Sequence[str], seed: int) -> dict[str, float | None]:
    """64 rows, 60 passes, no example, no jitter, no crossover: it must be caught."""
    table = pd.concat([split.train, split.test], ignore_index=True).sample(frac=1.0, random_state=seed)
    members, controls = table.iloc[:N_BY_HEART], table.iloc[N_BY_HEART:]
    with tempfile.TemporaryDirectory() as folder:
        config = config_of([*overrides, f"run.seed={seed}"])
        model = fitted(members, str(split.schema.target), config, seed, Path(folder))
        assert isinstance(model, Harmonic)
        return _attacks(attack_model(model, members=members, holdout=controls, seed=seed))


def _fresh(split: Split, overrides: Sequence[str], n_times: int) -> dict[str, float | None]:
    """In how many halvings of rows that nothing was trained on an interval holds chance."""
    table = pd.concat([split.train, split.test], ignore_index=True).sample(frac=1.0, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        model = fitted(table.iloc[:300], str(split.schema.target), config_of(overrides), 0, Path(folder))
        assert isinstance(model, Harmonic)
        rows = scored_fresh(model, table.iloc[300:])
    held = dict.fromkeys((*FAMILY, "DLT"), 0)
    alarms = 0
    for seed in range(n_times):
        order = np.random.default_rng(seed).permutation(len(rows.fitted))
        half = len(order) // 2
        members, controls = (
            Scored([rows.fitted[at] for at in part], [rows.base[at] for at in part])
            for part in (order[:half], order[half:])
        )
        found = measure_white_box(members, controls, reordered=(members, controls))
        for attack in found.attacks:
            held[attack.name] += _holds(attack.auc, 0.5)
        held["DLT"] += _holds(found.leakage.nats, 0.0)
        alarms += found.p_value < 0.05
    counts = {f"{name} holds chance": count for name, count in held.items()}
    return {name: float(count) for name, count in {**counts, "alarms": alarms, "of": n_times}.items()}


def _holds(figure: Figure, value: float) -> bool:
    return figure.low is not None and figure.high is not None and figure.low <= value <= figure.high


def _attacks(found: WhiteBox) -> dict[str, float | None]:
    leakage = found.leakage
    return {
        **{f"auc {attack.name}": attack.auc.value for attack in found.attacks},
        "tpr error zone": found.attacks[2].tpr.value,
        "dlt": leakage.nats.value,
        "dlt_low": leakage.nats.low,
        "dlt_high": leakage.nats.high,
        "dlt_base": leakage.base.value,
        "dlt_other_orders": found.other_orders.nats.value,
        "dlt_published": leakage.perplexity.value,
        "p_value": found.p_value,
    }

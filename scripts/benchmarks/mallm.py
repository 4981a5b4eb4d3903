"""MALLM-GAN on few rows: its rows beside class-conditional marginals, SMOTE, the BIC network and the rows themselves.

Tables are the released splits of MALLM-GAN (N training rows and 200 test rows; "clean" = without the test rows that
stand in train) and tables drawn from the network asia, whose law is known. For each table and seed the loop runs with
the settings of `--set`, as many rows as trained are drawn and laid to the yardstick of `rivals`, nothing filtered; then
rows of the graph that the loop began with, under the same seed, for what the loop has gained. "adult_100+adapter" is
the same with the model that HARMONIC fine-tuned on the same rows. A table and seed stand in a file of their own and are
read from there. --rows: rows of asia whose distance to the law is measured.
"""

from __future__ import annotations

import json
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.fewrows import Split, config_of, fitted
from benchmarks.rivals import RIVALS, read_rows
from harmonic import journey
from harmonic.config import Config, SampleSection, config_from_dict
from harmonic.evaluation.networks import Network, read_network
from harmonic.evaluation.truth import distance_of_table
from harmonic.evaluation.yardstick import measure_yardstick
from harmonic.mallm.discriminator import Discriminator
from harmonic.mallm.gan import MallmGan
from harmonic.mallm.network import BicNetwork
from harmonic.settings import apply_overrides
from harmonic.table.infer import infer_schema

SIZES = (100, 200, 400, 800)
TABLES = {
    **{f"adult_{n}": (f"mallm_gan_splits/adult_{n}_{{}}.csv", "Income") for n in SIZES},
    **{f"ins_{n}{end}": (f"mallm_gan_splits/ins_{n}_{{}}.csv", "charges") for n in SIZES for end in ("", "clean")},
    **{f"magic_{n}": (f"mallm_gan_splits/magic_{n}_{{}}.csv", "gamma (signal), hadron (background)") for n in SIZES},
}  # fmt: skip
ASIA = {f"asia_{n}": n for n in (25, 50, 200)}
_ADAPTER = "+adapter"
_JUDGED_AGAIN = 1000
"""Seeds of the judgement after the loop begin here: none that the loop drew or judged under."""
Draw = Callable[[int, int], pd.DataFrame]
"""(rows, seed) of a generator."""


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of means over the seeds for each table and generator; `--only` names tables."""
    for name in arguments.only or [*TABLES, *ASIA]:
        found: list[dict[str, Any]] = []
        for seed in range(arguments.seeds):
            place = Path(arguments.out) / "mallm" / f"{name}-s{seed}.json"
            wanted = {"set": arguments.set, "rows": arguments.rows if name in ASIA else None}
            kept = json.loads(place.read_text()) if place.exists() else {}
            if {key: kept.get(key) for key in wanted} != wanted:
                with threadpool_limits(1):
                    figures = (_asia if name in ASIA else _table)(arguments, name, seed)
                kept = {**wanted, "figures": figures}
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps(kept, indent=2) + "\n")
            found.append(kept["figures"])
        for generator in found[0]:
            yield {"table": name, "rows by": generator, **_means([figures[generator] for figures in found])}


def _table(arguments: Namespace, name: str, seed: int) -> dict[str, dict[str, float]]:
    table = name.removesuffix(_ADAPTER)
    split = Split(*read_rows(arguments.data_dir, *TABLES[table], is_clean=table.endswith("clean")))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        adapter = _adapter(split, arguments.set, seed, Path(folder)) if name.endswith(_ADAPTER) else []
        model = _fitted(split.train, str(split.schema.target), [*arguments.set, *adapter], seed)
    fit_seconds = time.monotonic() - started
    settings = _settings(arguments.set)
    made = model.sample(len(split.train), seed=seed, settings=settings)
    seconds = time.monotonic() - started
    own = {
        **_judged(split, made, seed),
        "fit_seconds": fit_seconds,
        "seconds": seconds,
        **_loop(model, split, seed),
    }
    return {
        "mallm": own,
        **{rival: _judged(split, draw(len(split.train), seed), seed) for rival, draw in _others(split)},
    }


def _adapter(split: Split, overrides: list[str], seed: int, folder: Path) -> list[str]:
    """The setting that names a model fine-tuned on the training rows, in `folder`."""
    shared = [one for one in overrides if one.startswith(("model.", "prompt.", "quantization."))]
    config = config_of([*shared, f"run.seed={seed}"])
    fitted(split.train, str(split.schema.target), config, seed, folder)
    return [f'mallm.adapter="{folder / "adapter"}"']


def _others(split: Split) -> Iterator[tuple[str, Draw]]:
    for name in ("class_conditional", "smote"):
        yield name, RIVALS[name]().fit(split.train, split.schema).sample
    yield "bic_network", BicNetwork().fit(split.train, split.schema).sample
    yield "real", lambda n, seed: split.train


def _judged(split: Split, made: pd.DataFrame, seed: int) -> dict[str, float]:
    """The yardstick, and by how many points the class balance is off (regression: not defined)."""
    found = asdict(
        measure_yardstick(
            real=split.train, synthetic=made, holdout=split.test, schema=split.schema, seed=seed
        )
    )
    target = split.schema.target
    if split.schema.task != "regression":
        shares = [frame[target].value_counts(normalize=True) for frame in (split.train, made)]
        found["balance"] = float(shares[0].sub(shares[1], fill_value=0.0).abs().max())
    return {key: value for key, value in found.items() if value is not None}


def _loop(model: MallmGan, split: Split, seed: int) -> dict[str, float]:
    """What the loop did, and how much nearer its last graph brings rows to real ones than its first one: fresh rows of
    both under one seed, against the same training rows in the same folds."""
    state, again = model.state_, _JUDGED_AGAIN + seed
    judge = Discriminator(split.train, split.schema, seed=again)
    before = copy(model)
    before.state_ = replace(state, best=state.first)
    n = max(2 * 10, len(split.train))
    last = judge.judge(model.sample(n, seed=again))
    # The same graph writes the same rows.
    is_edited = state.best != state.first
    first = judge.judge(before.sample(n, seed=again)) if is_edited else last
    gain = last.ahead_of(first)[0] if is_edited else 0.0
    edited = state.steps[1:]
    proposed = sum(step.proposed for step in edited)
    return {
        "loop_gain": gain,
        "loop_first": first.score,
        "loop_last": last.score,
        "steps_taken": float(sum(step.accepted for step in edited)),
        "new_share": sum(step.new for step in edited) / max(1, proposed),
        "refused_an_answer": sum(step.refused for step in edited) / max(1, proposed),
        "gain_taken": float(np.mean([step.gain for step in edited if step.accepted] or [0.0])),
        "calls": float(state.calls),
        "tokens": float(state.tokens),
    }


def _asia(arguments: Namespace, name: str, seed: int) -> dict[str, dict[str, float]]:
    """Total variation to the law: of the drawn rows themselves, of the BIC network, of ours."""
    network: Network = read_network(arguments.data_dir / "bayesnets" / "asia.bif")
    rows = network.sample(ASIA[name], seed=_JUDGED_AGAIN + seed)
    # What a user sees: levels that occur. One that does not can never be written.
    target = "dysp" if rows["dysp"].nunique() > 1 else str(rows.columns[0])
    distance = partial(distance_of_table, network)
    bic = BicNetwork().fit(rows, infer_schema(rows))
    model = _fitted(rows, target, arguments.set, seed)
    made = model.sample(arguments.rows, seed=seed, settings=_settings(arguments.set))
    copies = {tuple(row) for row in rows.itertuples(index=False)}
    shares = [float(np.mean([tuple(row) in copies for row in frame.itertuples(index=False)])) for frame in
              (made, network.sample(arguments.rows, seed=seed))]  # fmt: skip
    return {
        "mallm": {"tv": distance(made), "equal_a_row": shares[0], "tokens": float(model.state_.tokens)},
        "rows themselves": {"tv": distance(rows)},
        "bic_network": {"tv": distance(bic.sample(arguments.rows, seed=seed))},
        "law": {"tv": distance(network.sample(arguments.rows, seed=seed)), "equal_a_row": shares[1]},
    }


def _fitted(train: pd.DataFrame, target: str, overrides: list[str], seed: int) -> MallmGan:
    config = _config([*overrides, f"run.seed={seed}"])
    return journey.build_mallm(config).fit(train, infer_schema(train, target=target))


def _settings(overrides: list[str]) -> SampleSection:
    return _config(overrides).sample or SampleSection()


def _config(overrides: list[str]) -> Config:
    data = {"table": {"source": "of its own"}, "run": {"method": "mallm"}}
    return config_from_dict(apply_overrides(data, overrides))


def _means(found: list[Mapping[str, float]]) -> dict[str, object]:
    """Mean +- standard deviation over the seeds."""
    words: dict[str, object] = {}
    for name in found[0]:
        values = [figures[name] for figures in found if name in figures]
        spread = f" +- {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        words[name] = f"{np.mean(values):.3f}{spread}"
    return words

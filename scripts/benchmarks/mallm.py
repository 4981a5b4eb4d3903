"""MALLM-GAN on few rows: its rows beside class-conditional marginals, SMOTE, the BIC network and the rows themselves.

Tables are the released splits of MALLM-GAN (N training rows and 200 test rows; "clean" = without the test rows that
stand in train) and tables drawn from the network asia, whose law is known. For each table and seed the loop runs with
the settings of `--set`, as many rows as trained are drawn and laid to the yardstick of `rivals`, nothing filtered; then
rows of the graph that the loop began with, under the same seed, for what the loop has gained. "adult_100+adapter" is
the same with the model that HARMONIC fine-tuned on the same rows. A table and seed stand in a file of their own and are
read from there. On clean tables "utility_published" is of the published test rows, copies of training rows among
them; "..._rest" is of the rest of the table from which the split was drawn (`rest`), and "own_rate", beside the real
rows, is how often rows of the rest equal a training row. --rows: rows of asia whose distance to the law is measured.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.fewrows import Split, config_of, fitted, yardstick_of
from benchmarks.kept import kept
from benchmarks.rest import rest_of
from benchmarks.rivals import RIVALS, read_rows
from harmonic import journey
from harmonic.config import Config, SampleSection, config_from_dict
from harmonic.evaluation.networks import Network, read_network
from harmonic.evaluation.truth import distance_of_table
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
FORM = 2
"""Raised whenever what is measured changes: figures of another form are measured again."""
_ADAPTER = "+adapter"
_JUDGED_AGAIN = 1000
"""Seeds of the judgement after the loop begin here: none that the loop drew or judged under."""
Draw = Callable[[int, int], pd.DataFrame]
"""(rows, seed) of a generator."""


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of means over the seeds for each table and generator; `--only` names tables."""
    for name in arguments.only or [*TABLES, *ASIA]:
        is_asia = name.removesuffix(_ADAPTER) in ASIA
        wish = {"set": arguments.set, "rows": arguments.rows if is_asia else None, "form": FORM}
        with threadpool_limits(1):
            found = [
                kept(
                    Path(arguments.out) / "mallm" / f"{name}-s{seed}.json",
                    wish,
                    partial(_asia if is_asia else _table, arguments, name, seed),
                )
                for seed in range(arguments.seeds)
            ]
        for generator in found[0]:
            yield {"table": name, "rows by": generator, **_means([figures[generator] for figures in found])}


def _table(arguments: Namespace, name: str, seed: int) -> dict[str, dict[str, float]]:
    table = name.removesuffix(_ADAPTER)
    split = _split(arguments.data_dir, table, table.endswith("clean"))
    rest = rest_of(arguments.data_dir, table, split.train, split.schema)
    further = {} if rest is None else {"_rest": split._replace(test=rest.rows)}
    if table.endswith("clean"):
        further["_published"] = _split(arguments.data_dir, table, is_clean=False)
    started = time.monotonic()
    with _fitting(arguments, name, split.train, str(split.schema.target), seed) as model:
        fit_seconds = time.monotonic() - started
        made = model.sample(len(split.train), seed=seed, settings=_settings(arguments.set))
        seconds = time.monotonic() - started
        loop = _loop(model, split, seed)
    drawn = {rival: draw(len(split.train), seed) for rival, draw in _others(split)}
    figures = {
        rival: _judged(split, further, frame, seed) for rival, frame in {"mallm": made, **drawn}.items()
    }
    figures["mallm"] |= {"fit_seconds": fit_seconds, "seconds": seconds, **loop}
    if rest is not None:
        figures["real"]["own_rate"] = rest.own_rate
    return figures


def _split(data_dir: Path, table: str, is_clean: bool) -> Split:
    return Split(*read_rows(data_dir, *TABLES[table], is_clean=is_clean))


@contextmanager
def _fitting(
    arguments: Namespace, name: str, train: pd.DataFrame, target: str, seed: int
) -> Iterator[MallmGan]:
    """The loop's outcome on `train`; on a table "+adapter", with the model that is fine-tuned on these rows first."""
    with TemporaryDirectory() as folder:
        adapter = (
            _adapter(train, target, arguments.set, seed, Path(folder)) if name.endswith(_ADAPTER) else []
        )
        config = _config([*arguments.set, *adapter, f"run.seed={seed}"])
        yield journey.build_mallm(config).fit(train, infer_schema(train, target=target))


def _adapter(train: pd.DataFrame, target: str, overrides: list[str], seed: int, folder: Path) -> list[str]:
    """The setting that names a model fine-tuned on the training rows, in `folder`."""
    shared = [one for one in overrides if one.startswith(("model.", "prompt.", "quantization."))]
    fitted(train, target, config_of([*shared, f"run.seed={seed}"]), seed, folder)
    return [f'mallm.adapter="{folder / "adapter"}"']


def _others(split: Split) -> Iterator[tuple[str, Draw]]:
    for name in ("class_conditional", "smote"):
        yield name, RIVALS[name]().fit(split.train, split.schema).sample
    yield "bic_network", BicNetwork().fit(split.train, split.schema).sample
    yield "real", lambda n, seed: split.train


def _judged(split: Split, further: Mapping[str, Split], made: pd.DataFrame, seed: int) -> dict[str, float]:
    """The yardstick, utility and C2ST by every further test, and by how many points the class balance is off
    (quantities: undefined)."""
    found = asdict(yardstick_of(split, made, seed))
    for end, other in further.items():
        again = asdict(yardstick_of(other, made, seed))
        found |= {f"{name}{end}": again[name] for name in ("utility", "utility_best", "c2st")}
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
    after, before = copy(model), copy(model)
    # What selects has learnt from rows of the last graph: here graphs are compared, not what is made of them.
    after._selection = before._selection = None
    before.state_ = replace(state, best=state.first)
    n = max(2 * 10, len(split.train))
    last = judge.judge(after.sample(n, seed=again))
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
    rows = network.sample(ASIA[name.removesuffix(_ADAPTER)], seed=_JUDGED_AGAIN + seed)
    # What a user sees: levels that occur. One that does not can never be written.
    target = "dysp" if rows["dysp"].nunique() > 1 else str(rows.columns[0])
    bic = BicNetwork().fit(rows, infer_schema(rows))
    with _fitting(arguments, name, rows, target, seed) as model:
        made = model.sample(arguments.rows, seed=seed, settings=_settings(arguments.set))
        state = model.state_
    law = network.sample(arguments.rows, seed=seed)
    copies = {tuple(row) for row in rows.itertuples(index=False)}
    drawn = {"mallm": made, "bic_network": bic.sample(arguments.rows, seed=seed), "law": law}
    figures = {
        generator: {
            "tv": distance_of_table(network, frame),
            "equal_a_row": float(np.mean([tuple(row) in copies for row in frame.itertuples(index=False)])),
        }
        for generator, frame in drawn.items()
    }
    steps = {
        "steps_taken": float(sum(step.accepted for step in state.steps[1:])),
        "tokens": float(state.tokens),
    }
    figures["mallm"] |= steps
    return {**figures, "rows themselves": {"tv": distance_of_table(network, rows)}}


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

"""Baselines on nine small real tables, beside what the same baselines measured when rivals were compared on them.

A figure is within the noise where it differs from the published mean of three seeds by no more than the stated noise
(C2ST .05, MIA .035), or else than the 95 % prediction interval of such a mean from our own seeds, plus half of the
published figure's last place. `!` marks one that is outside of both, `~` one outside the stated noise alone. Of the
figures without a stated noise one in twenty lies outside by chance. A table that was measured stands in a file of its
own and is read from there.
"""

from __future__ import annotations

import json
import tomllib
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from harmonic.baselines import (
    ClassConditionalMarginals,
    GaussianCopula,
    IndependentMarginals,
    ResampledRows,
    Smote,
)
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.distances import RowHashes
from harmonic.evaluation.yardstick import Yardstick, measure_yardstick
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

PUBLISHED = Path(__file__).with_name("rivals.toml")
TABLES = {
    "adult_100": ("mallm_gan_splits/adult_100_{}.csv", "Income"),
    "adult_400": ("mallm_gan_splits/adult_400_{}.csv", "Income"),
    "adult_800": ("mallm_gan_splits/adult_800_{}.csv", "Income"),
    "ins_100": ("mallm_gan_splits/ins_100_{}.csv", "charges"),
    "ins_400clean": ("mallm_gan_splits/ins_400_{}.csv", "charges"),
    "ins_800clean": ("mallm_gan_splits/ins_800_{}.csv", "charges"),
    "german": ("harmonic_splits/german_{}.csv.gz", "status"),
    "diabetes": ("harmonic_splits/diabetes_{}.csv.gz", "Outcome"),
    "adult2k": ("harmonic_splits/adult2k_{}.csv.gz", "class"),
}
Rival = ResampledRows | IndependentMarginals | ClassConditionalMarginals | Smote | GaussianCopula
RIVALS: dict[str, Callable[[], Rival]] = {
    "resampled": ResampledRows,
    "independent": IndependentMarginals,
    "class_conditional": ClassConditionalMarginals,
    "smote": Smote,
    "copula": GaussianCopula,
}
PUBLISHED_SEEDS = 3
STATED = {"c2st": 0.05, "c2st_train": 0.05, "mia": 0.035}

Figures = dict[str, list[float]]
"""By name, one number a seed."""


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row a table and baseline: every figure as "ours (published)", with ! where they differ by more than noise."""
    published = tomllib.loads(PUBLISHED.read_text(), parse_float=Decimal)
    for name in arguments.only or TABLES:
        train, test, schema = read_split(arguments.data_dir, name)
        sizes = {"n_train": len(train), "n_test": len(test)}
        expected = {key: published[name][key] for key in sizes}
        if sizes != expected:
            raise ValueError(f"Table {name!r}: {sizes}, expected {expected}. Are these the published splits?")
        place = Path(arguments.out) / "rivals" / f"{name}.json"
        found = _resumed(place, arguments.seeds) or _measured(train, test, schema, arguments.seeds, place)
        for rival, figures in found.items():
            yield {"table": name, "rival": rival, **compared(figures, published[name].get(rival, {}))}


def compared(figures: Figures, published: Mapping[str, Decimal]) -> dict[str, object]:
    """The figures in words, and how many of those published lie within the noise."""
    words: dict[str, object] = {}
    n_within = n_published = 0
    for name, values in figures.items():
        words[name] = f"{np.mean(values):.3f}"
        if name in published:
            mark = _mark(name, values, published[name])
            words[name] = f"{words[name]} ({published[name]}){mark}"
            n_published += 1
            n_within += mark == ""
    return {"within": f"{n_within} of {n_published}", **words} if n_published else words


def _mark(name: str, values: Sequence[float], published: Decimal) -> str:
    """Nothing within the noise (the stated one where there is one), "~" within that of the seeds alone, else "!"."""
    gap = abs(float(np.mean(values)) - float(published))
    rounding = 0.5 * 10.0 ** int(published.as_tuple().exponent) + 1e-9
    if gap <= STATED.get(name, 0.0) + rounding:
        return ""
    if gap > seed_noise(values) + rounding:
        return "!"
    return "~" if name in STATED else ""


def seed_noise(values: Sequence[float]) -> float:
    """Half the 95 % interval in which a mean of PUBLISHED_SEEDS further seeds lies; 0 from a single seed."""
    n = len(values)
    if n < 2:
        return 0.0
    spread = np.std(values, ddof=1) * np.sqrt(1 / PUBLISHED_SEEDS + 1 / n)
    return float(student.ppf(0.975, n - 1) * spread)


def read_split(data_dir: Path, name: str) -> tuple[pd.DataFrame, pd.DataFrame, Schema]:
    """Training and test rows of a table, and the schema of the training rows; every column of numbers is an amount."""
    return read_rows(data_dir, *TABLES[name], is_clean=name.endswith("clean"))


def read_rows(
    data_dir: Path, pattern: str, target: str, *, is_clean: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame, Schema]:
    """The same of any files of train and test rows; is_clean: without the test rows that stand in train."""
    test_pattern = pattern.replace("adult2k", "adult")
    train = pd.read_csv(data_dir / pattern.format("train"))
    test = pd.read_csv(data_dir / test_pattern.format("test"))
    numeric = [
        column for column in train.select_dtypes("number") if column != target or train[column].nunique() > 2
    ]
    overrides = {column: {"kind": _kind(pd.concat([train[column], test[column]]))} for column in numeric}
    schema = infer_schema(train, target=target, overrides=overrides)
    return train, _clean(train, test, schema) if is_clean else test, schema


def _kind(cells: pd.Series) -> str:
    return "integer" if (cells.dropna() % 1 == 0).all() else "decimal"


def _clean(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The test rows that do not stand in train."""
    codebook = Codebook(schema, [train, test])
    hashes = RowHashes({"train": codebook.encode(train), "test": codebook.encode(test)})
    return test[~hashes.copies("test", "train")].reset_index(drop=True)


def _resumed(place: Path, n_seeds: int) -> dict[str, Figures] | None:
    """What was measured before with as many seeds; None where nothing was."""
    if not place.exists():
        return None
    kept = json.loads(place.read_text())
    return kept["figures"] if kept["seeds"] == n_seeds else None


def _measured(
    train: pd.DataFrame, test: pd.DataFrame, schema: Schema, n_seeds: int, place: Path
) -> dict[str, Figures]:
    """The figures of the real rows and of every baseline by seed, also written to `place`."""
    found: dict[str, Figures] = {}
    with threadpool_limits(1):
        found["real"] = _by_name([_real(train, test, schema, seed) for seed in range(n_seeds)])
        for name, rival in RIVALS.items():
            model = rival().fit(train, schema)
            tables = [model.sample(len(train), seed) for seed in range(n_seeds)]
            found[name] = _by_name(
                [asdict(_yardstick(train, made, test, schema, seed)) for seed, made in enumerate(tables)]
            )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"seeds": n_seeds, "figures": found}, indent=2) + "\n")
    return found


def _real(train: pd.DataFrame, test: pd.DataFrame, schema: Schema, seed: int) -> dict[str, float | None]:
    """What real rows measure: utility of the training rows; shape, pair and C2ST of test rows against train."""
    trained = _yardstick(train, train, test, schema, seed)
    fresh = _yardstick(train, test, test, schema, seed)
    utility = {name: getattr(trained, name) for name in ("utility", "utility_best", "auc")}
    return {"shape": fresh.shape, "pair": fresh.pair, "c2st": fresh.c2st_train, **utility}


def _yardstick(
    train: pd.DataFrame, made: pd.DataFrame, test: pd.DataFrame, schema: Schema, seed: int
) -> Yardstick:
    return measure_yardstick(real=train, synthetic=made, holdout=test, schema=schema, seed=seed)


def _by_name(measured: Sequence[Mapping[str, Any]]) -> Figures:
    """One list a figure; those that are not defined (AUC in regression) are left out."""
    return {
        name: [figures[name] for figures in measured]
        for name, value in measured[0].items()
        if value is not None
    }

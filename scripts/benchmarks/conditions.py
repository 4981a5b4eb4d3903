"""Rows under conditions beside free ones: what asking for classes, or for a part of the table, costs their quality.

A table of `fewrows` is fitted with the defaults (or `--set`); as many rows as trained are drawn free, and with the
target's classes in their training shares as quotas; the yardstick of `rivals` is laid to both.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.fewrows import config_of, fitted, split_of, yardstick_of

TABLES = ("adult_400",)


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row for each table, seed and kind of rows; `--only` names tables whose target has classes."""
    for name in arguments.only or TABLES:
        for seed in range(arguments.seeds):
            split, config = (
                split_of(arguments.data_dir, name, seed),
                config_of([*arguments.set, f"run.seed={seed}"]),
            )
            target = str(split.schema.target)
            with tempfile.TemporaryDirectory() as folder:
                model = fitted(split.train, target, config, seed, Path(folder))
            quotas = {target: split.train[target].value_counts().to_dict()}
            for kind, asked in {"free": None, "quotas": quotas}.items():
                started = time.monotonic()
                made = model.sample(len(split.train), seed=seed, settings=config.sample, quotas=asked)
                seconds = time.monotonic() - started
                with threadpool_limits(1):
                    found = asdict(yardstick_of(split, made, seed))
                yield {"table": name, "seed": seed, "rows": kind, "seconds": seconds, **found}

"""How long a report takes: by suite and table size, wall clock and processor time, part by part."""

from __future__ import annotations

import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator

import pandas as pd

from harmonic.baselines import GaussianCopula
from harmonic.evaluation import evaluate
from harmonic.table.schema import Schema
from harmonic.table.sources import read_table
from harmonic.table.splits import split_table

CASES = {
    "quick-1000x10": ("quick", 1_000, 10),
    "quick-10000x15": ("quick", 10_000, 15),
    "full-10000x15": ("full", 10_000, 15),
}
"""Suite, rows and columns. The goals on two idle cores: half a minute, five minutes, twenty-five."""


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of figures a case; `only` names some of them. The rows are Adult's, the generator a Gaussian copula."""
    for name in arguments.only or CASES:
        suite, n_rows, n_columns = CASES[name]
        table, schema = _adult(arguments, n_rows, n_columns)
        train, holdout = split_table(table, schema, seed=0)
        synthetic = GaussianCopula().fit(train, schema).sample(n_rows, seed=0)
        clock = _Clock()
        report = evaluate(
            real=train, synthetic=synthetic, holdout=holdout, schema=schema, suite=suite, progress=clock.next
        )
        clock.next("page: pictures and text")
        n_bytes = len(report.to_html().encode())
        clock.next("")
        yield {
            "case": name,
            "seconds": sum(clock.seconds.values()),
            "processor_seconds": clock.processor_seconds,
            **{f"seconds_{part}": seconds for part, seconds in clock.seconds.items()},
            "page_bytes": n_bytes,
        }


def _adult(arguments: Namespace, n_rows: int, n_columns: int) -> tuple[pd.DataFrame, Schema]:
    """Random rows of Adult, its first columns and the target."""
    path = arguments.data_dir / "tables" / "adult.csv.gz"
    table, schema = read_table(path, target="income")
    kept = [*schema.names[: n_columns - 1], "income"]
    return read_table(table[kept].sample(n_rows, random_state=0).reset_index(drop=True), target="income")


class _Clock:
    """Adds up the time between progress lines by the part they begin with ("fidelity: ...")."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._part, self._since, self._process = "", time.monotonic(), time.process_time()

    @property
    def processor_seconds(self) -> float:
        return time.process_time() - self._process

    def next(self, line: str) -> None:
        now = time.monotonic()
        if self._part:
            self.seconds[self._part] += now - self._since
        self._part, self._since = line.partition(":")[0], now

"""Whole journeys on real tables: how long, are dtypes and missing rates those of the table?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.runs import config_of, journey_of
from harmonic import journey
from harmonic.table.sources import load_table

TABLES = {
    "insurance": ("insurance", "charges", None),
    "credit_g": ("credit_g", "class", None),
    "sick": ("sick", "Class", None),
    "bike_hour": ("bike_hour", "cnt", 3000),
    "housing": ("housing", "median_house_value", 2000),
}


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of figures a table."""
    for name in arguments.only or TABLES:
        file, target, head = TABLES[name]
        source = arguments.data_dir / "tables" / f"{file}.csv.gz"
        if head is not None:
            source = _head(source, head, Path(arguments.out) / f"{name}-{head}.csv")
        data = {"table": {"source": str(source), "target": target}}
        config = config_of(None, data, arguments.set, Path(arguments.out) / name)
        run, report, seconds = journey_of(config)
        schema, parts = journey.prepare(run, config, write=False)
        synthetic = load_table(run.path("samples/seed-0.csv"), schema)
        gaps = (synthetic.isna().mean() - parts.train.isna().mean()).abs()
        yield {
            "table": name,
            "seconds": seconds,
            "rows": len(synthetic),
            "dtypes_equal": bool((synthetic.dtypes == parts.train.dtypes).all()),
            "missing_gap_mean": float(gaps.mean()),
            "missing_gap_most": float(gaps.max()),
            "c2st": report.fidelity.c2st.value,
            "c2st_independent": report.fidelity.c2st.worst_case,
        }


def _head(source: Path, n_rows: int, out: Path) -> Path:
    """The first rows of a table as a file of its own, texts untouched."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        pd.read_csv(source, dtype=str, keep_default_na=False, nrows=n_rows).to_csv(out, index=False)
    return out

"""Measurements that take longer than a test, each printed as a table and kept as JSON.

python scripts/benchmark.py quickstart --seeds 5          utility and C2ST of the quickstart, and of random weights
python scripts/benchmark.py tables                        whole journeys on real tables: time, dtypes, missing rates
python scripts/benchmark.py vocabularies --rows 2000      real vocabularies on random weights: every row valid
python scripts/benchmark.py fuzz --rows 500               36 fuzzed schemas on random weights: valid, bounded, canonical
python scripts/benchmark.py compilation                   100 columns for a real vocabulary: seconds, memory
python scripts/benchmark.py decode                        rows a second against generate + xgrammar, and rejection
python scripts/benchmark.py throughput --seconds 5        on a GPU: tokens a second against its physical limit
python scripts/benchmark.py rivals --seeds 3              five baselines on nine tables, beside published figures
python scripts/benchmark.py ceilings                      real rows on the HARMONIC splits: macro F1, AUC, R2
python scripts/benchmark.py imputation --seeds 5          cells of the quickstart's holdout, taken away and drawn again
python scripts/benchmark.py nano                          bits a cell of unseen real rows, given 0 to 64 examples
python scripts/benchmark.py fewrows --seeds 5             our rows beside the rivals' figures, on nine small tables
python scripts/benchmark.py ablations --seeds 3           random weights, other sizes, neighbours, completion only
python scripts/benchmark.py conditions --seeds 1          rows by class beside free ones: quality and seconds
python scripts/benchmark.py mallm --only adult_100        MALLM-GAN on few rows and on a known law; its loop's gain
python scripts/benchmark.py selection --seeds 1           what the discriminator's selection makes of rows
python scripts/benchmark.py inside --seeds 5              attacks on the model itself, DLT, and LLE of its rows
python scripts/benchmark.py neighbors                     50,000 x 20: time, memory, brute force
python scripts/benchmark.py evaluation                    seconds of a report, by suite and table size
python scripts/benchmark.py intervals --seeds 400         how often the two-sample test's interval holds its mean
Real tables are looked for in HARMONIC_DATA.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path

import cli

MEASUREMENTS = (
    "quickstart",
    "tables",
    "vocabularies",
    "fuzz",
    "compilation",
    "decode",
    "throughput",
    "imputation",
    "nano",
    "fewrows",
    "ablations",
    "conditions",
    "mallm",
    "selection",
    "inside",
    "neighbors",
    "rivals",
    "ceilings",
    "evaluation",
    "intervals",
)


def work() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measurement", choices=MEASUREMENTS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0, help="throughput: the longest run of a point")
    parser.add_argument("--only", nargs="*", help="some of the tables or parts, by name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=v", help="override a setting of the runs"
    )
    parser.add_argument(
        "--out", default="checkpoints/benchmarks", help="where runs and figures go; runs are resumed"
    )
    arguments = parser.parse_args()
    arguments.data_dir = Path(os.environ.get("HARMONIC_DATA", "../shared/data"))
    measure = importlib.import_module(f"benchmarks.{arguments.measurement}").measure
    rows: list[dict[str, object]] = []
    place = Path(arguments.out) / f"{arguments.measurement}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    for row in measure(arguments):
        rows.append(row)
        cli.say("  ".join(f"{key} {_shown(value)}" for key, value in row.items()))
        place.write_text(json.dumps(rows, indent=2) + "\n")
    cli.say(f"Figures: {place}")


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    cli.main(work)

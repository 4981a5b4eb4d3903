"""Rows from the graph alone: the dependence it names, exact dtypes, one seed one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from harmonic.evaluation.networks import read_network
from harmonic.evaluation.truth import distance_of_table
from harmonic.mallm.network import BicNetwork
from harmonic.table.cells import validate
from harmonic.table.infer import infer_schema, observe


def _table(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kind = rng.choice(["low", "high"], n)
    return pd.DataFrame(
        {
            "wage": np.round(rng.normal(10 + 20 * (kind == "high"), 2), 2),
            "kind": kind,
            "age": rng.integers(20, 80, n),
        }
    )


def test_rows_hold_what_the_graph_says_and_nothing_else() -> None:
    frame = _table(300)
    schema = observe(infer_schema(frame, target="kind"), frame)
    model = BicNetwork().fit(frame, schema)
    made = model.sample(1000, seed=1)
    assert validate(made, schema) == []
    assert list(made.dtypes) == list(frame.dtypes)
    assert ((made["wage"] > 20) == (made["kind"] == "high")).mean() > 0.9
    assert abs(np.corrcoef(made["age"], made["wage"])[0, 1]) < 0.1
    assert made.equals(model.sample(1000, seed=1))
    assert not made.equals(model.sample(1000, seed=2))


def test_of_many_rows_the_network_is_nearer_to_the_truth_than_the_rows_are(data_dir: Path) -> None:
    network = read_network(data_dir / "bayesnets" / "asia.bif")
    rows = network.sample(500, seed=0)
    made = BicNetwork().fit(rows, infer_schema(rows)).sample(50_000, seed=0)
    assert distance_of_table(network, made) < distance_of_table(network, rows)

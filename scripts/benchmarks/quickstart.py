"""The quickstart over several seeds (split, training and sampling), and the same budget from random weights."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bases import random_base
from benchmarks.runs import config_of, journey_of
from harmonic.evaluation import Report

FILE = "configs/runs/harmonic/quickstart.toml"


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of figures for each seed and base; `only` names some of nano and random."""
    bases = {"nano": (), "random": random_base(Path(arguments.out) / "bases" / "random-weights")}
    for seed in range(arguments.seeds):
        for name, base in bases.items():
            if arguments.only and name not in arguments.only:
                continue
            out = Path(arguments.out) / f"quickstart-{name}-{seed}"
            settings = [f"run.seed={seed}", *base, *arguments.set]
            run, report, seconds = journey_of(config_of(FILE, {}, settings, out))
            drawn = run.read_json("samples/seed-0.json")
            yield {
                "seed": seed,
                "base": name,
                "seconds": seconds,
                "rows": drawn["rows"],
                "valid": report.validity.valid.value,
                "r2": _headline(report, "synthetic"),
                "r2_real": _headline(report, "real"),
                "c2st": report.fidelity.c2st.value,
                "c2st_independent": report.fidelity.c2st.worst_case,
                "copies": report.privacy.copies.synthetic.value,
                "mia": report.privacy.membership.value,
            }


def _headline(report: Report, source: str) -> float | None:
    trained = report.utility.source(source)
    return None if trained is None else trained.scores[report.utility.headline].value

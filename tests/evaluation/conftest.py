"""Small tables whose law is known, for every metric."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic.baselines import IndependentMarginals, ResampledRows
from harmonic.evaluation import attacks, inference, learners, twosample
from harmonic.evaluation.attacks import Tables
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.privacy import Privacy, measure_privacy
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema


def draw_people(n: int, seed: int) -> pd.DataFrame:
    """Patients: two numbers and two levels that hang together, one with gaps, and an outcome."""
    generator = np.random.default_rng(seed)
    age = generator.integers(20, 80, size=n)
    dose = np.round(age * 1.5 + generator.normal(0, 8, size=n), 1)
    ward = np.where(age + generator.normal(0, 6, size=n) > 55, "geriatric", "general")
    test = np.where(generator.random(n) < 0.15, None, np.where(ward == "general", "blood", "scan"))
    outcome = np.where(dose + generator.normal(0, 20, size=n) > 75, "ill", "well")
    return pd.DataFrame({"age": age, "dose": dose, "ward": ward, "test": test, "outcome": outcome})


@pytest.fixture(scope="session")
def people() -> Callable[[int, int], pd.DataFrame]:
    """people(n, seed): that many rows of one law."""
    return draw_people


@pytest.fixture(scope="session")
def people_schema() -> Schema:
    return infer_schema(draw_people(2_000, 99), target="outcome", title="patients")


@pytest.fixture(scope="module")
def small_models() -> Iterator[None]:
    """Models of a few trees, for tests of form: an evaluation in a second."""
    sizes = {
        learners: {"N_TREES": 5, "N_ROUNDS": 5},
        twosample: {"N_ROUNDS": 10},
        attacks: {"N_ROUNDS": 10},
        inference: {"N_PREDICATES": 200},
    }
    with pytest.MonkeyPatch.context() as patch:
        for module, values in sizes.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        yield


@pytest.fixture
def command(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """command("--real", ...): scripts/evaluate.py with these arguments, in this process, where models can be small."""

    def run(*arguments: str) -> None:
        monkeypatch.syspath_prepend(str(repository / "scripts"))
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
        runpy.run_path(str(repository / "scripts" / "evaluate.py"), run_name="__main__")

    return run


@pytest.fixture(scope="session")
def attacked() -> Callable[..., Privacy]:
    """attacked(real, synthetic, holdout, schema): what the privacy suite finds, baselines included."""

    def attack(
        real: pd.DataFrame,
        synthetic: pd.DataFrame,
        holdout: pd.DataFrame,
        schema: Schema,
        *,
        n_rejected_copies: int = 0,
        seed: int = 0,
        max_rows: int = 2_000,
        max_base: int = 10_000,
    ) -> Privacy:
        frames = {
            "real": real,
            "synthetic": synthetic,
            "holdout": holdout,
            "independent": IndependentMarginals().fit(real, schema).sample(len(synthetic), seed),
            "resampled": ResampledRows().fit(real, schema).sample(len(synthetic), seed),
        }
        book = Codebook(schema, list(frames.values()))
        return measure_privacy(
            Tables(**{name: book.encode(frame) for name, frame in frames.items()}),
            n_rejected_copies=n_rejected_copies,
            seed=seed,
            max_rows=max_rows,
            max_base=max_base,
            progress=lambda _: None,
        )

    return attack

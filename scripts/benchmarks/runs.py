"""A whole journey as a benchmark runs it: resumed where it stands, judged by its own report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harmonic import journey
from harmonic.config import Config, EvaluateSection, SampleSection, config_from_dict, load_config
from harmonic.evaluation import Report
from harmonic.run import Run
from harmonic.settings import apply_overrides


def config_of(file: str | None, data: Mapping[str, Any], overrides: Sequence[str], out: Path) -> Config:
    """A run file, or plain data, under overrides, with its run folder at `out`."""
    overrides = [*overrides, f'run.out="{out}"']
    return load_config(file, overrides) if file else config_from_dict(apply_overrides(data, overrides))


def journey_of(config: Config) -> tuple[Run, Report, float]:
    """The run, its report and the seconds that this process spent on it."""
    started = time.monotonic()
    with Run.open(config.folder, config.to_json(), resume=True) as run:
        synthesizer = journey.train(run, config, resume=True)
        journey.sample(run, synthesizer, config.sample or SampleSection())
        report = journey.report(run, config, config.evaluate or EvaluateSection())
        run.finish()
    return run, report, time.monotonic() - started

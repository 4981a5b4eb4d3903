"""Whole runs on several splits: the same settings, another seed, a folder of its own each.

What enters is a run folder and how many splits are wanted, its own among them; what leaves is run folders s<seed>
beside it, each as whole as the first, and a summary of their reports. Every run goes on where a kill left it, and a
finished run is only read, so nothing is lost and asking for more splits later costs the new ones alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harmonic import journey
from harmonic.config import Config, EvaluateSection, SampleSection
from harmonic.errors import HarmonicError
from harmonic.evaluation.report import FORMAT
from harmonic.evaluation.resplits import FEWEST, Resplits, summarize_resplits
from harmonic.run import Run

log = logging.getLogger(__name__)


def resplit(folder: str | Path, config: Config, settings: EvaluateSection, count: int) -> Resplits:
    """Runs of the seeds config.run.seed, ... of `count` splits, reported under `settings`, and their summary.

    Writes resplits.json and resplits.html beside the runs. Raises HarmonicError for fewer than two splits, and where
    the holdout is a file of its own, which no split changes.
    """
    if count < FEWEST:
        raise HarmonicError(f"Resplits: {count} were asked for, expected at least {FEWEST}. Ask for 10.")
    if config.table.holdout is not None:
        raise HarmonicError(
            f"Resplits: the holdout of this run is the file {config.table.holdout!r}, which stays the same on every "
            "split. Begin a run on one table with all rows."
        )
    seeds = range(config.run.seed, config.run.seed + count)
    reports, folders = [], []
    for seed in seeds:
        place = split_folder(folder, config, seed)
        log.info("split %d of %d: %s", seed - seeds[0] + 1, count, place)
        own = replace(config, run=replace(config.run, seed=seed, out=str(place)))
        with Run.open(place, own.to_json(), resume=True) as run:
            reports.append(finished_report(run, own, settings))
        folders.append(place.name)
    resplits = summarize_resplits(reports, seeds, folders)
    for suffix in ("json", "html"):
        resplits.save(summary_path(folder, config, suffix))
    return resplits


def split_folder(folder: str | Path, config: Config, seed: int) -> Path:
    """Where the run of a seed stands: the given folder for its own seed, s<seed> beside it (or below NAME-splits, where
    the given folder is not called s<seed>) for others."""
    own = Path(folder)
    return own if seed == config.run.seed else _place(own, config) / f"s{seed}"


def summary_path(folder: str | Path, config: Config, suffix: str) -> Path:
    """Where the summary stands."""
    return _place(Path(folder), config) / f"resplits.{suffix}"


def finished_report(run: Run, config: Config, settings: EvaluateSection) -> Mapping[str, Any]:
    """The report of a run as JSON data; what it still lacks (adapter, sample, report of these settings) is made."""
    sample = config.sample or SampleSection()
    if run.has("report.json"):
        found: Mapping[str, Any] = run.read_json("report.json")
        if (found["format"], found["suite"], found["seed"]) == (FORMAT, settings.suite, settings.seed):
            return found
    if not run.has(f"samples/{journey.sample_name(sample)}.csv"):
        journey.sample(run, journey.train(run, config, resume=True), sample)
    made = journey.report(run, config, settings, sample.seed).to_json()
    if not run.is_done:
        run.finish()
    return made


def _place(own: Path, config: Config) -> Path:
    """The folder of all splits; a run folder holds nothing but its own."""
    is_named = own.name == f"s{config.run.seed}"
    return own.parent if is_named else own.with_name(f"{own.name}-splits")

"""Whole runs on several splits: is the difference larger than what another split would make of it?

What enters is the reports of runs that differ in nothing but their split (as JSON data); what leaves is, per headline
figure, the mean over the splits, its interval and the paired difference to every baseline. Splits of one table share
most of their training rows, so plain t intervals are far too narrow; the variance is corrected after Nadeau and Bengio
(2003), "Inference for the generalization error", Machine Learning 52.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from harmonic.errors import HarmonicError
from harmonic.evaluation.figures import LEVEL, Figure, undefined
from harmonic.evaluation.report import write_report
from harmonic.evaluation.words import METRIC_NAMES, SOURCE_NAMES, WIDTH, interval, number, signed

FEWEST = 2
"""Splits that give an interval."""
NAMES = {"copied": "if copied", "holdout": "held-out rows", **SOURCE_NAMES}

Values = dict[str, list[float | None]]
"""One number a split, by source; the first source is "synthetic"."""


@dataclass(frozen=True)
class Difference:
    """Synthetic minus a baseline, paired by split."""

    source: str
    mean: Figure
    """The baseline's own mean and interval."""
    difference: Figure


@dataclass(frozen=True)
class Headline:
    """One figure of the report over all splits."""

    key: str
    label: str
    values: tuple[float | None, ...]
    """Of the synthetic rows, by split."""
    mean: Figure
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Resplits:
    """The summary. `save` writes it, `summary` says it in one screen."""

    title: str
    suite: str
    seeds: tuple[int, ...]
    n_train: tuple[int, ...]
    n_test: tuple[int, ...]
    headlines: tuple[Headline, ...]
    folders: tuple[str, ...]
    """Where the runs are, by split."""
    settings: Mapping[str, Any]
    """The resolved settings of the first run; the others differ in seed and folder."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `json` can write."""
        return asdict(self)

    def to_html(self) -> str:
        """One self-contained page."""
        from harmonic.evaluation.page import render_resplits  # matplotlib costs a second

        return render_resplits(self)

    def summary(self) -> str:
        """One screen of text."""
        lines = [
            f"{len(self.seeds)} splits of {self.title}: means, and 95 % intervals over splits (Nadeau-Bengio)",
            "",
            f"{'':<28}{'synthetic':>24}   synthetic minus",
        ]
        for headline in self.headlines:
            shown = f"{number(headline.mean.value, 3)} {interval(headline.mean)}"
            lines.append(f"  {headline.label:<26}{shown:>24}")
            for other in headline.differences:
                said = f"{signed(other.difference.value)} {interval(other.difference)}"
                lines.append(f"{'':<55}{NAMES[other.source]:<15}{said:>22}")
        return "\n".join(line[:WIDTH].rstrip() for line in lines)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as .html or .json; the file appears whole or not at all. Raises HarmonicError as a report does."""
        return write_report(path, self)


def summarize_resplits(
    reports: Sequence[Mapping[str, Any]], seeds: Sequence[int], folders: Sequence[str]
) -> Resplits:
    """The summary of the runs' reports, `Report.to_json` each.

    Raises HarmonicError for no report, or reports of different suites or formats.
    """
    if not reports:
        raise HarmonicError("Resplits: no report was given, expected one a split. Run at least one split.")
    for what in ("suite", "format", "title"):
        found = {report[what] for report in reports}
        if len(found) > 1:
            raise HarmonicError(
                f"Resplits: the reports differ in their {what}: {sorted(map(str, found))}. Report anew on all runs."
            )
    sizes = [report["sizes"] for report in reports]
    ratio = float(np.mean([size["holdout"] / size["real"] for size in sizes]))
    return Resplits(
        title=reports[0]["title"],
        suite=reports[0]["suite"],
        seeds=tuple(seeds),
        n_train=tuple(size["real"] for size in sizes),
        n_test=tuple(size["holdout"] for size in sizes),
        headlines=tuple(_headline(*found, ratio) for found in _headlines(reports)),
        folders=tuple(folders),
        settings=reports[0]["settings"],
    )


def corrected_interval(values: Sequence[float], ratio: float) -> Figure:
    """Mean with its 95 % interval: variance (1/J + n_test/n_train) S^2, Student's t with J - 1 degrees of freedom.

    `values`: one a split, J of them; `ratio`: n_test / n_train. One value has no interval; equal values have none
    either way but their own place.
    """
    if not len(values):
        return undefined("no split defines it")
    mean = float(np.mean(values))
    if len(values) < FEWEST:
        return Figure(mean)
    variance = (1.0 / len(values) + ratio) * float(np.var(values, ddof=1))
    margin = float(student.ppf(0.5 + LEVEL / 2, len(values) - 1)) * float(np.sqrt(variance))
    return Figure(mean, low=mean - margin, high=mean + margin)


def _headline(key: str, label: str, values: Values, ratio: float) -> Headline:
    made = values["synthetic"]
    differences = []
    for source, others in values.items():
        pairs = [(a, b) for a, b in zip(made, others, strict=True) if a is not None and b is not None]
        if source != "synthetic" and pairs:
            differences.append(
                Difference(
                    source,
                    corrected_interval([b for _, b in pairs], ratio),
                    corrected_interval([a - b for a, b in pairs], ratio),
                )
            )
    known = [value for value in made if value is not None]
    return Headline(key, label, tuple(made), corrected_interval(known, ratio), tuple(differences))


def _headlines(reports: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, Values]]:
    """Key, label and values of every headline figure that the reports hold."""
    for key, label in (("shape", "column shapes"), ("trend", "pair trends"), ("c2st", "told apart, AUC")):
        rows = [_fidelity_values(report, key) for report in reports]
        yield key, label, _joined(rows)
    metric = next((report["utility"]["headline"] for report in reports if report["utility"]["headline"]), "")
    if metric:
        rows = [
            {source["source"]: source["scores"][metric]["value"] for source in report["utility"]["sources"]}
            for report in reports
        ]
        yield "utility", f"utility, {METRIC_NAMES[metric]}", _joined(rows)
    privacy = [report["privacy"] for report in reports]
    yield "membership", "membership attack, AUC", _joined([_beside(found["membership"]) for found in privacy])
    copies = [
        {"synthetic": found["copies"]["synthetic"]["value"], "holdout": found["copies"]["holdout"]["value"]}
        for found in privacy
    ]
    yield "copies", "copies, share of rows", _joined(copies)


def _fidelity_values(report: Mapping[str, Any], key: str) -> dict[str, float | None]:
    figure = report["fidelity"][key]
    rivals = {rival["source"]: rival[key]["value"] for rival in report["rivals"]}
    ends = {"real": figure["noise_floor"], **rivals, "independent": figure["worst_case"]}
    return {"synthetic": figure["value"], **ends}


def _beside(figure: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        "synthetic": figure["value"],
        "independent": figure["noise_floor"],
        "copied": figure["worst_case"],
    }


def _joined(rows: Sequence[Mapping[str, float | None]]) -> Values:
    """One list a source, None where a split lacks it."""
    sources = dict.fromkeys(["synthetic", *(source for row in rows for source in row)])
    return {source: [row.get(source) for row in rows] for source in sources}

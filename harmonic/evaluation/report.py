"""The report: a frozen tree of figures, and its three faces (JSON, one-screen text, one-file HTML page).

What enters is what the parts measured; what leaves is report.json or report.html. The tree holds counts,
rates, histograms and row numbers, never a cell of a real row. The page is drawn from the tree alone, so it
says nothing that the JSON does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harmonic.errors import HarmonicError
from harmonic.evaluation.fidelity import Fidelity
from harmonic.evaluation.privacy import Privacy
from harmonic.evaluation.protocols import ProtocolScore
from harmonic.evaluation.rivals import Rival
from harmonic.evaluation.roles import Roles
from harmonic.evaluation.utility import Utility
from harmonic.evaluation.validity import Validity
from harmonic.files import write_json, write_text

if TYPE_CHECKING:
    from harmonic.evaluation.lle import Lle

FORMAT = 6


@dataclass(frozen=True)
class Sizes:
    """How many rows of each table were measured (attacks and classifiers may cut them further: see `notes`)."""

    real: int
    synthetic: int
    holdout: int
    columns: int


@dataclass(frozen=True)
class Report:
    """One evaluation. `save` writes it, `summary` says it in one screen."""

    title: str
    suite: str
    seed: int
    sizes: Sizes
    roles: Roles
    validity: Validity
    fidelity: Fidelity
    rivals: tuple[Rival, ...]
    """The baselines' fidelity."""
    utility: Utility
    protocols: tuple[ProtocolScore, ...]
    """The papers' own utility figures; none but in the suite "paper"."""
    lle: Lle | None
    """What the rows teach a language model; None where it was not asked."""
    privacy: Privacy
    notes: tuple[str, ...]
    """What was cut, left out or odd, in words."""
    decisions: tuple[str, ...]
    """The schema's."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The resolved settings of the run that made the synthetic rows."""
    draws: Mapping[str, Any] = field(default_factory=dict)
    """The sampler's counts."""
    training: tuple[Mapping[str, Any], ...] = ()
    """The training log: entries with "step" and "loss" or "eval_loss"."""
    loop: Mapping[str, Any] = field(default_factory=dict)
    """MALLM-GAN's loop: "graph" (parents by column) and "steps"; empty where there was none."""

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `json` can write: figures are objects, undefined ones have value null and a
        reason."""
        return {"format": FORMAT, **asdict(self)}

    def summary(self) -> str:
        """The report in one screen of text."""
        from harmonic.evaluation.words import summarize

        return summarize(self)

    def to_html(self) -> str:
        """The page: one self-contained file, pictures inside, light and dark."""
        from harmonic.evaluation.page import render  # matplotlib costs a second, which JSON need not pay

        return render(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report; the suffix decides: .html or .json. The file appears whole or not at all.

        Raises HarmonicError for another suffix or where the disk refuses.
        """
        return write_report(path, self)


class Faces(Protocol):
    """What can be written: as JSON data and as a page."""

    def to_json(self) -> dict[str, Any]: ...

    def to_html(self) -> str: ...


def write_report(path: str | os.PathLike[str], report: Faces) -> Path:
    """Write a report or a summary of several; the suffix decides: .html or .json.

    Raises HarmonicError for another suffix or where the disk refuses.
    """
    target = Path(path)
    if target.suffix not in (".html", ".json"):
        raise HarmonicError(
            f"Report path {str(path)!r}: suffix {target.suffix!r}, expected .html or .json. Rename it."
        )
    if target.suffix == ".html":
        write_text(target, report.to_html())
    else:
        write_json(target, report.to_json())
    return target

"""What prompts showed: written down when rows are drawn, asked about when they are judged.

What enters is a run and its sample; what leaves is samples/NAME.shown.json (numbers of training rows, never a cell)
and, from it, the prompt echo of the report. The report has no model at hand, so sampling must leave this behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harmonic.drawing import ShownRows, Synthesizer
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.echoes import PromptEcho, prompt_echo

if TYPE_CHECKING:
    from pandas import DataFrame

    from harmonic.config import SampleSection
    from harmonic.run import Run
    from harmonic.table.schema import Schema

SHOWN_ROWS = 1_000
"""Of so many rows of a sample it is written down which training rows their prompts showed."""


def write_shown(run: Run, name: str, synthesizer: Synthesizer, settings: SampleSection) -> None:
    """Which training rows, by number, the prompts of the first rows showed: what the report's prompt echo asks."""
    shown = synthesizer.shown_to(min(settings.rows, SHOWN_ROWS), settings=settings)
    if shown is not None:
        columns = {field: [getattr(row, field) for row in shown] for field in ShownRows._fields}
        run.write_json(f"{name}.shown.json", columns)


def read_echo(
    run: Run, name: str, train: DataFrame, synthetic: DataFrame, schema: Schema
) -> PromptEcho | None:
    """How much of what their prompts showed the first rows repeat; None where prompts showed no training row."""
    if not run.has(f"{name}.shown.json"):
        return None
    known = run.read_json(f"{name}.shown.json")
    rows = synthetic.iloc[: len(known["shown"])]
    book = Codebook(schema, [train, rows])
    return prompt_echo(book.encode(rows), book.encode(train), known["shown"], known["left_out"])

"""Does a base model know a public table by heart, before any fine-tuning? Figures on such a table say little.

What enters is a base and the table as its file has it: the same rows in the same order, and best the same texts. What
leaves is a `Contamination`: how the base goes on with the column names, with rows in their order and with their own
digits, each against what it could do without having read the file. A row that is known is likelier in its place than
elsewhere in the table; where the order can be guessed (sorted rows) that proves nothing, and is not counted. A row that
is known is likelier than the same row with amounts exchanged for others near in rank; the law of the table explains a
little of that, and as much of it where an exchanged table, which nobody can have read, plays the true one: only what
goes beyond is counted.

After Bordt et al. 2024, "Elephants never forget: memorization and learning of tabular data in large language models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from harmonic.errors import HarmonicError
from harmonic.evaluation.byheart import (
    ALARM,
    LEAST_ROWS,
    Answers,
    Digits,
    Places,
    measure_digits,
    measure_places,
    verdict_of,
)
from harmonic.evaluation.figures import Figure, Progress, holm, rate_figure, undefined
from harmonic.evaluation.filetexts import FileText, as_file, elsewhere, line_of, loose_columns, order_clue
from harmonic.model.load import LoadedModel
from harmonic.model.recital import Recited, recite
from harmonic.table.schema import Schema

STREAM_CONTAMINATION = 581


@dataclass(frozen=True)
class Contamination:
    """What the base knows of the table. Nats: natural logarithms of probabilities of whole rows."""

    base: str
    title: str
    n_rows: int
    """Rows asked."""
    n_before: int
    """Rows shown before each, in the file's order, below the header."""
    header: Figure
    """Share of the names in the header's second half that greedy decoding writes, each after those before it."""
    places: Places
    digits: Digits
    p_values: dict[str, float]
    """One-sided sign tests, corrected after Holm, of what can be counted: "place", "written", "digits"."""
    verdict: str
    notes: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether a check says so, at a family-wise error of `ALARM`."""
        return min(self.p_values.values(), default=1.0) < ALARM

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `json` can write."""
        return {**asdict(self), "is_known": self.is_known}


class _Question(NamedTuple):
    """Lines of rows shown, and the line that is asked for below them."""

    before: list[str]
    answer: str


def check_contamination(
    loaded: LoadedModel,
    frame: pd.DataFrame,
    schema: Schema,
    *,
    n_rows: int = 100,
    n_before: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> Contamination:
    """Whether `loaded`, a base without an adapter, knows the rows of `frame` by heart.

    frame: all rows in the order of the public file, best as texts (`pandas.read_csv` with dtype=str and
    keep_default_na=False): a typed frame is written as pandas writes it. n_rows: rows asked, each in five passes.
    n_before: rows shown before each; fewer where the context is too short. Raises HarmonicError for too few rows, for
    a model with an adapter, and where the context has no room for one row before another.
    """
    _check_sizes(loaded, len(frame), n_rows, n_before)
    say = progress or (lambda _: None)
    rng = np.random.default_rng([seed, STREAM_CONTAMINATION])
    table = as_file(frame, schema)
    clue = order_clue(table, n_before, rng)
    questions = _questions(table.exchangeable(rng), n_rows, n_before, rng)
    lines = sorted({line for asked in questions for before, answer in asked for line in (*before, answer)})
    header, *encoded = loaded.tokenizer.encode_batch([table.header, *lines])
    n_shown = _fitting(loaded, len(header), max(map(len, encoded)), n_before)
    ids = dict(zip(lines, encoded, strict=True))
    start = [*_beginning(loaded), *header]
    found: list[list[Recited]] = []
    for number, asked in enumerate(questions):
        say(f"contamination: pass {number + 1} of {len(questions)} over {len(asked)} rows")
        passages = [
            ([*start, *(i for line in before[-n_shown:] for i in ids[line])], ids[answer])
            for before, answer in asked
        ]
        found.append(recite(loaded, passages))
    answers = Answers(*(np.array([row.log_prob for row in rows]) for rows in found))
    here, there = (np.array([row.is_written for row in rows]) for rows in found[:2])
    is_changed = [
        one.answer != near.answer != nearer.answer for one, _, near, _, nearer in zip(*questions, strict=True)
    ]
    places = measure_places(answers, here, there, clue)
    digits = measure_digits(answers, np.array(is_changed))
    p_values = holm(places.p_values | digits.p_values)
    return Contamination(
        base=loaded.base,
        title=schema.title,
        n_rows=len(questions[0]),
        n_before=n_shown,
        header=_header(loaded, table.names, header),
        places=places,
        digits=digits,
        p_values=p_values,
        verdict=verdict_of(places, digits, p_values),
        notes=_notes(frame, n_shown, n_before),
    )


def _check_sizes(loaded: LoadedModel, n: int, n_rows: int, n_before: int) -> None:
    if loaded.adapter is not None:
        raise HarmonicError(
            f"Adapter {str(loaded.adapter)!r}: it may know what it was trained on; the base is asked here. Load the "
            "base without an adapter."
        )
    if n_before < 1 or n_rows < LEAST_ROWS:
        raise HarmonicError(
            f"Contamination: {n_rows} rows asked, {n_before} before each; expected at least {LEAST_ROWS} and 1. "
            "Raise n_rows or n_before."
        )
    if n < 2 * n_before + LEAST_ROWS:
        raise HarmonicError(
            f"Table: {n} rows, expected at least {2 * n_before + LEAST_ROWS} where {n_before} are shown before each "
            "row asked. Lower n_before, or give the whole file."
        )


def _questions(table: FileText, n_rows: int, n_before: int, rng: Generator) -> list[list[_Question]]:
    """One list a field of `Answers`."""
    n = len(table.cells)
    places = np.sort(rng.permutation(np.arange(n_before, n))[:n_rows])
    others = elsewhere(places, n, n_before, rng)
    near = table.exchanged(rng)
    nearer = near.exchanged(rng)

    def ask(shown: FileText, below: NDArray[np.intp], asked: FileText) -> list[_Question]:
        return [
            _Question([shown.line(k) for k in range(end - n_before, end)], asked.line(row))
            for end, row in zip(below.tolist(), places.tolist(), strict=True)
        ]

    return [
        ask(table, places, table),
        ask(table, others, table),
        ask(table, places, near),
        ask(near, places, near),
        ask(near, places, nearer),
    ]


def _beginning(loaded: LoadedModel) -> list[int]:
    return [] if loaded.tokenizer.bos_id is None else [loaded.tokenizer.bos_id]


def _fitting(loaded: LoadedModel, header: int, longest: int, n_before: int) -> int:
    """How many rows fit between the header and the row asked, all as long as the longest one (tokens)."""
    start = len(_beginning(loaded)) + header
    fits = min(n_before, (loaded.context_length - start) // longest - 1)
    if fits < 1:
        raise HarmonicError(
            f"Base {loaded.base!r}: header and two rows take up to {start + 2 * longest:,} tokens, its context holds "
            f"{loaded.context_length:,}. Ask a base with a longer context, or leave out long columns."
        )
    return fits


def _header(loaded: LoadedModel, names: Sequence[str], ids: list[int]) -> Figure:
    """A name is written if each of its tokens, the comma or line end behind it included, is the likeliest one."""
    if len(names) < 2:
        return undefined("the header of one column has no second half")
    sizes = np.array([len(loaded.tokenizer.token_bytes[i] or b"") for i in ids])
    ends = np.cumsum(sizes)
    bounds = np.cumsum([0, *(len(line_of([name, "x"]).encode()) - 2 for name in names)])
    if ends[-1] != bounds[-1]:
        return undefined("the tokenizer does not spell the header byte by byte")
    # The first token is only read: without a beginning token nothing says what it is.
    (said,) = recite(loaded, [([*_beginning(loaded), ids[0]], ids[1:])])
    is_top = np.array([False, *said.is_top])
    half = len(names) // 2
    written = [
        bool(is_top[(ends > low) & (ends - sizes < high)].all())
        for low, high in zip(bounds[half:-1], bounds[half + 1 :], strict=True)
    ]
    return rate_figure(sum(written), len(written))


def _notes(frame: pd.DataFrame, n_shown: int, n_before: int) -> tuple[str, ...]:
    notes = []
    if n_shown < n_before:
        notes.append(f"The context has room for {n_shown} rows before each, not for {n_before}.")
    if loose := loose_columns(frame):
        notes.append(
            f"Cells of {', '.join(map(repr, loose))} are written as pandas writes them (41.0, True); where the file "
            "has other texts the base may know it and not show it here. Give a frame of texts."
        )
    return tuple(notes)

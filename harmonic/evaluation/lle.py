"""LLE: what rows are worth to a language model that learns the target from them.

What enters is tables to learn from by source (synthetic rows, real ones, marginals by class) and real test rows; what
leaves is scores by source. Each source fine-tunes the same base by LoRA on an instruction that holds a row's other
columns and asks for its target; the answer is read under the schema: for levels, the probabilities of all of them,
which give an AUC, for a quantity the mean of numbers drawn. No answer can be none of the levels.

Source: Wang et al. 2024 (HARMONIC), there with greedy text and label maps that are wrong for two of the four tables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, matthews_corrcoef

from harmonic.config import LleSection
from harmonic.decode.conditions import Condition, Conditions
from harmonic.decode.sampler import Grammar, Prompt, Sampler
from harmonic.defaults import DEFAULT_LORA, lle_train_settings
from harmonic.errors import HarmonicError
from harmonic.evaluation.figures import Figure, Progress, percentile_interval, undefined
from harmonic.evaluation.scores import bootstrap_weights, classification_scores, regression_scores
from harmonic.model.finetune import finetune
from harmonic.model.load import LoadedModel
from harmonic.prompt.fitting import fit_codec
from harmonic.prompt.instructions import IGNORED, Tokens, write_instruction
from harmonic.table.amounts import number_cells
from harmonic.table.cells import to_rows
from harmonic.table.schema import Column, Row, Schema

STREAM_LLE, STREAM_TEST, STREAM_BOOTSTRAP = 575, 576, 577
N_DRAWS = 8
"""Numbers drawn for one answer, where the target is a quantity."""
N_BOOTSTRAP = 200

Load = Callable[[Path | None], LoadedModel]
"""The base, to be trained; with a folder, the base under the adapter there."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LleScore:
    """What one source has taught."""

    source: str
    n_rows: int
    scores: Mapping[str, Figure]
    """By metric; intervals by bootstrap of the test rows."""


@dataclass(frozen=True)
class Lle:
    """What each source has taught the same base, on the same test rows."""

    target: str
    n_test: int
    scores: tuple[LleScore, ...]
    notes: tuple[str, ...] = ()
    undefined: str = ""
    """Why there are no scores."""

    def score(self, source: str) -> LleScore:
        """Raises KeyError for a source that was not measured."""
        return {score.source: score for score in self.scores}[source]


def measure_lle(
    tables: Mapping[str, pd.DataFrame],
    test: pd.DataFrame,
    schema: Schema,
    load: Load,
    *,
    settings: LleSection,
    seed: int = 0,
    progress: Progress | None = None,
) -> Lle:
    """LLE of each of the tables on `test`, real rows that none of them was made from.

    schema: as `observe` left it on the training rows. Raises HarmonicError for a schema without a target.
    """
    say = progress or (lambda _: None)
    target = _target(schema)
    asked = test[test[target.name].notna()]
    rng = np.random.default_rng([seed, STREAM_TEST])
    asked = asked.iloc[rng.permutation(len(asked))[: settings.test_rows]]
    found: list[LleScore] = []
    notes: list[str] = []
    reader = Reader(schema, load, settings, seed)
    truth = [row[reader.place] for row in to_rows(asked, schema)]
    for source, frame in tables.items():
        say(f"LLE: a language model learns {target.label!r} from {source} rows")
        reader.fit(frame[frame[target.name].notna()])
        answers = reader.answer(asked)
        notes = reader.notes
        found.append(LleScore(source, len(frame), _scores(truth, answers, target, seed)))
    return Lle(str(target.name), len(asked), tuple(found), tuple(notes))


def _target(schema: Schema) -> Column:
    column = next((column for column in schema.modelled if column.name == schema.target), None)
    if column is None:
        raise HarmonicError("LLE: the schema has no target, expected the column to be answered. Declare one.")
    return column


@dataclass
class Reader:
    """A language model that answers with the target. `fit` trains it on rows, `answer` asks it."""

    schema: Schema
    load: Load
    settings: LleSection
    seed: int
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.target = _target(self.schema)
        self.place = [column.name for column in self.schema.modelled].index(self.target.name)
        others = [place for place in range(len(self.schema.modelled)) if place != self.place]
        self.order = (*others, self.place)

    def fit(self, frame: pd.DataFrame) -> None:
        """Fine-tunes the base on the rows of `frame` that have a target."""
        loaded = self.load(None)
        self.codec, shortened = fit_codec(
            self.settings.codec, self.schema, loaded.tokenizer, loaded.context_length
        )
        self.notes = list(shortened)
        self.grammar = Grammar(self.codec, loaded.tokenizer)
        rows = [row for row in to_rows(frame, self.schema) if self.codec.writes(row)]
        visits = _Questions([self._tokens(row) for row in rows], self.seed)
        self._shares = _shares([row[self.place] for row in rows], self.target)
        with tempfile.TemporaryDirectory(prefix="harmonic-") as folder:
            finetune(
                loaded,
                visits,
                out=Path(folder),
                train_settings=lle_train_settings(self.settings.train),
                lora_settings=self.settings.lora or DEFAULT_LORA,
                seed=self.seed,
            )
            self._loaded = self.load(Path(folder) / "adapter")

    def answer(self, frame: pd.DataFrame) -> Floats:
        """Probabilities of the target's levels, float64 [n, n_levels]; of a quantity a number each, [n].

        A row with a cell that cannot be told (a level that no training row has) is answered by the shares of the rows
        learnt from, which is counted in `notes`.
        """
        rows = to_rows(frame, self.schema)
        told = [number for number, row in enumerate(rows) if self._is_told(row)]
        if len(told) < len(rows):
            self.notes.append(
                f"{len(rows) - len(told):,} of {len(rows):,} test rows hold what no training row does, and were "
                "answered without being asked."
            )
        ask = self._numbers if self.target.is_numeric else self._levels
        return ask(rows, told)

    def _levels(self, rows: Sequence[Row], told: Sequence[int]) -> Floats:
        levels = self.target.levels
        prompts: list[Prompt] = []
        asked: dict[int, Row] = {}
        for number in told:
            for at, level in enumerate(levels):
                key = number * len(levels) + at
                asked[key] = _with(rows[number], self.place, level)
                prompts.append(self._prompt(rows[number], key))
        scores = self._sampler().score(prompts, asked)
        probabilities = np.tile(self._shares, (len(rows), 1))
        for number in told:
            logs = np.array([scores[number * len(levels) + at].masked for at in range(len(levels))])
            shares = np.exp(logs - logs.max())
            probabilities[number] = shares / shares.sum()
        return probabilities

    def _numbers(self, rows: Sequence[Row], told: Sequence[int]) -> Floats:
        prompts = [
            self._prompt(rows[number], number * N_DRAWS + at) for number in told for at in range(N_DRAWS)
        ]
        drawn = self._sampler().draw(prompts, seed=self.seed).rows
        means = np.full(len(rows), self._shares[0])
        for number in told:
            cells = [drawn[number * N_DRAWS + at][self.place] for at in range(N_DRAWS)]
            means[number] = np.nanmean(number_cells([*cells, None], self.target))
        return means

    def _sampler(self) -> Sampler:
        loaded = self._loaded
        return Sampler(loaded.model, self.grammar, context_length=loaded.context_length)

    def _prompt(self, row: Row, number: int) -> Prompt:
        instruction = write_instruction(self.codec, (), 1, self.order)
        return Prompt(instruction, self.order, number, 1, self._given(row))

    def _given(self, row: Row) -> Conditions:
        columns = self.schema.modelled
        return tuple(Condition(place, columns[place], True, row[place]) for place in self.order[:-1])

    def _is_told(self, row: Row) -> bool:
        # The target itself is not told.
        return self.codec.writes(_with(row, self.place, self._known))

    @property
    def _known(self) -> str | None:
        """A cell that the target can hold."""
        return self.target.levels[0] if self.target.levels else self.target.lower

    def _tokens(self, row: Row) -> Tokens:
        """A row as ids, with loss on its target and on the end alone."""
        tokenizer = self.grammar.tokenizer
        instruction = write_instruction(self.codec, (), 1, self.order)
        pieces = [token for piece in tokenizer.encode_prompt(instruction.parts) for token in piece]
        told = self.grammar.prefix(self.order, self._given(row))
        written = tokenizer.encode_batch([self.codec.encode_row(row, self.order)])[0]
        answer = [*written[len(told) :], tokenizer.eos_id]
        silent = len(pieces) + len(told)
        return Tokens([*pieces, *written, tokenizer.eos_id], [IGNORED] * silent + answer)


class _Questions:
    """Endless instructions: every row once a pass, in an order of its own."""

    def __init__(self, tokens: Sequence[Tokens], seed: int) -> None:
        self.tokens = tokens
        self._seed = seed

    @property
    def per_pass(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> Tokens:
        number, place = divmod(index, self.per_pass)
        order = np.random.default_rng([self._seed, STREAM_LLE, number]).permutation(self.per_pass)
        return self.tokens[int(order[place])]


def _with(row: Row, place: int, cell: str | None) -> Row:
    return (*row[:place], cell, *row[place + 1 :])


def _shares(cells: Sequence[str | None], target: Column) -> Floats:
    """What is answered to a row that cannot be told: shares of levels, or the mean."""
    if target.is_numeric:
        return np.array([np.nanmean(number_cells([*cells, None], target))])
    counts = np.array([1.0 + sum(cell == level for cell in cells) for level in target.levels])
    return counts / counts.sum()


def _scores(cells: Sequence[str | None], answers: Floats, target: Column, seed: int) -> dict[str, Figure]:
    weights = bootstrap_weights(len(cells), N_BOOTSTRAP, np.random.default_rng([seed, STREAM_BOOTSTRAP]))
    if target.is_numeric:
        return {
            name: _figure(values)
            for name, values in regression_scores(number_cells(cells, target), answers, weights).items()
        }
    codes = np.array([target.levels.index(cell) if cell in target.levels else -1 for cell in cells])
    known = codes >= 0
    codes, answers, weights = codes[known], answers[known], weights[:, known]
    scores = classification_scores(codes, answers, weights)
    guesses = answers.argmax(axis=1)
    for name, score in (("accuracy", accuracy_score), ("mcc", matthews_corrcoef)):
        scores[name] = np.array([score(codes, guesses, sample_weight=weight) for weight in weights])
    return {name: _figure(values) for name, values in scores.items()}


def _figure(values: Floats) -> Figure:
    if not np.isfinite(values[0]):
        return undefined("the test rows hold one value of the target alone")
    return Figure(float(values[0]), *percentile_interval(values[1:]))

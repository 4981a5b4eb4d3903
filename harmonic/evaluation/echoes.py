"""Echoes: values that only training rows have, and cells that a prompt showed, seen again in synthetic rows.

What enters is coded tables; what leaves is counts beside a control of the same size. A distance sees no
leak of one column's digits; the echo of that column does, and a pair's echo sees what only two columns
together give away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from harmonic.evaluation.codes import Codes
from harmonic.evaluation.figures import (
    Figure,
    mean_figure,
    p_sign,
    rate_figure,
    undefined,
)

STREAM_ECHO = 542
LEAST_CELLS = 10
"""Known cells a side that a sign test needs to be sure of anything."""
PAIRED_COLUMNS = 24
"""Pairs are looked for among the columns of most values: 276 pairs at most."""
PAIRED_ROWS = 10_000
MAX_PAIRS = 40
"""Pairs tested: those that identify most rows which no single column identifies."""

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Echo:
    """Values of one column (or pairs of values of two columns) that only training rows, or only holdout rows,
    have, seen again in synthetic rows."""

    label: str
    """The column's label; of a pair, both joined by " × "."""
    n_train_only: int
    n_holdout_only: int
    share_in_train: float
    """Share of the synthetic cells whose value stands in as many training cells as the holdout has."""
    share_in_holdout: float
    p_value: float
    """One-sided sign test: were more values repeated that only training has? Not corrected."""


@dataclass(frozen=True)
class ShownEcho:
    """Synthetic rows compared with equally many examples, shown and not shown."""

    n_examples: int
    n_rows: int
    shown: float
    """Mean over those rows of the most cells a row has in common with one example of its prompt."""
    not_shown: float
    """The same with as many rows that its prompt did not show."""


@dataclass(frozen=True)
class PromptEcho:
    """Cells that synthetic rows have in common with the examples their own prompts showed, against as many
    rows not shown."""

    shown: Figure
    """Mean over the rows of the most cells in common with one example (0 ... n columns); noise floor: the
    same with rows not shown, worst case: all columns."""
    excess: Figure
    """Mean over the prompts of (shown minus not shown), in cells, with its interval; 0 is no echo."""
    whole: Figure
    """Share of the rows that equal an example of their prompt in every cell; noise floor: a row not shown."""
    survival_shown: tuple[float, ...]
    """Share of the rows with at least 0, 1, ... n columns cells in common with one example."""
    survival_not_shown: tuple[float, ...]
    by_examples: tuple[ShownEcho, ...]
    """By number of examples compared, ascending."""
    n_rows: int
    p_value: float
    """One-sided (Wilcoxon's signed ranks): is more in common with what was shown? 1 where not defined."""


def column_echoes(real: Codes, synthetic: Codes, holdout: Codes, seed: int) -> tuple[Echo, ...]:
    """One test for every amount or text: were more values that only train has repeated than values only
    holdout has?

    Train and holdout are cut to equally many known cells, column by column, so that without a leak both are repeated
    equally often also where one has more gaps. Columns with fewer than `LEAST_CELLS` of them are not tested.
    """
    generator = np.random.default_rng([seed, STREAM_ECHO])
    made = (
        _echo(column.label, real.cells[:, i], synthetic.cells[:, i], holdout.cells[:, i], generator)
        for i, column in enumerate(real.columns)
        if real.is_ordered[i] or column.kind == "text"
    )
    return tuple(echo for echo in made if echo is not None)


def pair_echoes(real: Codes, synthetic: Codes, holdout: Codes, seed: int) -> tuple[Echo, ...]:
    """The same test for pairs of columns, at most `MAX_PAIRS` of them.

    Which pairs is decided by train and holdout together, without knowing which is which nor the synthetic
    rows, so the choice favours neither: those in which most rows have a pair of values that no other row has,
    while each of the two values stands in other rows too. At most `PAIRED_ROWS` rows of each table.
    """
    generator = np.random.default_rng([seed, STREAM_ECHO])
    n = min(len(real), len(holdout), PAIRED_ROWS)
    real, holdout = real.head(n, generator), holdout.head(n, generator)
    made = synthetic.head(PAIRED_ROWS, np.random.default_rng([seed, STREAM_ECHO, 1]))
    codes = _value_codes([real, made, holdout])
    ends = [len(real), len(real) + len(made)]
    is_pooled = np.ones(len(codes), dtype=bool)
    is_pooled[ends[0] : ends[1]] = False
    echoes = []
    for first, second in _identifying_pairs(codes[is_pooled]):
        ours, published, others = np.split(_joined(codes[:, first], codes[:, second]), ends)
        label = f"{real.columns[first].label} × {real.columns[second].label}"
        echoes.append(_echo(label, ours, published, others, generator))
    return tuple(echo for echo in echoes if echo is not None)


def _echo(
    label: str, real: Floats, synthetic: Floats, holdout: Floats, generator: np.random.Generator
) -> Echo | None:
    """Of equally many known cells of train and holdout; None where these are too few."""
    real, synthetic, holdout = (cells[~np.isnan(cells)] for cells in (real, synthetic, holdout))
    n = min(len(real), len(holdout))
    if n < LEAST_CELLS:
        return None
    real, holdout = (generator.permutation(cells)[:n] for cells in (real, holdout))
    values = np.unique(synthetic)
    in_real, in_holdout = np.isin(values, real), np.isin(values, holdout)
    n_real, n_holdout = int((in_real & ~in_holdout).sum()), int((in_holdout & ~in_real).sum())
    in_train, in_control = (
        float(np.isin(synthetic, group).mean()) if len(synthetic) else 0.0 for group in (real, holdout)
    )
    return Echo(label, n_real, n_holdout, in_train, in_control, p_sign(n_real, n_holdout))


def _value_codes(tables: Sequence[Codes]) -> Floats:
    """Every column's values as whole numbers from 0, NaN where missing: [rows of all tables, n_columns]."""
    stacked = np.vstack([table.cells for table in tables])
    made = np.empty(stacked.shape)
    for i in range(stacked.shape[1]):
        made[:, i] = np.unique(stacked[:, i], return_inverse=True)[1]
    made[np.isnan(stacked)] = np.nan
    return made


def _joined(first: Floats, second: Floats) -> Floats:
    """One number for every pair of values, exact below 2^53; NaN where one is missing."""
    width = np.nanmax(second, initial=0.0) + 1.0
    return np.asarray(first * width + second)


def _identifying_pairs(pooled: Floats) -> list[tuple[int, int]]:
    """Pairs of column numbers, the most identifying first; ties by column."""
    alone = np.stack([_is_single(pooled[:, i]) for i in range(pooled.shape[1])], axis=1)
    n_values = np.array([len(np.unique(pooled[:, i])) for i in range(pooled.shape[1])])
    columns = sorted(np.argsort(-n_values, kind="stable")[:PAIRED_COLUMNS].tolist())
    found = []
    for first, second in combinations(columns, 2):
        single = _is_single(_joined(pooled[:, first], pooled[:, second]))
        gain = int((single & ~alone[:, first] & ~alone[:, second]).sum())
        if gain:
            found.append((-gain, first, second))
    return [(first, second) for _, first, second in sorted(found)[:MAX_PAIRS]]


def _is_single(cells: Floats) -> NDArray[np.bool_]:
    """Which cells hold a value that no other row holds; missing ones do not."""
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    return np.asarray((counts[inverse] == 1) & ~np.isnan(cells))


def prompt_echo(
    rows: Codes, table: Codes, shown: Sequence[Sequence[int]], not_shown: Sequence[Sequence[int]]
) -> PromptEcho:
    """Do rows repeat what their own prompts showed? (The leak of in-context generation.)

    rows: the synthetic rows, [n], in one codebook with `table`, whose row numbers the others are. shown: per
    synthetic row the examples its prompt showed. not_shown: per synthetic row those that it did not show though
    chance might have shown them instead (`Contexts.left_out`): a row resembles the region its examples come
    from without any echo, so rows from elsewhere are no control. Both in random order, cut to equal numbers.
    A missing cell equals a missing cell. Not defined where no row has both.
    """
    widths = [min(len(ours), len(others)) for ours, others in zip(shown, not_shown, strict=True)]
    told = [i for i, width in enumerate(widths) if width]
    if not told:
        nothing = undefined("no prompt showed some rows and left out others as likely")
        return PromptEcho(nothing, nothing, nothing, (), (), (), 0, 1.0)
    ours, others = (
        np.array([_most_common(rows.cells[i], table.cells[list(numbers[i][: widths[i]])]) for i in told])
        for numbers in (shown, not_shown)
    )
    n_columns = rows.cells.shape[1]
    gaps = _by_prompt([tuple(shown[i]) for i in told], ours - others)
    whole = rate_figure(int((ours == n_columns).sum()), len(ours))
    return PromptEcho(
        shown=replace(mean_figure(ours), noise_floor=float(others.mean()), worst_case=float(n_columns)),
        excess=replace(mean_figure(gaps), noise_floor=0.0),
        whole=replace(whole, noise_floor=float((others == n_columns).mean()), worst_case=1.0),
        survival_shown=_survival(ours, n_columns),
        survival_not_shown=_survival(others, n_columns),
        by_examples=_by_examples(np.array([widths[i] for i in told]), ours, others),
        n_rows=len(told),
        p_value=float(wilcoxon(gaps, alternative="greater").pvalue) if gaps.any() else 1.0,
    )


def _most_common(row: Floats, examples: Floats) -> int:
    """The most cells that a row has in common with one of the examples."""
    same = (examples == row) | (np.isnan(examples) & np.isnan(row))
    return int(same.sum(axis=1).max())


def _by_prompt(prompts: Sequence[tuple[int, ...]], gaps: NDArray[np.int64]) -> Floats:
    """The mean gap of the rows of each prompt: rows of one prompt are no independent observations."""
    numbers: dict[tuple[int, ...], int] = {}
    places = np.array([numbers.setdefault(prompt, len(numbers)) for prompt in prompts])
    return np.asarray(np.bincount(places, weights=gaps) / np.bincount(places))


def _survival(counts: NDArray[np.int64], n_columns: int) -> tuple[float, ...]:
    return tuple(float((counts >= least).mean()) for least in range(n_columns + 1))


def _by_examples(
    n_examples: NDArray[np.int64], ours: NDArray[np.int64], others: NDArray[np.int64]
) -> tuple[ShownEcho, ...]:
    made = []
    for n in np.unique(n_examples):
        chosen = n_examples == n
        made.append(
            ShownEcho(int(n), int(chosen.sum()), float(ours[chosen].mean()), float(others[chosen].mean()))
        )
    return tuple(made)

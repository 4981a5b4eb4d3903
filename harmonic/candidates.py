"""Candidates: rows that are drawn several times, and taken by weight.

What enters is prompts of rows under conditions, in the order that a model has learnt, where conditions may stand behind
columns that are free, or of rows that something else weighs; what leaves is their rows. What stands before a condition
is drawn without knowing of it. So a draw has a weight: the probability that the model, had it been free, would have met
the conditions, each given what stands before it. A draw is taken with just that probability, which is exact (at
temperature 1 with nothing cut: so weights are measured); where none of CANDIDATES is taken, one of them is chosen by
weight (importance resampling, Rubin 1987). To write conditioned columns first instead spares the draws, and asks a
model that has learnt one order for another: of adult's rows by class, target in front, it had the classes the wrong way
round. `weigh`, which looks at finished rows, multiplies the weight. Of a prompt of several rows, the first ones taken
of all its candidates fill the places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.conditions import Conditions, head_of
from harmonic.decode.sampler import Draw, Prompt, Sampler
from harmonic.decode.slot import Usage
from harmonic.table.schema import Row

ROUNDS = (1, 1, 2, 4, 8)
"""So many candidates of a row are drawn before it is seen whether one is taken."""
CANDIDATES = sum(ROUNDS)
STREAM = 133
"""Name of the random stream that takes and chooses."""
BATCH = 512
"""Prompts whose candidates are held at once."""
FEW = 0.1
"""As long as no more of the rows are chosen by weight, nothing need be said."""
_LEAST = -1e3
"""A weight that stands for impossible: where all candidates are, they are equally so."""
Weigh = Callable[[Sequence[Row]], NDArray[np.float64]]
"""The natural logarithms of the probabilities with which finished rows are taken: float64 [n_rows], at most 0."""


def is_weighed(prompt: Prompt) -> bool:
    """Whether a condition stands behind what is free, so that draws of the prompt differ in weight."""
    return bool(prompt.known) or bool(_behind(prompt))


def freed(prompt: Prompt) -> Prompt:
    """The prompt without what stands behind free columns."""
    return replace(prompt, conditions=_head(prompt), known={})


def draw_rows(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    weigh: Weigh | None = None,
    progress: Callable[[int], None] | None = None,
) -> Draw:
    """The rows of prompts, weighed where that is needed; calls progress(rows so far)."""
    apart = [prompt for prompt in prompts if weigh is not None or is_weighed(prompt)]
    rest = [prompt for prompt in prompts if weigh is None and not is_weighed(prompt)]
    # Apart: the numbers of candidates are no numbers of rows.
    whole = sampler.draw(rest, seed=seed, progress=progress) if rest else Draw()
    for start in range(0, len(apart), BATCH):
        further = None if progress is None else partial(_say, progress, len(whole.rows))
        some = apart[start : start + BATCH]
        whole.add(draw_weighed(sampler, some, seed=seed, weigh=weigh, progress=further))
    return whole


def _say(progress: Callable[[int], None], before: int, n_rows: int) -> None:
    progress(before + n_rows)


def draw_weighed(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    weigh: Weigh | None = None,
    progress: Callable[[int], None] | None = None,
) -> Draw:
    """The rows of the prompts, by number; calls progress(rows so far). Prompts do not depend on each other.

    Raises HarmonicError as `Sampler.draw`.
    """
    whole = Draw()
    waiting = {prompt.first_row: _Waiting(prompt) for prompt in prompts}
    for first, n in _rounds():
        if not waiting:
            break
        asked = [one for item in waiting.values() for one in item.candidates(first, n)]
        draw = sampler.draw(asked, seed=seed)
        draw.usage.candidates += sum(one.n_rows for one in asked)
        whole.rejects.update(draw.rejects)
        whole.usage.add(draw.usage)
        weights = _weights(sampler, asked, draw, weigh)
        for number, item in list(waiting.items()):
            item.add(draw, weights)
            if rows := item.taken(seed):
                whole.rows.update(enumerate(rows, start=number))
                del waiting[number]
        if progress is not None:
            progress(len(whole.rows))
    for number, item in waiting.items():
        rows, n_chosen = item.chosen(seed)
        whole.rows.update(enumerate(rows, start=number))
        whole.usage.by_weight += n_chosen
    if progress is not None:
        progress(len(whole.rows))
    return whole


def doubt(usage: Usage, n_rows: int) -> str:
    """What is to be said of rows that were chosen by weight; "" where they are few."""
    share = usage.by_weight / max(1, n_rows)
    if share <= FEW:
        return ""
    return (
        f"{100 * share:.0f} % of the rows: what is asked of them is rare, so that of {CANDIDATES} draws too few were "
        "taken and these were chosen by weight. Such rows follow the model roughly. Where conditions stand behind free "
        "columns, train with [prompt] order = 'shuffled', or with the conditioned columns first, to have them exactly; "
        "where the discriminator takes few rows, [mallm] selects = false takes all."
    )


def _rounds() -> Iterator[tuple[int, int]]:
    """(the first candidate, how many) of each round."""
    first = 0
    for n in ROUNDS:
        yield first, n
        first += n


@dataclass
class _Waiting:
    """A prompt and the candidates of its rows that were drawn."""

    prompt: Prompt
    rows: list[Row] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def candidates(self, first: int, n: int) -> list[Prompt]:
        """Prompts that differ by their numbers alone, on which noise depends."""
        number, n_rows = self.prompt.first_row, self.prompt.n_rows
        start = number * CANDIDATES
        return [
            replace(self.prompt, first_row=start + at * n_rows, candidate_of=number)
            for at in range(first, first + n)
        ]

    def add(self, draw: Draw, weights: Mapping[int, float]) -> None:
        start = self.prompt.first_row * CANDIDATES
        while (number := start + len(self.rows)) in draw.rows:
            self.rows.append(draw.rows[number])
            self.weights.append(weights[number])

    def taken(self, seed: int) -> list[Row]:
        """The first candidates that luck takes, if it takes enough for all rows of the prompt, else none."""
        kept = self._kept(seed)
        return [self.rows[at] for at in kept] if len(kept) == self.prompt.n_rows else []

    def chosen(self, seed: int) -> tuple[list[Row], int]:
        """The rows of the prompt where luck has taken too few, the others chosen by weight, and how many these are.

        Those that luck left are the likelier to be left the less they weigh.
        """
        kept = self._kept(seed)
        weights = np.maximum(self.weights, _LEAST)
        odds = weights - np.log1p(-np.exp(np.minimum(weights, -1e-12)))
        odds[kept] = -np.inf
        keys = odds + self._rng(seed, 1).gumbel(size=len(odds))
        n_missing = self.prompt.n_rows - len(kept)
        further = np.argsort(-keys, kind="stable")[:n_missing].tolist()
        return [self.rows[at] for at in (*kept, *further)], n_missing

    def _kept(self, seed: int) -> list[int]:
        """The first candidates that luck takes, as many as the prompt has rows at most."""
        n_rows = self.prompt.n_rows
        luck = np.log(self._rng(seed, 0).random(CANDIDATES * n_rows))
        kept: list[int] = np.flatnonzero(luck[: len(self.weights)] < self.weights).tolist()
        return kept[:n_rows]

    def _rng(self, seed: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([seed, STREAM, self.prompt.first_row, purpose])


def _weights(
    sampler: Sampler, prompts: Sequence[Prompt], draw: Draw, weigh: Weigh | None
) -> dict[int, float]:
    """The natural logarithms of the candidates' weights, by number; at most 0."""
    weights = dict(draw.log_known)
    # In exact mode a mask is weighed out already.
    narrowed = [] if sampler.exact else [prompt for prompt in prompts if _behind(prompt)]
    if narrowed:
        scores = sampler.score([freed(prompt) for prompt in narrowed], draw.rows)
        for number, score in scores.items():
            # What is known stands in both, at the model's own probability.
            weights[number] += min(0.0, score.masked - draw.log_probs[number])
    if weigh is not None:
        for number, weight in zip(draw.rows, weigh(list(draw.rows.values())).tolist(), strict=True):
            weights[number] += weight
    return weights


def _head(prompt: Prompt) -> Conditions:
    return head_of(prompt.order, prompt.conditions)


def _behind(prompt: Prompt) -> Conditions:
    """The narrowed columns that stand behind what is free."""
    head = _head(prompt)
    return tuple(one for one in prompt.conditions if one not in head)

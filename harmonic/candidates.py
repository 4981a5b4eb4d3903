"""Candidates: rows under conditions, written in the order that a model has learnt.

What enters is prompts of one row each, whose conditions stand in their places, behind columns that are free; what
leaves is one draw a prompt. What stands before a condition is drawn without knowing of it. So a draw has a weight: the
probability that the model, had it been free, would have met the conditions, each given what stands before it. A draw is
taken with just that probability, which is exact; where none of CANDIDATES is taken, one of them is chosen by weight
(importance resampling, Rubin 1987). To write conditioned columns first instead spares the draws, and asks a model that
has learnt one order for another: of adult's rows by class, target in front, it had the classes the wrong way round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harmonic.decode.conditions import Conditions, head_of
from harmonic.decode.sampler import Draw, Prompt, Sampler
from harmonic.table.schema import Row

ROUNDS = (1, 1, 2, 4, 8)
"""So many candidates of a row are drawn before it is seen whether one is taken."""
CANDIDATES = sum(ROUNDS)
STREAM = 133
"""Name of the random stream that takes and chooses."""


def is_weighed(prompt: Prompt) -> bool:
    """Whether a condition stands behind what is free, so that draws of the prompt differ in weight."""
    return bool(prompt.known) or bool(_behind(prompt))


def draw_rows(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Draw:
    """The rows of prompts, weighed where that is needed: of one table all are, or none is."""
    if any(map(is_weighed, prompts)):
        return draw_weighed(sampler, prompts, seed=seed, progress=progress)
    return sampler.draw(prompts, seed=seed, progress=progress)


def draw_weighed(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    *,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Draw:
    """One row a prompt, by its number; calls progress(rows so far). Rows do not depend on each other.

    Raises HarmonicError as `Sampler.draw`.
    """
    whole = Draw()
    waiting = {prompt.first_row: _Waiting(prompt) for prompt in prompts}
    for first, n in _rounds():
        if not waiting:
            break
        asked = [one for item in waiting.values() for one in item.candidates(first, n)]
        draw = sampler.draw(asked, seed=seed)
        whole.rejects.update(draw.rejects)
        whole.usage.add(draw.usage)
        weights = _weights(sampler, asked, draw)
        for number, item in list(waiting.items()):
            item.add(draw, weights)
            found = item.taken(seed, is_last=first + n == CANDIDATES)
            if found is not None:
                whole.rows[number] = found
                del waiting[number]
        if progress is not None:
            progress(len(whole.rows))
    return whole


def _rounds() -> Iterator[tuple[int, int]]:
    """(the first candidate, how many) of each round."""
    first = 0
    for n in ROUNDS:
        yield first, n
        first += n


@dataclass
class _Waiting:
    """A prompt and the candidates that were drawn of it."""

    prompt: Prompt
    rows: list[Row] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def candidates(self, first: int, n: int) -> list[Prompt]:
        """Prompts that differ by their numbers alone, on which noise depends."""
        number = self.prompt.first_row
        start = number * CANDIDATES
        return [
            replace(self.prompt, first_row=start + at, candidate_of=number) for at in range(first, first + n)
        ]

    def add(self, draw: Draw, weights: Mapping[int, float]) -> None:
        start = self.prompt.first_row * CANDIDATES
        while (number := start + len(self.rows)) in draw.rows:
            self.rows.append(draw.rows[number])
            self.weights.append(weights[number])

    def taken(self, seed: int, *, is_last: bool) -> Row | None:
        """The first candidate that luck takes; at last, if it took none, one by weight."""
        rng = np.random.default_rng([seed, STREAM, self.prompt.first_row])
        luck, gumbel = np.log(rng.random(CANDIDATES)), rng.gumbel(size=CANDIDATES)
        weights = np.array(self.weights)
        kept = np.flatnonzero(luck[: len(weights)] < weights)
        if len(kept):
            return self.rows[int(kept[0])]
        if not is_last:
            return None
        # Where all are impossible they are equally so.
        best = np.where(np.isfinite(weights), weights, -1e300) + gumbel
        return self.rows[int(best.argmax())]


def _weights(sampler: Sampler, prompts: Sequence[Prompt], draw: Draw) -> dict[int, float]:
    """The natural logarithms of the candidates' weights, by number; at most 0."""
    weights = dict(draw.log_known)
    # In exact mode a mask is weighed out already.
    narrowed = [] if sampler.exact else [prompt for prompt in prompts if _behind(prompt)]
    if narrowed:
        free = [replace(prompt, conditions=_head(prompt), known={}) for prompt in narrowed]
        scores = sampler.score(free, draw.rows)
        for number, score in scores.items():
            # What is known stands in both, at the model's own probability.
            weights[number] += min(0.0, score.masked - draw.log_probs[number])
    return {number: weight if math.isfinite(weight) else -math.inf for number, weight in weights.items()}


def _head(prompt: Prompt) -> Conditions:
    return head_of(prompt.order, prompt.conditions)


def _behind(prompt: Prompt) -> Conditions:
    """The narrowed columns that stand behind what is free."""
    head = _head(prompt)
    return tuple(one for one in prompt.conditions if one not in head)

"""What somebody finds who holds the model itself: rows scored under the generator and under its base.

What enters is a fitted generator, its training rows (members) and holdout rows (controls); what leaves is a `WhiteBox`.
Rows that stand twice in both tables together are left out, as in every attack. Prompts never show a member: where the
generator's contexts show rows, they show holdout rows that are no controls then. The base is loaded after the generator
has scored, without any adapter, so that the difference between the two is what training did, whole weights or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from harmonic.decode.score import RowScore
from harmonic.evaluation.figures import Progress
from harmonic.evaluation.whitebox import Scored, WhiteBox, measure_white_box
from harmonic.prompt.contexts import Order
from harmonic.prompt.rows import Codec, Reject
from harmonic.table.cells import to_rows
from harmonic.table.schema import Row, Schema

STREAM_WHITE = 571
N_ORDERS = 2
"""Random column orders in which the leakage test is made once more."""
SHOWN_SHARE = 1 / 3
"""Of the holdout rows, what is shown in prompts where these show rows."""


class Scorer(Protocol):
    """A generator whose weights can be asked: `Harmonic`, which explains these."""

    schema_: Schema
    codec_: Codec

    @property
    def needs_rows(self) -> bool: ...

    def scores(
        self,
        frame: pd.DataFrame,
        *,
        seed: int = 0,
        shown: pd.DataFrame | None = None,
        order: Order | None = None,
    ) -> list[RowScore]: ...

    def untaught(self) -> Scorer: ...


@dataclass(frozen=True)
class _Groups:
    """Who is asked, and what prompts show."""

    members: pd.DataFrame
    controls: pd.DataFrame
    shown: pd.DataFrame | None
    notes: tuple[str, ...]


def attack_model(
    fitted: Scorer,
    *,
    members: pd.DataFrame,
    holdout: pd.DataFrame,
    seed: int = 0,
    n_rows: int = 500,
    progress: Progress | None = None,
) -> WhiteBox:
    """White-box attacks and the data leakage test; at most `n_rows` members and as many controls are scored.

    holdout: rows of the same law that the generator never saw, as they were drawn, twins of members among them.
    """
    say = progress or (lambda _: None)
    groups = _grouped(fitted, members, holdout, seed, n_rows)
    found: list[tuple[list[list[RowScore]], list[list[RowScore]]]] = []
    for name, scorer in (("generator", lambda: fitted), ("base", fitted.untaught)):
        say(f"privacy: records under the {name}")
        found.append(_scored(scorer(), groups, seed))
    (fitted_own, fitted_other), (base_own, base_other) = found
    own, other = (
        tuple(Scored(mine, before) for mine, before in zip(fitted_rows, base_rows, strict=True))
        for fitted_rows, base_rows in ((fitted_own, base_own), (fitted_other, base_other))
    )
    return measure_white_box(own[0], own[1], reordered=(other[0], other[1]), notes=groups.notes)


def scored_fresh(fitted: Scorer, frame: pd.DataFrame, *, seed: int = 0) -> Scored:
    """Rows that nothing was trained on, as members and controls are scored, those that the schema refuses left out."""
    rows = to_rows(frame, fitted.schema_)
    asked = frame[[is_told(fitted.codec_, row) for row in rows]]
    return Scored(fitted.scores(asked, seed=seed), fitted.untaught().scores(asked, seed=seed))


def _scored(scorer: Scorer, groups: _Groups, seed: int) -> tuple[list[list[RowScore]], list[list[RowScore]]]:
    """Members and controls in the orders of training, and in others."""
    own: list[list[RowScore]] = []
    other: list[list[RowScore]] = []
    for frame in (groups.members, groups.controls):
        own.append(scorer.scores(frame, seed=seed, shown=groups.shown))
        orders = [
            scorer.scores(frame, seed=seed + 1 + number, shown=groups.shown, order="shuffled")
            for number in range(N_ORDERS)
        ]
        other.append([_joined(scores) for scores in zip(*orders, strict=True)])
    return own, other


def _joined(scores: Sequence[RowScore]) -> RowScore:
    """One row in several orders, as one longer row."""
    return RowScore(
        sum(score.full for score in scores),
        sum(score.n_tokens for score in scores),
        np.concatenate([score.choices for score in scores]),
    )


def _grouped(fitted: Scorer, members: pd.DataFrame, holdout: pd.DataFrame, seed: int, n_rows: int) -> _Groups:
    rng = np.random.default_rng([seed, STREAM_WHITE])
    rows = {name: to_rows(frame, fitted.schema_) for name, frame in (("in", members), ("out", holdout))}
    counts = Counter(row for found in rows.values() for row in found)
    kept, notes = {}, []
    for name, frame, what in (("in", members, "training"), ("out", holdout, "holdout")):
        single = [place for place, row in enumerate(rows[name]) if counts[row] == 1]
        told = [place for place in single if is_told(fitted.codec_, rows[name][place])]
        if len(told) < len(single):
            notes.append(
                f"{len(single) - len(told):,} of {len(single):,} {what} rows hold what no training row may hold, so "
                "that the model cannot be asked for them."
            )
        kept[name] = frame.iloc[rng.permutation(told)]
    shown = None
    if fitted.needs_rows:
        n_shown = round(SHOWN_SHARE * len(kept["out"]))
        shown, kept["out"] = kept["out"].iloc[:n_shown], kept["out"].iloc[n_shown:]
        notes.append(f"Prompts show {n_shown:,} holdout rows, which are no controls.")
    return _Groups(kept["in"].iloc[:n_rows], kept["out"].iloc[:n_rows], shown, tuple(notes))


def is_told(codec: Codec, row: Row) -> bool:
    """Whether the schema's mask allows the row: a level never seen or a number beyond the bounds is refused."""
    order = range(len(row))
    return codec.writes(row) and not isinstance(codec.parse_row(codec.encode_row(row, order), order), Reject)

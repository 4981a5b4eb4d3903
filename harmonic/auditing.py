"""An audit run: coins decide which records are trained on, and attacks on the model guess the coins.

What enters is a run whose config has an [audit] section; what leaves is audit.json beside the adapter: a lower bound on
epsilon, from one training. The rows of such a run are for nobody's use: half of its records were left out, and made
ones may stand among the others. So it has a folder of its own, and nothing else is drawn from it.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic import journey
from harmonic.baselines import IndependentMarginals
from harmonic.building import build_harmonic, policy_of
from harmonic.config import AuditSection, Config
from harmonic.errors import HarmonicError
from harmonic.evaluation.codes import Codebook
from harmonic.evaluation.distances import nearest, ranges, search
from harmonic.evaluation.llm import is_told
from harmonic.evaluation.onerun import EpsilonBound, bound_epsilon
from harmonic.evaluation.whitebox import FAMILY, Scored, attack_scores
from harmonic.run import Run
from harmonic.synthesizer import Harmonic
from harmonic.table.cells import to_rows
from harmonic.table.infer import observe
from harmonic.table.schema import Schema

AUDIT = "audit.json"
STREAM_COINS, STREAM_RECORDS = 591, 592
LEAST_LEFT = 2
"""Rows that must train beside the records."""
DISTANCE = "distance"
"""The attack on the synthetic rows alone: the nearer the nearest of them, the likelier a member."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coins:
    """Records, and what their coins said."""

    records: pd.DataFrame
    is_in: NDArray[np.bool_]
    rest: pd.DataFrame
    """The rows that train in any case."""

    @property
    def train(self) -> pd.DataFrame:
        """What is trained on."""
        return pd.concat([self.rest, self.records[self.is_in]], ignore_index=True)


def audit_config(config: Config) -> Config:
    """The config of the audit that belongs to a run: in a folder of its own, NAME-audit beside it."""
    if config.run.method != "harmonic":
        raise HarmonicError(
            f"--audit: [run] method is {config.run.method!r}, which trains nothing that could remember. "
            'Audit a run of method = "harmonic".'
        )
    run = replace(config.run, out=f"{config.folder}-audit")
    return replace(config, run=run, audit=config.audit or AuditSection(), evaluate=None, lle=None)


def audit(run: Run, config: Config) -> EpsilonBound:
    """Trains on the records that coins let in, attacks all of them, and writes audit.json.

    Raises HarmonicError where the table has too few rows for so many records.
    """
    settings = config.audit or AuditSection()
    read, parts = journey.prepare(run, config)
    coins = toss(parts.train, read, settings, config.run.seed)
    schema = observe(read, coins.train, policy_of(config))
    model = build_harmonic(config)
    if run.has("adapter"):
        model.load(coins.train, schema, run.path("adapter"))
    else:
        model.fit(coins.train, schema, val=parts.val, out=run.folder, resume=True)
    bound = bound_epsilon(_attacked(model, coins, schema, config.run.seed), coins.is_in)
    facts = {"settings": asdict(settings), "n_train": len(coins.train), "n_in": int(coins.is_in.sum())}
    run.write_json(AUDIT, {**facts, **asdict(bound), "verdict": verdict(bound, settings)})
    return bound


def toss(train: pd.DataFrame, schema: Schema, settings: AuditSection, seed: int) -> Coins:
    """The records of this kind and their coins. Raises HarmonicError where too few rows are left."""
    n = settings.records
    is_made = settings.kind == "mixed"
    if not is_made and n > len(train) - LEAST_LEFT:
        raise HarmonicError(
            f"[audit] records is {n}, and {len(train)} rows train, of which {LEAST_LEFT} must be no records. "
            f"Set records to {len(train) - LEAST_LEFT} at most, or kind = 'mixed', whose records are made."
        )
    rng = np.random.default_rng([seed, STREAM_COINS])
    is_in = rng.random(n) < 0.5
    if is_made:
        made = IndependentMarginals().fit(train, schema).sample(n, seed)
        return Coins(made, is_in, train.reset_index(drop=True))
    places = (
        _outliers(train, schema, n) if settings.kind == "outliers" else _at_random(train, schema, n, seed)
    )
    rest = np.setdiff1d(np.arange(len(train)), places)
    return Coins(train.iloc[places].reset_index(drop=True), is_in, train.iloc[rest].reset_index(drop=True))


def verdict(bound: EpsilonBound, settings: AuditSection) -> str:
    """The bound in words."""
    what = {"rows": "training rows", "outliers": "outlying training rows", "mixed": "made rows"}[
        settings.kind
    ]
    found = next(audit for audit in bound.audits if audit.attack == bound.attack)
    n_right = round((found.right.value or 0.0) * found.n_guesses)
    said = (
        f"{n_right:,} of {found.n_guesses:,} guesses who of {found.n_records:,} {what} was trained on were right "
        f"({bound.attack})."
    )
    if not bound.bound:
        return f"{said} That is no more than chance: no epsilon is refuted. Other attacks may guess better."
    return (
        f"{said} No training that is differentially private (delta = 0) with an epsilon below {bound.bound:.2f} "
        "explains it (lower end of a 95 % interval)."
    )


def _at_random(train: pd.DataFrame, schema: Schema, n: int, seed: int) -> NDArray[np.intp]:
    """Rows without a twin where there are enough of them: of twins, one would be trained on whatever the coin says."""
    rng = np.random.default_rng([seed, STREAM_RECORDS])
    rows = to_rows(train, schema)
    counts: dict[Any, int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    has_twin = np.array([counts[row] > 1 for row in rows])
    order = rng.permutation(len(train))
    return order[np.argsort(has_twin[order], kind="stable")][:n]


def _outliers(train: pd.DataFrame, schema: Schema, n: int) -> NDArray[np.intp]:
    """The rows whose nearest other row is farthest."""
    table = Codebook(schema, [train]).encode(train)
    # Each row is its own nearest.
    second = search(table, table, ranges(table), k=2, bandwidth=1.0).distances[:, 1]
    return np.argsort(-second, kind="stable")[:n]


def _attacked(model: Harmonic, coins: Coins, schema: Schema, seed: int) -> dict[str, NDArray[np.float64]]:
    """Each attack's score of every record. One that the schema refuses was surely not trained on: its bounds and levels
    are those of the training rows, and who holds the model holds it, too."""
    log.info("Audit: %d records under the model, under its base, and beside drawn rows", len(coins.records))
    base = model.untaught()
    shown = coins.rest if model.needs_rows else None
    is_asked = np.array([is_told(model.codec_, row) for row in to_rows(coins.records, schema)])
    asked = coins.records[is_asked]
    records = Scored(*(scorer.scores(asked, seed=seed, shown=shown) for scorer in (model, base)))
    scores = {name: np.full(len(coins.records), -np.inf) for name in FAMILY}
    for name, values in scores.items():
        values[is_asked] = attack_scores(name, records)
    made = model.sample(len(coins.train), seed=seed)
    book = Codebook(schema, [coins.train, coins.records, made])
    far, _ = nearest(book.encode(coins.records), book.encode(made), ranges(book.encode(coins.train)))
    return {**scores, DISTANCE: -far}


def say(bound: EpsilonBound, settings: AuditSection) -> str:
    """The audit in some lines: every attack, then the verdict."""
    lines = [f"{'attack':<18}{'right':>9}{'of':>6}{'epsilon':>10}{'at least':>10}"]
    for found in bound.audits:
        lines.append(
            f"{found.attack:<18}{(found.right.value or 0.0):>9.2f}{found.n_guesses:>6}"
            f"{(found.epsilon.value or 0.0):>10.2f}{(found.epsilon.low or 0.0):>10.2f}"
        )
    return "\n".join([*lines, verdict(bound, settings)])

"""Does the synthetic table give its training rows away? Attacks with controls, and a verdict in words.

What enters is the coded tables (real = the training rows, holdout = rows of the same law that were not
trained on) and the rows a sampler refused as copies; what leaves is, for every attack, what it finds beside
what it finds on rows that cannot leak. Copies are counted before any filter: a filter that hides copies
tells who is a member. Seven checks decide the verdict (`CHECKS`), and up to three that not every table has, their
p-values corrected together (Holm); a check of several tests (columns, pairs, attacks) is corrected within itself
first. The distance to the closest record stands beside them but decides nothing: with 5 % of the rows copied it hardly
moves. Copies and echoes are counted on all rows; members and controls of the attacks stand once in train and holdout
together (`_alone`). Where these are not of one law, the verdict says so (`onelaw`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harmonic.evaluation.attacks import Attack, Headline, Membership, Tables, attack_membership
from harmonic.evaluation.copies import N_NEAREST, Copies, NearRow, count_copies, count_near_copies, near_rows
from harmonic.evaluation.distances import RowHashes, nearest, once, ranges
from harmonic.evaluation.echoes import PAIRED_ROWS, Echo, PromptEcho, column_echoes, pair_echoes
from harmonic.evaluation.figures import (
    Figure,
    Progress,
    auc_figure,
    compare,
    holm,
    mean_figure,
    undefined,
)
from harmonic.evaluation.idcopies import IdCopies
from harmonic.evaluation.inference import MAX_ASKED, Inference, SinglingOut, infer_attributes, single_out
from harmonic.evaluation.onelaw import OneLaw, compare_laws
from harmonic.evaluation.rowtexts import n_compared
from harmonic.evaluation.verdict import ALARM, leaks_of, verdict_of
from harmonic.evaluation.whitebox import WhiteBox, unmeasured

STREAM_SUBSAMPLE = 547
CHECKS = (
    "copies",
    "near copies",
    "column echo",
    "pair echo",
    "membership",
    "attribute inference",
    "singling out",
)
"""Keys of `Privacy.p_values`; "prompt echo" joins them where it is known what prompts showed, "white box" where the
model itself could be asked, "identifiers" where there are some that do not only number rows."""
NO_SHOWN = undefined("it is not known what the prompts showed")
NO_PROMPTS = PromptEcho(NO_SHOWN, NO_SHOWN, NO_SHOWN, (), (), (), 0, 1.0)
NO_MODEL = unmeasured("there is a table alone, and no model that could be asked")

Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Privacy:
    """What the attacks found. Everything is read beside its control."""

    copies: Copies
    near_copies: Copies
    membership: Figure
    """AUC of the first attack of the family, the distance; noise floor: independent marginals, worst case:
    copied rows."""
    dcr: Figure
    """Chance that a synthetic row lies nearer to train than a holdout row does; .5 is ideal, 1 means
    copies."""
    dcr_share: Figure
    """Share of the synthetic rows that lie nearer to train than to as many holdout rows; .5 is ideal."""
    echoes: tuple[Echo, ...]
    pair_echoes: tuple[Echo, ...]
    """As `echoes`, for pairs of columns whose values are common one by one and rare together."""
    attacks: tuple[Attack, ...]
    """The family of membership attacks, in a fixed order."""
    headline: Headline
    """The strongest attack, chosen on one half of the records and measured on the other."""
    inferences: tuple[Inference, ...]
    """Attribute inference, one secret column each."""
    singling_out: tuple[SinglingOut, ...]
    prompt_echo: PromptEcho
    white_box: WhiteBox
    """What somebody finds who holds the model itself."""
    identifiers: tuple[IdCopies, ...]
    """Identifiers of training rows in the synthetic table, one column each."""
    one_law: OneLaw
    """Whether members and controls are rows of one law, as every control asks for."""
    nearest: tuple[NearRow, ...]
    n_members: int
    """Training rows that were attacked."""
    n_controls: int
    """Holdout rows that were attacked."""
    p_values: dict[str, float]
    """Holm-corrected, by check."""
    caveats: tuple[str, ...]
    """Sentences of the caller's that the verdict must be read with."""
    leaks: tuple[str, ...]
    """A sentence for every check that found something."""
    verdict: str
    notes: tuple[str, ...]
    """What was subsampled, in words and numbers."""


def measure_privacy(
    tables: Tables,
    *,
    n_rejected_copies: int,
    seed: int,
    max_rows: int,
    max_base: int,
    progress: Progress,
    prompts: PromptEcho = NO_PROMPTS,
    white_box: WhiteBox = NO_MODEL,
    identifiers: tuple[IdCopies, ...] = (),
    caveats: tuple[str, ...] = (),
) -> Privacy:
    """All attacks. At most `max_rows` members, controls and synthetic rows ask for their nearest neighbour
    among at most `max_base`.

    prompts: what `echoes.prompt_echo` measured, where the caller knows what was shown. white_box: what
    `llm.attack_model` found, where the caller holds the model. identifiers: what
    `idcopies.count_id_copies` counted. caveats: what the verdict must be read with (`Roles.caveats`).
    """
    real, synthetic, holdout = tables.real, tables.synthetic, tables.holdout
    progress("privacy: counting copies and echoes")
    hashes = RowHashes({"real": real, "synthetic": synthetic, "holdout": holdout})
    further = _further_checks(prompts, white_box, identifiers)
    level = ALARM / (len(CHECKS) + len(further))
    copies = count_copies(hashes, n_rejected_copies, level)
    near = count_near_copies(hashes, n_rejected_copies, len(real.columns), level)
    echoes = column_echoes(real, synthetic, holdout, seed), pair_echoes(real, synthetic, holdout, seed)
    generator = np.random.default_rng([seed, STREAM_SUBSAMPLE])
    alone = _alone(tables)
    attacked = _attacked(alone, generator, max_rows, max_base)
    found = attack_membership(attacked, seed=seed, progress=progress)
    progress("privacy: inference and singling out")
    inferences = infer_attributes(alone.real, synthetic, alone.holdout, seed=seed, max_base=max_base)
    singled = single_out(alone.real, synthetic, alone.holdout, seed=seed, max_rows=max_base)
    progress("privacy: looking for nearest rows")
    asked = generator.permutation(len(synthetic))[:max_rows]
    dcr, share, closest = _closest_records(
        tables, attacked, hashes.copies("synthetic", "real"), asked, generator, max_rows
    )
    p_values = _p_values(copies, near, echoes, found, inferences, singled, further)
    privacy = Privacy(
        copies=copies,
        near_copies=near,
        membership=found.attacks[0].auc,
        dcr=dcr,
        dcr_share=share,
        echoes=echoes[0],
        pair_echoes=echoes[1],
        attacks=found.attacks,
        headline=found.headline,
        inferences=inferences,
        singling_out=singled,
        prompt_echo=prompts,
        white_box=white_box,
        identifiers=identifiers,
        one_law=compare_laws(alone.real, alone.holdout, seed),
        nearest=closest,
        n_members=len(attacked.real),
        n_controls=len(attacked.holdout),
        p_values=p_values,
        caveats=caveats,
        leaks=(),
        verdict="",
        notes=(*_notes(tables, alone, attacked), *white_box.notes),
    )
    leaks = tuple(leaks_of(privacy))
    return replace(privacy, leaks=leaks, verdict=verdict_of(privacy, leaks))


def _alone(tables: Tables) -> Tables:
    """The tables with the members and controls of the attacks: rows that stand once in train and holdout together.

    A row that stands in both tells nobody whose it is, and one that was left out of the holdout for it would still be
    a member: of twins all must go or none. Which rows stand once does not depend on who was drawn into which table, so
    without a leak members and controls are exchangeable, exactly. Reference rows that stand in either go as well.
    """
    drawn = tables.holdout if tables.drawn is None else tables.drawn
    groups = {"members": tables.real, "controls": drawn}
    if tables.reference is not None:
        groups["reference"] = tables.reference
    hashes = RowHashes(groups)
    n_members = len(tables.real)
    is_single = once(np.concatenate([hashes.rows("members"), hashes.rows("controls")]))
    reference = tables.reference
    if reference is not None:
        is_known = hashes.copies("reference", "members") | hashes.copies("reference", "controls")
        reference = None if is_known.all() else reference.take(np.flatnonzero(~is_known))
    return replace(
        tables,
        real=tables.real.take(np.flatnonzero(is_single[:n_members])),
        holdout=drawn.take(np.flatnonzero(is_single[n_members:])),
        reference=reference,
    )


def _attacked(tables: Tables, generator: np.random.Generator, max_rows: int, max_base: int) -> Tables:
    """The tables as the distance attacks see them."""
    return Tables(
        real=tables.real.head(max_rows, generator),
        holdout=tables.holdout.head(max_rows, generator),
        synthetic=tables.synthetic.head(max_base, generator),
        independent=tables.independent.head(max_base, generator),
        resampled=tables.resampled.head(max_base, generator),
        reference=None if tables.reference is None else tables.reference.head(max_base, generator),
    )


def _p_values(
    copies: Copies,
    near: Copies,
    echoes: tuple[tuple[Echo, ...], tuple[Echo, ...]],
    found: Membership,
    inferences: Iterable[Inference],
    singled: Iterable[SinglingOut],
    further: dict[str, float],
) -> dict[str, float]:
    """Every check's p, corrected within the check and then over the checks."""
    tests: tuple[Iterable[Copies | Echo | Attack | Inference | SinglingOut], ...] = (
        (copies,),
        (near,),
        *echoes,
        found.attacks,
        inferences,
        singled,
    )
    checks = {name: _least(test.p_value for test in group) for name, group in zip(CHECKS, tests, strict=True)}
    return holm({**checks, **further})


def _further_checks(
    prompts: PromptEcho, white_box: WhiteBox, identifiers: Iterable[IdCopies]
) -> dict[str, float]:
    """The p of checks that not every table has, each corrected within itself."""
    checks = {}
    if prompts.n_rows:
        checks["prompt echo"] = prompts.p_value
    if white_box.is_measured:
        checks["white box"] = white_box.p_value
    telling = [found.p_value for found in identifiers if not found.is_numbering]
    if telling:
        checks["identifiers"] = _least(telling)
    return checks


def _least(p_values: Iterable[float]) -> float:
    """The smallest p of several tests, times their number."""
    known = list(p_values)
    return min([1.0, *(p * len(known) for p in known)])


def _closest_records(
    tables: Tables,
    attacked: Tables,
    is_copy: NDArray[np.bool_],
    asked: Ints,
    generator: np.random.Generator,
    max_rows: int,
) -> tuple[Figure, Figure, tuple[NearRow, ...]]:
    """DCR and DCR share of the rows `asked`, and the synthetic rows that lie nearest to a training row."""
    widths = ranges(tables.real)
    distances, rows = nearest(tables.synthetic.take(asked), tables.real, widths)
    dcr, share = _distance_figures(tables, attacked, asked, distances, generator, max_rows)
    copied = np.flatnonzero(is_copy)[:N_NEAREST]  # copies are shown even where they were not asked
    near, near_real = nearest(tables.synthetic.take(copied), tables.real, widths)
    distances = np.concatenate([near, distances])
    first = np.argsort(distances, kind="stable")
    asked, rows = np.concatenate([copied, asked])[first], np.concatenate([near_real, rows])[first]
    return dcr, share, near_rows(tables.real, tables.synthetic, asked, rows, distances[first])


def _distance_figures(
    tables: Tables,
    attacked: Tables,
    asked: Ints,
    distances: NDArray[np.float64],
    generator: np.random.Generator,
    max_rows: int,
) -> tuple[Figure, Figure]:
    """DCR beside the holdout's own, and DCR share: members and controls cut to equal sizes, ties count half.

    DCR compares synthetic with holdout rows, twins and all: both may equal a training row by chance. The share compares
    training with holdout rows, so it takes those that attacks take.
    """
    if not len(tables.holdout):
        return (undefined("there are no holdout rows"),) * 2
    widths = ranges(tables.real)
    control, _ = nearest(tables.holdout.head(max_rows, generator), tables.real, widths)
    dcr = replace(
        auc_figure(compare(-distances, -control)),
        noise_floor=0.5,
        worst_case=compare(np.zeros(1), -control).auc,
    )
    n = min(len(attacked.real), len(attacked.holdout))
    if not n:
        return dcr, undefined("no row stands once in training and holdout rows together")
    made = tables.synthetic.take(asked)
    to_real, to_holdout = (
        nearest(made, table.head(n, generator), widths)[0] for table in (attacked.real, attacked.holdout)
    )
    wins = np.where(to_real == to_holdout, 0.5, to_real < to_holdout)
    return dcr, replace(mean_figure(wins), noise_floor=0.5, worst_case=1.0)


def _notes(tables: Tables, alone: Tables, attacked: Tables) -> list[str]:
    """What was cut, in numbers."""
    notes = []
    n_drawn = len(tables.holdout if tables.drawn is None else tables.drawn)
    if len(alone.real) < len(tables.real) or len(alone.holdout) < n_drawn:
        notes.append(
            f"Attacks ask for rows that stand once in training and holdout rows together: {len(alone.real):,} of "
            f"{len(tables.real):,} and {len(alone.holdout):,} of {n_drawn:,}."
        )
    for role, whole, part in (
        ("training", alone.real, attacked.real),
        ("holdout", alone.holdout, attacked.holdout),
    ):
        if len(part) < len(whole):
            notes.append(
                f"Membership attacks ask for {len(part):,} random rows of the {len(whole):,} {role} ones."
            )
    if len(attacked.synthetic) < len(tables.synthetic):
        notes.append(
            f"Membership attacks and inference look among {len(attacked.synthetic):,} random rows of the "
            f"{len(tables.synthetic):,} synthetic ones."
        )
    n_records = len(attacked.real) + len(attacked.holdout)
    n_texts = n_compared(n_records, len(attacked.synthetic))
    if n_texts < len(attacked.synthetic):
        notes.append(f"The text attack compares every record with {n_texts:,} random published rows.")
    if min(len(alone.real), len(alone.holdout)) > MAX_ASKED:
        notes.append(f"Attribute inference asks for {MAX_ASKED:,} random training and holdout rows.")
    if min(len(tables.real), len(tables.holdout)) > PAIRED_ROWS:
        notes.append(f"Pair echoes are counted in {PAIRED_ROWS:,} random rows of each table.")
    return notes

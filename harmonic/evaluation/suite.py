"""Evaluate: from three tables to one report.

What enters is real (training), synthetic and holdout rows of one schema; what leaves is a `Report`. The
holdout is the reference of fidelity, the test set of utility and the control of the attacks, so no part of
it may have been trained on. Everything random is keyed by (seed, purpose): equal tables and seed give an
equal report.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from harmonic.errors import HarmonicError
from harmonic.evaluation.echoes import PromptEcho
from harmonic.evaluation.figures import Figure, Progress
from harmonic.evaluation.idcopies import id_notes, id_warnings
from harmonic.evaluation.networks import Network
from harmonic.evaluation.parts import Bench, Suite
from harmonic.evaluation.privacy import NO_MODEL, NO_PROMPTS, Privacy
from harmonic.evaluation.protocols import ProtocolScore, check_xgboost, harmonic_mle, mallm_gan_best_of_four
from harmonic.evaluation.report import Report, Sizes
from harmonic.evaluation.roles import assign_roles
from harmonic.evaluation.truth import NetworkDistance, distance_of_probabilities, measure_network
from harmonic.evaluation.utility import Extent
from harmonic.evaluation.whitebox import WhiteBox
from harmonic.table.schema import Schema

if TYPE_CHECKING:
    from harmonic.evaluation.lle import Lle

log = logging.getLogger(__name__)

THOROUGH = Extent(n_targets=30, n_points=6, n_subsets=3, augments=True)

SUITES: Mapping[str, Suite] = {
    "quick": Suite(10_000, 2_000, 1, 2_000, 10_000, 200, Extent(augments=True)),
    "full": Suite(100_000, 10_000, 5, 5_000, 50_000, 1_000, THOROUGH),
    "paper": Suite(100_000, 10_000, 5, 5_000, 50_000, 1_000, THOROUGH, protocols=True),
}


def evaluate(
    *,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: Schema,
    reference: pd.DataFrame | None = None,
    twins: pd.DataFrame | None = None,
    network: Network | None = None,
    log_probabilities: ArrayLike | None = None,
    seed: int = 0,
    suite: str = "quick",
    settings: Mapping[str, Any] | None = None,
    draws: Mapping[str, Any] | None = None,
    training: Sequence[Mapping[str, Any]] | None = None,
    loop: Mapping[str, Any] | None = None,
    prompts: PromptEcho | None = None,
    white_box: WhiteBox | None = None,
    lle: Lle | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure validity, fidelity, utility and privacy of synthetic rows.

    Args:
        real: the training rows, all that the generator saw.
        synthetic: the generated rows as they came out, no copy filtered away.
        holdout: real rows that the generator never saw; those that stand verbatim in `real` are left out.
        schema: the columns; its target is what utility predicts.
        reference: further real rows that the generator never saw, against which distances are compared.
        twins: the holdout rows that a split took out because training rows equal them (`Parts.twins`): without them
            members and controls of the attacks are rows of two laws. None: the holdout is as it was drawn.
        network: the Bayesian network that the rows were drawn from, where it is known: distances to the law itself.
            Its variables are the columns of the same name, in any order.
        log_probabilities: the generator's own natural log-probability of every row of `network.states()`, float
            [n_states] in that order, where it can tell them; without them its own distance is not defined.
        seed: keys every random choice.
        suite: "quick" (1,000 x 10 in half a minute on two cores), "full", or "paper": full, and the papers' own
            protocols, which need the extra "paper".
        settings: the resolved settings of the run, shown in the report as they are.
        draws: the sampler's counts; `draws["rejects"]` maps reasons to row counts, and reasons that begin
            with "copy" are counted as copies.
        training: the training log, entries with "step" and "loss" or "eval_loss".
        loop: MALLM-GAN's loop: "graph", the parents of each column, and "steps" (mallm.state.Step).
        prompts: what rows repeat of what their prompts showed (`echoes.prompt_echo`); None where it is not known.
        white_box: what the model itself gives away (`llm.attack_model`); None where only its rows are at hand.
        lle: what the rows teach a language model (`lle.measure_lle`); None where nobody asked.
        progress: called with a line before each piece of work; without it the lines go to the log.

    Raises:
        HarmonicError: an unknown suite, one that needs an extra, an empty table, columns that disagree, tables in each
            other's place, row probabilities without a network or of another shape.
    """
    sizes = _suite(suite)
    if sizes.protocols:
        check_xgboost()  # before minutes of other work
    generator = _generator_figure(network, log_probabilities)
    rejects = _rejects(draws)
    say = progress or log.info
    say("roles: columns, digests and rows that stand in two tables")
    given = {"real": real, "synthetic": synthetic, "holdout": holdout}
    frames, roles = assign_roles(
        given if reference is None else {**given, "reference": reference}, schema, twins
    )

    # boosted trees share every split among threads that wait for one another: on a busy machine that costs
    # minutes where one thread costs seconds, and sums would depend on the machine
    with threadpool_limits(1):
        law = _law(frames, network, generator, seed, say)
        drawn = holdout if twins is None else pd.concat([holdout, twins], ignore_index=True)
        bench = Bench(frames, drawn, roles.is_natural, schema, sizes, seed, say)
        validity = bench.validity(rejects)
        fidelity = replace(bench.fidelity(), network=law)
        rivals, utility = bench.rivals(), bench.utility()
        privacy = bench.privacy(rejects, prompts or NO_PROMPTS, white_box or NO_MODEL, roles.caveats)
        roles = replace(roles, warnings=(*roles.warnings, *_warnings(privacy)))
        protocols = _protocols(given, schema, seed, say) if sizes.protocols else ()
    return Report(
        title=schema.title,
        suite=suite,
        seed=seed,
        sizes=Sizes(len(real), len(synthetic), len(frames["holdout"]), len(schema.columns)),
        roles=roles,
        validity=validity,
        fidelity=fidelity,
        rivals=rivals,
        utility=utility,
        privacy=privacy,
        protocols=protocols,
        lle=lle,
        notes=(
            *roles.warnings,
            *roles.notes,
            *_column_notes(schema),
            *_size_notes(frames, sizes),
            *privacy.notes,
            *id_notes(privacy.identifiers),
        ),
        decisions=schema.decisions,
        settings=dict(settings or {}),
        draws=dict(draws or {}),
        training=tuple(dict(entry) for entry in training or ()),
        loop=dict(loop or {}),
    )


def _generator_figure(network: Network | None, log_probabilities: ArrayLike | None) -> Figure | None:
    """The generator's own distance to the law; None where it tells no probabilities."""
    if log_probabilities is None:
        return None
    if network is None:
        raise HarmonicError(
            "Row probabilities: given without a network, expected the law that they are compared with. Pass network=."
        )
    return Figure(distance_of_probabilities(network, log_probabilities))


def _law(
    frames: Mapping[str, pd.DataFrame],
    network: Network | None,
    generator: Figure | None,
    seed: int,
    say: Progress,
) -> NetworkDistance | None:
    """Distances to the law itself, where it is known."""
    if network is None:
        return None
    say(f"fidelity: distance to the network {network.name}")
    return measure_network(
        network, real=frames["real"], synthetic=frames["synthetic"], generator=generator, seed=seed
    )


def _protocols(
    frames: Mapping[str, pd.DataFrame], schema: Schema, seed: int, say: Progress
) -> tuple[ProtocolScore, ...]:
    """The papers' own figures, on all rows as given, leaked ones too: what they are worth stands in their faults."""
    scores = []
    for title, protocol in (
        ("HARMONIC's MLE", harmonic_mle),
        ("MALLM-GAN's best of four", mallm_gan_best_of_four),
    ):
        say(f"utility: {title}, as published")
        scores.append(protocol(**frames, schema=schema, seed=seed))
    return tuple(scores)


def _suite(name: str) -> Suite:
    if name in SUITES:
        return SUITES[name]
    nearest = difflib.get_close_matches(name, SUITES, n=1, cutoff=0.0)[0]
    raise HarmonicError(
        f"Suite {name!r}: not one of {', '.join(map(repr, SUITES))}. Did you mean {nearest!r}?"
    )


def _rejects(draws: Mapping[str, Any] | None) -> dict[str, int]:
    """Refused rows by reason. Raises HarmonicError where a count is not a whole number >= 0."""
    rejects = dict((draws or {}).get("rejects", {}))
    for reason, count in rejects.items():
        if not isinstance(count, int) or count < 0:
            raise HarmonicError(
                f"Draws: rejects[{reason!r}] is {count!r}, expected a whole number of rows. Pass the sampler's counts."
            )
    return {str(reason): int(count) for reason, count in rejects.items()}


def _warnings(privacy: Privacy) -> list[str]:
    """What the attacks found about the tables themselves: it stands above the verdict."""
    signs = privacy.one_law.signs
    split = [f"{sign[0].upper()}{sign[1:]}: draw the holdout at random." for sign in signs]
    return split + id_warnings(privacy.identifiers)


def _column_notes(schema: Schema) -> list[str]:
    """Columns that the report looks at with one eye, or not at all."""
    notes = []
    constants, identifiers = (
        [column.label for column in schema.columns if column.kind == kind]
        for kind in ("constant", "identifier")
    )
    if constants:
        notes.append(f"Constants are not compared: {', '.join(constants)}.")
    if identifiers:
        notes.append(
            f"Identifiers are compared by identity alone, where copies of them are counted: {', '.join(identifiers)}."
        )
    if any(column.kind == "text" for column in schema.modelled):
        notes.append("Texts are compared by length, and by identity where copies are counted.")
    return notes


def _size_notes(tables: Mapping[str, pd.DataFrame], sizes: Suite) -> list[str]:
    """What was cut to a random part."""
    notes = []
    for name, table in tables.items():
        if len(table) > sizes.max_rows:
            notes.append(
                f"Shapes, trends and utility use {sizes.max_rows:,} random rows of the {len(table):,} {name} ones."
            )
    if min(len(table) for table in tables.values()) > sizes.c2st_rows:
        notes.append(f"The two-sample test uses {sizes.c2st_rows:,} random rows a side.")
    return notes

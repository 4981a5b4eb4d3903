"""The privacy part as rows: what each check found, beside its control and its chance.

What enters is a `Privacy`; what leaves is `Check`s in the order of the report, for the page's table and the console
alike. Which of them decide the verdict is for `Privacy.p_values` to say: a check without a p-value there stands for
the reader's eye alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harmonic.evaluation.echoes import Echo
from harmonic.evaluation.figures import Figure, undefined
from harmonic.evaluation.privacy import Privacy
from harmonic.evaluation.verdict import NO_ECHO, NO_PAIR

Kind = Literal["percent", "number", "count"]


@dataclass(frozen=True)
class Check:
    """One row of the table. `name` is for the page, `short` for the console; "" = the page alone."""

    name: str
    short: str
    figure: Figure
    """What the synthetic rows show; its noise floor is the control, its worst case copied training rows."""
    kind: Kind = "number"
    p_value: float | None = None
    """Corrected with all others; None where the check decides nothing."""


def checks(privacy: Privacy) -> list[Check]:
    """All checks; those of the membership attacks one by one at the end."""
    p = privacy.p_values.get
    rows = [
        Check(
            "rows that copy a training row (control: held-out rows)",
            "copies of training rows",
            privacy.copies.synthetic,
            "percent",
            p("copies"),
        ),
        Check(
            "rows that copy one in all cells but one",
            "but for one cell",
            privacy.near_copies.synthetic,
            "percent",
            p("near copies"),
        ),
        _echo_check("values", privacy.echoes, NO_ECHO, p("column echo")),
        _echo_check("pairs of values", privacy.pair_echoes, NO_PAIR, p("pair echo")),
        *_identifier_checks(privacy),
        *_headline_checks(privacy),
        Check(
            "nearer to training rows than held-out rows are (DCR), 0.5 is best",
            "nearer to train (DCR)",
            privacy.dcr,
        ),
        Check(
            "synthetic rows nearer to training than to held-out rows, 50 % is best",
            "",
            privacy.dcr_share,
            "percent",
        ),
        *_inference_checks(privacy),
        *_model_checks(privacy),
    ]
    return [row for row in rows if row.figure.is_defined or row.p_value is not None]


def worst_echo(echoes: Sequence[Echo]) -> Echo | None:
    """The echo that chance explains least; None where no column or pair was asked."""
    return min(echoes, key=lambda echo: echo.p_value, default=None)


def _echo_check(what: str, echoes: Sequence[Echo], unasked: str, p_value: float | None) -> Check:
    """Distinct values that only training rows have and synthetic rows repeat, in the worst column; `unasked` says why
    there is none."""
    worst = worst_echo(echoes)
    name = f"{what} that only training rows have, repeated"
    if worst is None:
        return Check(name, f"{what} repeated", undefined(unasked), "count", p_value)
    figure = Figure(float(worst.n_train_only), noise_floor=float(worst.n_holdout_only))
    return Check(f"{name} (most: {worst.label})", f"{what} repeated", figure, "count", p_value)


def _identifier_checks(privacy: Privacy) -> list[Check]:
    """Identifiers that only training rows have, in the worst column; row numbers say nothing."""
    telling = [ids for ids in privacy.identifiers if not ids.is_numbering]
    if not telling:
        return []
    worst = min(telling, key=lambda ids: ids.p_value)
    name = f"identifiers that only training rows have, repeated (most: {worst.label})"
    return [
        Check(name, "identifiers repeated", worst.repeated, "percent", privacy.p_values.get("identifiers"))
    ]


def _headline_checks(privacy: Privacy) -> list[Check]:
    """The first attack of the family, and the strongest, measured on records that did not choose it."""
    strongest, p_value = privacy.headline, privacy.p_values.get("membership")
    title = "guessing who was trained on"
    first = Check(f"{title} by distance, AUC", "", privacy.membership)
    if not strongest.attack:
        return [replace(first, short="members by distance, AUC", p_value=p_value)]
    title += f", strongest attack ({strongest.attack}) on fresh records"
    return [
        first,
        Check(f"{title}: AUC", "strongest attack, AUC", strongest.auc, p_value=p_value),
        Check(
            f"{title}: members found where 1 % of the controls are accused",
            "  members found at 1 %",
            strongest.tpr,
            "percent",
        ),
    ]


def _inference_checks(privacy: Privacy) -> list[Check]:
    """The worst column of attribute inference, and singling out by kind of predicate."""
    rows = []
    p = privacy.p_values.get
    guessed = [found for found in privacy.inferences if found.risk.is_defined]
    if guessed:
        worst = min(guessed, key=lambda found: found.p_value)
        rows.append(
            Check(
                f"guessing a cell from the others, risk that training added (most: {worst.label})",
                "cell guessed, risk",
                worst.risk,
                "percent",
                p("attribute inference"),
            )
        )
    singled = [found for found in privacy.singling_out if found.risk.is_defined]
    if singled:
        by = min(singled, key=lambda found: found.p_value)
        name = f"singling out by {by.mode}, risk that training added"
        rows.append(Check(name, "singled out, risk", by.risk, "percent", p("singling out")))
    if privacy.prompt_echo.excess.is_defined:
        rows.append(
            Check(
                "cells in common with the examples shown in the prompt, beyond rows not shown",
                "prompt echo, cells",
                privacy.prompt_echo.excess,
                p_value=p("prompt echo"),
            )
        )
    return rows


def _model_checks(privacy: Privacy) -> list[Check]:
    """The strongest attack on the model itself, and the data leakage test."""
    white = privacy.white_box
    if not white.is_measured:
        return []
    worst = min(white.attacks, key=lambda attack: attack.p_value)
    return [
        Check(
            f"guessing who was trained on with the model in hand, strongest attack ({worst.name}): AUC",
            "model in hand, AUC",
            worst.auc,
            p_value=privacy.p_values.get("white box"),
        ),
        Check(
            "data leakage test (DLT): nats a choice that held-out rows cost beyond training rows (control: the base)",
            "DLT, nats a choice",
            white.leakage.nats,
        ),
    ]

"""The verdict in words: what was found, or above which size something would have been found.

What enters is what the attacks measured; what leaves is sentences. Never "anonymous": other attacks may find
more, a leak smaller than the samples can show is not seen, and a check that never ran has found nothing either: it is
named, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harmonic.evaluation.copies import Copies
from harmonic.evaluation.echoes import LEAST_CELLS, Echo
from harmonic.evaluation.figures import Figure, percent

if TYPE_CHECKING:
    from harmonic.evaluation.privacy import Privacy

ALARM = 0.05
"""Family-wise chance of an alarm on a table that leaks nothing."""
FEWEST = 2
"""Checks that must have run before a verdict says that nothing was found."""
NO_ECHO = f"it needs amounts or texts with {LEAST_CELLS} known cells in training and in holdout rows"
NO_PAIR = f"it needs {LEAST_CELLS} rows a side and two columns that tell rows apart only together"


def leaks_of(found: Privacy) -> Iterator[str]:
    """A sentence for every check of the rows below the alarm level; the model has one of its own (`_model`)."""
    sentences = {
        "copies": lambda: _copied(found.copies, "equal a training row in every cell"),
        "near copies": lambda: _copied(
            found.near_copies, "equal a training row in all cells but one at most"
        ),
        "column echo": lambda: _echoed("Column", found.echoes),
        "pair echo": lambda: _echoed("The pair of columns", found.pair_echoes),
        "membership": lambda: _accused(found),
        "attribute inference": lambda: _inferred(found),
        "singling out": lambda: _singled_out(found),
        "prompt echo": lambda: _prompted(found),
        "identifiers": lambda: _identified(found),
    }
    for name, p_value in found.p_values.items():
        if p_value < ALARM and name in sentences:
            yield sentences[name]()


def _copied(copies: Copies, what: str) -> str:
    return (
        f"{copies.n_synthetic:,} generated rows ({percent(copies.synthetic.value)}) {what} "
        f"(holdout rows: {percent(copies.holdout.value)}; "
        f"training rows among themselves: {percent(copies.twins.value)})."
    )


def _echoed(what: str, echoes: tuple[Echo, ...]) -> str:
    worst = min(echoes, key=lambda echo: echo.p_value)
    return (
        f"{what} {worst.label!r} repeats {worst.n_train_only:,} values that only training rows have, "
        f"and {worst.n_holdout_only:,} that only as many holdout rows have."
    )


def _accused(found: Privacy) -> str:
    worst = min(found.attacks, key=lambda attack: attack.p_value)
    said = (
        f"The {worst.name} attack tells training rows from holdout rows with AUC {worst.auc.value:.2f}; "
        f"on independent columns with {worst.auc.noise_floor:.2f}."
    )
    if not worst.tpr.is_defined:
        return said
    return f"{said} It accuses {percent(worst.tpr.value)} of the training rows where 1 % of the holdout rows are."


def _inferred(found: Privacy) -> str:
    worst = min(found.inferences, key=lambda inference: inference.p_value)
    return (
        f"{worst.label!r} is guessed from the other columns for {percent(worst.members.value)} of the training "
        f"rows and {percent(worst.controls.value)} of the holdout rows."
    )


def _singled_out(found: Privacy) -> str:
    worst = min(found.singling_out, key=lambda singled: singled.p_value)
    return (
        f"Predicates over {worst.mode} of the synthetic rows single out a training row in "
        f"{percent(worst.members.value)} and a holdout row in {percent(worst.controls.value)} of the cases."
    )


def _prompted(found: Privacy) -> str:
    echo = found.prompt_echo
    return (
        f"Rows have {echo.shown.value:.1f} cells in common with an example of their own prompt, and "
        f"{echo.shown.noise_floor:.1f} with a row as near that it did not show."
    )


def _identified(found: Privacy) -> str:
    worst = min(found.identifiers, key=lambda ids: ids.p_value)
    return (
        f"{worst.n_copied:,} of {worst.n_rows:,} synthetic rows hold an identifier of a training row in column "
        f"{worst.label!r}: {percent(worst.repeated.value)} of the training rows' own ones stand there, and "
        f"{percent(worst.repeated.noise_floor)} of the holdout rows' own."
    )


def _model(found: Privacy) -> str:
    """What the model itself gives away: a matter of its own, for rows can be shared and models kept."""
    white = found.white_box
    if not white.is_measured:
        return ""
    highest = max(attack.auc.high or 0.0 for attack in white.attacks)
    if found.p_values["white box"] >= ALARM:
        return (
            f" Of the model itself, too, no leakage was found above an AUC of {highest:.2f} for whoever holds it and "
            f"{white.leakage.nats.high:.3f} nats a choice."
        )
    worst = min(white.attacks, key=lambda attack: attack.p_value)
    return (
        " Keep the model to yourself: whoever holds it tells training rows from holdout rows with AUC "
        f"{worst.auc.value:.2f} ({worst.name}); a choice in a holdout row costs it {white.leakage.nats.value:.3f} nats "
        f"more than one in a training row (the base: {white.leakage.base.value:.3f})."
    )


def verdict_of(found: Privacy, leaks: tuple[str, ...]) -> str:
    """What was found, or the limits above which nothing was."""
    missing = untested(found)
    unrun = f" {_unrun(missing)}" if missing else ""
    if leaks:
        return f"Leakage found. {' '.join(leaks)}{_qualified(found)}{_model(found)}{unrun}"
    if len(found.p_values) - len(missing) < FEWEST:
        return f"Too few rows to say whether training rows leak.{_unflagged(found.copies)}{_qualified(found)}{unrun}"
    limits = [f"{percent(found.copies.synthetic.high)} copied rows"]
    headline = found.headline
    if headline.auc.is_defined:
        limits.append(f"a membership AUC of {headline.auc.high:.2f}")
    if headline.tpr.is_defined:
        limits.append(f"{percent(headline.tpr.high)} of the training rows accused at 1 % false positives")
    said = f"No leakage found above {_listed(limits)} (95 % limits)."
    said += _qualified(found) + _belonging(found) + _unseen(found) + _unflagged(found.copies)
    said += _unflagged_ids(found) + _model(found)
    return f"{said}{unrun} Other attacks may find more."


def _qualified(found: Privacy) -> str:
    """What the verdict must be read with: rows of two laws, cells that are written otherwise."""
    said, signs = "", found.one_law.signs
    if signs:
        told = f"{'; '.join(signs)}"
        said = (
            f" But {told}: they are no sample of one law, so what is found, or is not, may be of the split and not of "
            "the generator. Draw the holdout at random."
        )
    return said + "".join(f" {caveat}" for caveat in found.caveats)


def scope_of(found: Privacy) -> str:
    """What was tested on how many rows, and what was not; the verdict says why."""
    missing = untested(found)
    ran = sorted(found.p_values.keys() - missing.keys())
    said = f"Tested: {', '.join(ran)}." if ran else "Nothing was tested."
    said += (
        f" Attacks asked {found.n_members:,} training rows and {found.n_controls:,} holdout rows as controls."
    )
    return f"{said} Not tested, as the verdict explains: {', '.join(missing)}." if missing else said


def _unrun(missing: Mapping[str, str]) -> str:
    return f"Not tested: {', '.join(f'{name} ({reason})' for name, reason in missing.items())}."


def _belonging(found: Privacy) -> str:
    """Whose limits the membership limits are: one attack's, on the records that did not choose it."""
    headline, aucs = found.headline, [attack.auc.value for attack in found.attacks]
    known = [auc for auc in aucs if auc is not None]
    if not headline.auc.is_defined or not known:
        return ""
    return (
        f" The membership limits are those of one attack ({headline.attack}), chosen on other records and measured on "
        f"{headline.n_members:,} training and {headline.n_controls:,} holdout rows; the largest AUC of all "
        f"{len(known)} attacks is {max(known):.2f}."
    )


def untested(found: Privacy) -> dict[str, str]:
    """Why checks of `Privacy.p_values` could not have found anything, by check; nothing of those that ran."""
    reasons = {
        "copies": _why([found.copies.smallest]),
        "near copies": _why([found.near_copies.smallest]),
        "column echo": "" if found.echoes else NO_ECHO,
        # where no two columns tell rows apart that one does not, the echo of columns has seen it all
        "pair echo": "" if found.pair_echoes or found.echoes else NO_PAIR,
        "membership": _why([attack.auc for attack in found.attacks]),
        "attribute inference": _why([inference.members for inference in found.inferences]),
        "singling out": _why([singled.members for singled in found.singling_out]),
        "identifiers": _no_control(found),
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _no_control(found: Privacy) -> str:
    """Why no column of identifiers could be tested; "" where one was."""
    telling = [ids for ids in found.identifiers if not ids.is_numbering]
    if not all(ids.untested for ids in telling):
        return ""
    return "; ".join(
        f"{ids.n_copied:,} of {ids.n_rows:,} in column {ids.label} stand in the training rows, but {ids.untested}"
        for ids in telling
    )


def _why(figures: Sequence[Figure]) -> str:
    """Why none of the figures is defined; "" where one is."""
    if any(figure.is_defined for figure in figures):
        return ""
    first = figures[0].undefined if figures else "it needs two columns"
    return first.removeprefix("not defined because ")


def _listed(limits: list[str]) -> str:
    return f"{', '.join(limits[:-1])} and {limits[-1]}" if len(limits) > 1 else limits[0]


def _unseen(found: Privacy) -> str:
    """The smallest leaks that so many rows could have shown (of copies that none could: see `untested`)."""
    seen = []
    if found.copies.smallest.is_defined:
        seen.append(f"{percent(found.copies.smallest.value)} copied rows")
    if found.headline.smallest_tpr.is_defined:
        seen.append(f"{percent(found.headline.smallest_tpr.value)} accused")
    said = f" So few rows would not have shown less than {' or '.join(seen)}." if seen else ""
    reason = found.headline.smallest_tpr.undefined
    if reason and found.headline.auc.is_defined:
        said += f" Which share is accused at 1 % false positives is {reason}."
    return said


def _unflagged_ids(found: Privacy) -> str:
    """What to think of identifiers of training rows that are too few for an alarm; nothing where there are none."""
    some = [
        ids for ids in found.identifiers if ids.repeated.value and not ids.is_numbering and not ids.untested
    ]
    return "".join(
        f" {ids.n_copied:,} of {ids.n_rows:,} synthetic identifiers in column {ids.label} stand in training rows "
        f"({percent(ids.repeated.value)} of the training rows' own ones, {percent(ids.repeated.noise_floor)} of the "
        "holdout rows'): look there, though so few may be chance."
        for ids in some
    )


def _unflagged(copies: Copies) -> str:
    """What to think of copies that are too few for an alarm; nothing where there are none."""
    if not copies.n_synthetic:
        return ""
    rows = "1 row equals" if copies.n_synthetic == 1 else f"{copies.n_synthetic:,} rows equal"
    natural = max(copies.holdout.value or 0.0, copies.twins.value or 0.0)
    if not natural:
        return f" {rows} a training row: look there, though so few may be chance."
    return (
        f" {rows} a training row, no more than chance allows where {percent(natural)} of the real rows "
        "repeat one another."
    )

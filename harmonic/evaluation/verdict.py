"""The verdict in words: what was found, or above which size something would have been found.

What enters is what the attacks measured; what leaves is sentences. Never "anonymous": other attacks may find
more, and a leak smaller than the samples can show is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harmonic.evaluation.copies import Copies
from harmonic.evaluation.echoes import Echo
from harmonic.evaluation.figures import percent

if TYPE_CHECKING:
    from harmonic.evaluation.privacy import Privacy

ALARM = 0.05
"""Family-wise chance of an alarm on a table that leaks nothing."""


def leaks_of(found: Privacy) -> Iterator[str]:
    """A sentence for every check below the alarm level."""
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
    }
    for name, p_value in found.p_values.items():
        if p_value < ALARM:
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


def verdict_of(found: Privacy, leaks: tuple[str, ...]) -> str:
    """What was found, or the limits above which nothing was."""
    if leaks:
        return "Leakage found. " + " ".join(leaks)
    limits = [f"{percent(found.copies.synthetic.high)} copied rows"]
    headline = found.headline
    if headline.auc.is_defined:
        limits.append(f"a membership AUC of {headline.auc.high:.2f}")
    if headline.tpr.is_defined:
        limits.append(f"{percent(headline.tpr.high)} of the training rows accused at 1 % false positives")
    said = f"No leakage found above {_listed(limits)} (95 % limits)."
    return f"{said}{_unseen(found)}{_unflagged(found.copies)} Other attacks may find more."


def _listed(limits: list[str]) -> str:
    return f"{', '.join(limits[:-1])} and {limits[-1]}" if len(limits) > 1 else limits[0]


def _unseen(found: Privacy) -> str:
    """The smallest leaks that so many rows could have shown."""
    seen = []
    if found.copies.smallest.is_defined:
        seen.append(f"{percent(found.copies.smallest.value)} copied rows")
    if found.headline.smallest_tpr.is_defined:
        seen.append(f"{percent(found.headline.smallest_tpr.value)} accused")
    return f" So few rows would not have shown less than {' or '.join(seen)}." if seen else ""


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

"""The report in words: one sentence a part, and the console's one screen.

What enters is a `Report`; what leaves is text. A sentence names the number, what it must be read against and what
that means; it never says more than was measured, and never that a table is safe.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from harmonic.evaluation.figures import Figure, percent
from harmonic.evaluation.privacy import Copies

if TYPE_CHECKING:
    from harmonic.evaluation.report import Report

WIDTH = 98
SOURCE_NAMES = {
    "synthetic": "synthetic",
    "real": "real",
    "resampled": "resampled",
    "class_conditional": "by class",
    "independent": "independent",
}
METRIC_NAMES = {
    "auc": "AUC",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted",
    "balanced_accuracy": "balanced accuracy",
    "r2": "R²",
    "mae": "mean absolute error",
}


def number(value: float | None, places: int = 2) -> str:
    """A number with so many decimals, five digits at most; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{places}f}"


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def interval(figure: Figure, as_percent: bool = False) -> str:
    """ "[low, high]", or nothing where no interval was computed."""
    if figure.low is None or figure.high is None:
        return ""
    if as_percent:
        return f"[{100 * figure.low:.1f}, {100 * figure.high:.1f}]"
    return f"[{number(figure.low)}, {number(figure.high)}]"


def validity_sentence(report: Report) -> str:
    """How many rows fit, and what became of the others."""
    validity = report.validity
    if validity.n_valid == validity.n_generated:
        return f"All {validity.n_generated:,} generated rows fit the schema."
    parts = [f"{validity.n_valid:,} of {validity.n_generated:,} generated rows fit the schema"]
    n_refused = sum(validity.rejects.values())
    if n_refused:
        parts.append(f"{n_refused:,} were refused while sampling")
    if validity.n_accepted > validity.n_valid:
        parts.append(f"{validity.n_accepted - validity.n_valid:,} hold a cell that does not fit")
    return "; ".join(parts) + "."


def fidelity_sentence(report: Report) -> str:
    """What the two-sample test says."""
    c2st = report.fidelity.c2st
    if not c2st.is_defined:
        return f"Whether a classifier can tell the tables apart is {c2st.undefined}."
    return (
        f"A classifier tells synthetic rows from fresh real ones with AUC {number(c2st.value)} "
        f"{interval(c2st)}, where 0.50 is a coin toss; real training rows get {number(c2st.noise_floor)}, "
        f"independent columns {number(c2st.worst_case)}."
    )


def utility_sentence(report: Report) -> str:
    """What models trained on synthetic rows are worth beside real rows and marginals by class."""
    utility = report.utility
    synthetic, real, by_class = (utility.source(name) for name in ("synthetic", "real", "class_conditional"))
    if utility.undefined or synthetic is None or real is None or by_class is None:
        return f"What the rows are worth to a predictor is {utility.undefined or utility.gap.undefined}."
    if not utility.gap.is_defined:
        return f"What the rows are worth to a predictor is {utility.gap.undefined}."
    score = METRIC_NAMES[utility.headline]
    return (
        f"Models trained on synthetic rows predict {utility.target!r} of real rows with {score} "
        f"{number(synthetic.scores[utility.headline].value)}; trained on real rows "
        f"{number(real.scores[utility.headline].value)} (difference {signed(utility.gap.value)} "
        f"{interval(utility.gap)}). {_gain_sentence(utility.gain)}"
    )


def _gain_sentence(gain: Figure) -> str:
    if gain.low is None or gain.high is None:
        return ""
    said = f"({signed(gain.value)} {interval(gain)})"
    if gain.low > 0:
        return f"That is above marginals drawn per class {said}."
    if gain.high < 0:
        return f"That is below marginals drawn per class {said}: simpler rows serve better."
    return f"Marginals drawn per class reach the same {said}, so utility alone proves little here."


def summarize(report: Report) -> str:
    """One screen of text, `WIDTH` columns wide."""
    sizes = report.sizes
    lines = [
        f"Report on {report.title}: {sizes.synthetic:,} synthetic rows, made from {sizes.real:,} training rows, "
        f"{sizes.holdout:,} held out",
        "",
        *_validity_lines(report),
        "",
        *_fidelity_lines(report),
        "",
        *_utility_lines(report),
        "",
        *_privacy_lines(report),
        "",
        *textwrap.wrap(f"Verdict: {report.privacy.verdict}", WIDTH),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _validity_lines(report: Report) -> list[str]:
    validity = report.validity
    largest = f"most: {validity.missing_column}" if validity.missing_column else "most"
    return [
        _line("Validity", "synthetic", "95 % interval", "real", ""),
        _figure_line("valid rows", validity.valid, as_percent=True),
        _figure_line("rows with a twin", validity.duplicates, as_percent=True),
        _figure_line("gap of missing rates", validity.missing, as_percent=True),
        _figure_line(f"  {largest}"[:24], validity.missing_most, as_percent=True),
    ]


def _fidelity_lines(report: Report) -> list[str]:
    fidelity = report.fidelity
    return [
        _line("Fidelity", "synthetic", "95 % interval", "real", "independent"),
        _figure_line("column shapes", fidelity.shape, places=3),
        _figure_line("pair trends", fidelity.trend, places=3),
        _figure_line("told apart by trees, AUC", fidelity.c2st),
        _figure_line("told apart linearly, AUC", fidelity.c2st_linear),
    ]


def _utility_lines(report: Report) -> list[str]:
    utility = report.utility
    if utility.undefined:
        return [f"{'Utility':<26}{utility.undefined}"]
    names = [trained.source for trained in utility.sources]
    lines = [f"{'Utility':<26}" + "".join(f"{SOURCE_NAMES[name]:>12}" for name in names)]
    for metric in utility.sources[0].scores:
        values = [number(trained.scores[metric].value) for trained in utility.sources]
        lines.append(f"  {METRIC_NAMES[metric]:<24}" + "".join(f"{value:>12}" for value in values))
    return lines


def _privacy_lines(report: Report) -> list[str]:
    privacy = report.privacy
    return [
        _line("Privacy", "synthetic", "95 % interval", "control", "if copied"),
        _copies_line("copies of training rows", privacy.copies),
        _copies_line("but for one cell", privacy.near_copies),
        _figure_line("membership attack, AUC", privacy.membership),
        _figure_line("nearer than holdout (DCR)", privacy.dcr),
    ]


def _line(name: str, value: str, span: str, floor: str, worst: str) -> str:
    return f"{name:<26}{value:>12}{span:>18}{floor:>12}{worst:>14}"


def _figure_line(name: str, figure: Figure, *, as_percent: bool = False, places: int = 2) -> str:
    if not figure.is_defined:
        return f"  {name:<24}  {figure.undefined}"

    def show(value: float | None) -> str:
        return "" if value is None else percent(value) if as_percent else number(value, places)

    return _line(
        f"  {name}",
        show(figure.value),
        interval(figure, as_percent),
        show(figure.noise_floor),
        show(figure.worst_case),
    )


def _copies_line(name: str, copies: Copies) -> str:
    return _figure_line(name, copies.synthetic, as_percent=True)

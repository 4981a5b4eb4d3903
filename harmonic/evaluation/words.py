"""The report in words: one sentence a part, and the console's one screen.

What enters is a `Report`; what leaves is text. A sentence names the number, what it must be read against and what
that means; it never says more than was measured, and never that a table is safe.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from harmonic.evaluation.checks import Check, checks
from harmonic.evaluation.figures import Figure, percent

if TYPE_CHECKING:
    from harmonic.evaluation.report import Report
    from harmonic.evaluation.utility import Utility

WIDTH, HEIGHT = 98, 40
"""The console's one screen."""
LONG = 1e9
"""Numbers from here on are written as powers of ten: they would break every table."""
CONSOLE_METRICS = {"auc", "f1_macro", "balanced_accuracy", "r2", "mae"}
SOURCE_NAMES = {
    "synthetic": "synthetic",
    "real": "real",
    "resampled": "resampled",
    "smote": "SMOTE",
    "copula": "copula",
    "class_conditional": "by class",
    "independent": "independent",
}
METRIC_NAMES = {
    "auc": "AUC",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "mcc": "MCC",
    "r2": "R²",
    "mae": "mean absolute error",
}


def number(value: float | None, places: int = 2) -> str:
    """A number with so many decimals, none from 1000 on, and powers of ten from `LONG` on; a dash for none."""
    if value is None:
        return "–"
    if abs(value) >= LONG:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{places}f}"


def signed(value: float | None) -> str:
    """A difference with its sign; a dash for none."""
    return "–" if value is None else f"{value:+.1e}" if abs(value) >= LONG else f"{value:+.2f}"


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
        f"{interval(utility.gap)}). {_gain_sentence(utility.gain)}{_lle_sentence(report)}"
    )


def score_reasons(utility: Utility) -> list[str]:
    """Why scores in the table by source are a dash, a sentence each; sources are named where others have the score."""
    missing: dict[tuple[str, str], list[str]] = {}
    for trained in utility.sources:
        for metric, figure in trained.scores.items():
            if not figure.is_defined:
                missing.setdefault((metric, figure.undefined), []).append(SOURCE_NAMES[trained.source])
    return [
        METRIC_NAMES[metric]
        + (f" ({', '.join(names)})" if len(names) < len(utility.sources) else "")
        + f" is {reason}."
        for (metric, reason), names in missing.items()
    ]


def _lle_sentence(report: Report) -> str:
    """What a language model has learnt from each kind of rows; nothing where none was asked."""
    if report.lle is None:
        return ""
    scores = {score.source: score.scores for score in report.lle.scores}
    metric = "auc" if "auc" in scores["real"] else "r2"
    shown = {
        source: f"{number(scores[source][metric].value)} {interval(scores[source][metric])}"
        for source in scores
    }
    return (
        f" A language model that learns from synthetic rows answers with {METRIC_NAMES[metric]} {shown['synthetic']}, "
        f"from real rows {shown['real']}, from marginals per class {shown['class_conditional']} (LLE)."
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
    """One screen of text, at most `WIDTH` columns wide and `HEIGHT` lines high."""
    sizes = report.sizes
    lines = [
        *textwrap.wrap(
            f"Report on {report.title}: {sizes.synthetic:,} synthetic rows, made from {sizes.real:,} training rows, "
            f"{sizes.holdout:,} held out",
            WIDTH,
            max_lines=2,
            placeholder=" …",
        ),
        *_sections(report),
    ]
    verdict = [*report.roles.warnings, f"Verdict: {report.privacy.verdict}"]
    wrapped = [line for text in verdict for line in textwrap.wrap(text, WIDTH)]
    room = HEIGHT - len(lines) - 1
    if len(wrapped) > room:
        wrapped = [*wrapped[: room - 1], "… more in the report."]
    return "\n".join(line.rstrip() for line in [*lines, "", *wrapped])


def _sections(report: Report) -> list[str]:
    """The four parts, a blank line before each."""
    parts = (_validity_lines, _fidelity_lines, _utility_lines, _privacy_lines)
    return [line for part in parts for line in ("", *part(report))]


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
    lines = [
        _line("Fidelity", "synthetic", "95 % interval", "real", "independent"),
        _figure_line("column shapes", fidelity.shape, places=3),
        _figure_line("pair trends", fidelity.trend, places=3),
        _figure_line("three at a time", fidelity.triples.score, places=3),
        _figure_line("told apart by trees, AUC", fidelity.c2st),
    ]
    if fidelity.network:
        lines.append(_figure_line("distance to the law", fidelity.network.synthetic, places=3))
    return lines


def _utility_lines(report: Report) -> list[str]:
    utility = report.utility
    lines = [f"{'Utility':<26}{utility.undefined}"] if utility.undefined else _score_lines(report)
    further = {
        "worth of the real rows": (utility.sample_size.ratio, True),
        "gain beside real rows": (utility.augmentation.gain, False),
        "all columns as target": (utility.all_targets.share, True),
    }
    return lines + [
        _figure_line(name, figure, as_percent=as_percent)
        for name, (figure, as_percent) in further.items()
        if figure.is_defined
    ]


def _score_lines(report: Report) -> list[str]:
    """Scores by source, side by side."""
    sources = report.utility.sources
    lines = [f"{'Utility':<20}" + "".join(f"{SOURCE_NAMES[trained.source]:>11}" for trained in sources[:-1])]
    lines[0] += f"{SOURCE_NAMES[sources[-1].source]:>12}"
    for metric in sources[0].scores:
        if metric in CONSOLE_METRICS:
            values = [number(trained.scores[metric].value) for trained in sources]
            shown = "".join(f"{value:>11}" for value in values[:-1])
            name = "mean abs. error" if metric == "mae" else METRIC_NAMES[metric]
            lines.append(f"  {name:<18}{shown}{values[-1]:>12}")
    for reason in score_reasons(report.utility):
        lines += textwrap.wrap(reason, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return lines


def _privacy_lines(report: Report) -> list[str]:
    return [
        _line("Privacy", "synthetic", "95 % interval", "control", "if copied"),
        *(_check_line(check) for check in checks(report.privacy) if check.short),
    ]


def _check_line(check: Check) -> str:
    if check.kind == "count" and check.figure.is_defined:
        return _line(
            f"  {check.short}"[:26],
            number(check.figure.value, 0),
            "",
            number(check.figure.noise_floor, 0),
            "",
        )
    return _figure_line(check.short[:24], check.figure, as_percent=check.kind == "percent")


def _line(name: str, value: str, span: str, floor: str, worst: str) -> str:
    return f"{name:<26}{value:>12}{span:>18}{floor:>12}{worst:>14}"


def _figure_line(name: str, figure: Figure, *, as_percent: bool = False, places: int = 2) -> str:
    if not figure.is_defined:
        reason = textwrap.shorten(figure.undefined, WIDTH - 28, placeholder=" …")
        return f"  {name:<24}  {reason}"

    def show(value: float | None) -> str:
        return "" if value is None else percent(value) if as_percent else number(value, places)

    return _line(
        f"  {name}",
        show(figure.value),
        interval(figure, as_percent),
        show(figure.noise_floor),
        show(figure.worst_case),
    )

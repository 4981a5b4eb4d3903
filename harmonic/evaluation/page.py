"""The report as one HTML page: nothing to load, nothing to click, light or dark, phone or laptop.

What enters is a `Report`; what leaves is the text of report.html. The words and figures are those of `words` and the
report's tree, the pictures those of `pictures`; the template only arranges them and escapes every name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harmonic.evaluation import graphs, pictures, words
from harmonic.evaluation.checks import checks
from harmonic.evaluation.figures import Figure, percent, undefined
from harmonic.evaluation.privacy import Privacy
from harmonic.evaluation.report import Report
from harmonic.evaluation.resplits import NAMES, Resplits
from harmonic.evaluation.rivals import Rival
from harmonic.evaluation.verdict import ALARM, scope_of

MAX_PICTURES = 24
"""Columns drawn: those that differ most; all stand in the table."""
MAX_ECHOES = 40
"""Columns or pairs listed: those that chance explains least."""


@dataclass(frozen=True)
class Mark:
    """A place on a gauge, in per cent of its width."""

    name: str
    value: str
    place: float
    is_made: bool = False


@dataclass(frozen=True)
class Gauge:
    """A scale from `left` to `right` with marks; `low` and `high` are the ends of the interval."""

    left: str
    right: str
    marks: tuple[Mark, ...]
    low: float | None = None
    high: float | None = None


def render(report: Report) -> str:
    """The page's text."""
    ranked = sorted(report.fidelity.columns, key=lambda column: -column.error)
    return (
        templates()
        .get_template("page.html")
        .render(
            report=report,
            alarm=ALARM,
            sentences=_sentences(report),
            gauges=_gauges(report),
            columns=ranked,
            drawn=[(column, Markup(pictures.column_picture(column))) for column in ranked[:MAX_PICTURES]],
            trends=_trends(report),
            utility=_utility(report),
            score_reasons=words.score_reasons(report.utility),
            rivals=_rivals(report),
            curve=_curve(report),
            checks=checks(report.privacy),
            scope=scope_of(report.privacy),
            roc=Markup(pictures.roc_picture(report.privacy.attacks, report.privacy.headline)),
            nearest=_nearest(report),
            max_echoes=MAX_ECHOES,
            training=Markup(pictures.training_picture(report.training)) if report.training else "",
            graph=Markup(graphs.graph_picture(report.loop["graph"])) if report.loop else "",
            steps=Markup(graphs.loop_picture(report.loop["steps"])) if report.loop else "",
            sources=words.SOURCE_NAMES,
            metrics=words.METRIC_NAMES,
            settings=_listing(report.settings),
            draws=_listing(report.draws),
            max_heat=pictures.MAX_HEAT,
        )
    )


def render_resplits(resplits: Resplits) -> str:
    """The page of several splits."""
    drawn = [(headline, Markup(pictures.splits_picture(headline, NAMES))) for headline in resplits.headlines]
    return (
        templates()
        .get_template("resplits.html")
        .render(resplits=resplits, drawn=drawn, names=NAMES, settings=_listing(resplits.settings))
    )


@cache
def templates() -> Environment:
    """The templates of this package with the filters they use, read once."""
    environment = Environment(
        loader=PackageLoader("harmonic.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda share: percent(share).replace(" ", "\N{NO-BREAK SPACE}"),
        "number": words.number,
        "signed": words.signed,
        "interval": words.interval,
        "at_least": lambda figure, of: f"{percent(figure.value)} {of}" if figure.is_defined else "",
    }
    return environment


def _sentences(report: Report) -> dict[str, str]:
    return {
        "validity": words.validity_sentence(report),
        "fidelity": words.fidelity_sentence(report),
        "utility": words.utility_sentence(report),
        "privacy": report.privacy.verdict,
    }


def _gauges(report: Report) -> dict[str, Gauge | None]:
    """A scale for each part's headline; none where it is not defined."""
    valid, c2st = report.validity.valid, report.fidelity.c2st
    return {
        "validity": _gauge(valid, 0.0, 1.0, ("0 %", "100 %"), {"valid rows": valid.value}, as_percent=True),
        "fidelity": _gauge(
            c2st,
            0.5,
            1.0,
            ("0.5 alike", "1 told apart"),
            {"synthetic": c2st.value, "real": c2st.noise_floor, "independent": c2st.worst_case},
        ),
        "utility": _utility_gauge(report),
        "privacy": _privacy_gauge(report.privacy),
    }


def _privacy_gauge(privacy: Privacy) -> Gauge | None:
    """The membership attack that the verdict names."""
    attack, figure = _named_attack(privacy)
    marks = {
        f"{attack} attack": figure.value,
        "independent": figure.noise_floor,
        "copied": figure.worst_case,
    }
    return _gauge(figure, 0.5, 1.0, ("0.5 guessing", "1 all found"), marks)


def _named_attack(privacy: Privacy) -> tuple[str, Figure]:
    """Name and AUC: where training rows were found, of the attack that chance explains least, else of the headline."""
    if privacy.p_values["membership"] < ALARM:
        worst = min(privacy.attacks, key=lambda attack: attack.p_value)
        return worst.name, worst.auc
    return privacy.headline.attack, privacy.headline.auc


def _utility_gauge(report: Report) -> Gauge | None:
    utility = report.utility
    synthetic = utility.source("synthetic")
    if utility.undefined or synthetic is None or not synthetic.scores[utility.headline].is_defined:
        return None
    named = {"synthetic": "synthetic", "real": "real", "by class": "class_conditional"}
    values = {}
    for name, source in named.items():
        trained = utility.source(source)
        values[name] = trained.scores[utility.headline].value if trained else None
    start = 0.5 if utility.headline == "auc" else 0.0
    label = words.METRIC_NAMES[utility.headline]
    ends = (f"{label} {start:g}" if start else f"{label} 0 or less", "1")
    return _gauge(synthetic.scores[utility.headline], start, 1.0, ends, values)


def _gauge(
    figure: Figure,
    start: float,
    end: float,
    ends: tuple[str, str],
    values: dict[str, float | None],
    *,
    as_percent: bool = False,
) -> Gauge | None:
    if not figure.is_defined:
        return None

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - start) / (end - start))), 2)

    show = percent if as_percent else words.number
    marks = [
        Mark(name, show(value), place(value), is_made=i == 0)
        for i, (name, value) in enumerate(values.items())
        if value is not None
    ]
    low, high = (None if value is None else place(value) for value in (figure.low, figure.high))
    return Gauge(*ends, tuple(marks), low, high)


def _trends(report: Report) -> Markup | str:
    return Markup(pictures.trend_picture(report.fidelity.trends)) if report.fidelity.trend.is_defined else ""


def _utility(report: Report) -> Markup | str:
    return Markup(pictures.utility_picture(report.utility)) if report.utility.gap.is_defined else ""


def _curve(report: Report) -> Markup | str:
    utility = report.utility
    return Markup(pictures.curve_picture(utility.sample_size, utility.headline)) if utility.headline else ""


def _nearest(report: Report) -> Markup | str:
    labels = [column.label for column in report.fidelity.columns]
    return Markup(pictures.nearest_picture(report.privacy.nearest, labels)) if report.privacy.nearest else ""


def _rivals(report: Report) -> list[Rival]:
    """The fidelity table by source: the synthetic rows and the real ones, the baselines, independent columns."""
    fidelity = report.fidelity
    ends = {"real": "noise_floor", "independent": "worst_case"}
    real, independent = (
        Rival(
            source,
            *(_alone(getattr(figure, end)) for figure in (fidelity.shape, fidelity.trend, fidelity.c2st)),
        )
        for source, end in ends.items()
    )
    return [
        Rival("synthetic", fidelity.shape, fidelity.trend, fidelity.c2st),
        real,
        *report.rivals,
        independent,
    ]


def _alone(value: float | None) -> Figure:
    return undefined("it could not be measured") if value is None else Figure(value)


def _listing(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) if data else ""

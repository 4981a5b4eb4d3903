"""The report as one HTML page: nothing to load, nothing to click, light or dark, phone or laptop.

What enters is a `Report`; what leaves is the text of report.html. The words and figures are those of `words` and the
report's tree, the pictures those of `pictures`; the template only arranges them and escapes every name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from harmonic.evaluation import pictures, words
from harmonic.evaluation.figures import Figure, percent
from harmonic.evaluation.privacy import ALARM
from harmonic.evaluation.report import Report

MAX_PICTURES = 24
"""Columns drawn: those that differ most; all stand in the table."""


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
    return _template().render(
        report=report,
        alarm=ALARM,
        sentences=_sentences(report),
        gauges=_gauges(report),
        columns=ranked,
        drawn=[(column, Markup(pictures.column_picture(column))) for column in ranked[:MAX_PICTURES]],
        trends=_trends(report),
        utility=_utility(report),
        training=Markup(pictures.training_picture(report.training)) if report.training else "",
        sources=words.SOURCE_NAMES,
        metrics=words.METRIC_NAMES,
        settings=_listing(report.settings),
        draws=_listing(report.draws),
        max_heat=pictures.MAX_HEAT,
    )


@cache
def _template() -> Template:
    """The page's template, read once."""
    environment = Environment(
        loader=PackageLoader("harmonic.evaluation", "."),
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
    }
    return environment.get_template("page.html")


def _sentences(report: Report) -> dict[str, str]:
    return {
        "validity": words.validity_sentence(report),
        "fidelity": words.fidelity_sentence(report),
        "utility": words.utility_sentence(report),
        "privacy": report.privacy.verdict,
    }


def _gauges(report: Report) -> dict[str, Gauge | None]:
    """A scale for each part's headline; none where it is not defined."""
    valid, c2st, membership = report.validity.valid, report.fidelity.c2st, report.privacy.membership
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
        "privacy": _gauge(
            membership,
            0.5,
            1.0,
            ("0.5 guessing", "1 all found"),
            {
                "synthetic": membership.value,
                "independent": membership.noise_floor,
                "copied": membership.worst_case,
            },
        ),
    }


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


def _listing(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) if data else ""

"""The report's pictures as SVG text, for a page that is light or dark.

What enters is parts of a report; what leaves is `<svg>` elements written by matplotlib. Colours are written as
placeholders and then replaced by the page's CSS variables, so that one picture serves both themes; real rows are
filled areas and synthetic ones lines or outlines, so that no meaning hangs on colour alone.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from harmonic.evaluation.fidelity import ColumnFidelity, Trends
from harmonic.evaluation.utility import Utility
from harmonic.evaluation.words import METRIC_NAMES, SOURCE_NAMES, number

INK, SOFT, REAL, MADE, FAINT = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Placeholders: text, lines, real rows, synthetic rows, grid."""
VARIABLES = {INK: "--ink", SOFT: "--soft", REAL: "--real", MADE: "--synthetic", FAINT: "--faint"}
MAX_LABEL = 18
REM_PER_INCH = 7
"""How wide a picture may become on the page: its letters are as large as those of the tables then."""
MAX_HEAT = 30
"""Columns of a heat map: those that take part in the largest errors."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harmonic",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 9,
    "axes.titlesize": 10,
}


def column_picture(column: ColumnFidelity) -> str:
    """A column's shape in holdout (filled) and synthetic rows (line or outline)."""
    return _level_picture(column) if column.overlay.labels else _amount_picture(column)


@matplotlib.rc_context(STYLE)
def _amount_picture(column: ColumnFidelity) -> str:
    canvas, axes = _canvas(3.4, 1.9)
    shape = column.overlay
    axes.stairs(shape.real, shape.edges, fill=True, color=REAL, alpha=0.45)
    axes.stairs(shape.synthetic, shape.edges, color=MADE, linewidth=1.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    if column.kind == "datetime":
        days = np.linspace(shape.edges[0], shape.edges[-1], 3)
        axes.set_xticks(days, [str(np.datetime64(int(day), "D")) for day in days])
    return _svg(canvas, f"column-{column.label}", f"{column.label}: holdout and synthetic rows")


@matplotlib.rc_context(STYLE)
def _level_picture(column: ColumnFidelity) -> str:
    shape = column.overlay
    n = len(shape.labels)
    canvas, axes = _canvas(3.4, max(1.4, 0.5 + 0.24 * n))
    places = np.arange(n)
    axes.barh(places, shape.real, height=0.8, color=REAL, alpha=0.45)
    axes.barh(places, shape.synthetic, height=0.44, facecolor="none", edgecolor=MADE, linewidth=1.8)
    axes.set_yticks(places, [_short(label) for label in shape.labels])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    return _svg(canvas, f"column-{column.label}", f"{column.label}: holdout and synthetic rows")


@matplotlib.rc_context(STYLE)
def trend_picture(trends: Trends) -> str:
    """Heat map of the pair errors beyond those of real training rows: the darker, the more a pair differs."""
    errors = np.maximum(0.0, np.array(trends.error) - np.array(trends.noise_floor))
    kept = np.sort(np.argsort(-errors.max(axis=0), kind="stable")[:MAX_HEAT])
    errors, labels = errors[np.ix_(kept, kept)], [_short(trends.labels[i]) for i in kept]
    n = len(kept)
    canvas, axes = _canvas(1.6 + 0.3 * n, 1.2 + 0.3 * n)
    scale = max(0.2, float(errors.max()))
    for i in range(n):
        for j in range(i):
            share = float(errors[i, j]) / scale
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=MADE, alpha=share, edgecolor="none"))
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor="none", edgecolor=FAINT, linewidth=0.6))
            if errors[i, j] >= 0.095:
                axes.text(j + 0.5, i + 0.5, f"{100 * errors[i, j]:.0f}", ha="center", va="center", fontsize=7)
    axes.set_xlim(0, max(1, n - 1))
    axes.set_ylim(n, 1)
    axes.set_xticks(np.arange(n - 1) + 0.5, labels[:-1], rotation=90)
    axes.set_yticks(np.arange(1, n) + 0.5, labels[1:])
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return _svg(canvas, "trends", "Differences of pair trends between holdout and synthetic rows")


@matplotlib.rc_context(STYLE)
def utility_picture(utility: Utility) -> str:
    """Bars of the headline score by source, with intervals; lines mark real rows and marginals by class."""
    metric = utility.headline
    shown = [(t.source, t.scores[metric]) for t in utility.sources]
    canvas, axes = _canvas(6.2, 0.7 + 0.36 * len(shown))
    for place, (source, figure) in enumerate(shown):
        value, is_made = figure.value or 0.0, source == "synthetic"
        axes.barh(place, value, height=0.6, color=MADE if is_made else REAL, alpha=0.85 if is_made else 0.4)
        if figure.low is not None and figure.high is not None:
            axes.plot([figure.low, figure.high], [place, place], color=INK, linewidth=1.4)
        end = (max(0.0, value, figure.high or 0.0), place)
        axes.annotate(number(figure.value), end, xytext=(5, 0), textcoords="offset points", va="center")
        if source in ("real", "class_conditional"):
            axes.axvline(value, color=SOFT, linewidth=1, linestyle="--" if source == "real" else ":")
    axes.set_yticks(range(len(shown)), [SOURCE_NAMES[source] for source, _ in shown])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{METRIC_NAMES[metric]} on the holdout, mean of three models")
    lowest = min([0.0, *(figure.value or 0.0 for _, figure in shown)])
    axes.set_xlim(max(-1.0, lowest * 1.15), 1.12)
    return _svg(canvas, "utility", "Scores of models trained on each source")


@matplotlib.rc_context(STYLE)
def training_picture(training: Sequence[Mapping[str, Any]]) -> str:
    """Loss by step, on training and on validation rows; empty text where the log holds neither."""
    canvas, axes = _canvas(6.2, 2.4)
    drawn = 0
    for key, name, colour, style in (
        ("loss", "training", REAL, "-"),
        ("eval_loss", "validation", MADE, "--"),
    ):
        points = [(entry["step"], entry[key]) for entry in training if key in entry and "step" in entry]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, linewidth=1.8, label=name)
            drawn += 1
    if not drawn:
        return ""
    axes.set_xlabel("step")
    axes.set_ylabel("loss a token")
    axes.legend(frameon=False)
    return _svg(canvas, "training", "Loss by training step")


def _canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(canvas)
    return canvas, canvas.add_subplot()


def _svg(canvas: Canvas, name: str, description: str) -> str:
    """The picture as an <svg> element; ids carry a salt of their own, as many pictures share a page."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the page's fonts draw the text, not matplotlib's
        canvas.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    )
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    widest = f"max-width: {canvas.get_figwidth() * REM_PER_INCH:.0f}rem"
    return text.replace("<svg ", f'<svg role="img" aria-label="{_escaped(description)}" style="{widest}" ', 1)


def _short(label: str) -> str:
    line = " ".join(label.split())
    return line if len(line) <= MAX_LABEL else line[: MAX_LABEL - 1] + "…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

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

from harmonic.evaluation.attacks import Attack
from harmonic.evaluation.attacks import Headline as Strongest
from harmonic.evaluation.copies import NearRow
from harmonic.evaluation.fidelity import ColumnFidelity, Trends
from harmonic.evaluation.figures import percent
from harmonic.evaluation.resplits import Headline
from harmonic.evaluation.utility import Utility
from harmonic.evaluation.words import METRIC_NAMES, SOURCE_NAMES, number
from harmonic.evaluation.worth import SampleSize

INK, SOFT, REAL, MADE, FAINT, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
"""Placeholders: text, lines, real rows, synthetic rows, grid, ground."""
VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    REAL: "--real",
    MADE: "--synthetic",
    FAINT: "--faint",
    PAPER: "--paper",
}
MAX_LABEL = 18
WIDE = 4.8
"""Inches of a picture that stands alone: legible on a phone, where it shrinks to the screen."""
FINEST_RATE = 1e-4
"""Left end of the rates of a ROC curve, at the latest."""
REM_PER_INCH = 7
"""How wide a picture may become on the page: its letters are as large as those of the tables then."""
POINTS_PER_INCH = 72
STRONGEST = 0.5
"""Opacity of the largest error: letters on it stay legible in both themes."""
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
    canvas, axes = new_canvas(3.4, 1.9)
    shape = column.overlay
    axes.stairs(shape.real, shape.edges, fill=True, color=REAL, alpha=0.45)
    axes.stairs(shape.synthetic, shape.edges, color=MADE, linewidth=1.8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    if column.kind == "datetime":
        days = np.linspace(shape.edges[0], shape.edges[-1], 3)
        axes.set_xticks(days, [str(np.datetime64(int(day), "D")) for day in days])
    return to_svg(canvas, f"column-{column.label}", _column_words(column))


@matplotlib.rc_context(STYLE)
def _level_picture(column: ColumnFidelity) -> str:
    shape = column.overlay
    n = len(shape.labels)
    canvas, axes = new_canvas(3.4, max(1.4, 0.5 + 0.24 * n))
    places = np.arange(n)
    axes.barh(places, shape.real, height=0.8, color=REAL, alpha=0.45)
    axes.barh(places, shape.synthetic, height=0.44, facecolor="none", edgecolor=MADE, linewidth=1.8)
    axes.set_yticks(places, [short(label) for label in shape.labels])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    return to_svg(canvas, f"column-{column.label}", _column_words(column))


def _column_words(column: ColumnFidelity) -> str:
    return (
        f"{column.label}: shares of held-out and of synthetic rows, which differ by {percent(column.error)}"
    )


@matplotlib.rc_context(STYLE)
def trend_picture(trends: Trends) -> str:
    """Heat map of the pair errors beyond those of real training rows: the darker, the more a pair differs."""
    errors = np.maximum(0.0, np.array(trends.error) - np.array(trends.noise_floor))
    kept = np.sort(np.argsort(-errors.max(axis=0), kind="stable")[:MAX_HEAT])
    errors, labels = errors[np.ix_(kept, kept)], [short(trends.labels[i]) for i in kept]
    n = len(kept)
    canvas, axes = new_canvas(1.6 + 0.3 * n, 1.2 + 0.3 * n)
    scale = max(0.2, float(errors.max()))
    for i in range(n):
        for j in range(i):
            share = STRONGEST * float(errors[i, j]) / scale
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
    worst = np.unravel_index(int(errors.argmax()), errors.shape)
    said = f"largest: {labels[worst[0]]} with {labels[worst[1]]}, {percent(float(errors.max()))}"
    return to_svg(
        canvas, "trends", f"Differences of pair trends between held-out and synthetic rows; {said}", True
    )


@matplotlib.rc_context(STYLE)
def utility_picture(utility: Utility) -> str:
    """Bars of the headline score by source, with intervals; lines mark real rows and marginals by class."""
    metric = utility.headline
    shown = [(t.source, t.scores[metric]) for t in utility.sources]
    canvas, axes = new_canvas(WIDE, 0.7 + 0.32 * len(shown))
    for place, (source, figure) in enumerate(shown):
        value, is_made = figure.value or 0.0, source == "synthetic"
        axes.barh(place, value, height=0.6, color=MADE if is_made else REAL, alpha=0.85 if is_made else 0.4)
        if figure.low is not None and figure.high is not None:
            axes.plot([figure.low, figure.high], [place, place], color=INK, linewidth=1.4)
        end = (max(0.0, value, figure.high or 0.0), place)
        axes.annotate(
            number(figure.value),
            end,
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
        )
        if source in ("real", "class_conditional"):
            axes.axvline(value, color=SOFT, linewidth=1, linestyle="--" if source == "real" else ":")
    axes.set_yticks(range(len(shown)), [SOURCE_NAMES[source] for source, _ in shown])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{METRIC_NAMES[metric]} on held-out rows, mean of three models")
    lowest = min([0.0, *(figure.value or 0.0 for _, figure in shown)])
    axes.set_xlim(max(-1.0, lowest * 1.15), 1.12)
    said = ", ".join(f"{SOURCE_NAMES[source]} {number(figure.value)}" for source, figure in shown)
    return to_svg(canvas, "utility", f"{METRIC_NAMES[metric]} of models trained on each kind of rows: {said}")


@matplotlib.rc_context(STYLE)
def training_picture(training: Sequence[Mapping[str, Any]]) -> str:
    """Loss by step, on training and on validation rows; empty text where the log holds neither."""
    canvas, axes = new_canvas(WIDE, 2.4)
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
    return to_svg(canvas, "training", "Loss a token by training step")


@matplotlib.rc_context(STYLE)
def curve_picture(worth: SampleSize, metric: str) -> str:
    """The real rows' learning curve, and the synthetic rows' score as a line across it."""
    points = [(point.n_rows, point.score) for point in worth.curve if point.score is not None]
    if len(points) < 2 or worth.score is None:
        return ""
    canvas, axes = new_canvas(WIDE, 2.4)
    axes.plot(
        *zip(*points, strict=True), color=REAL, marker="o", markersize=4, linewidth=1.8, label="real rows"
    )
    axes.axhline(worth.score, color=MADE, linestyle="--", linewidth=1.8, label="all synthetic rows")
    axes.set_xscale("log")
    axes.set_xticks([n for n, _ in points], [f"{n:,}" for n, _ in points])
    axes.minorticks_off()
    axes.set_xlabel("real rows trained on")
    axes.set_ylabel(METRIC_NAMES[metric])
    axes.legend(frameon=False)
    said = (
        f"synthetic rows reach {number(worth.score)}, all {points[-1][0]:,} real rows {number(points[-1][1])}"
    )
    return to_svg(canvas, "curve", f"{METRIC_NAMES[metric]} by number of real rows; {said}")


@matplotlib.rc_context(STYLE)
def roc_picture(attacks: Sequence[Attack], headline: Strongest) -> str:
    """ROC curves on log axes: all attacks thin, the strongest on fresh records bold; finer rates than one control are
    shaded, for there no such sample can say anything. Empty text where no attack was measured."""
    if not any(attack.roc.fpr for attack in attacks):
        return ""
    finest = 1.0 / max([1, *(attack.n_controls for attack in attacks)])
    left = max(FINEST_RATE, finest / 3)
    canvas, axes = new_canvas(WIDE, 3.6)
    axes.axvspan(left, max(finest, left), facecolor=FAINT, alpha=0.6, edgecolor="none")
    axes.plot([left, 1.0], [left, 1.0], color=SOFT, linestyle="--", linewidth=1)
    axes.axvline(0.01, color=SOFT, linewidth=0.8, linestyle=":")
    for attack in attacks:
        axes.step(*_roc_points(attack.roc.fpr, attack.roc.tpr, left), where="post", color=SOFT, linewidth=0.9)
    axes.step(*_roc_points(headline.roc.fpr, headline.roc.tpr, left), where="post", color=MADE, linewidth=2.2)
    if headline.smallest_tpr.value is not None:
        axes.plot([0.01], [headline.smallest_tpr.value], marker="x", color=INK, markersize=7)
    axes.set(xscale="log", yscale="log", xlim=(left, 1.0), ylim=(left, 1.0))
    axes.set_xlabel("controls accused (shaded: less than one of them)")
    axes.set_ylabel("members accused")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
    axes.minorticks_off()
    said = (
        f"; the strongest, {headline.attack}, accuses {percent(headline.tpr.value)} of the members"
        if headline.attack
        else ""
    )
    return to_svg(
        canvas,
        "roc",
        f"ROC curves of {len(attacks)} membership attacks on log axes{said} at 1 % of the controls",
    )


def _roc_points(fpr: Sequence[float], tpr: Sequence[float], left: float) -> tuple[np.ndarray, np.ndarray]:
    """The curve with rates of zero at the axes' left end, where a log axis would drop them."""
    return np.maximum([*fpr], left), np.maximum([*tpr], left)


@matplotlib.rc_context(STYLE)
def nearest_picture(nearest: Sequence[NearRow], labels: Sequence[str]) -> str:
    """A grid of the worst rows: filled where synthetic and nearest training row are the same. No cell is shown."""
    kept = _telling(nearest, labels)
    canvas, axes = new_canvas(2.2 + 0.3 * len(kept), 1.3 + 0.3 * len(nearest))
    for i, near in enumerate(nearest):
        for j, label in enumerate(kept):
            is_equal = label in near.equal
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor="none", edgecolor=SOFT, linewidth=0.6))
            if is_equal:
                axes.add_patch(Rectangle((j + 0.15, i + 0.15), 0.7, 0.7, facecolor=MADE, edgecolor="none"))
    axes.set_xlim(0, len(kept))
    axes.set_ylim(len(nearest), 0)
    axes.set_xticks(np.arange(len(kept)) + 0.5, [short(label) for label in kept], rotation=90)
    axes.xaxis.tick_top()
    axes.set_yticks(
        np.arange(len(nearest)) + 0.5,
        [f"synthetic {near.row}, training {near.train_row}" for near in nearest],
    )
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    most = max(len(near.equal) for near in nearest)
    said = f"at most {most} of {len(labels)} cells are the same"
    return to_svg(
        canvas, "nearest", f"Columns in which a synthetic and its nearest training row agree; {said}", True
    )


@matplotlib.rc_context(STYLE)
def splits_picture(headline: Headline, names: Mapping[str, str]) -> str:
    """A figure's mean and interval over splits for each kind of rows; the synthetic rows' splits as single dots."""
    rows = [("synthetic", headline.mean), *((other.source, other.mean) for other in headline.differences)]
    canvas, axes = new_canvas(WIDE, 0.7 + 0.3 * len(rows))
    for place, (source, mean) in enumerate(rows):
        colour = MADE if source == "synthetic" else REAL
        if mean.low is not None and mean.high is not None:
            axes.plot([mean.low, mean.high], [place, place], color=colour, linewidth=2)
        if mean.value is not None:
            axes.plot(
                [mean.value],
                [place],
                color=colour,
                marker="o" if source == "synthetic" else "s",
                markersize=6,
            )
    seen = [value for value in headline.values if value is not None]
    axes.plot(seen, np.full(len(seen), 0.28), color=SOFT, marker=".", markersize=4, linestyle="none")
    axes.set_yticks(range(len(rows)), [names[source] for source, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    said = ", ".join(f"{names[source]} {number(mean.value, 3)}" for source, mean in rows)
    return to_svg(canvas, f"splits-{headline.key}", f"{headline.label}, mean over splits: {said}")


def _telling(nearest: Sequence[NearRow], labels: Sequence[str]) -> list[str]:
    """At most `MAX_HEAT` columns, in their order: those in which the most rows agree."""
    counts = {label: sum(label in near.equal for near in nearest) for label in labels}
    kept = set(sorted(labels, key=lambda label: -counts[label])[:MAX_HEAT])
    return [label for label in labels if label in kept]


def new_canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    """An empty picture of so many inches, and its axes."""
    canvas = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(canvas)
    return canvas, canvas.add_subplot()


def to_svg(canvas: Canvas, name: str, description: str, is_scrolled: bool = False) -> str:
    """The picture as an <svg> element; ids carry a salt of their own, as many pictures share a page.

    A picture that is scrolled keeps its width on a phone, for its letters would be too small.
    """
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
    if is_scrolled:
        widest += f"; min-width: {canvas.get_figwidth() * POINTS_PER_INCH:.0f}px"
    return text.replace("<svg ", f'<svg role="img" aria-label="{_escaped(description)}" style="{widest}" ', 1)


def short(label: str) -> str:
    """The label in one line of at most MAX_LABEL characters."""
    line = " ".join(label.split())
    return line if len(line) <= MAX_LABEL else line[: MAX_LABEL - 1] + "…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

"""The decoder's measurement as a picture: a panel for each model and batch, a bar for each method.

What enters is rows of figures; what leaves is a PNG. A bar's name stands beside it and bars of one row a context are
hatched, so that no meaning hangs on colour; the colours are Okabe and Ito's, which all eyes tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_NAMES = {
    "ours": "harmonic",
    "xgrammar": "generate + xgrammar",
    "xgrammar-header": "generate + xgrammar,\nheader read once",
    "rejection": "generate, bad rows\nthrown away",
}
_COLOURS = {"ours": "#D55E00", "xgrammar": "#0072B2", "xgrammar-header": "#56B4E9", "rejection": "#999999"}
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "hatch.linewidth": 0.6,
}


@matplotlib.rc_context(_STYLE)
def draw_picture(figures: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes the picture of rows a second; nothing where there are no figures."""
    panels: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in figures:
        panels.setdefault((row["model"], row["batch"], row["table"]), []).append(row)
    if not panels:
        return
    most = max(map(len, panels.values()))
    canvas = Figure(figsize=(9.0, (0.9 + 0.3 * most) * -(-len(panels) // 2)), layout="constrained")
    FigureCanvasAgg(canvas)
    grid = canvas.subplots(-(-len(panels) // 2), min(2, len(panels)), squeeze=False).ravel()
    for axes, ((model, batch, table), rows) in zip(grid, panels.items(), strict=False):
        _panel(axes, rows)
        name = "insurance with free text" if table == "text" else table
        axes.set_title(f"{model}, {name}, {batch} contexts at once", loc="left")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    canvas.supxlabel(
        "valid rows a second, and as a part of ours; in brackets the rows asked for in one context", size=9
    )
    canvas.savefig(path, dpi=160)


def _panel(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    for place, row in enumerate(rows):
        value, hatch = row["rows_per_second"], "////" if row["rows_a_context"] == 1 else ""
        axes.barh(
            place,
            value,
            height=0.75,
            color=_COLOURS[row["method"]],
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
        )
        times = row.get("ours_over_this")
        note = f"{value:.3g}" + (f"   1/{times:.1f}" if times else "")
        axes.annotate(note, (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    names = [f"{_NAMES[row['method']]} ({row['rows_a_context']})" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.2)

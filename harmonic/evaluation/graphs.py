"""The causal graph of a run and how it came about: what the page shows of MALLM-GAN's loop.

What enters is the loop's record as plain data (graph, steps; never a row); what leaves is an `<svg>` element of the
graph, causes above their effects, and one of the score by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.patches import FancyArrowPatch

from harmonic.evaluation.pictures import INK, MADE, PAPER, REAL, SOFT, STYLE, WIDE, new_canvas, short, to_svg

Parents = Mapping[str, Sequence[str]]
MOST_IN_ROW = 4
"""Columns side by side: more would not be legible on a phone."""
LOOSE_ROW = 0.75
"""Height of a row of columns that nothing causes and that cause nothing, of a layer with edges 1.0."""


def layers(parents: Parents) -> list[list[str]]:
    """Columns by the longest way from a column without parents, in the table's order; those without edges last."""
    depth: dict[str, int] = {}

    def deep(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((deep(parent) for parent in parents[name]), default=-1)
        return depth[name]

    causes = {parent for found in parents.values() for parent in found}
    joined = [name for name in parents if parents[name] or name in causes]
    loose = [name for name in parents if name not in set(joined)]
    found: list[list[str]] = [[] for _ in range(1 + max(map(deep, joined), default=-1))]
    for name in joined:
        found[deep(name)].append(name)
    return [*found, loose] if loose else found


@matplotlib.rc_context(STYLE)
def graph_picture(parents: Parents) -> str:
    """The graph: each column a name, arrows from causes to effects."""
    places = _places(parents)
    canvas, axes = new_canvas(
        1.5 * WIDE, 0.6 + 0.55 * (1 - min((y for _, y in places.values()), default=0.0))
    )
    for child, found in parents.items():
        for parent in found:
            axes.add_patch(
                FancyArrowPatch(
                    places[parent], places[child], arrowstyle="-|>", mutation_scale=8, color=SOFT,
                    shrinkA=9, shrinkB=9, connectionstyle="arc3,rad=0.08",
                )
            )  # fmt: skip
    for name, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.25", "facecolor": PAPER, "edgecolor": MADE}
        axes.text(x, y, short(name), ha="center", va="center", color=INK, bbox=box)
    axes.set_axis_off()
    lows = [y for _, y in places.values()]
    axes.set_xlim(-0.6, MOST_IN_ROW - 0.4)
    axes.set_ylim(min(lows, default=0.0) - 0.5, 0.5)
    said = "; ".join(f"{name} from {', '.join(found)}" for name, found in parents.items() if found)
    return to_svg(canvas, "graph", f"Causal graph: {said or 'no edges'}", is_scrolled=True)


@matplotlib.rc_context(STYLE)
def loop_picture(steps: Sequence[Mapping[str, Any]]) -> str:
    """The best graph's score by step, and that of the edited graph that was last to challenge it."""
    canvas, axes = new_canvas(WIDE, 2.2)
    numbers = [step["number"] for step in steps]
    axes.plot(numbers, [step["score"] for step in steps], color=MADE, marker="o", label="best")
    challenged = [step for step in steps if step["judged"]]
    axes.errorbar(
        [step["number"] for step in challenged],
        [step["defended"] - step["gain"] for step in challenged],
        yerr=[step["error"] for step in challenged],
        color=REAL, linestyle="none", marker="x", capsize=3, label="best challenger",
    )  # fmt: skip
    axes.set_xlabel("step")
    axes.set_ylabel("score, 0 is best")
    axes.set_xticks(numbers)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return to_svg(canvas, "loop", "Score of the causal graph by step of the loop")


def _places(parents: Parents) -> dict[str, tuple[float, float]]:
    """Where each column stands: layers from above, long ones in several rows, rows centred and set off in turns."""
    places: dict[str, tuple[float, float]] = {}
    y = 0.0
    for names in layers(parents):
        for first in range(0, len(names), MOST_IN_ROW):
            row = names[first : first + MOST_IN_ROW]
            left = (MOST_IN_ROW - len(row)) / 2
            for number, name in enumerate(row):
                places[name] = (left + number, y)
            y -= LOOSE_ROW
        y -= 1.0 - LOOSE_ROW
    return places

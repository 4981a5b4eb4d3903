"""Figures that are kept, a table and seed in a file of their own: a long measurement goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def kept(place: Path, wish: Mapping[str, Any], measured: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The figures that stand at `place` for the same wish; those of another wish, or none, are measured and written."""
    found = json.loads(place.read_text()) if place.exists() else {}
    if found.get("wish") != dict(wish):
        found = {"wish": dict(wish), "figures": dict(measured())}
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(found, indent=2) + "\n")
    figures: dict[str, Any] = found["figures"]
    return figures

"""A sample in pieces: drawn one by one, each whole or not there at all, and joined without ever being held as a whole.

What enters is a fitted model, settings and a folder; what leaves is a CSV and what it took to draw. A killed process
loses the piece it was at, several processes draw pieces of one table side by side, and a million rows take no more
memory than two thousand.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harmonic import files
from harmonic.config import SampleSection
from harmonic.decode.slot import Usage
from harmonic.drawing import AUDIT_ROWS, Drawn, Synthesizer
from harmonic.errors import HarmonicError
from harmonic.progress import Progress
from harmonic.table.cells import from_rows
from harmonic.table.schema import Row
from harmonic.table.sources import to_csv_text

PIECE_ROWS = 2048
"""Rows of a sample are written in pieces of at most about this many: what a kill can lose."""
SMALL_PIECE_ROWS = 256
"""Pieces of short samples: an eighth of the rows, but not fewer than this."""


@dataclass(slots=True)
class Joined:
    """What a joined sample holds: how many rows, the first of them, and what all took."""

    n_rows: int = 0
    first_rows: list[Row] = field(default_factory=list)
    """At most as many as an audit asks for."""
    rejects: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    """Of drawing, all pieces one after another, those drawn before a kill too."""

    def add(self, drawn: Drawn, seconds: float) -> None:
        self.seconds += seconds
        self.n_rows += len(drawn.rows)
        self.first_rows += drawn.rows[: AUDIT_ROWS - len(self.first_rows)]
        self.rejects.update(drawn.rejects)
        self.usage.add(drawn.usage)


class Pieces:
    """Rows [number * size, ...) each as one JSON file in `folder`, that appears whole."""

    def __init__(self, folder: Path, synthesizer: Synthesizer, settings: SampleSection) -> None:
        """Raises HarmonicError where pieces of another sample stand in the folder."""
        self.folder = folder
        self.synthesizer = synthesizer
        self.settings = settings
        width = synthesizer.law_.rows
        wanted = min(PIECE_ROWS, max(SMALL_PIECE_ROWS, settings.rows // 8))
        self.size = max(width, wanted // width * width)
        self.count = -(-settings.rows // self.size)
        folder.mkdir(parents=True, exist_ok=True)
        self._check_facts()

    def draw(self, number: int, progress: Progress) -> None:
        """Draws a piece, if it does not stand yet."""
        first, stop = self._bounds(number)
        if self._path(number).exists():
            return progress.skip(stop - first)
        before, started = progress.done, time.monotonic()
        drawn = self.synthesizer.draw(
            first,
            stop,
            seed=self.settings.seed,
            settings=self.settings,
            earlier=self._earlier,
            progress=lambda rows: progress.reach(before + min(rows, stop - first)),
        )
        seconds = time.monotonic() - started
        files.write_json(self._path(number), {**_to_json(drawn), "seconds": seconds})
        progress.advance(stop - first)

    def wait(self) -> None:
        """Until every piece stands, those of other processes too."""
        while not all(self._path(number).exists() for number in range(self.count)):
            time.sleep(0.5)

    def join(self, path: Path) -> Joined:
        """Writes all rows to a CSV file, one piece after another."""
        joined, schema = Joined(), self.synthesizer.schema_
        with path.open("w", encoding="utf-8", newline="") as out:
            out.write(to_csv_text(from_rows([], schema), schema))
            for number in range(self.count):
                piece = files.read_json(self._path(number))
                drawn = _from_json(piece)
                table = from_rows(drawn.rows, schema, seed=self.settings.seed, first_row=joined.n_rows)
                out.write(to_csv_text(table, schema, header=False))
                joined.add(drawn, piece["seconds"])
        return joined

    def _earlier(self, first: int, stop: int) -> list[Row]:
        """Rows of a finished wave, from their pieces; they may be another process's to draw."""
        rows: list[Row] = []
        for number in range(first // self.size, -(-stop // self.size)):
            while not self._path(number).exists():
                time.sleep(0.5)
            low, _ = self._bounds(number)
            rows += _from_json(files.read_json(self._path(number))).rows[max(0, first - low) : stop - low]
        return rows

    def _bounds(self, number: int) -> tuple[int, int]:
        return number * self.size, min(self.settings.rows, (number + 1) * self.size)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"

    def _check_facts(self) -> None:
        """Pieces of other settings are refused: joined to ours they would be no table of one law."""
        facts = {**plain(self.settings), "piece": self.size}
        place = self.folder / "settings.json"
        if not place.exists():
            files.write_json(place, facts)
        elif (found := files.read_json(place)) != facts:
            differing = sorted(key for key in facts if found.get(key) != facts[key])
            raise HarmonicError(
                f"Sample {str(self.folder)!r}: was begun with another {', '.join(differing)}. "
                "Go on with the same settings, remove that folder, or use another --seed or --name."
            )


def plain(settings: SampleSection) -> dict[str, Any]:
    """The settings as JSON gives them back."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return data


def _to_json(drawn: Drawn) -> dict[str, Any]:
    return {"rows": drawn.rows, "rejects": dict(drawn.rejects), "usage": asdict(drawn.usage)}


def _from_json(data: dict[str, Any]) -> Drawn:
    rows = [tuple(row) for row in data["rows"]]
    return Drawn(rows, Counter(data["rejects"]), Usage(**data["usage"]))

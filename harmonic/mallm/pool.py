"""The pool: rows of the last graph, from which the discriminator learns to select.

What enters is a generator, the last graph and the rows that were drawn before; what leaves is all of them, and a file
that holds those drawn so far: a kill loses a piece at most, and the pool is the same however often it was killed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harmonic.files import read_json, write_json
from harmonic.mallm.generator import Candidate, Generator
from harmonic.progress import Progress
from harmonic.table.schema import Row

log = logging.getLogger(__name__)
POOL, FEWEST_POOL, MOST_POOL = 20, 500, 2000
"""The pool holds so many rows for each training row, within these bounds."""
PIECE = 512
"""So many rows, in whole calls, are drawn before they are written."""


def pool_size(n_train: int) -> int:
    """How many rows the generator writes for the discriminator to learn from."""
    return int(np.clip(POOL * n_train, FEWEST_POOL, MOST_POOL))


def kept_pool(place: Path | None) -> dict[str, Any]:
    """The pool that stands there, {"rows": ...}, and what trees have learnt from it; nothing where none stands."""
    return {} if place is None or not place.exists() else read_json(place)


def is_whole(kept: Mapping[str, Any], n_train: int) -> bool:
    """Whether nothing is missing from a pool that was kept: trees have learnt from it, or it has its size."""
    return "rounds" in kept or len(kept.get("rows", ())) >= pool_size(n_train)


def draw_pool(
    generator: Generator, graph: Candidate, n_train: int, *, before: Sequence[Row], place: Path | None
) -> list[Row]:
    """`before` and the rows after them, up to the pool's size. They stand at `place`, as {"rows": ...}, from piece to
    piece, and so before any tree is grown; None = nowhere."""
    rows, width, n = list(before), generator.calls.rows, pool_size(n_train)
    log.info("Selection: %d rows are drawn, from which the discriminator learns.", n - len(rows))
    size = max(1, PIECE // width) * width
    with Progress("rows", n) as progress:
        progress.skip(len(rows))
        while (first := len(rows)) < n:
            stop = min(n, (first // size + 1) * size)
            drawn = generator.draw(
                graph, first, stop, earlier=partial(_between, rows), progress=partial(_reach, progress, first)
            )
            rows += [drawn.rows[number] for number in range(first, stop)]
            progress.advance(stop - first)
            if place is not None:
                write_json(place, {"rows": rows})
    return rows


def _between(rows: Sequence[Row], start: int, stop: int) -> list[Row]:
    assert stop <= len(rows), "rows of a piece that is being drawn"
    return list(rows[start:stop])


def _reach(progress: Progress, first: int, n_rows: int) -> None:
    progress.reach(first + n_rows)

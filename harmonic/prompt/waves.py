"""Waves: which rows of a table may be shown when other rows of the same table are drawn.

What enters is row numbers; what leaves is the bounds of waves. With `synthetic` contexts wave 0 is drawn without
examples and each later wave is shown rows of the finished one before it: no real row is ever in a sampling prompt, and
since waves depend on row numbers alone, neither processes nor interruptions change a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harmonic.table.schema import Row

FIRST_WAVE = 256
"""Rows of wave 0 of `synthetic` contexts; each later wave is four times as long."""
WAVE_POOL = 2000
"""At most this many rows of the finished wave are looked at."""
Earlier = Callable[[int, int], list[Row]]
"""Rows that were drawn before, by their numbers (first, stop)."""


def wave_bounds(wave: int, size: int) -> tuple[int, int]:
    """The rows of a wave, on context boundaries."""
    first = -(-FIRST_WAVE // size) * size
    return (0, first) if wave == 0 else (first * 4 ** (wave - 1), first * 4**wave)


def wave_of(row: int, size: int) -> int:
    wave = 0
    while row >= wave_bounds(wave, size)[1]:
        wave += 1
    return wave


def waves(first: int, stop: int, contexts: str, size: int) -> list[tuple[int, int]]:
    """Rows first ... stop - 1, widened to context boundaries and cut where waves end."""
    start, end = first // size * size, -(-stop // size) * size
    if contexts != "synthetic":
        return [(start, end)]
    parts = []
    while start < end:
        cut = min(end, wave_bounds(wave_of(start, size), size)[1])
        parts.append((start, cut))
        start = cut
    return parts


def rows_before(own: Mapping[int, Row], earlier: Earlier | None, low: int, high: int) -> list[Row]:
    """Rows low ... high - 1: those of the draw under way from `own`, which holds all of it so far, and those before its
    first from `earlier`, who does not know this draw's yet and might wait for them for ever."""
    cut = min(max(low, min(own, default=high)), high)
    before: list[Row] = []
    if low < cut:
        assert earlier is not None
        before = earlier(low, cut)
    return [*before, *(own[number] for number in range(cut, high))]

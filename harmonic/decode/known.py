"""Cells that are known in the middle of a row: taken where they stand, and weighed by how probable they were.

What enters is a slot whose job knows the ids of some segments, and the edges that its program allows; what leaves is
which of these agree with what is known. A row that is drawn so follows the model in the cells that are not known, each
given those before it; how probable the known ones then were is its weight, and among several draws of a row one that is
chosen by weight follows the model given all that is known, whatever its place (importance resampling, Rubin 1987).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.slot import Slot


def agreeing(slot: Slot, tokens: NDArray[np.integer], targets: NDArray[np.integer]) -> NDArray[np.bool_]:
    """bool [k]: which of the edges (tokens, targets), int [k], lead on to what the slot's row is known to hold."""
    segment, known = slot.job.program.segment, slot.job.known
    here, there = int(segment[slot.state]), segment[targets]
    agrees = np.ones(len(tokens), dtype=bool)
    for number in np.unique(there).tolist():
        inside, place = there == number, slot.offset if number == here else 0
        ids = known.get(number)
        if ids is not None:
            agrees[inside] = (tokens == (ids[place] if place < len(ids) else -1))[inside]
        if number != here and here in known and slot.offset < len(known[here]):
            # What is known of this segment is not said to its end.
            agrees[inside] = False
    return agrees

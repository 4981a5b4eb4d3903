"""What an adapter has learnt of prompts: it stands beside its weights, for whoever asks it later.

What enters is an adapter's folder; what leaves is the order of columns, and how many rows its contexts showed and asked
for. A model that was fine-tuned in one order is at a loss in another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_args

from harmonic.errors import HarmonicError
from harmonic.files import read_json, write_json
from harmonic.prompt.contexts import Order

FILE = "prompt.json"


@dataclass(frozen=True)
class Learnt:
    """The law of an adapter's contexts, as far as others need it."""

    order: Order
    examples: int | None = None
    """At most so many rows were shown; None = not said."""
    rows: int | None = None
    """So many were asked for; None = not said."""


def write_learnt(adapter: Path, learnt: Learnt) -> None:
    write_json(adapter / FILE, asdict(learnt))


def read_learnt(adapter: Path) -> Learnt | None:
    """None where an adapter does not say: it is from elsewhere. Raises HarmonicError for a file that is broken."""
    place = adapter / FILE
    if not place.is_file():
        return None
    data, known = read_json(place), {field.name for field in fields(Learnt)}
    if not isinstance(data, dict) or set(data) - known or data.get("order") not in get_args(Order):
        raise HarmonicError(
            f"{str(place)!r}: holds {data!r}, expected an object of {', '.join(sorted(known))}. "
            "Take the file away, and set [prompt] order."
        )
    return Learnt(**data)

"""What an adapter has learnt of prompts: it stands beside its weights, for whoever asks it later.

What enters is an adapter's folder; what leaves is the order of columns, and how many rows its contexts showed and asked
for. A model that was fine-tuned in one order is at a loss in another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from harmonic.files import read_json, write_json
from harmonic.prompt.contexts import Order

FILE = "prompt.json"


@dataclass(frozen=True)
class Learnt:
    """The law of an adapter's contexts, as far as others need it."""

    order: Order
    examples: int
    """At most so many rows were shown."""
    rows: int
    """So many were asked for."""


def write_learnt(adapter: Path, learnt: Learnt) -> None:
    write_json(adapter / FILE, asdict(learnt))


def read_learnt(adapter: Path) -> Learnt | None:
    """None where an adapter does not say: it is from elsewhere. Raises HarmonicError for a file that is broken."""
    return Learnt(**read_json(adapter / FILE)) if (adapter / FILE).is_file() else None

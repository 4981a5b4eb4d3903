"""One choice in every busy slot: which of the allowed tokens comes next, and how probable it was.

What enters is slots and the model's last hidden state in each; what leaves is a pick a slot. Slots of one program are
chosen for together, those inside free text apart from the others, who need a few hundred logits and not all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harmonic.decode.canonical import Canonical
from harmonic.decode.choice import Choice, Pick
from harmonic.decode.closed import ClosedChooser
from harmonic.decode.head import Heads
from harmonic.decode.opened import OpenChooser
from harmonic.decode.slot import Slot


class Chooser:
    """Chooses for slots of any programs of one grammar."""

    def __init__(
        self,
        heads: Heads,
        device: torch.device,
        *,
        choice: Choice,
        seed: int,
        canonical: Canonical | None = None,
        weighs: bool = False,
    ) -> None:
        """canonical: asked about free text; weighs: whether the kept mass is wanted (exact mode)."""
        self.seed = seed
        self.weighs = weighs
        self._closed = ClosedChooser(heads, device, choice, seed, weighs)
        self._open = OpenChooser(heads, device, choice, seed, weighs, canonical)

    def choose(self, slots: Sequence[Slot], hidden: Tensor) -> list[Pick | None]:
        """For every slot a pick, hidden [n, d] being what the model last said; None where no token can go on."""
        groups: dict[tuple[int, bool], list[int]] = {}
        for place, slot in enumerate(slots):
            program = slot.job.program
            groups.setdefault((id(program), bool(program.is_open[slot.state])), []).append(place)
        picks: list[Pick | None] = [None] * len(slots)
        for (_, is_open), places in groups.items():
            some = [slots[place] for place in places]
            states = hidden if len(groups) == 1 else hidden[torch.tensor(places, device=hidden.device)]
            chosen = self._open.choose(some, states) if is_open else self._closed.choose(some, states)
            for place, pick in zip(places, chosen, strict=True):
                picks[place] = pick
        return picks

"""Keys and values of many contexts at different positions: the memory of the engine.

What enters is the keys and values of a packed chunk, a slot and a first position for each of its lines; what leaves is
everything those slots have seen so far, as the model's attention wants it. Lines of a chunk are padded to one width:
what padding writes lies beyond a slot's end and is overwritten before any query may look at it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache


class SlotCache(Cache):
    """One buffer [n_slots, heads, length, head_dim] a layer for keys and for values; grows by doubling.

    Positions of a head lie side by side: attention on CPUs is five times as fast as over the transposed layout.
    """

    def __init__(self, n_slots: int, limit: int, dtype: torch.dtype) -> None:
        super().__init__(layers=[])
        self.dtype = dtype
        self.n_slots = n_slots
        self.limit = limit
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._slots = torch.zeros(0, dtype=torch.long)
        self._positions = torch.zeros(0, 0, dtype=torch.long)
        self._end = 0
        self._is_first = False

    def aim(self, slots: Tensor, positions: Tensor) -> Tensor:
        """Says where the next pass writes: slots [b], positions [b, width]. Returns its mask [b, 1, width, end]."""
        self._slots, self._positions = slots, positions
        self._end = int(positions.max()) + 1
        self._is_first = bool((slots == torch.arange(len(slots), device=slots.device)).all())
        seen = torch.arange(self._end, device=positions.device)
        hidden = seen[None, None, None, :] > positions[:, None, :, None]
        # Added to the scores, made once for all layers: a boolean mask is turned into this one in each.
        return torch.zeros(hidden.shape, dtype=self.dtype, device=hidden.device).masked_fill_(
            hidden, -torch.inf
        )

    def update(  # type: ignore[override]
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Stores a layer's [b, heads, width, head_dim]; returns what these slots hold, [b, heads, end, head_dim]."""
        if layer_idx == len(self._keys):
            self._keys.append(self._buffer(key_states))
            self._values.append(self._buffer(value_states))
        self._grow(layer_idx)
        return (
            self._store(self._keys[layer_idx], key_states),
            self._store(self._values[layer_idx], value_states),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._end

    @torch.inference_mode()
    def spread(self, source: int, length: int) -> None:
        """Copies the first `length` positions of slot `source` to every slot: the shared prefix."""
        for buffer in (*self._keys, *self._values):
            buffer[:, :, :length] = buffer[source, :, :length].clone()

    def _buffer(self, states: Tensor) -> Tensor:
        _, heads, _, width = states.shape
        return states.new_zeros(self.n_slots, heads, max(64, self._end), width)

    def _grow(self, layer: int) -> None:
        length = self._keys[layer].shape[2]
        if self._end <= length:
            return
        more = max(self._end, min(2 * length, self.limit)) - length
        for buffers in (self._keys, self._values):
            old = buffers[layer]
            buffers[layer] = torch.cat([old, old.new_zeros(*old.shape[:2], more, old.shape[3])], dim=2)

    def _store(self, buffer: Tensor, states: Tensor) -> Tensor:
        buffer[self._slots[:, None], :, self._positions] = states.transpose(1, 2)
        # The first slots in order, as in steady state all of them, need no copy.
        if self._is_first:
            return buffer[: len(self._slots), :, : self._end]
        return buffer[self._slots, :, : self._end]


class Reader:
    """Runs a causal language model over packed chunks and keeps what it has read."""

    def __init__(self, model: PreTrainedModel, n_slots: int, limit: int) -> None:
        parameter = next(model.parameters())
        self.device = parameter.device
        self.decoder = model.get_decoder()
        self.cache = SlotCache(n_slots, limit, parameter.dtype)
        self._n_slots = n_slots
        self._holding: set[int] = set()
        """The slots that still hold the shared prompt: a job with another one reads over it."""

    def share(self, ids: list[int]) -> None:
        """Reads what jobs' prompts begin with, once for all slots."""
        self._holding = set(range(self._n_slots)) if ids else set()
        if ids:
            self.read([0], [0], [ids])
            self.cache.spread(0, len(ids))

    def begin(self, slot: int, shares: bool) -> bool:
        """A slot begins a job; whether it may begin behind what is shared, if the job's prompt does."""
        if not shares:
            self._holding.discard(slot)
        return slot in self._holding

    @torch.inference_mode()
    def read(self, slots: list[int], starts: list[int], chunks: list[list[int]]) -> Tensor:
        """Reads chunks[i] into slots[i] from position starts[i]; hidden states [b, d] after each chunk's last token."""
        lengths = torch.tensor([len(chunk) for chunk in chunks])
        width = int(lengths.max())
        ids = torch.tensor([chunk + [0] * (width - len(chunk)) for chunk in chunks], device=self.device)
        first = torch.tensor(starts, device=self.device)
        positions = first[:, None] + torch.arange(width, device=self.device)
        mask = self.cache.aim(torch.tensor(slots, device=self.device), positions)
        hidden: Tensor = self.decoder(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return hidden[torch.arange(len(chunks), device=self.device), (lengths - 1).to(self.device)]

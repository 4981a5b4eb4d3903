"""Reading on CPUs: what all prompts begin with is kept once, and attended by all slots at once.

What enters is packed chunks, a slot and a first position for each; what leaves is the last hidden states. Each query's
attention over the shared beginning and over its slot's own keys is computed apart and merged by their log-sum-exps,
which is exact. Heads that share keys are folded into the queries, so keys are never repeated, and tokens of all chunks
stand in one row, so no linear layer sees padding. The kernel that returns the log-sum-exp exists on CPUs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache

_NAME = "harmonic_shared"
_FAMILIES = ("llama", "qwen2")
"""Models whose attention is plain: those that this reading is tested on."""
_kernel = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def can_share(model: PreTrainedModel) -> bool:
    """Whether a model can be read so: on a CPU, plain attention, no sliding window."""
    config = model.config.get_text_config()
    is_windowed = bool(getattr(config, "use_sliding_window", False)) or set(
        getattr(config, "layer_types", None) or ["full_attention"]
    ) != {"full_attention"}
    on_cpu = next(model.parameters()).device.type == "cpu"
    return _kernel is not None and on_cpu and config.model_type in _FAMILIES and not is_windowed


@dataclass(frozen=True, slots=True)
class _Group:
    """Queries that are attended together: `width` of each of n chunks, some of them padding."""

    slots: Tensor
    """int64 [n]: whose keys they look at."""
    flat: Tensor
    """int64 [n * width]: where they stand among the packed tokens."""
    kept: Tensor | None
    """Which of them are no padding; None = all."""
    width: int
    end: int
    """So many positions of the slots hold anything that they may see."""
    mask: Tensor
    """[n, width, end], added to the scores."""


class SharedReader(Cache):
    """Runs a causal language model over packed chunks and keeps what it has read."""

    def __init__(self, model: PreTrainedModel, n_slots: int) -> None:
        super().__init__(layers=[])
        self.device = next(model.parameters()).device
        self._decoder: Any = model.get_decoder()
        self._dtype = next(model.parameters()).dtype
        self._n_slots = n_slots
        self._own: list[tuple[Tensor, Tensor]] = []
        self._prefix: list[tuple[Tensor, Tensor]] = []
        self._n_prefix = 0
        self._base = torch.zeros(n_slots, dtype=torch.long)
        """int64 [n_slots]: how many of a slot's positions are the shared ones."""

    def share(self, ids: list[int]) -> None:
        """Reads what jobs' prompts begin with, once for all slots."""
        self._prefix, self._n_prefix = [], 0
        self._base.zero_()
        if ids:
            self.read([0], [0], [ids])
            self._prefix = [
                (keys[:1, :, : len(ids)].clone(), values[:1, :, : len(ids)].clone())
                for keys, values in self._own
            ]
            self._n_prefix = len(ids)

    def begin(self, slot: int, shares: bool) -> bool:
        """A slot begins a job; whether it may begin behind what is shared, if the job's prompt does."""
        self._base[slot] = self._n_prefix if shares else 0
        return shares

    @torch.inference_mode()
    def read(self, slots: list[int], starts: list[int], chunks: list[list[int]]) -> Tensor:
        """Reads chunks[i] into slots[i] from position starts[i]; hidden states [b, d] after each chunk's last token."""
        lengths = torch.tensor([len(chunk) for chunk in chunks])
        positions = self._aim(torch.tensor(slots), torch.tensor(starts), lengths)
        with _attending(self._decoder.config):
            hidden: Tensor = self._decoder(
                input_ids=torch.tensor([[token for chunk in chunks for token in chunk]]),
                position_ids=positions[None],
                # Of four dimensions it is taken as it is: the groups below have masks of their own.
                attention_mask=torch.zeros(1, 1, 1, 1),
                past_key_values=self,
                use_cache=True,
                shared_reader=self,
            ).last_hidden_state
        return hidden[0, lengths.cumsum(0) - 1]

    def update(  # type: ignore[override]
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Keys and values as they come: `attend` stores them."""
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """[1, tokens, heads, width] of packed queries [1, heads, tokens, width] and new keys and values."""
        keys, values = self._store(layer, key[0].transpose(0, 1), value[0].transpose(0, 1))
        tokens = query[0].transpose(0, 1).contiguous()
        out = torch.empty_like(tokens)
        weight = tokens.new_empty(tokens.shape[:2], dtype=torch.float32)
        for group in self._groups:
            flat, (found, mass) = group.flat, self._attend_group(group, tokens, keys, values, scale)
            if group.kept is not None:
                flat, found, mass = flat[group.kept], found[group.kept], mass[group.kept]
            out[flat], weight[flat] = found, mass
        if self._is_sharing is None:
            return out[None]
        prefix_out, prefix_mass = self._attend_prefix(layer, query, scale)
        share = torch.sigmoid(weight - prefix_mass.masked_fill(~self._is_sharing[:, None], -torch.inf))
        return torch.lerp(prefix_out, out, share[..., None].to(out.dtype))[None]

    def _attend_group(
        self, group: _Group, tokens: Tensor, keys: Tensor, values: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """(outputs [n * width, heads, d], log-sum-exps [n * width, heads]) over the slots' own keys."""
        n, width, n_heads, size = len(group.slots), group.width, tokens.shape[1], tokens.shape[2]
        n_kept = keys.shape[1]
        fold = n_heads // n_kept
        if self._is_in_order and n == self._n_chunks:
            seen = (keys[:n, :, : group.end], values[:n, :, : group.end])
        else:
            seen = (keys[group.slots, :, : group.end], values[group.slots, :, : group.end])
        queries = tokens[group.flat].view(n, width, n_kept, fold, size).permute(0, 2, 3, 1, 4)
        mask = group.mask[:, None, None].expand(n, 1, fold, width, group.end)
        found, mass = _attention(
            queries.reshape(n, n_kept, fold * width, size), *seen, scale, mask.reshape(n, 1, fold * width, -1)
        )
        found = found.reshape(n, n_kept, fold, width, size).permute(0, 3, 1, 2, 4)
        mass = mass.reshape(n, n_kept, fold, width).permute(0, 3, 1, 2)
        return found.reshape(n * width, n_heads, size), mass.reshape(n * width, n_heads)

    def _attend_prefix(self, layer: int, query: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """(outputs [tokens, heads, d], log-sum-exps [tokens, heads]) over the shared keys."""
        keys, values = self._prefix[layer]
        _, n_heads, n_tokens, size = query.shape
        found, mass = _attention(query.reshape(1, keys.shape[1], -1, size), keys, values, scale, None)
        return (
            found.reshape(n_heads, n_tokens, size).transpose(0, 1),
            mass.reshape(n_heads, n_tokens).transpose(0, 1),
        )

    def _store(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Writes a layer's new keys and values [tokens, heads, d]; all that this layer holds."""
        if layer == len(self._own):
            empty = key.new_zeros(self._n_slots, key.shape[1], max(64, self._end), key.shape[2])
            self._own.append((empty, torch.zeros_like(empty)))
        keys, values = self._own[layer]
        if keys.shape[2] < self._end:
            more = max(self._end, 2 * keys.shape[2]) - keys.shape[2]
            room = keys.new_zeros(*keys.shape[:2], more, keys.shape[3])
            keys, values = torch.cat([keys, room], dim=2), torch.cat([values, room], dim=2)
            self._own[layer] = (keys, values)
        keys[self._at_slot, :, self._at] = key
        values[self._at_slot, :, self._at] = value
        return keys, values

    def _aim(self, slots: Tensor, starts: Tensor, lengths: Tensor) -> Tensor:
        """Says where the next pass writes and who looks at what. Returns the packed tokens' positions [tokens]."""
        base = self._base[slots]
        own, first = starts - base, lengths.cumsum(0) - lengths
        chunk = torch.repeat_interleave(torch.arange(len(slots)), lengths)
        self._n_chunks = len(slots)
        self._is_in_order = bool((slots == torch.arange(len(slots))).all())
        self._at = own[chunk] + torch.arange(len(chunk)) - first[chunk]
        self._at_slot = slots[chunk]
        self._end = int((own + lengths).max())
        self._is_sharing = (base > 0)[chunk] if bool((base > 0).any()) else None
        self._groups = list(self._grouped(slots, own, first, lengths))
        return self._at + base[chunk]

    def _grouped(self, slots: Tensor, own: Tensor, first: Tensor, lengths: Tensor) -> Iterator[_Group]:
        """Chunks of one token together, and what longer ones hold beyond it, where these are the fewer."""
        is_longer = lengths > 1
        if 2 * int(is_longer.sum()) >= len(lengths):
            yield self._group(slots, own, first, lengths, 0)
            return
        yield self._group(slots, own, first, torch.ones_like(lengths), 0)
        if bool(is_longer.any()):
            yield self._group(slots[is_longer], own[is_longer], first[is_longer], lengths[is_longer], 1)

    def _group(self, slots: Tensor, own: Tensor, first: Tensor, lengths: Tensor, skip: int) -> _Group:
        """The tokens `skip`, skip + 1 ... of each chunk."""
        place = torch.arange(skip, int(lengths.max()))
        is_token = place < lengths[:, None]
        at = own[:, None] + place
        end = int(at[is_token].max()) + 1
        hidden = torch.arange(end) > at[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, -torch.inf)
        flat = (first[:, None] + place).masked_fill(~is_token, 0).reshape(-1)
        kept = None if bool(is_token.all()) else torch.nonzero(is_token.reshape(-1))[:, 0]
        return _Group(slots, flat, kept, len(place), end, mask)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(outputs, log-sum-exps) of attention, each over the last axis but one of `query`."""
    assert _kernel is not None
    found, mass = _kernel(query, key, value, 0.0, False, attn_mask=mask, scale=scale)
    return found, mass


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    shared_reader: SharedReader,
    **_: object,
) -> tuple[Tensor, None]:
    return shared_reader.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(_NAME, _attend)


@contextmanager
def _attending(config: Any) -> Iterator[None]:
    """Our attention for one pass: the model is another's, and stays as it was."""
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before

"""Reading on CPUs: what all prompts begin with is kept once, and attended by all slots at once.

What enters is packed chunks, a slot and a first position for each; what leaves is the last hidden states. Each query's
attention over the shared beginning and over its slot's own keys is computed apart and merged by their log-sum-exps,
which is exact. Heads that share keys are folded into the queries, so keys are never repeated, and tokens of all chunks
stand in one row, so no linear layer sees padding. The kernel that returns the log-sum-exp exists on CPUs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harmonic.decode.layers import Layers, is_plain

_kernel = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def can_share(model: PreTrainedModel) -> bool:
    """Whether a model can be read so: on a CPU, plain layers."""
    return _kernel is not None and next(model.parameters()).device.type == "cpu" and is_plain(model)


@dataclass(frozen=True, slots=True)
class _Group:
    """Queries that are attended together: `width` of each of n chunks, some of them padding."""

    slots: Tensor
    """int64 [n]: whose keys they look at."""
    is_first: bool
    """Whether these are slots 0 ... n - 1 in order, whose keys need no copy."""
    flat: Tensor
    """int64 [n * width]: where they stand among the queries."""
    kept: Tensor | None
    """Which of them are no padding; None = all."""
    width: int
    end: int
    """So many positions of the slots hold anything that they may see."""
    mask: Tensor
    """[n, width, end], added to the scores."""


@dataclass(frozen=True, slots=True)
class _Questions:
    """What a layer asks: groups that make up all its queries, and which of these also see the shared beginning."""

    groups: list[_Group]
    is_sharing: Tensor | None
    """bool [queries, 1]; None = none of them."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """Where the packed tokens of one pass are kept, and what its layers ask."""

    slots: Tensor
    """int64 [tokens]."""
    places: Tensor
    """int64 [tokens]: among their slot's own positions."""
    end: int
    every: _Questions
    last: _Questions
    """In the last layer only each chunk's last token asks."""


class SharedReader:
    """Runs a causal language model over packed chunks and keeps what it has read."""

    def __init__(self, model: PreTrainedModel, n_slots: int) -> None:
        self.device = next(model.parameters()).device
        self._dtype = next(model.parameters()).dtype
        self._layers = Layers(model)
        self._n_slots = n_slots
        self._own: list[Tensor] = []
        """A layer's [n_slots, kv_heads, length, 2 d]: keys, and values behind them."""
        self._prefix: list[Tensor] = []
        self._n_prefix = 0
        self._base = torch.zeros(n_slots, dtype=torch.long)
        """int64 [n_slots]: how many of a slot's positions are the shared ones."""

    def share(self, ids: list[int]) -> None:
        """Reads what jobs' prompts begin with, once for all slots."""
        self._prefix, self._n_prefix = [], 0
        self._base.zero_()
        if ids:
            self.read([0], [0], [ids])
            self._prefix = [kept[:1, :, : len(ids)].clone() for kept in self._own]
            self._n_prefix = len(ids)

    def begin(self, slot: int, shares: bool) -> bool:
        """A slot begins a job; whether it may begin behind what is shared, if the job's prompt does."""
        self._base[slot] = self._n_prefix if shares else 0
        return shares

    @torch.inference_mode()
    def read(self, slots: list[int], starts: list[int], chunks: list[list[int]]) -> Tensor:
        """Reads chunks[i] into slots[i] from position starts[i]; hidden states [b, d] after each chunk's last token."""
        lengths = torch.tensor([len(chunk) for chunk in chunks])
        aim = self._aim(torch.tensor(slots), torch.tensor(starts), lengths)
        ids = torch.tensor([token for chunk in chunks for token in chunk])
        positions = aim.places + self._base[aim.slots]
        return self._layers.run(ids, positions, lengths.cumsum(0) - 1, partial(self._attend, aim))

    def _attend(self, aim: _Pass, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """[queries, heads * d] of a layer's queries [queries, heads, d] and new keys and values."""
        kept = self._store(aim, layer, torch.cat((keys, values), dim=-1))
        asked = aim.last if layer == len(self._layers) - 1 else aim.every
        found, mass = self._attend_own(asked.groups, queries, kept)
        if asked.is_sharing is not None:
            before, before_mass = self._attend_prefix(queries, self._prefix[layer])
            share = torch.sigmoid(mass - before_mass.masked_fill(~asked.is_sharing, -torch.inf))
            found = torch.lerp(before, found, share[..., None].to(found.dtype))
        return found.reshape(len(queries), -1)

    def _attend_own(self, groups: list[_Group], queries: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """(outputs [queries, heads, d], log-sum-exps [queries, heads]) over the slots' own keys."""
        if len(groups) == 1 and groups[0].kept is None:
            return self._attend_group(groups[0], queries, kept)
        out, mass = torch.empty_like(queries), queries.new_empty(queries.shape[:2], dtype=torch.float32)
        for group in groups:
            flat, (some, some_mass) = group.flat, self._attend_group(group, queries[group.flat], kept)
            if group.kept is not None:
                flat, some, some_mass = flat[group.kept], some[group.kept], some_mass[group.kept]
            out[flat], mass[flat] = some, some_mass
        return out, mass

    def _attend_group(self, group: _Group, queries: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """(outputs [n * width, heads, d], log-sum-exps [n * width, heads]) of a group's own queries, in its order."""
        n, width, end, (n_heads, size) = len(group.slots), group.width, group.end, queries.shape[1:]
        n_kept = kept.shape[1]
        fold = n_heads // n_kept
        seen = kept[:n, :, :end] if group.is_first else kept[group.slots, :, :end]
        folded = queries.view(n, width, n_kept, fold, size).permute(0, 2, 3, 1, 4)
        mask = group.mask[:, None, None].expand(n, 1, fold, width, end).reshape(n, 1, fold * width, end)
        found, mass = self._attention(folded.reshape(n, n_kept, fold * width, size), seen, mask)
        found = found.view(n, n_kept, fold, width, size).permute(0, 3, 1, 2, 4)
        mass = mass.view(n, n_kept, fold, width).permute(0, 3, 1, 2)
        return found.reshape(n * width, n_heads, size), mass.reshape(n * width, n_heads)

    def _attend_prefix(self, queries: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """(outputs [queries, heads, d], log-sum-exps [queries, heads]) over the shared keys."""
        n, n_heads, size = queries.shape
        folded = queries.transpose(0, 1).reshape(1, prefix.shape[1], -1, size)
        found, mass = self._attention(folded, prefix, None)
        return found.reshape(n_heads, n, size).transpose(0, 1), mass.reshape(n_heads, n).transpose(0, 1)

    def _attention(self, queries: Tensor, kept: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """(outputs, log-sum-exps) of attention, each over the last axis but one of `queries`."""
        assert _kernel is not None
        keys, values = kept.chunk(2, dim=-1)
        found, mass = _kernel(queries, keys, values, 0.0, False, attn_mask=mask, scale=self._layers.scale)
        return found, mass

    def _store(self, aim: _Pass, layer: int, states: Tensor) -> Tensor:
        """Writes a layer's new keys and values [tokens, kv_heads, 2 d]; all that this layer holds."""
        if layer == len(self._own):
            self._own.append(
                states.new_zeros(self._n_slots, states.shape[1], max(64, aim.end), states.shape[2])
            )
        kept = self._own[layer]
        if kept.shape[2] < aim.end:
            more = max(aim.end, 2 * kept.shape[2]) - kept.shape[2]
            room = kept.new_zeros(*kept.shape[:2], more, kept.shape[3])
            kept = self._own[layer] = torch.cat([kept, room], dim=2)
        kept[aim.slots, :, aim.places] = states
        return kept

    def _aim(self, slots: Tensor, starts: Tensor, lengths: Tensor) -> _Pass:
        """Where the next pass writes and who looks at what."""
        base = self._base[slots]
        own, first = starts - base, lengths.cumsum(0) - lengths
        chunk = torch.repeat_interleave(torch.arange(len(slots)), lengths)
        sharing = (base > 0)[:, None] if bool((base > 0).any()) else None
        every = _Questions(
            list(self._grouped(slots, own, first, lengths)), None if sharing is None else sharing[chunk]
        )
        ends, one = torch.arange(len(slots)), torch.ones_like(lengths)
        last = _Questions([self._group(slots, own + lengths - 1, ends, one, 0)], sharing)
        places = own[chunk] + torch.arange(len(chunk)) - first[chunk]
        return _Pass(slots[chunk], places, int((own + lengths).max()), every, last)

    def _grouped(self, slots: Tensor, own: Tensor, first: Tensor, lengths: Tensor) -> Iterator[_Group]:
        """Chunks of one token together, and what longer ones hold beyond it, where these are the fewer."""
        is_longer = lengths > 1
        if int(is_longer.sum()) * 2 > len(slots):
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
        is_first = bool((slots == torch.arange(len(slots))).all())
        return _Group(slots, is_first, flat, kept, len(place), end, mask)

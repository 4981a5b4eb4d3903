"""Reading on CUDA: the chunks of all slots in one row without padding, flash attention over what each slot holds.

UNVERIFIED: the kernel, and CUDA graphs around it, have not run on a CUDA machine. Packing, positions, cache, shared
prompts and grouped heads are tested on CPUs with an exact stand-in for the kernel.

What enters is packed chunks, a slot and a first position for each; what leaves is the last hidden states. In a step of
decoding every token is a segment of its own, one query that looks at so many keys of its slot: then three integers a
token say all there is to say, which a CUDA graph can be fed with, and the kernel reads keys once for all heads that
share them. Prompts are read a chunk a segment under a causal mask, without a graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, chain

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from transformers import PreTrainedModel

from harmonic.decode.cache import Reader
from harmonic.decode.graphs import Steps
from harmonic.decode.layers import Layers, is_plain

_LONGEST = 32
"""Chunks of more tokens are read as prompts: a token a segment would read their keys too often."""
_TOKENS_A_SLOT = 8
"""Steps of more tokens than so many a slot, all slots together, are read as prompts."""
_FIRST_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Segments:
    """Which queries look at which keys: those of segment i at the `seen[i]` first keys from `keys[i]` on.

    The last query of a segment looks at all of them, the one before it at one less, and so on.
    """

    queries: Tensor
    """int32 [n + 1]: where the queries of each begin among the packed ones."""
    keys: Tensor
    """int32 [n + 1]: where the keys of its slot begin; the kernel asks no more of it, for it is told `seen`."""
    seen: Tensor
    """int32 [n]."""
    most_queries: int
    most_keys: int
    """An upper bound, which a captured graph keeps."""


Attention = Callable[[Tensor, Tensor, Tensor, Segments, float], Tensor]
"""[tokens, heads, d] of queries [tokens, heads, d], keys and values [all keys, fewer heads, d], segments and scale."""


def flash_attention() -> Attention:
    """The flash attention of this torch, over a cache that is longer than what it holds.

    A block table would serve too, but with one the kernel gives wrong rows where it splits keys (pytorch#194167).
    """
    known = inspect.signature(varlen_attn).parameters
    return _public if {"seqused_k", "enable_gqa"} <= set(known) else _private


def _public(query: Tensor, keys: Tensor, values: Tensor, segments: Segments, scale: float) -> Tensor:
    found = varlen_attn(
        query,
        keys,
        values,
        segments.queries,
        segments.keys,
        segments.most_queries,
        segments.most_keys,
        scale=scale,
        # Without a window where there is nothing to mask: else the kernel does not fold heads.
        window_size=(-1, 0) if segments.most_queries > 1 else (-1, -1),
        enable_gqa=True,
        seqused_k=segments.seen,
    )
    assert isinstance(found, Tensor)
    return found


def _private(query: Tensor, keys: Tensor, values: Tensor, segments: Segments, scale: float) -> Tensor:
    """The same for a torch whose `varlen_attn` (before 2.12) does not pass on all that its kernel takes."""
    is_causal = segments.most_queries > 1
    found: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        keys,
        values,
        segments.queries,
        segments.keys,
        segments.most_queries,
        segments.most_keys,
        0.0,
        is_causal,
        False,
        scale=scale,
        window_size_left=-1,
        window_size_right=0 if is_causal else -1,
        seqused_k=segments.seen,
    )[0]
    return found


def obstacle(model: PreTrainedModel) -> str | None:
    """Why a model cannot be read so, in words; None = it can. Such a model is read by `cache.Reader`."""
    parameters = list(model.parameters())
    first, config = parameters[0], model.config.get_text_config()
    if first.device.type != "cuda" or torch.version.hip is not None:
        return "it is not on a CUDA device"
    if len({parameter.device for parameter in parameters}) > 1:
        return "its layers are on several devices"
    if first.dtype not in (torch.bfloat16, torch.float16):
        return f"its weights are {first.dtype}, not bfloat16 or float16"
    if not all(parameter.is_floating_point() for parameter in parameters):
        return "its weights are quantized"
    if torch.cuda.get_device_capability(first.device) < (8, 0):
        return "its device is older than flash attention asks for (compute capability 8.0)"
    if not torch.backends.cuda.is_flash_attention_available():
        return "this torch was built without flash attention"
    if not is_plain(model):
        return f"{config.model_type!r}, or how it was set, is no family whose layers are known to be plain"
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return None if width % 8 == 0 and width <= 256 else f"the kernel takes no heads of width {width}"


def can_run_varlen(model: PreTrainedModel) -> bool:
    """Whether a model can be read so: on one recent CUDA device, in half precision, plain attention."""
    return obstacle(model) is None


class FlatCache:
    """Keys and values, [(n_slots + 1) * length, heads, d] a layer; the last slot takes what padding writes."""

    def __init__(self, n_slots: int, limit: int) -> None:
        self.n_slots = n_slots
        self.length = 0
        """So many positions a slot; doubled as needed, up to `limit`."""
        self._limit = limit
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._at = torch.zeros(0, dtype=torch.long)

    def make_room(self, end: int) -> bool:
        """Makes room for `end` positions a slot; whether anything has moved."""
        if end <= self.length:
            return False
        old = self.length
        self.length = max(end, min(max(_FIRST_LENGTH, 2 * old), self._limit))
        for layer, pair in enumerate(self._buffers):
            # One layer at a time: both sizes of all of them may not fit.
            keys, values = (self._grown(buffer, old) for buffer in pair)
            self._buffers[layer] = (keys, values)
        return True

    def aim(self, slots: Tensor, positions: Tensor) -> None:
        """Says where the next pass writes its tokens, int64 [tokens] each."""
        self._at = slots * self.length + positions

    def store(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps a layer's [tokens, heads, d]; returns all that it holds, [(n_slots + 1) * length, heads, d]."""
        if layer == len(self._buffers):
            # Zeros and not what memory holds: a kernel may multiply what it has masked, and NaN stays NaN.
            self._buffers.append((self._empty(keys), self._empty(values)))
        for buffer, states in zip(self._buffers[layer], (keys, values), strict=True):
            buffer.index_copy_(0, self._at, states)
        return self._buffers[layer]

    @torch.inference_mode()
    def spread(self, source: int, length: int) -> None:
        """Copies the first `length` positions of slot `source` to every slot: the shared prefix."""
        for buffer in chain.from_iterable(self._buffers):
            by_slot = buffer.unflatten(0, (self.n_slots + 1, self.length))
            by_slot[:, :length] = by_slot[source, :length].clone()

    def _empty(self, states: Tensor) -> Tensor:
        return states.new_zeros((self.n_slots + 1) * self.length, *states.shape[1:])

    def _grown(self, buffer: Tensor, old: int) -> Tensor:
        grown = self._empty(buffer)
        by_slot = buffer.unflatten(0, (self.n_slots + 1, old))
        grown.unflatten(0, (self.n_slots + 1, self.length))[:, :old] = by_slot
        return grown


class VarlenReader(Reader):
    """Runs a causal language model over packed chunks and keeps what it has read."""

    cache: FlatCache  # type: ignore[assignment]

    def __init__(
        self,
        model: PreTrainedModel,
        n_slots: int,
        limit: int,
        *,
        attention: Attention | None = None,
        captures: bool | None = None,
    ) -> None:
        """attention: None = flash attention. captures: whether steps become CUDA graphs; None = on CUDA."""
        super().__init__(model, n_slots, limit)
        self.cache = FlatCache(n_slots, limit)
        self._layers = Layers(model)
        self._attention = attention or flash_attention()
        self._steps = Steps(
            self._read_tokens,
            self.device,
            padding=torch.tensor([0, 0, n_slots]),
            most=max(_LONGEST, _TOKENS_A_SLOT * n_slots),
            captures=self.device.type == "cuda" if captures is None else captures,
        )

    @torch.inference_mode()
    def read(self, slots: list[int], starts: list[int], chunks: list[list[int]]) -> Tensor:
        """Reads chunks[i] into slots[i] from position starts[i]; hidden states [b, d] after each chunk's last token."""
        lengths = [len(chunk) for chunk in chunks]
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        if self.cache.make_room(max(ends)):
            self._steps.forget()
        positions = [place for start, end in zip(starts, ends, strict=True) for place in range(start, end)]
        owners = [slot for slot, length in zip(slots, lengths, strict=True) for _ in range(length)]
        tokens = torch.tensor([list(chain.from_iterable(chunks)), positions, owners])
        if max(lengths) <= _LONGEST and self._steps.takes(len(owners)):
            hidden = self._steps.run(tokens)
        else:
            hidden = self._read_chunks(tokens, slots, ends, lengths)
        return hidden[torch.tensor(lengths, device=self.device).cumsum(0) - 1]

    def _read_tokens(self, tokens: Tensor) -> Tensor:
        """Hidden states [n, d] of int64 [3, n] on the device: ids, positions, slots. Nothing here waits for it."""
        _, positions, slots = tokens
        first = (slots * self.cache.length).int()
        segments = Segments(
            torch.arange(tokens.shape[1] + 1, dtype=torch.int32, device=self.device),
            torch.cat([first, first[-1:] + self.cache.length]),
            (positions + 1).int(),
            1,
            self.cache.length,
        )
        return self._run(tokens, segments)

    def _read_chunks(self, tokens: Tensor, slots: list[int], ends: list[int], lengths: list[int]) -> Tensor:
        """The same for tokens on the CPU, which are whole chunks."""
        first = [slot * self.cache.length for slot in slots]
        queries, keys, seen = (
            torch.tensor(part, dtype=torch.int32, device=self.device)
            for part in ([0, *accumulate(lengths)], [*first, first[-1] + self.cache.length], ends)
        )
        segments = Segments(queries, keys, seen, max(lengths), self.cache.length)
        return self._run(tokens.to(self.device), segments)

    def _run(self, tokens: Tensor, segments: Segments) -> Tensor:
        ids, positions, slots = tokens
        self.cache.aim(slots, positions)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            kept = self.cache.store(layer, keys, values)
            return self._attention(queries, *kept, segments, self._layers.scale).flatten(1)

        return self._layers.run(ids, positions, None, attend)

"""The layers of a plain decoder over packed tokens, with attention left to whoever keeps the keys.

What enters is a model of one of the families below, ids and positions of tokens that stand in one row, and a function
that attends; what leaves is last hidden states of the tokens that were asked for. transformers' own pass copies every
tensor into a layout for padded batches; a packed row needs none of that, and in the last layer only the tokens that
somebody asks for have to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

FAMILIES = ("llama", "qwen2")
"""Models whose layers are plain: those that this pass is tested on."""

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, queries [n, heads, d], keys and values [tokens, kv_heads, d]) -> [n, heads * d].

n is all tokens, but in the last layer those that are asked for.
"""


def is_plain(model: PreTrainedModel) -> bool:
    """Whether a model's layers are plain: one of the families, no sliding window, positions that never shift."""
    config = model.config.get_text_config()
    is_windowed = bool(getattr(config, "use_sliding_window", False)) or set(
        getattr(config, "layer_types", None) or ["full_attention"]
    ) != {"full_attention"}
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    return config.model_type in FAMILIES and not is_windowed and rope in ("default", "linear", "llama3")


class Layers:
    """Runs the layers of a plain model; its modules are called as they are, adapters and 4-bit weights included."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._decoder: Any = model.get_decoder()
        config = self._decoder.config
        self._epsilon: float = config.rms_norm_eps
        self._width: int = self._decoder.layers[0].self_attn.head_dim

    def __len__(self) -> int:
        return len(self._decoder.layers)

    @property
    def scale(self) -> float:
        """What scores are multiplied by before the softmax."""
        return float(self._decoder.layers[0].self_attn.scaling)

    def run(self, ids: Tensor, positions: Tensor, asked: Tensor | None, attend: Attend) -> Tensor:
        """Last hidden states [n, d] of the tokens `asked`, int64 [n], among ids and positions, int64 [tokens].

        asked: None = all of them.
        """
        decoder = self._decoder
        hidden = decoder.embed_tokens(ids)
        turn = tuple(part[0, :, None] for part in decoder.rotary_emb(hidden, positions[None]))
        last = len(self) - 1
        for number, layer in enumerate(decoder.layers):
            hidden = self._layer(number, layer, hidden, turn, asked if number == last else None, attend)
        return self._normed(hidden, decoder.norm)

    def _layer(
        self,
        number: int,
        layer: Any,
        hidden: Tensor,
        turn: tuple[Tensor, ...],
        asked: Tensor | None,
        attend: Attend,
    ) -> Tensor:
        attention, normed = layer.self_attn, self._normed(hidden, layer.input_layernorm)
        keys = _turned(self._heads(attention.k_proj(normed)), turn)
        values = self._heads(attention.v_proj(normed))
        if asked is not None:
            hidden, normed, turn = hidden[asked], normed[asked], tuple(part[asked] for part in turn)
        queries = _turned(self._heads(attention.q_proj(normed)), turn)
        hidden = hidden + attention.o_proj(attend(number, queries, keys, values))
        return hidden + layer.mlp(self._normed(hidden, layer.post_attention_layernorm))

    def _normed(self, hidden: Tensor, norm: Any) -> Tensor:
        return torch.nn.functional.rms_norm(hidden, hidden.shape[-1:], norm.weight, self._epsilon)

    def _heads(self, states: Tensor) -> Tensor:
        return states.view(len(states), -1, self._width)


def _turned(states: Tensor, turn: tuple[Tensor, ...]) -> Tensor:
    """Heads [tokens, heads, d] under rotary positions (Su et al. 2021), halves turned against each other."""
    cosine, sine = turn
    half = states.shape[-1] // 2
    across = torch.cat((-states[..., half:], states[..., :half]), dim=-1)
    return torch.addcmul(states * cosine, across, sine)

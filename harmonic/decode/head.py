"""The output layer, cut to the ids that a choice can fall on.

What enters is the last hidden states; what leaves is logits over a few hundred ids where the whole vocabulary has a
hundred thousand. Free text needs nearly all of them: then the layer is used as it is.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

_MOST = 0.5
"""A cut of more than this share of the vocabulary would be a second output layer in memory."""


class Head:
    """Logits over `ids`; None = over the whole vocabulary."""

    def __init__(self, model: PreTrainedModel, ids: Tensor | None) -> None:
        """ids: sorted int64 [u]."""
        layer = model.get_output_embeddings()
        self._weight = layer.weight.detach()
        self._bias = layer.bias.detach() if getattr(layer, "bias", None) is not None else None
        self._softcap = getattr(model.config, "final_logit_softcapping", None)
        self._ids = (
            None if ids is None or len(ids) > _MOST * len(self._weight) else ids.to(self._weight.device)
        )
        if self._ids is not None:
            self._weight = self._weight[self._ids]
            self._bias = None if self._bias is None else self._bias[self._ids]

    @property
    def size(self) -> int:
        """How many ids there are logits for."""
        return len(self._weight)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [..., u] of hidden states [..., d]."""
        logits = torch.nn.functional.linear(hidden.to(self._weight.dtype), self._weight, self._bias).float()
        return logits if self._softcap is None else self._softcap * torch.tanh(logits / self._softcap)

    def tokens(self, places: Tensor) -> Tensor:
        """The ids that stand at these places of the logits."""
        return places if self._ids is None else self._ids[places]

    def places(self, tokens: Tensor) -> Tensor:
        """Where tokens, int64 of any shape and all among the ids, stand in the logits."""
        return tokens if self._ids is None else torch.searchsorted(self._ids, tokens)


class Heads:
    """The output layer for ordinary choices (`closed`), for free text (`open`), and whole (`full`)."""

    def __init__(self, model: PreTrainedModel, closed_ids: Tensor, open_ids: Tensor | None = None) -> None:
        self._model = model
        self._open_ids = open_ids
        self.closed = Head(model, closed_ids)

    @cached_property
    def open(self) -> Head:
        return self.full if self._open_ids is None else Head(self._model, self._open_ids)

    @cached_property
    def full(self) -> Head:
        return Head(self._model, None)

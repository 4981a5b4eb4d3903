"""Which way of reading a model gets: chosen once, before the first token, and said in the log.

What enters is a model and how many slots it is to fill; what leaves is its reader. On CPUs what prompts share is
attended once for all (`shared`), on recent CUDA devices chunks are packed and steps replayed (`varlen`), and any other
device or family is read with padding and masks (`cache`). Nothing is exchanged for another thing later on: what fails
in one of them is an error.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from transformers import PreTrainedModel

from harmonic.decode.cache import Reader
from harmonic.decode.shared import SharedReader, can_share
from harmonic.decode.varlen import VarlenReader, obstacle

_log = logging.getLogger(__name__)


def open_reader(model: PreTrainedModel, n_slots: int, limit: int) -> Reader | SharedReader:
    """The reader of a model, for contexts of at most `limit` tokens in `n_slots` slots."""
    if can_share(model):
        _say(f"Reading on the CPU: shared beginnings once, {n_slots} slots.")
        return SharedReader(model, n_slots)
    reason = obstacle(model)
    if reason is None:
        _say(f"Reading on CUDA: flash attention and CUDA graphs (unverified), {n_slots} slots.")
        return VarlenReader(model, n_slots, limit)
    _say(f"Reading with masked attention, {n_slots} slots, for the model cannot be packed: {reason}.")
    return Reader(model, n_slots, limit)


@lru_cache
def _say(text: str) -> None:
    """Once a process: a table is drawn in hundreds of pieces."""
    _log.info(text)

"""Synthetic rows from a table, written by a small local language model.

from harmonic import Harmonic, MallmGan, read_table, split_table, evaluate

The public names are loaded when they are first used: `import harmonic` costs neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harmonic.evaluation import evaluate
    from harmonic.mallm.gan import MallmGan
    from harmonic.synthesizer import Harmonic
    from harmonic.table.sources import read_table
    from harmonic.table.splits import split_table

__version__ = "0.1.0"
__all__ = ["Harmonic", "MallmGan", "__version__", "evaluate", "read_table", "split_table"]

_HOMES = {
    "Harmonic": "harmonic.synthesizer",
    "MallmGan": "harmonic.mallm.gan",
    "evaluate": "harmonic.evaluation",
    "read_table": "harmonic.table.sources",
    "split_table": "harmonic.table.splits",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harmonic' has no attribute {name!r}. It has {', '.join(__all__)}.")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The local language model: loaded, looked over, fine-tuned and merged.

What enters is a base (a folder, a hub name or "nano") and instructions as tokens; what leaves is an adapter folder
that knows its base. torch, transformers, peft and trl are paid for by the modules that use them, not by this one.
"""

from __future__ import annotations

import logging

# Without a compiled 4-bit kernel for CPUs bitsandbytes warns when it is imported, also where nothing is 4-bit.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

"""The local language model: loaded, looked over, fine-tuned and merged.

What enters is a base (a folder, a hub name or "nano") and instructions as tokens; what leaves is an adapter folder
that knows its base. torch, transformers, peft and trl are paid for by the modules that use them, not by this one.
"""

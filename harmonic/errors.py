"""The one error class of bad input: subject, value, expectation, remedy in one message."""

from __future__ import annotations


class HarmonicError(ValueError):
    """Bad input or a broken promise of a file: the message says what, and how to mend it."""

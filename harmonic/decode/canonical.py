"""Is this how the tokenizer itself would have read it? Asked of free text while it is drawn.

What enters is a tokenizer and the ids of a segment so far; what leaves is whether its own encoding of their text is
these very ids: training saw no others. A character that is not finished yet has no text, and is asked about when it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from harmonic.prompt.tokens import TextTokenizer


class Canonical:
    """Answers for one tokenizer."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def hold(self, segments: Sequence[list[int]]) -> list[bool]:
        """Whether each of these beginnings of segments is the tokenizer's own."""
        texts = [self._text(ids) for ids in segments]
        own = iter(self._tokenizer.encode_batch([text for text in texts if text is not None]))
        return [text is None or next(own) == ids for text, ids in zip(texts, segments, strict=True)]

    def _text(self, ids: list[int]) -> str | None:
        known = self._tokenizer.token_bytes
        try:
            return b"".join([known[token] or b"" for token in ids]).decode()
        except UnicodeDecodeError:
            return None

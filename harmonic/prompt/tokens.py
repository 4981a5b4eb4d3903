"""Text as token ids: the one place where text meets a vocabulary.

What enters is a `tokenizers.Tokenizer` (any fast tokenizer) with its end token and, for chat models, the text that
the chat template puts around a user's message; what leaves is ids. Two promises: text that comes from a table never
becomes a special token, whatever it holds, and every piece of text is encoded as it stands after a newline, so that
pieces can be encoded apart and concatenated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

from tokenizers import Tokenizer

from harmonic.errors import HarmonicError


class TextTokenizer:
    """A vocabulary with an end token, an optional beginning token and an optional chat wrapper.

    `chat` holds what the template writes before and after a user's message, generation prompt included; its special
    tokens are parsed as such, those in the message never.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        eos_id: int,
        bos_id: int | None = None,
        chat: tuple[str, str] | None = None,
    ) -> None:
        self.backend = tokenizer
        self.eos_id = eos_id
        self.bos_id = bos_id
        self.chat = chat
        self._newline = self._plain("\n")

    @property
    def vocab_size(self) -> int:
        """The number of ids, special tokens included."""
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the vocabulary, its merges and the chat wrapper."""
        facts = self.backend.to_str() + json.dumps([self.eos_id, self.bos_id, self.chat])
        return hashlib.sha256(facts.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """The ids of `text` as it stands after a newline. Raises HarmonicError if the newline does not stand alone."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` for many texts at once."""
        self.backend.encode_special_tokens = True
        encodings = self.backend.encode_batch_fast(["\n" + text for text in texts], add_special_tokens=False)
        return [
            self._after_newline(encoding.ids, text) for encoding, text in zip(encodings, texts, strict=True)
        ]

    def encode_ending(self, text: str) -> list[int]:
        """The ids of a row's ending (`Codec.row_close`) as it stands after a value."""
        value = self._plain("\n0")
        ids = self._plain("\n0" + text)
        if ids[: len(value)] != value:
            raise HarmonicError(
                f"Ending {text!r}: its first token merges with the value before it in this tokenizer. "
                "Use the codec 'json' or a base model with another vocabulary."
            )
        return ids[len(value) :]

    def encode_prompt(self, parts: Sequence[str]) -> list[list[int]]:
        """The ids of a prompt's parts (opening, examples, request), each of which ends its line.

        The first part carries the beginning token or what the chat template writes before a message, the last part
        what it writes after; the last id is always a newline's, after which the first row begins.
        """
        if self.chat is None:
            start = [] if self.bos_id is None else [self.bos_id]
            encoded = self.encode_batch(list(parts))
            return [start + encoded[0], *encoded[1:]]
        before, after = self.chat
        head, opening = self._split_last_special(before)
        ending, tail = self._split_first_special(after)
        end = "" if after.endswith("\n") else "\n"
        first = self._special(head) + self._plain(opening + parts[0])
        last = parts[-1].rstrip() + ending + ("" if tail else end)
        *middle, request = self.encode_batch([*parts[1:-1], last])
        return [first, *middle, request + (self._special(tail + end) if tail else [])]

    def decode(self, ids: list[int]) -> str:
        """The text of ids that `encode` gave; special tokens are left out."""
        raw = b"".join(self.token_bytes[i] or b"" for i in ids)
        return raw.decode("utf-8", errors="replace")

    @cached_property
    def token_bytes(self) -> tuple[bytes | None, ...]:
        """The bytes of each id; None for special tokens and unused ids."""
        vocabulary = self.backend.get_vocab(with_added_tokens=True)
        table: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
        convert = _byte_level if self._is_byte_level else _sentencepiece
        for token, index in vocabulary.items():
            table[index] = convert(token)
        for index, added in self.backend.get_added_tokens_decoder().items():
            table[index] = None if added.special else added.content.encode()
        return tuple(table)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens by their text."""
        return {a.content: i for i, a in self.backend.get_added_tokens_decoder().items() if a.special}

    @cached_property
    def _is_byte_level(self) -> bool:
        # Their states are JSON; the whole tokenizer's, merges included, would take seconds to read.
        parts = (self.backend.decoder, self.backend.pre_tokenizer)
        return any(b'"ByteLevel"' in part.__getstate__() for part in parts if part is not None)

    def _after_newline(self, ids: list[int], text: str) -> list[int]:
        width = len(self._newline)
        if ids[:width] != self._newline:
            raise HarmonicError(
                f"Text {text[:40]!r}: its first token merges with the newline before it in this tokenizer. "
                "Begin the text with a character other than white space."
            )
        return list(ids[width:])

    def _plain(self, text: str) -> list[int]:
        self.backend.encode_special_tokens = True
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def _special(self, text: str) -> list[int]:
        self.backend.encode_special_tokens = False
        ids = list(self.backend.encode(text, add_special_tokens=False).ids) if text else []
        self.backend.encode_special_tokens = True
        return ids

    def _split_last_special(self, text: str) -> tuple[str, str]:
        ends = [text.rfind(token) + len(token) for token in self.special_tokens if token in text]
        cut = max(ends, default=0)
        return text[:cut], text[cut:]

    def _split_first_special(self, text: str) -> tuple[str, str]:
        cut = min((text.find(token) for token in self.special_tokens if token in text), default=len(text))
        return text[:cut], text[cut:]


def _byte_level(token: str) -> bytes:
    return token.translate(_BYTE_OF).encode("latin-1") if _ALPHABET.issuperset(token) else token.encode()


def _sentencepiece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace("▁", " ").encode()


def _byte_alphabet() -> dict[int, int]:
    """Bytes by the printable stand-ins of byte-level vocabularies: visible Latin-1 as itself, the rest from 256 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {b: b for b in visible} | {256 + n: b for n, b in enumerate(hidden)}


_BYTE_OF = _byte_alphabet()
_ALPHABET = frozenset(map(chr, _BYTE_OF))

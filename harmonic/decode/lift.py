"""Lifting: byte automaton x tokenizer -> token automaton, canonical ids only.

What enters is a segment's form, its column and a tokenizer; what leaves is the automaton of exactly those ids that the
tokenizer gives the segment's texts, for training saw no others. Literals, and languages of few words, are encoded in
whole. Numbers and dates have too many words: their tokens are walked through the byte automaton, and one token may
follow another where the tokenizer itself puts it there (`Joints`). Free text keeps every reading of its bytes. What is
lifted goes through the tokenizer before anyone decodes with it: drawn ids encode to themselves, words are accepted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from harmonic.decode.automaton import NONE, TokenAutomaton, TokenNodes
from harmonic.decode.bytes_automaton import ByteAutomaton
from harmonic.decode.freetext import FreeText
from harmonic.decode.grammar import language_automaton, literal_texts
from harmonic.decode.joints import Joints
from harmonic.decode.vocabulary import Vocabulary
from harmonic.decode.walks import add_walks, common_head
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import SegmentForm
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, text_bytes

_CHECKS = (24, 400)
"""So many words and drawn paths go through the tokenizer: where digits are all alike to it, and where not."""
_STREAM = 31
_SAMPLES = ("", "a", "0", " b", "-", "Ab, c", 'say "yes"', "1.5 Straße", "東京")
_LOG = logging.getLogger(__name__)


class Compiler:
    """Compiles segments for one tokenizer and keeps what it has compiled."""

    enumerated = 256
    """Languages of at most so many words are encoded word by word."""
    rescued = 50_000
    """Languages of at most so many words are encoded word by word where neighbouring tokens do not settle them."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer
        self._vocabulary = Vocabulary(_without_twins(tokenizer))
        self._joints = Joints(tokenizer, self._vocabulary)
        self._segments: dict[tuple[object, ...], TokenAutomaton] = {}
        self._frames: dict[tuple[bytes, bytes, bool], FreeText] = {}

    def segment(self, form: SegmentForm, column: Column) -> TokenAutomaton:
        """`compile_segment` with this compiler's tokenizer."""
        facts = (
            column.kind,
            column.lower,
            column.upper,
            column.decimals,
            column.step,
            column.resolution,
            column.min_bytes,
            column.max_bytes,
        )
        key = (form, *facts)
        if key not in self._segments:
            self._segments[key] = self._compile(form, column)
        return self._segments[key]

    def lift(self, automaton: ByteAutomaton, subject: str) -> TokenAutomaton:
        """`lift` with this compiler's tokenizer."""
        nodes = TokenNodes()
        return nodes.automaton(self._add_language(nodes, automaton, subject))

    def _compile(self, form: SegmentForm, column: Column) -> TokenAutomaton:
        subject = f"Column {column.label!r}"
        if form.language == "text":
            return self._compile_text(form, column)
        nodes = TokenNodes()
        root = self._add_words(nodes, literal_texts(form), subject)
        if form.language is not None:
            root = nodes.union(root, self._add_language(nodes, language_automaton(form, column), subject))
        elif root == NONE:
            raise HarmonicError(
                f"{subject}: no training row holds a value, so there is nothing to decode. "
                "Declare the column constant or leave it out."
            )
        return nodes.automaton(root)

    # Words encoded in whole.

    def _add_words(self, nodes: TokenNodes, texts: Sequence[str], subject: str) -> int:
        return nodes.add_words(self._encode(texts, subject)) if texts else NONE

    def _encode(self, texts: Sequence[str], subject: str) -> list[list[int]]:
        """The ids of texts; raises HarmonicError where they do not say what was encoded."""
        encoded = self.tokenizer.encode_batch(list(texts))
        known = self.tokenizer.token_bytes
        for text, ids in zip(texts, encoded, strict=True):
            said = b"".join([known[token] or b"" for token in ids])
            if said != text.encode():
                raise HarmonicError(
                    f"{subject}: {text!r} comes out of this tokenizer as {said.decode(errors='replace')!r}. "
                    "Write the value in characters that the tokenizer keeps (Unicode form NFC), or use the codec "
                    "'compact'."
                )
        return encoded

    # Languages.

    def _add_language(self, nodes: TokenNodes, automaton: ByteAutomaton, subject: str) -> int:
        """The node of a language of numbers or dates."""
        if automaton.n_words <= self.enumerated:
            return self._add_words(nodes, _texts(automaton.words()), subject)
        root = add_walks(nodes, automaton, self.tokenizer, self._vocabulary, self._joints)
        problem = self._find_problem(nodes, root, automaton)
        if problem is None:
            return root
        if automaton.n_words > self.rescued:
            raise HarmonicError(
                f"{subject}: {problem} Its tokens depend on more than their neighbours. Narrow the column's bounds to "
                f"at most {self.rescued} values, or use a base model with another tokenizer."
            )
        _LOG.warning("%s: %s All %d values are encoded instead.", subject, problem, automaton.n_words)
        return self._add_words(nodes, _texts(automaton.words()), subject)

    def _compile_text(self, form: SegmentForm, column: Column) -> TokenAutomaton:
        """The automaton of a free text in quotes and of literals."""
        subject = f"Column {column.label!r}"
        before, after = (form.prefix + '"').encode(), ('"' + form.suffix).encode()
        lengths = {text: text_bytes(text) for text in _SAMPLES}
        samples = [text for text in _SAMPLES if column.min_bytes <= lengths[text] <= column.max_bytes]
        words = [before + json.dumps(text, ensure_ascii=False)[1:].encode() + after[1:] for text in samples]
        # The quote is no part of it: with what follows a tokenizer may merge it ('"/'), whatever these few words say.
        head = common_head(words, len(before) - 1, self.tokenizer, self._vocabulary)
        encoded = self._encode(_texts(words), subject)
        # A literal in quotes is one of the texts: it needs room, and no words of its own.
        quoted = [text for text, _ in form.literals if text.startswith('"')]
        literals = [text for text in literal_texts(form) if not text.startswith(before.decode())]
        lifted = self._frame(
            before[len(self._vocabulary.text(head)) :], after, column.min_bytes == 0
        ).automaton(
            head,
            self._encode(literals, subject),
            max(column.max_bytes, *(len(text.encode()) - 2 for text in ['""', *quoted])),
            {ids[len(head)] for ids in encoded},
            subject,
        )
        for word, ids in zip(words, encoded, strict=True):
            if not lifted.accepts(ids):
                raise HarmonicError(
                    f"{subject}: {word.decode()!r} cannot be put together from the tokens of this tokenizer. "
                    "Leave the column out, or use a base model with another tokenizer."
                )
        return lifted

    def _frame(self, opening: bytes, closing: bytes, can_be_empty: bool) -> FreeText:
        """Free text in a frame: found once, for columns of all lengths."""
        key = (opening, closing, can_be_empty)
        if key not in self._frames:
            self._frames[key] = FreeText(self._vocabulary, *key)
        return self._frames[key]

    def _find_problem(self, nodes: TokenNodes, root: int, automaton: ByteAutomaton) -> str | None:
        """What goes wrong when words and drawn ids go through the tokenizer; None if nothing does."""
        if root == NONE:
            return "no value can be put together from its tokens."
        lifted = nodes.automaton(root)
        rng = np.random.default_rng([0, _STREAM])
        n_checks = _CHECKS[not self._joints.are_regular]
        words = _texts(automaton.draw(rng) for _ in range(n_checks))
        for word, ids in zip(words, self.tokenizer.encode_batch(words), strict=True):
            if not lifted.accepts(ids):
                return f"the tokenizer's ids of {word!r} were not found."
        drawn = [lifted.draw(rng) for _ in range(n_checks)]
        texts = _texts(map(self._vocabulary.text, drawn))
        for text, ids, own in zip(texts, drawn, self.tokenizer.encode_batch(texts), strict=True):
            if ids != own:
                return f"{text!r} was put together from other ids than the tokenizer's."
        return None


@lru_cache(maxsize=4)
def compiler_for(tokenizer: TextTokenizer) -> Compiler:
    """The compiler of a tokenizer, with what it has compiled before."""
    return Compiler(tokenizer)


def compile_segment(form: SegmentForm, column: Column, tokenizer: TextTokenizer) -> TokenAutomaton:
    """The token automaton of a segment: compiled once for a form, a column's facts and a tokenizer.

    Raises HarmonicError, naming the column, if its language is empty or the tokenizer cannot say it.
    """
    return compiler_for(tokenizer).segment(form, column)


def lift(automaton: ByteAutomaton, tokenizer: TextTokenizer, subject: str = "A segment") -> TokenAutomaton:
    """The token automaton of any acyclic byte automaton of ASCII words: the tokenizer's own ids of each word.

    Raises HarmonicError, naming `subject`, if the tokenizer cannot be followed.
    """
    return compiler_for(tokenizer).lift(automaton, subject)


def _without_twins(tokenizer: TextTokenizer) -> list[bytes | None]:
    """The bytes of each id; None too for ids that are never given because another has the same bytes.

    Sentencepiece vocabularies hold the characters below 128 twice: as such, and as bytes.
    """
    kept = list(tokenizer.token_bytes)
    known: dict[bytes, list[int]] = {}
    if len(set(kept)) == len(kept) - kept.count(None) + (None in kept):
        return kept
    for token, text in enumerate(kept):
        if text:
            known.setdefault(text, []).append(token)
    for text, tokens in known.items():
        if len(tokens) > 1:
            ids = tokenizer.encode(text.decode("utf-8", errors="ignore"))
            chosen = ids[-1] if ids and ids[-1] in tokens else tokens[0]
            for token in tokens:
                kept[token] = text if token == chosen else None
    return kept


def _texts(words: Iterable[bytes]) -> list[str]:
    return [word.decode() for word in words]

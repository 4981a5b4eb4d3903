"""Free text against llguidance: what may be said next, by bytes and as the tokenizer writes it.

llguidance reads a text as two expressions at once, neither of which owes anything to our automata: a JSON string as
Python writes it, and a measure of bytes, M40 being a character of one byte and M39, or of two bytes and M38, and so on.
What stands between its quotes is just what a text costs, so the measure is exact, at the limit too, and so is the
comparison: in every state ours == theirs, but for ids whose bytes another id has (sentencepiece holds ASCII twice), and
those with which the tokenizer never begins a segment; the latter are refuted by rows that encode otherwise.

Of these ids the decoder takes those that the tokenizer would write, which it asks about one at a time. Here some of
them are asked about as well, and each answer is held against rows that go on from the id: does one of them encode so?
What some row encodes to is never refused, and what no row encodes to never comes out in a row. But two kinds of it are
taken for the moment, and cost the drawn row its place:
- an id that ends inside a character, which has no text yet, or that stands in a character or an escape where nothing
  can be read but the rest of it: these are asked about at the first choice after it;
- an id after which the text cannot end, for the tokenizer merges its last character with the quote that closes it, or
  with all that still fits before the quote.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harmonic.decode.canonical import Canonical
from harmonic.decode.program import RowProgram
from harmonic.decode.sampler import Grammar
from harmonic.decode.slot import Job, Slot, Usage
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Schema

REAL = ("llama2", "llama3", "qwen2.5")

COLUMNS = (
    Column("note", "note", "text", "str", 0.3, max_bytes=40),
    Column("タイトル", "タイトル", "text", "str", max_bytes=11, min_bytes=1),
    Column("code", "code", "text", "str", max_bytes=4, min_bytes=1),
    Column("age", "age", "integer", "int64", lower="0", upper="99"),
    Column("ok", "ok", "boolean", "boolean", 0.2, levels=("false", "true")),
)
ROWS = ((0,), (1, 3, 0), (4, 2, 1))
_WORDS = {"integer": "/[0-9]|[1-9][0-9]/"}
_SIZED = {"integer": "/a[0-9]|b[1-9][0-9]/"}
_JSON_CHARACTER = r'([^"\\\x00-\x1F]|\\["\\bfnrt]|\\u00(0[0-7bef]|1[0-9a-f]))'
_BYTES = {1: r"\x00-\x7F", 2: r"\x80-\u07FF", 3: r"\u0800-\uFFFF", 4: r"\U00010000-\U0010FFFF"}
WRITTEN = (
    "", "So it goes", " leading, trailing ", "  two  spaces", 'say "yes"', "back\\slash", "tab\tline\n\x01",
    "don't we're", "a", "!", "é", "x1", "?!", " ", "-7",
    "Straße", "東京 (Tokyo)", "🙂👩‍🔬 ok", "русский", "नमस्ते", "한국어", "العربية", "x=1;y+=2", "...!!", "3.14159",
    "12345678",    "\u00a0\u3000", "null", "ﬁ Ǧ 偾",
)  # fmt: skip


# A row in Lark's notation.


def grammar_of(codec: Codec, order: Sequence[int]) -> str:
    parts = [_literal(codec.row_open)] if codec.row_open else []
    for place, index in enumerate(order):
        form, column = codec.form(index, place == len(order) - 1), codec.columns[index]
        choices = [_literal(text) for text, _ in form.literals]
        if form.language == "text":
            some = "+" if column.min_bytes else "*"
            choices.append(f'"\\"" ( /{_JSON_CHARACTER}{some}/ & M{column.max_bytes} ) "\\""')
        elif form.language is not None:
            word = (_SIZED if form.sized else _WORDS)[form.language]
            choices.append(f'"\\"" {word} "\\""' if form.quoted else word)
        suffix = [_literal(form.suffix)] if form.suffix else []
        parts += [_literal(form.prefix), f"( {' | '.join(choices)} )", *suffix]
    row = " ".join([*parts, _literal(codec.row_close)])
    return f"start: ROW\nROW: {row}\n{_measure(max(column.max_bytes for column in codec.columns))}"


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _measure(most: int) -> str:
    """M0, M1 ... M<most>: at most so many bytes of UTF-8."""
    rules = ['M0: ""']
    for left in range(1, most + 1):
        ways = [f"/[{range_}]/ M{left - size}" for size, range_ in _BYTES.items() if size <= left]
        rules.append(f"M{left}: ({' | '.join(ways)})?")
    return "\n".join(rules)


# Both, side by side.


@dataclass
class Case:
    """One schema, codec and vocabulary; `found` counts what was met."""

    tokenizer: TextTokenizer
    codec: Codec
    order: tuple[int, ...]
    program: RowProgram
    theirs: Callable[[Sequence[int]], NDArray[np.int64]]
    completions: Any
    rng: np.random.Generator
    found: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.canonical = Canonical(self.tokenizer)
        by_bytes: dict[bytes | None, list[int]] = {}
        for token, said in enumerate(self.tokenizer.token_bytes):
            by_bytes.setdefault(said, []).append(token)
        alike = [tokens for said, tokens in by_bytes.items() if said and len(tokens) > 1]
        self.twins = {token: tokens for tokens in alike for token in tokens}

    def slot(self) -> Slot:
        """A row that has not begun; every position of it is a choice of its own."""
        return Slot(Job([], self.program, 0, 1), 0, Usage(), forces=False)

    def fits(self, slot: Slot) -> NDArray[np.int32]:
        return self.program.edges(slot.state, slot.spent)[0]

    def is_inside(self, slot: Slot) -> bool:
        """Whether a text has begun and not ended."""
        _, targets = self.program.edges(slot.state, slot.spent)
        return slot.spent > 0 and bool(
            (self.program.segment[targets] == self.program.segment[slot.state]).any()
        )

    def take(self, slot: Slot, token: int) -> None:
        slot.take(token, *self.program.step(slot.state, token, slot.spent), 0.0)

    def asked(self, slot: Slot, tokens: Sequence[int]) -> list[bool]:
        """Whether the decoder would take these of the ids that fit, as its choosers ask."""
        if not self.program.is_open[slot.state]:
            return [True] * len(tokens)
        states = [self.program.step(slot.state, token, slot.spent)[0] for token in tokens]
        return self.canonical.hold(
            [slot.segment_with(token, state) for token, state in zip(tokens, states, strict=True)]
        )

    def some(self, ids: NDArray[Any], n: int) -> list[int]:
        return ids[self.rng.choice(len(ids), min(n, len(ids)), replace=False)].tolist()

    def bytes_of(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.tokenizer.token_bytes[token] or b"" for token in ids)

    def text_of(self, ids: Sequence[int]) -> str | None:
        """None inside a character."""
        try:
            return self.bytes_of(ids).decode()
        except UnicodeDecodeError:
            return None

    def witnessed(self, prefix: list[int], tokens: Sequence[int]) -> list[bool]:
        """Whether the tokenizer's own ids of some row begin with the prefix and each of these."""
        begun = self.bytes_of(prefix)
        tried = [
            (place, row.decode())
            for place, token in enumerate(tokens)
            for row in self.completions.after(begun + self.bytes_of([token]))
        ]
        seen = [False] * len(tokens)
        encoded = self.tokenizer.encode_batch([text for _, text in tried])
        for (place, _), own in zip(tried, encoded, strict=True):
            seen[place] |= own[: len(prefix) + 1] == [*prefix, tokens[place]]
        return seen


@pytest.fixture
def make_case(
    vocabulary: Callable[[str], TextTokenizer], oracle: Callable[[str], Any], completions: Callable[..., Any]
) -> Callable[..., Case]:
    """make_case(vocabulary, codec, places, seed): a case with some of COLUMNS in random order."""

    def make(name: str, codec_name: str, places: Sequence[int], seed: int) -> Case:
        codec = codec_for(codec_name, Schema(tuple(COLUMNS[place] for place in places)))
        rng = np.random.default_rng(seed)
        order = tuple(rng.permutation(len(places)).tolist())
        return Case(
            vocabulary(name),
            codec,
            order,
            Grammar(codec, vocabulary(name)).program(order),
            oracle(name).allowed(grammar_of(codec, order)),
            completions(codec, order, rng),
            rng,
        )

    return make


def compare(case: Case, slot: Slot) -> None:
    """Checks what may follow one prefix."""
    prefix, fits = slot.row, case.fits(slot)
    only_theirs = np.zeros(len(case.tokenizer.token_bytes), dtype=np.bool_)
    only_theirs[case.theirs(prefix)] = True
    assert only_theirs[fits].all(), (case.bytes_of(prefix), fits[~only_theirs[fits]])
    only_theirs[fits] = False
    rest = np.flatnonzero(only_theirs).tolist()
    left_out = [token for token in rest if not np.isin(case.twins.get(token, []), fits).any()]
    assert not left_out or not case.is_inside(slot), (case.bytes_of(prefix), left_out)
    refuted = case.some(np.array(left_out, dtype=np.int64), 12)
    assert not any(case.witnessed(prefix, refuted)), (case.bytes_of(prefix), refuted)
    tokens = case.some(fits, 8)
    answers = zip(tokens, case.asked(slot, tokens), case.witnessed(prefix, tokens), strict=True)
    for token, is_taken, is_written in answers:
        assert is_taken or not is_written, (case.bytes_of(prefix), case.bytes_of([token]))
        case.found["written" if is_written else why_taken(case, slot, token) if is_taken else "refused"] += 1


def why_taken(case: Case, slot: Slot, token: int) -> str:
    """Why an id is taken that no row was found to be written with."""
    said = case.text_of([*slot.row, token])
    if said is None:
        return "inside a character"
    state, spent = case.program.step(slot.state, token, slot.spent)
    if case.program.is_open[slot.state]:
        # What has no letter or digit at its end is merged with the quote, and nothing else fits.
        assert not said[-1].isalnum() and spent == case.program.limits[state], said
        return "no end"
    after = case.slot()
    for each in [*slot.row, token]:
        case.take(after, each)
    while not case.program.is_open[after.state]:
        case.take(after, *case.some(case.fits(after), 1))
    nexts = [each for each in case.some(case.fits(after), 64) if case.text_of([*after.row, each]) is not None]
    assert nexts and not any(case.asked(after, nexts)), said
    return "asked about later"


def rows_of(case: Case) -> Iterator[list[int]]:
    """The tokenizer's own ids of rows that somebody might have written."""
    while True:
        row = []
        for column in case.codec.columns:
            if column.kind == "text":
                lengths = {word: len(json.dumps(word, ensure_ascii=False).encode()) - 2 for word in WRITTEN}
                words = [word for word in WRITTEN if column.min_bytes <= lengths[word] <= column.max_bytes]
                row.append(words[int(case.rng.integers(len(words)))])
            else:
                row.append("7" if column.kind == "integer" else "true")
        yield case.tokenizer.encode(case.codec.encode_row(tuple(row), case.order))


def check_walk(case: Case) -> Iterator[Slot]:
    """A row drawn by the decoder's own law over uniform chances, as long as it lasts; what ends is canonical."""
    slot = case.slot()
    while slot.state != case.program.end:
        yield slot
        tokens = case.some(case.fits(slot), 64)
        taken = [token for token, is_own in zip(tokens, case.asked(slot, tokens), strict=True) if is_own]
        if not taken:
            case.found["rows given up"] += 1
            return
        case.take(slot, taken[0])
    case.found["rows drawn"] += 1
    assert case.tokenizer.encode(case.bytes_of(slot.row).decode()) == slot.row


def check_written(case: Case, ids: list[int]) -> Iterator[Slot]:
    """A row that somebody might have written: every id of it would be taken."""
    slot = case.slot()
    for token in ids:
        yield slot
        assert token in case.fits(slot) and case.asked(slot, [token]) == [True], case.bytes_of(ids)
        case.take(slot, token)
    assert slot.state == case.program.end


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    ("codec_name", "row", "n_prefixes"),
    [("json", 1, 20), ("compact", 2, 20)]
    + [
        pytest.param(codec_name, row, 400, marks=pytest.mark.slow)
        for codec_name in ("compact", "json", "paper")
        for row in range(len(ROWS))
    ],
)
def test_free_text_allows_what_llguidance_allows_and_takes_what_the_tokenizer_would_write(
    make_case: Callable[..., Case], name: str, codec_name: str, row: int, n_prefixes: int
) -> None:
    case = make_case(name, codec_name, ROWS[row], seed=n_prefixes + row)
    written = rows_of(case)
    seen: set[tuple[int, ...]] = set()
    while len(seen) < n_prefixes:
        for slots in (check_walk(case), check_written(case, next(written))):
            for slot in slots:
                if tuple(slot.row) not in seen and len(seen) < n_prefixes:
                    seen.add(tuple(slot.row))
                    compare(case, slot)
    assert case.found["written"] > 0.8 * sum(case.found.values())

"""Allowed ids against llguidance, an independent engine that knows a row as one regular expression.

llguidance allows every id whose bytes can go on to some row; ours are those of them that the tokenizer itself would
write there. So in every state: ours == theirs, intersected with the canonical ids. An id is canonical after a prefix
if the tokenizer's own ids of some row begin with both. Where rows are few, all of them are encoded, which decides it.
Elsewhere each id of ours is followed to the end of a row, which must encode to the ids walked, and each id that is only
theirs is refuted: no row that goes on from it, its next bytes and endings tried in turn, encodes to ids that begin so.

Three differences in form are no differences: llguidance adds the end token where a row is complete; it allows ids that
no encoding ever gives (byte tokens that also exist as a character); and it is told not to force tokens, for what it
forces is its own tokenization of the forced bytes without those before them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harmonic.decode.grammar import segment_automaton
from harmonic.decode.program import RowProgram
from harmonic.decode.sampler import Grammar
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Schema

REAL = ("llama2", "llama3", "qwen2.5")
CODECS = ("compact", "json", "paper")

# Columns, each with a regular expression of its words that owes nothing to the automata.


def literal(text: str) -> str:
    """An expression of this text alone, in the syntaxes of Python, Rust and Lark alike."""
    return re.sub(r"[\\.+*?()|\[\]{}^$/]", r"\\\g<0>", text).replace("\n", "\\n")


@cache
def trie(words: tuple[str, ...]) -> str:
    """A regular expression of exactly these words, by common beginnings."""
    heads: dict[str, list[str]] = {}
    for word in words:
        heads.setdefault(word[:1], []).append(word[1:])
    parts = [literal(head) + trie(tuple(dict.fromkeys(tails))) for head, tails in heads.items() if head]
    body = parts[0] if len(parts) == 1 else f"({'|'.join(parts)})" if parts else ""
    return f"({body})?" if "" in heads and body else body


def days(first: date, last: date) -> str:
    return trie(tuple((first + timedelta(n)).isoformat() for n in range((last - first).days + 1)))


_LEAP = "(19(0[48]|[2468][048]|[13579][26])|20(00|0[48]|[2468][048]|[13579][26]))"
_CALENDAR = (
    f"({_LEAP}-02-29|(19|20)[0-9]{{2}}-(02-(0[1-9]|1[0-9]|2[0-8])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])))"
)
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_LEVELS = (
    "Sales", "no", "null", "Größe L", "New", "New York", 'a "b" \\c', "東京 🙂", " x ", "007", "3.5", '{"a": [1]}',
    "naïve – é", "\t\n", "", "Sal", "Alexandria-on-the-Hill, 2nd district",
)  # fmt: skip

Spoken = tuple[Column, str, str]
"""A column, its words, and its words behind the letter of their length."""


def spoken(name: str, kind: Any, word: str, sized: str = "", **facts: Any) -> Spoken:
    return Column(name, name, kind, "object", **facts), word, sized or word


def sized(*numbers: int) -> str:
    """These numbers behind the letter of their length."""
    return trie(tuple(f"{'abcdefghi'[len(str(abs(number))) - 1]}{number}" for number in numbers))


def longer(most: int, rest: str = "") -> str:
    """Whole numbers of two to `most` digits behind the letter of their length, then `rest`."""
    return "|".join(f"{'abcdefghi'[n]}[1-9][0-9]{{{n}}}{rest}" for n in range(1, most))


COLUMNS: dict[str, Spoken] = {
    one[0].label: one
    for one in (
        spoken("age", "integer", trie(tuple(map(str, range(17, 91)))), lower="17", upper="90"),
        spoken("delta", "integer", trie(tuple(map(str, range(-120, 1131)))), sized(*range(-120, 1131)),
               lower="-120", upper="1130", missing=0.1),
        spoken("pop", "integer", "(0|[1-9][0-9]{0,8})", f"(a[0-9]|{longer(9)})", lower="0", upper="999999999"),
        spoken("weight", "integer", trie(tuple(map(str, range(-1000, 20_001, 5)))), sized(*range(-1000, 20_001, 5)),
               lower="-1000", upper="20000",
               step="5"),
        spoken("salary", "integer", "(0|25|50|75|[1-9][0-9]{0,4}(00|25|50|75))",
               "(a0|b25|b50|b75|" + "|".join(f"{'cdefg'[n]}[1-9][0-9]{{{n}}}(00|25|50|75)" for n in range(5)) + ")",
               lower="0", upper="9999975",
               step="25"),
        spoken("temp", "decimal", r"(0|-?([1-9][0-9]{0,2}(\.[0-9]?[1-9])?|0\.[0-9]?[1-9]))",
               r"(a(0|-?([1-9](\.[0-9]?[1-9])?|0\.[0-9]?[1-9]))|(b-?[1-9][0-9]|c-?[1-9][0-9][0-9])(\.[0-9]?[1-9])?)",
               lower="-999.99",
               upper="999.99", decimals=2, missing=0.2),
        spoken("price €", "decimal", r"(0|[1-9][0-9]{0,3})(\.(25|5|75))?",
               rf"(a[0-9]|{longer(4)})(\.(25|5|75))?", lower="0", upper="9999.75", decimals=2,
               step="0.25"),
        spoken("born", "datetime", days(date(2010, 11, 5), date(2012, 12, 31)), lower="2010-11-05",
               upper="2012-12-31", resolution="day"),
        spoken("at", "datetime", f"{days(date(2020, 2, 27), date(2020, 3, 2))} {_CLOCK}:[0-5][0-9]",
               lower="2020-02-27 00:00:00", upper="2020-03-02 23:59:59", resolution="second", missing=0.1),
        spoken("seen", "datetime", rf"{_CALENDAR} {_CLOCK}:[0-5][0-9]\.[0-9]{{6}}",
               lower="1900-01-01 00:00:00.000000", upper="2099-12-31 23:59:59.999999", resolution="microsecond"),
        spoken("job", "categorical", "", levels=_LEVELS, missing=0.1),
        spoken("größe", "categorical", "", levels=("S", "M", "L", "XL", "XXL")),
        spoken("ok", "boolean", "", levels=("false", "true"), missing=0.5),
    )
}  # fmt: skip
ROWS: tuple[tuple[str, ...], ...] = (
    ("age", "job", "ok"),
    ("temp", "delta", "größe"),
    ("weight", "born", "price €"),
    ("job", "pop", "at"),
    ("seen", "ok", "salary"),
    ("price €", "job", "temp", "age"),
)


# A row as one regular expression.


def row_regex(codec: Codec, order: Sequence[int], words: Sequence[str]) -> str:
    parts = [literal(codec.row_open)]
    for place, index in enumerate(order):
        form = codec.form(index, place == len(order) - 1)
        choices = [trie(tuple(text for text, _ in form.literals))] if form.literals else []
        if form.language is not None:
            choices.append(f'"{words[index]}"' if form.quoted else words[index])
        parts += [literal(form.prefix), f"({'|'.join(choices)})", literal(form.suffix)]
    return "".join([*parts, literal(codec.row_close)])


# Both, side by side.


@dataclass
class Case:
    """One schema, codec and vocabulary."""

    tokenizer: TextTokenizer
    program: RowProgram
    theirs: Callable[[Sequence[int]], NDArray[np.int64]]
    completions: Any
    rng: np.random.Generator

    def ended(self, ids: Sequence[int]) -> tuple[list[int], list[set[int]]]:
        """A random row that begins with these ids, and what was allowed at each of its places."""
        state, path, sets = self.program.start, list(ids), list[set[int]]()
        at = 0
        while state != self.program.end:
            tokens, targets = self.program.edges(state)
            sets.append(set(tokens.tolist()))
            if at == len(path):
                path.append(int(tokens[int(self.rng.random() * len(tokens))]))
            state = int(targets[np.searchsorted(tokens, path[at])])
            at += 1
        return path, sets


@pytest.fixture
def make_case(
    vocabulary: Callable[[str], TextTokenizer], oracle: Callable[[str], Any], completions: Callable[..., Any]
) -> Callable[..., Case]:
    """make_case(vocabulary, codec, columns, seed): a case with its columns in random order."""

    def make(name: str, codec_name: str, columns: Sequence[Spoken], seed: int) -> Case:
        codec = codec_for(codec_name, Schema(tuple(column for column, *_ in columns)))
        rng = np.random.default_rng(seed)
        order = tuple(rng.permutation(len(columns)).tolist())
        regex = row_regex(
            codec, order, [long if codec_name == "compact" else word for _, word, long in columns]
        )
        return Case(
            vocabulary(name),
            Grammar(codec, vocabulary(name)).program(order),
            oracle(name).allowed(f"start: /{regex}/"),
            completions(codec, order, rng),
            rng,
        )

    return make


def compare(case: Case, prefix: list[int], ours: set[int]) -> int:
    """Checks one prefix; returns how many ids were refuted."""
    theirs = set(case.theirs(prefix).tolist())
    assert ours <= theirs, (case.tokenizer.decode(prefix), ours - theirs)
    followed = [case.ended([*prefix, token])[0] for token in sorted(ours)]
    texts = [case.tokenizer.decode(ids) for ids in followed]
    for ids, own in zip(followed, case.tokenizer.encode_batch(texts), strict=True):
        assert ids == own
    begun = b"".join(case.tokenizer.token_bytes[token] or b"" for token in prefix)
    only_theirs = sorted(theirs - ours)
    tried = [
        (token, row.decode())
        for token in only_theirs
        for row in case.completions.after(begun + (case.tokenizer.token_bytes[token] or b""))
    ]
    encoded = case.tokenizer.encode_batch([text for _, text in tried])
    for (token, text), own in zip(tried, encoded, strict=True):
        assert own[: len(prefix) + 1] != [*prefix, token], (text, token)
    return len(only_theirs)


def check_prefixes(case: Case, n_prefixes: int) -> None:
    """Distinct prefixes of random rows, until there are as many."""
    seen: set[tuple[int, ...]] = set()
    while len(seen) < n_prefixes:
        path, sets = case.ended([])
        for at, ours in enumerate(sets):
            prefix = path[:at]
            if tuple(prefix) not in seen and len(seen) < n_prefixes:
                seen.add(tuple(prefix))
                compare(case, prefix, ours)
        assert not len(case.theirs(path))


_FAST = [("compact", 2, 30), ("json", 1, 30), ("json", 3, 30), ("paper", 5, 30)]
_SLOW = [(codec_name, row, 300) for codec_name in ("compact", "json") for row in range(len(ROWS))]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    ("codec_name", "row", "n_prefixes"),
    [*_FAST, *(pytest.param(*one, marks=pytest.mark.slow) for one in _SLOW)],
)
def test_allowed_ids_are_those_of_llguidance_that_the_tokenizer_would_write(
    make_case: Callable[..., Case], name: str, codec_name: str, row: int, n_prefixes: int
) -> None:
    columns = [COLUMNS[label] for label in ROWS[row]]
    check_prefixes(make_case(name, codec_name, columns, seed=n_prefixes + row), n_prefixes)


# Where rows are few, all of them decide.

FEW: tuple[Spoken, ...] = (
    spoken("n", "integer", trie(tuple(map(str, range(95, 126, 5)))), sized(*range(95, 126, 5)),
           lower="95", upper="125", step="5", missing=0.1),
    spoken("job", "categorical", "", levels=("Sal", "Sales", " x", '"', "東京", "")),
    spoken("x", "decimal", trie(("-0.5", "0", "0.5", "1", "1.5")), lower="-0.5", upper="1.5", decimals=1, step="0.5"),
)  # fmt: skip


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("codec_name", CODECS)
def test_allowed_ids_are_exact_where_all_rows_can_be_encoded(
    make_case: Callable[..., Case], name: str, codec_name: str
) -> None:
    case = make_case(name, codec_name, FEW, seed=0)
    done = case.completions
    parts = [list(segment.words()) for segment in done.segments]
    rows = [b"".join([done.opening, *row, done.closing]).decode() for row in product(*parts)]
    assert len(rows) == 8 * 6 * 5
    canonical: dict[tuple[int, ...], set[int]] = {}
    for ids in case.tokenizer.encode_batch(rows):
        for at, token in enumerate(ids):
            canonical.setdefault(tuple(ids[:at]), set()).add(token)
    for prefix in case.rng.permutation(np.array([*canonical], dtype=object))[:60]:
        theirs = set(case.theirs(prefix).tolist())
        assert set(case.ended(prefix)[1][len(prefix)]) == canonical[prefix] == canonical[prefix] & theirs


def test_the_oracles_expressions_say_what_the_columns_say() -> None:
    rng = np.random.default_rng(0)
    for codec_name in CODECS:
        for label, (column, word, long) in COLUMNS.items():
            codec = codec_for(codec_name, Schema((column,)))
            word = long if codec_name == "compact" else word
            pattern = re.compile(row_regex(codec, [0], [word]))
            automaton = segment_automaton(codec.form(0, True), column)
            for text in (automaton.draw(rng).decode() for _ in range(50)):
                assert pattern.fullmatch(codec.row_open + text + codec.row_close), (label, json.dumps(text))

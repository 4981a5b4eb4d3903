from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from harmonic.decode.automaton import TokenAutomaton
from harmonic.decode.grammar import segment_automaton
from harmonic.decode.lift import Compiler, compile_segment, lift
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import SegmentForm
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Kind

REAL = ("llama2", "llama3", "qwen2.5")
TRAINED = ("merging", "threes", "from_the_right", "whole_words")


def column(kind: Kind, **facts: object) -> Column:
    return Column("x", "x", kind, "object", **facts)  # type: ignore[arg-type]


def paths(automaton: TokenAutomaton) -> Iterator[tuple[int, ...]]:
    waiting: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while waiting:
        state, ids = waiting.pop()
        if automaton.accepting[state]:
            yield ids
        for token, target in zip(*(part.tolist() for part in automaton.edges(state)), strict=True):
            waiting.append((target, (*ids, token)))


JSON = SegmentForm(' "x": ', (("null", None),), "integer", False, ",")
SMALL = {
    "integers": (JSON, column("integer", lower="-120", upper="1130")),
    "aliases": (
        SegmentForm(" B", (("?", None),), "integer", False, ""),
        column("integer", lower="9650", upper="10250"),
    ),
    "decimals": (
        SegmentForm(' "pay": ', (('"nan"', None),), "decimal", True, ","),
        column("decimal", lower="-3.21", upper="11.5", decimals=2),
    ),
    "sevens": (JSON, column("integer", lower="-140", upper="11200", step="7")),
    "quarters": (
        SegmentForm(" C", (("?", None),), "decimal", False, ""),
        column("decimal", lower="-1.5", upper="112.75", decimals=2, step="0.25"),
    ),
    "days": (
        SegmentForm(' "Größe": ', (), "datetime", True, ""),
        column("datetime", lower="2010-11-05", upper="2012-12-31", resolution="day"),
    ),
    "minutes": (
        SegmentForm(" C", (), "datetime", False, ""),
        column("datetime", lower="1999-12-31 19:30", upper="2000-01-01 08:17", resolution="minute"),
    ),
}


@pytest.mark.parametrize("name", REAL + TRAINED)
@pytest.mark.parametrize("segment", SMALL)
def test_a_lifted_language_is_exactly_what_the_tokenizer_writes(
    walker: Callable[[str], Compiler], name: str, segment: str
) -> None:
    form, one = SMALL[segment]
    tokenizer, automaton = walker(name).tokenizer, walker(name).segment(form, one)
    words = [word.decode() for word in segment_automaton(form, one).words()]
    found = list(paths(automaton))
    assert set(found) == set(map(tuple, tokenizer.encode_batch(words)))
    assert len(found) == len(words)
    assert automaton.exact
    assert automaton.longest == max(map(len, found))


LARGE = {
    "integers": (JSON, column("integer", lower="-57", upper="10123456789012345678901234")),
    "decimals": (
        SegmentForm(" A", (("?", None),), "decimal", False, ""),
        column("decimal", lower="-100.5", upper="99999.123456789", decimals=9),
    ),
    "moments": (
        SegmentForm(' "at": ', (("null", None),), "datetime", True, ","),
        column("datetime", lower="0001-01-01 00:00:00", upper="9999-12-31 23:59:59", resolution="second"),
    ),
}


@pytest.mark.parametrize("name", REAL + TRAINED)
@pytest.mark.parametrize("segment", LARGE)
def test_large_languages_agree_with_the_tokenizer_both_ways(
    vocabulary: Callable[[str], TextTokenizer], name: str, segment: str
) -> None:
    tokenizer = vocabulary(name)
    form, one = LARGE[segment]
    automaton = compile_segment(form, one, tokenizer)
    said = segment_automaton(form, one)
    rng = np.random.default_rng(3)
    for word in {said.draw(rng).decode() for _ in range(100)}:
        assert automaton.accepts(tokenizer.encode(word)), word
    for ids in (automaton.draw(rng) for _ in range(100)):
        text = tokenizer.decode(ids)
        assert said.accepts(text.encode())
        assert tokenizer.encode(text) == ids
        assert len(ids) <= automaton.longest


def test_every_state_is_reached_goes_upward_and_can_end(vocabulary: Callable[[str], TextTokenizer]) -> None:
    for form, one in [*SMALL.values(), *LARGE.values()]:
        automaton = compile_segment(form, one, vocabulary("llama3"))
        sources = np.repeat(np.arange(automaton.n_states), np.diff(automaton.indptr))
        assert (automaton.targets > sources).all()
        assert set(automaton.targets.tolist()) == set(range(1, automaton.n_states))
        assert ((np.diff(automaton.indptr) > 0) | automaton.accepting).all()
        for state in range(automaton.n_states):
            assert (np.diff(automaton.edges(state)[0]) > 0).all()


LEVELS = (
    "no",
    "null",
    "NaN",
    'a "quoted" \\ one',
    "Ünïcödé",
    "naïve – 東京 🙂",
    "  two  spaces ",
    "New",
    "New York",
    "",
)


@pytest.mark.parametrize("name", (*REAL, "merging"))
def test_levels_are_the_tokenizers_own_ids_and_nothing_else(
    vocabulary: Callable[[str], TextTokenizer], name: str
) -> None:
    tokenizer = vocabulary(name)
    literals = tuple((json.dumps(level, ensure_ascii=False), level) for level in LEVELS)
    form = SegmentForm(' "a b": ', literals, None, False, ",")
    automaton = compile_segment(form, column("categorical", levels=LEVELS), tokenizer)
    ids = tokenizer.encode_batch([f' "a b": {text},' for text, _ in literals])
    assert sorted(paths(automaton)) == sorted(map(tuple, ids))


def test_a_level_that_the_tokenizer_rewrites_is_an_error_that_names_it(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    backend = Tokenizer.from_str(vocabulary("merging").backend.to_str())
    backend.normalizer = normalizers.NFC()  # as in Qwen's vocabulary
    form = SegmentForm(' "x": ', (('"e\u0301"', "e\u0301"),), None, False, "")
    with pytest.raises(HarmonicError, match="Column 'x'.*NFC"):
        compile_segment(form, column("categorical"), TextTokenizer(backend, eos_id=2))


def test_a_tokenizer_without_the_digits_is_an_error_that_names_the_column() -> None:
    backend = Tokenizer(models.WordLevel({"\n": 0, " ": 1, "A": 2, "1": 3, "[UNK]": 4}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"."), "isolated")
    form = SegmentForm(" A", (), "integer", False, "")
    with pytest.raises(HarmonicError, match="Column 'x'"):
        compile_segment(form, column("integer", lower="0", upper="999999"), TextTokenizer(backend, eos_id=2))


def test_groups_of_digits_without_tokens_of_their_own_are_encoded_or_refused(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    # In "1300" the groups are 130 and 0; where 130 is two tokens, which one follows depends on more than the last.
    tokenizer = vocabulary("few_threes")
    form, one = SMALL["integers"]
    words = [word.decode() for word in segment_automaton(form, one).words()]
    assert set(paths(compile_segment(form, one, tokenizer))) == set(map(tuple, tokenizer.encode_batch(words)))
    with pytest.raises(HarmonicError, match="Column 'x'.*at most 50000 values"):
        compile_segment(form, column("integer", lower="0", upper="99999999"), tokenizer)


def test_a_segment_is_compiled_once(vocabulary: Callable[[str], TextTokenizer]) -> None:
    form, one = SMALL["integers"]
    first = compile_segment(form, one, vocabulary("llama3"))
    assert compile_segment(form, one, vocabulary("llama3")) is first
    assert compile_segment(form, column("integer", lower="0", upper="9"), vocabulary("llama3")) is not first
    assert compile_segment(form, replace(one, step="10"), vocabulary("llama3")) is not first


def test_any_byte_automaton_can_be_lifted(vocabulary: Callable[[str], TextTokenizer]) -> None:
    form, one = SMALL["days"]
    tokenizer = vocabulary("qwen2.5")
    said = segment_automaton(form, one)
    automaton = lift(said, tokenizer)
    assert sum(1 for _ in paths(automaton)) == said.n_words


# Free text.

NOTE = SegmentForm(' "note": ', (("null", None),), "text", True, ",")


@pytest.mark.parametrize("name", (*REAL, "whole_words"))
def test_free_text_holds_the_tokenizers_ids_and_only_good_texts(
    vocabulary: Callable[[str], TextTokenizer], name: str
) -> None:
    tokenizer = vocabulary(name)
    automaton = compile_segment(NOTE, column("text", max_bytes=24), tokenizer)
    said = segment_automaton(NOTE, column("text", max_bytes=24))
    assert not automaton.exact
    for text in (
        "",
        "plain words",
        'with "quotes" and \\',
        "tab\t, line\n, \x01",
        "Straße 東京 🙂",
        "x" * 24,
    ):
        word = f' "note": {json.dumps(text, ensure_ascii=False)},'
        assert automaton.accepts(tokenizer.encode(word)), word
    assert automaton.accepts(tokenizer.encode(' "note": null,'))
    assert not automaton.accepts(tokenizer.encode(f' "note": "{"x" * 25}",'))
    rng = np.random.default_rng(0)
    for ids in (automaton.draw(rng) for _ in range(200)):
        assert said.accepts(b"".join(tokenizer.token_bytes[token] or b"" for token in ids))


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("prefix", [' "note": ', " A"])
@pytest.mark.parametrize("min_bytes", [0, 1])
def test_a_text_may_begin_with_whatever_the_tokenizer_merges_with_the_quote_before_it(
    vocabulary: Callable[[str], TextTokenizer], name: str, prefix: str, min_bytes: int
) -> None:
    tokenizer = vocabulary(name)
    form = SegmentForm(prefix, (), "text", True, "")
    automaton = compile_segment(form, column("text", min_bytes=min_bytes, max_bytes=24), tokenizer)
    for first in (*map(chr, range(0x80)), "é", "…", "→", "東", "🙂"):
        for text in (first, first + "a", first + "/1", first * 3):
            if len(said := json.dumps(text, ensure_ascii=False)) <= 20:
                assert automaton.accepts(tokenizer.encode(prefix + said)), said


def test_a_missing_literal_among_texts_is_said_too(vocabulary: Callable[[str], TextTokenizer]) -> None:
    form = SegmentForm(' "note": ', (('"nan"', None),), "text", True, ",")
    tokenizer = vocabulary("merging")
    automaton = compile_segment(form, column("text", max_bytes=2), tokenizer)
    assert automaton.accepts(tokenizer.encode(' "note": "nan",'))
    assert not automaton.accepts(tokenizer.encode(' "note": "nans",'))


@pytest.mark.parametrize("name", ["llama2", "llama3", "qwen2.5"])
def test_text_that_is_never_empty_never_comes_out_empty(
    vocabulary: Callable[[str], TextTokenizer], name: str
) -> None:
    tokenizer = vocabulary(name)
    automaton = compile_segment(NOTE, column("text", min_bytes=1, max_bytes=3), tokenizer)
    assert not automaton.accepts(tokenizer.encode(' "note": "",'))
    assert automaton.accepts(tokenizer.encode(' "note": "a",'))
    rng = np.random.default_rng(0)
    said = segment_automaton(NOTE, column("text", min_bytes=1, max_bytes=3))
    assert all(said.accepts(tokenizer.decode(automaton.draw(rng)).encode()) for _ in range(200))


def test_the_size_of_free_text_does_not_grow_with_its_length(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    short, long = (
        compile_segment(NOTE, column("text", max_bytes=length), vocabulary("llama3"))
        for length in (200, 50_000)
    )
    assert short.n_states == long.n_states
    assert long.longest > 50_000
    assert sum(part.nbytes for part in (long.tokens, long.targets, long.costs, long.indptr)) < 2**22  # type: ignore[union-attr]


def test_a_text_spends_its_bytes_over_all_tokens(vocabulary: Callable[[str], TextTokenizer]) -> None:
    tokenizer = vocabulary("llama3")
    automaton = compile_segment(NOTE, column("text", max_bytes=7), tokenizer)
    for text, fits in (
        ("a b c d", True),
        ("a b c de", False),
        ("é é é", False),
        ("é é", True),
        ('""a"', True),
    ):
        assert (
            automaton.accepts(tokenizer.encode(f' "note": {json.dumps(text, ensure_ascii=False)},')) == fits
        )
    state, spent = automaton.walk(tokenizer.encode(' "note": "a b c d'))
    assert spent == 7
    assert all(b'"' in (tokenizer.token_bytes[token] or b"") for token in automaton.edges(state, spent)[0])


# An independent oracle.


def test_llguidance_allows_all_that_is_allowed_here_and_for_free_text_nothing_else(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    from llguidance import LLMatcher, LLTokenizer

    tokenizer = vocabulary("qwen2.5")
    end = tokenizer.special_tokens["<|endoftext|>"]
    oracle = LLTokenizer(tokenizer.backend.to_str(), eos_token=end, slices=[])

    def allowed(pattern: str, ids: list[int]) -> set[int]:
        matcher = LLMatcher(oracle, LLMatcher.grammar_from_regex(pattern))
        assert matcher.consume_tokens(ids), matcher.get_error()
        mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        return set(np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist())

    rng = np.random.default_rng(0)
    for segment, pattern in (
        ("integers", r' "x": (null|0|-?[1-9][0-9]*),'),
        ("decimals", r' "pay": "(nan|-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?)",'),
        ("days", r' "Größe": "20[0-9]{2}-[0-9]{2}-[0-9]{2}"'),
    ):
        automaton = compile_segment(*SMALL[segment], tokenizer)
        ids = automaton.draw(rng)
        for length in range(len(ids)):
            here = automaton.edges(*automaton.walk(ids[:length]))[0].tolist()
            assert set(here) <= allowed(pattern, ids[:length])
    automaton = compile_segment(NOTE, column("text", max_bytes=40), tokenizer)
    pattern = r' "note": (null|"([^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(0[0-7bef]|1[0-9a-f]))*"),'
    lengths = np.array([len(text or b"") for text in tokenizer.token_bytes])
    for text in ("", "So it", "Stra", "tab\\t"):
        ids = tokenizer.encode(f' "note": "{text}')
        here = set(automaton.edges(*automaton.walk(ids))[0].tolist())
        # Far from the bound both languages are one.
        there = {token for token in allowed(pattern, ids) if lengths[token] <= 20}
        assert {token for token in here if lengths[token] <= 20} == there

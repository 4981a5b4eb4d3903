from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from harmonic.decode.automaton import TokenAutomaton, TokenNodes, fixed
from harmonic.decode.grammar import segment_automaton
from harmonic.decode.lift import Compiler, compile_segment, lift
from harmonic.decode.program import RowProgram, chain
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import Codec, SegmentForm, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Kind, Schema

REAL = ("llama2", "llama3", "qwen2.5")
TRAINED = ("merging", "threes", "from_the_right", "whole_words")

_LETTERS = r" ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PATTERNS = {
    "merging": r" ?\p{N}+|" + _LETTERS,  # as GPT-2: which digits merge depends on the digits
    "threes": r"\p{N}{1,3}|" + _LETTERS,
    "from_the_right": r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))|" + _LETTERS,
    "whole_words": r" ?\S+|\s",  # digits merge with quotes and points
}


def train(pattern: str, size: int = 700) -> Tokenizer:
    """A byte-level vocabulary of rows with numbers, split by a pattern; a large one has all threes of digits."""
    rng = random.Random(0)
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    rows = [
        f'{{ "age": {rng.randint(0, 99)}, "pay": "{rng.lognormvariate(7, 2):.1f}", "x": {rng.gauss(0, 30):.2f}, '
        f'"d": "{rng.randint(1990, 2020)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}" }}\n'
        f" A{rng.randint(0, 9999)}\n"
        for _ in range(2000)
    ]
    if size > 1500:
        rows += [
            " ".join(f"{number:0{width}}" for number in range(10**width))
            for width in (2, 3)
            for _ in range(40)
        ]
    tokenizer.train_from_iterator(rows, trainer)
    return tokenizer


@pytest.fixture(scope="session")
def vocabulary(real_tokenizer: Callable[[str], Tokenizer]) -> Callable[[str], TextTokenizer]:
    """vocabulary("llama3" or "merging"): a tokenizer that is read or trained once."""
    known: dict[str, TextTokenizer] = {}

    def load(name: str) -> TextTokenizer:
        if name not in known:
            size = 1800 if name in ("threes", "from_the_right") else 700
            backend = real_tokenizer(name) if name in REAL else train(_PATTERNS[name], size)
            known[name] = TextTokenizer(backend, eos_id=2)
        return known[name]

    return load


@pytest.fixture(scope="session")
def walker(vocabulary: Callable[[str], TextTokenizer]) -> Callable[[str], Compiler]:
    """walker("llama3"): a compiler that never encodes all words of a language: its walks are under test."""

    class Walker(Compiler):
        enumerated = 0
        rescued = 0

    @cache
    def make(name: str) -> Compiler:
        return Walker(vocabulary(name))

    return make


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


def test_a_level_that_the_tokenizer_rewrites_is_an_error_that_names_it() -> None:
    backend = train(_PATTERNS["merging"])
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


def test_groups_of_digits_without_tokens_of_their_own_are_encoded_or_refused() -> None:
    # In "1300" the groups are 130 and 0; where 130 is two tokens, which one follows depends on more than the last.
    tokenizer = TextTokenizer(train(_PATTERNS["threes"], 400), eos_id=2)
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


def test_a_missing_literal_among_texts_is_said_too(vocabulary: Callable[[str], TextTokenizer]) -> None:
    form = SegmentForm(' "note": ', (('"nan"', None),), "text", True, ",")
    tokenizer = vocabulary("merging")
    automaton = compile_segment(form, column("text", max_bytes=2), tokenizer)
    assert automaton.accepts(tokenizer.encode(' "note": "nan",'))
    assert not automaton.accepts(tokenizer.encode(' "note": "nam",'))


def test_a_text_too_long_for_the_vocabulary_is_an_error_that_names_the_column(
    vocabulary: Callable[[str], TextTokenizer],
) -> None:
    with pytest.raises(HarmonicError, match="Column 'x': text of up to 5000 bytes"):
        compile_segment(NOTE, column("text", max_bytes=5000), vocabulary("llama3"))


# Rows.

SCHEMA = Schema(
    (
        Column("age", "age", "integer", "int64", lower="17", upper="1090"),
        Column(
            "pay", "pay", "decimal", "float64", lower="-9999.5", upper="1234567.25", decimals=2, missing=0.1
        ),
        Column("job", "job", "categorical", "str", levels=("Sales", "no", "null", "Größe L"), missing=0.1),
        Column("ok", "ok", "boolean", "bool", levels=("false", "true")),
        Column(
            "day",
            "day",
            "datetime",
            "datetime64[s]",
            lower="1999-01-01",
            upper="2012-12-31",
            resolution="day",
        ),
    ),
    target="ok",
)


def program_of(codec: Codec, order: tuple[int, ...], tokenizer: TextTokenizer) -> RowProgram:
    segments = [
        compile_segment(codec.form(index, place == len(order) - 1), codec.columns[index], tokenizer)
        for place, index in enumerate(order)
    ]
    opening = tokenizer.encode(codec.row_open) if codec.row_open else []
    return chain(segments, close=tokenizer.encode_ending(codec.row_close), open=opening)


def draw_row(program: RowProgram, rng: np.random.Generator) -> list[int]:
    """Choices by chance, forced runs appended, as an engine does it."""
    ids, state = program.forced_run(program.start)
    while state != program.end:
        tokens, targets = program.edges(state)
        pick = int(rng.integers(len(tokens)))
        run, end = program.forced_run(int(targets[pick]))
        ids, state = [*ids, int(tokens[pick]), *run], end
    return ids


@pytest.mark.parametrize("name", REAL + TRAINED)
@pytest.mark.parametrize("codec_name", ["compact", "json", "paper"])
def test_a_drawn_row_is_a_row_and_encodes_to_the_ids_drawn(
    vocabulary: Callable[[str], TextTokenizer], name: str, codec_name: str
) -> None:
    tokenizer = vocabulary(name)
    codec = codec_for(codec_name, SCHEMA)
    rng = np.random.default_rng(0)
    for order in ((0, 1, 2, 3, 4), (3, 4, 1, 0, 2)):
        program = program_of(codec, order, tokenizer)
        for _ in range(40):
            ids = draw_row(program, rng)
            text = tokenizer.decode(ids)
            row = codec.parse_row(text, order)
            assert type(row) is tuple, (text, row)
            assert codec.encode_row(row, order) == text
            assert tokenizer.encode(text) == ids
            assert len(ids) <= program.longest


def test_forced_tokens_are_those_without_a_choice(vocabulary: Callable[[str], TextTokenizer]) -> None:
    program = program_of(codec_for("json", SCHEMA), (0, 1, 2, 3, 4), vocabulary("llama3"))
    for state in range(program.n_states):
        tokens, targets = program.edges(state)
        assert (len(tokens) == 0) == (state == program.end)
        assert program.forced[state] == (tokens[0] if len(tokens) == 1 else -1)
        run, end = program.forced_run(state)
        at = state
        for token in run:
            assert program.forced[at] == token
            at = program.step(at, token)
        assert at == end
        assert program.forced[end] == -1
        assert (program.segment[targets] >= program.segment[state]).all()
    assert set(program.targets.tolist()) == set(range(1, program.n_states))
    assert program.segment[program.start] == -1
    assert program.segment[program.end] == 5


def test_a_given_cell_is_a_segment_of_one_path(vocabulary: Callable[[str], TextTokenizer]) -> None:
    tokenizer = vocabulary("llama3")
    codec = codec_for("compact", SCHEMA)
    age = compile_segment(codec.form(0, False), codec.columns[0], tokenizer)
    program = chain([fixed(tokenizer.encode(" Ca")), age], close=tokenizer.encode_ending(codec.row_close))
    for seed in range(20):
        text = tokenizer.decode(draw_row(program, np.random.default_rng(seed)))
        assert re.fullmatch(r" Ca A\d+ \n", text)


def test_a_value_that_may_go_on_as_the_next_column_begins_is_an_error() -> None:
    nodes = TokenNodes()
    open_end = nodes.automaton(nodes.add_words([[5], [5, 7]]))
    with pytest.raises(HarmonicError, match="column 'town'.*column 'pay'"):
        chain([open_end, fixed([7, 8])], close=[1], names=["town", "pay"])
    assert chain([open_end, fixed([8])], close=[1]).longest == 4


def test_a_row_must_close() -> None:
    with pytest.raises(HarmonicError, match="at least one token"):
        chain([fixed([3])], close=[])


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
            here = automaton.edges(automaton.walk(ids[:length]))[0].tolist()
            assert set(here) <= allowed(pattern, ids[:length])
    automaton = compile_segment(NOTE, column("text", max_bytes=40), tokenizer)
    pattern = r' "note": (null|"([^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(0[0-7bef]|1[0-9a-f]))*"),'
    lengths = np.array([len(text or b"") for text in tokenizer.token_bytes])
    for text in ("", "So it", "Stra", "tab\\t"):
        ids = tokenizer.encode(f' "note": "{text}')
        here = set(automaton.edges(automaton.walk(ids))[0].tolist())
        # Far from the bound both languages are one.
        there = {token for token in allowed(pattern, ids) if lengths[token] <= 20}
        assert {token for token in here if lengths[token] <= 20} == there

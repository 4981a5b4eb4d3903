"""What the measurements stand on: peers are held to the very language that our decoder imposes."""

from __future__ import annotations

import itertools
import random
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.decode.bytes_automaton import ByteAutomaton, literal_automaton, union
from harmonic.decode.grammar import segment_automaton
from harmonic.decode.sampler import Grammar
from harmonic.errors import HarmonicError
from harmonic.model.load import load_model
from harmonic.prompt.rows import Reject, SegmentForm, codec_for
from harmonic.table.schema import Column, Kind, Schema

ALPHABET = ' a-]^["\\\n0é߿ࠀ€￿😀'
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[\w]+|[|()])')


@pytest.fixture(scope="module")
def ebnf(measurement: Callable[[str], ModuleType]) -> ModuleType:
    return measurement("ebnf")


def pattern(rules: str, start: str) -> re.Pattern[str]:
    """The same language as a regular expression of Python: every rule is written in place of its name."""
    bodies = dict(rule.split(" ::= ", 1) for rule in rules.strip().split("\n"))

    def expanded(name: str) -> str:
        return "(?:" + "".join(piece(token) for token in _TOKEN.findall(bodies[name])) + ")"

    def piece(token: str) -> str:
        if token in bodies:
            return expanded(token)
        if not token.startswith('"'):
            return "(?:" if token == "(" else token
        return re.escape(re.sub(r"\\(u.{4}|U.{8}|.)", unescaped, token[1:-1]))

    return re.compile(expanded(start))


def unescaped(match: re.Match[str]) -> str:
    what = match.group(1)
    return chr(int(what[1:], 16)) if len(what) > 1 else what


def reader(rules: str, start: str) -> Callable[[str], bool]:
    """Whether xgrammar reads a text as one of a grammar; without xgrammar the test is skipped with a word."""
    xgrammar = pytest.importorskip("xgrammar", reason="the extra 'bench' is not installed")
    info = xgrammar.TokenizerInfo(["<end>"], xgrammar.VocabType.RAW, stop_token_ids=[0])
    grammar = xgrammar.Grammar.from_ebnf(rules, root_rule_name=start)
    compiled = xgrammar.GrammarCompiler(info, max_threads=1).compile_grammar(grammar)

    def reads(text: str) -> bool:
        matcher = xgrammar.GrammarMatcher(compiled)
        return bool((not text or matcher.accept_string(text)) and matcher.is_completed())

    return reads


def column(kind: Kind, **facts: object) -> Column:
    return Column("x", "x", kind, "object", **facts)  # type: ignore[arg-type]


def text_automaton(max_bytes: int) -> ByteAutomaton:
    return segment_automaton(SegmentForm(" A", (), "text", True, ","), column("text", max_bytes=max_bytes))


def damaged(text: str, rng: random.Random) -> str:
    """The text with one character more, less or other."""
    at, how = rng.randrange(len(text) + 1), rng.randrange(3)
    return text[:at] + (rng.choice(ALPHABET) if how else "") + text[at + (how != 1) :]


@given(st.sets(st.text(ALPHABET, min_size=1, max_size=6), min_size=1, max_size=30), st.integers(0, 99))
def test_rules_derive_the_words_of_an_automaton_and_no_others(
    ebnf: ModuleType, words: set[str], seed: int
) -> None:
    automaton = literal_automaton(word.encode() for word in words)
    derived = pattern("\n".join(ebnf.automaton_rules(automaton, "x")), "x")
    rng = random.Random(seed)
    tried = words | {damaged(word, rng) for word in sorted(words) for _ in range(20)} | {""}
    assert {text for text in tried if derived.fullmatch(text)} == words


@pytest.mark.parametrize(
    "automaton",
    [
        segment_automaton(
            SegmentForm("", (), "integer", False, ""), column("integer", lower="-13", upper="207")
        ),
        segment_automaton(
            SegmentForm("", (("0a", None),), "decimal", False, ""),
            column("decimal", lower="-1.3", upper="20.07", decimals=2),
        ),
        union(literal_automaton([b"1", b"12", b"-"]), literal_automaton([b"12.5", b"2"])),
    ],
)
def test_every_short_text_is_derived_just_where_the_automaton_accepts_it(
    automaton: ByteAutomaton, ebnf: ModuleType
) -> None:
    rules = "\n".join(ebnf.automaton_rules(automaton, "x"))
    derived = pattern(rules, "x")
    texts = ["".join(text) for n in range(5) for text in itertools.product("-.0127a", repeat=n)]
    accepted = {text for text in texts if automaton.accepts(text.encode())}
    assert accepted == {text for text in texts if derived.fullmatch(text)}
    reads = reader(rules, "x")
    assert accepted == {text for text in texts if reads(text)}


@pytest.mark.parametrize("seed", range(3))
def test_xgrammar_reads_free_text_as_our_automaton_does(seed: int, ebnf: ModuleType) -> None:
    automaton = text_automaton(9)
    reads = reader("\n".join(ebnf.automaton_rules(automaton, "x")), "x")
    rng, random_words = random.Random(seed), np.random.default_rng(seed)
    for _ in range(200):
        word = automaton.draw(random_words).decode()
        other = damaged(word, rng)
        assert reads(word)
        assert reads(other) == automaton.accepts(other.encode())


def test_bytes_that_are_no_text_are_refused(ebnf: ModuleType) -> None:
    for word in (b"\xff", b"\xc3a", b"\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        with pytest.raises(HarmonicError, match="expected words in UTF-8"):
            ebnf.automaton_rules(literal_automaton([word]), "x")


@pytest.mark.parametrize("codec_name", ["compact", "json", "paper"])
def test_a_table_s_grammar_reads_its_rows_and_that_many_of_them(codec_name: str, ebnf: ModuleType) -> None:
    columns = (
        column("integer", lower="-5", upper="120", missing=0.1),
        Column("y]", 'y"]', "categorical", "str", levels=("a b", '"q"', "é")),
        Column("z", "z", "text", "str", max_bytes=20),
    )
    codec, order = codec_for(codec_name, Schema(columns)), (2, 0, 1)
    reads = reader(ebnf.table_grammar(codec, order, 2), "root")
    rows = [codec.encode_row(row, order) for row in [("-5", "é", 'say "😀"\n'), (None, '"q"', "")]]
    assert reads("".join(rows))
    assert not any(
        reads(text)
        for text in (rows[0], "".join(rows * 2), rows[0] + codec.encode_row(("7", "é", ""), (0, 1, 2)))
    )


@pytest.mark.parametrize("codec_name", ["compact", "json"])
def test_the_judge_takes_the_rows_that_a_codec_writes_and_no_others(
    codec_name: str, measurement: Callable[[str], ModuleType]
) -> None:
    judge, schemas = measurement("judge"), measurement("schemas")
    rng, random_words = random.Random(0), np.random.default_rng(0)
    taken = 0
    for seed in (2, 3, 12):
        schema, order = schemas.fuzzed(seed, with_text=True)
        codec = codec_for(codec_name, schema)
        last = len(order) - 1
        segments = [
            segment_automaton(codec.form(i, at == last), codec.columns[i]) for at, i in enumerate(order)
        ]
        for _ in range(12):
            said = "".join(segment.draw(random_words).decode() for segment in segments)
            text = codec.row_open + said + codec.row_close
            for tried in (text, *(damaged(text, rng) for _ in range(16))):
                row = codec.parse_row(tried, order)
                is_row = not isinstance(row, Reject) and codec.encode_row(row, order) == tried
                taken += is_row
                try:
                    assert judge.judge(tried, codec_name, codec.columns, order) == row and is_row, tried
                except judge.Refused:
                    assert not is_row, tried
    assert 3 * 12 < taken < 3 * 12 * 17


@pytest.fixture(scope="module")
def course(measurement: Callable[[str], ModuleType]) -> Any:
    """Nano on a table of two columns, three contexts that show one to three rows."""
    columns = (
        column("integer", lower="0", upper="50"),
        Column("y", "y", "categorical", "str", levels=("u", "v")),
    )
    base = load_model("nano", device="cpu")
    grammar = Grammar(codec_for("compact", Schema(columns)), base.tokenizer)
    shown = [[("7", "u")], [("50", "v"), ("0", "u")], [("31", "v")] * 3]
    return measurement("peers").Course(base.model, grammar, shown, (1, 0), base.context_length)


def test_generate_under_xgrammar_gives_as_many_valid_rows_as_were_asked_for(
    course: Any, measurement: Callable[[str], ModuleType]
) -> None:
    pytest.importorskip("xgrammar", reason="the extra 'bench' is not installed")
    peers = measurement("peers")
    processor, _ = peers.xgrammar_processor(course, 2)
    for shares_header in (False, True):
        drawn = peers.generate(
            course, n_contexts=3, n_rows=2, batch=2, processor=processor, shares_header=shares_header
        )
        assert (drawn.rows, drawn.valid) == (6, 6)
        assert drawn.prompt_tokens == sum(map(len, course.prompts(3, 2)))


def test_a_header_read_once_changes_no_token(
    course: Any, measurement: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, model = measurement("peers"), course.model
    prompts = course.prompts(3, 2)
    header = peers._common_length(prompts)
    monkeypatch.setattr(model, "generate", partial(_greedy, model.generate))
    assert 0 < header < min(map(len, prompts)) < max(map(len, prompts))
    assert peers._call(course, prompts, 2, header, [], None) == peers._call(course, prompts, 2, 0, [], None)


def _greedy(generate: Callable[..., Any], **settings: Any) -> Any:
    for name in ("temperature", "top_k", "top_p"):
        del settings[name]
    return generate(**{**settings, "do_sample": False})


def test_rows_that_do_not_parse_are_thrown_away(
    course: Any, measurement: Callable[[str], ModuleType]
) -> None:
    peers = measurement("peers")
    texts = {
        " Bb Ab12 \n Ba Ab50 \n": 2,
        " Bb Ab12 \n Ba Ab51 \n": 1,
        " Bb Ab12 \n Ba Ab5": 1,
        " Ba\n": 0,
        "": 0,
    }
    for text, n_valid in texts.items():
        assert peers._n_valid(course, course.tokenizer.encode(text), 2) == n_valid
    drawn = peers.generate(course, n_contexts=3, n_rows=2, batch=3)
    assert drawn.rows == 6 >= drawn.valid


def test_parts_of_the_measurement_are_chosen_by_name(measurement: Callable[[str], ModuleType]) -> None:
    decode = measurement("decode")
    everything = decode._names([])
    assert everything["methods"] == list(decode.METHODS) and everything["batches"] == []
    some = decode._names(["256", "nano", "ours"])
    assert (some["models"], some["batches"], some["methods"]) == (["nano"], ["256"], ["ours"])
    assert some["tables"] == everything["tables"]
    with pytest.raises(HarmonicError, match="'nono': there is no such part"):
        decode._names(["nono"])


def test_the_picture_holds_a_panel_for_each_model_table_and_batch(
    measurement: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    figures = [
        {
            "model": "nano",
            "table": table,
            "batch": 32,
            "rows_a_context": n,
            "method": method,
            "rows_per_second": 3.0,
        }
        for table in ("insurance", "text", "adult")
        for n in (4, 1)
        for method in ("ours", "xgrammar")
    ]
    picture = measurement("decode_picture")
    picture.draw_picture(figures, tmp_path / "decode.png")
    assert (tmp_path / "decode.png").read_bytes().startswith(b"\x89PNG")
    picture.draw_picture([], tmp_path / "nothing.png")
    assert not (tmp_path / "nothing.png").exists()


def test_throughput_says_what_it_measured_and_what_it_could_not(
    measurement: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU: a tiny model, the same steps with and without a constraint; a reader that fails costs no other one."""
    throughput = measurement("throughput")
    arguments = Namespace(only=["tiny", "1", "32", "varlen"], seconds=0.1, data_dir=tmp_path)
    refused = [row["not_measured"] for row in throughput.measure(arguments)]
    assert refused == ["it is not on a CUDA device"] * 2

    def packed(model: Any, slots: int) -> Any:
        return throughput.VarlenReader(model, slots, 4096, attention=lambda query, *_: query)

    def failing(model: Any, slots: int) -> Any:
        raise RuntimeError("CUDA error: capture was refused\nand so on")

    monkeypatch.setattr(throughput, "obstacle", lambda model: None)
    monkeypatch.setitem(throughput.READERS, "varlen", packed)
    monkeypatch.setitem(throughput.READERS, "varlen-eager", failing)
    arguments.only = ["tiny", "32", *throughput.READERS]
    figures = list(throughput.measure(arguments))
    assert [row["failed"] for row in figures if "failed" in row] == ["CUDA error: capture was refused"]
    measured = [row for row in figures if "failed" not in row]
    assert [row["reader"] for row in measured] == ["varlen", "sdpa"]
    for row in measured:
        assert row["occupied"] == row["batch"] <= row["tokens_per_step"]
        assert row["tokens_per_second"] == pytest.approx(1000 * row["tokens_per_step"] / row["step_ms"])
        assert row["constraint_cost"] > -1
        assert row["limit"] is row["share_of_limit"] is None, "a CPU's limit is not known"
    with pytest.raises(HarmonicError, match="'nono': there is no such part"):
        throughput._names(["nono"])


def test_the_shapes_of_throughput_are_of_the_size_they_are_named_after(
    measurement: Callable[[str], ModuleType],
) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        sizes = {
            name: sum(weights.numel() for weights in LlamaForCausalLM(LlamaConfig(**shape)).parameters())
            for name, shape in measurement("throughput").SHAPES.items()
        }
    assert (sizes["1b"], sizes["8b"]) == (1_235_814_400, 8_030_261_248)


@given(rows=st.lists(st.integers(0, 5), max_size=30), taken=st.lists(st.integers(0, 7), max_size=30))
def test_training_rows_leave_a_table_one_for_one(
    measurement: Callable[[str], ModuleType], rows: list[int], taken: list[int]
) -> None:
    is_left = measurement("rest").beyond(np.array(rows, np.uint64), np.array(taken, np.uint64))
    assert is_left.shape == (len(rows),)
    assert Counter(itertools.compress(rows, is_left)) == Counter(rows) - Counter(taken)

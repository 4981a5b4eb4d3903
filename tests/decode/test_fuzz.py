"""Schemas that nobody would think of, under real vocabularies: every walk through a row's program is a row.

A walk takes any allowed id with equal chance, as a model of random weights would: so whatever a model does, its row
ends, is valid, and is what the tokenizer itself would have written. Schemas are drawn from seeds: 1 to 100 columns of
every kind, levels in many scripts, numbers of any size, grid and sign, dates at every resolution.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from harmonic.decode.program import RowProgram
from harmonic.decode.sampler import Grammar
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import from_rows, validate
from harmonic.table.schema import Column, Row, Schema

REAL = ("llama2", "llama3", "qwen2.5")
CODECS = ("compact", "json", "paper")
WIDTHS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 100)

SCRIPTS = (
    "abc DEF xyz", "0123456789", "éüñßøÅłžğ", "русский текст", "ελληνικά", "東京都渋谷区", "한국어", "العربية",
    "हिन्दी", "ไทย", "🙂🚀🇩🇪👩‍🔬❤️", "\"'`\\/|{}[]<>#$%&", ".,:;!?-_=+*~^", " \t\n\x07\x1b", "  ", "①½²∞≤",
)  # fmt: skip
TRICKY = (
    "", " ", "  two  spaces  ", " leading", "trailing ", "\n", "no", "null", "NaN", "nan", "?", "true", "007", "1e5",
    "-0", "3.14", "12,5", "1/2", '{"a": [1, 2]}', '"', '\\"', "\\", "\\u0041", " }\n", ' "x": 1,', "</s>", "<s>",
    "<|endoftext|>", "<|eot_id|>", "<|im_start|>user", "<unk>", "<0x41>", "New", "New York", "new", "\u00a0", "🙂",
    "👨‍👩‍👧‍👦", "東京 (Tokyo)", "ﬁ", "=cmd()", "a" * 300, "ab " * 400, "9" * 200, "漢字" * 100,
)  # fmt: skip
RESOLUTIONS = {
    "day": timedelta(days=1), "minute": timedelta(minutes=1), "second": timedelta(seconds=1),
    "millisecond": timedelta(milliseconds=1), "microsecond": timedelta(microseconds=1),
}  # fmt: skip


# Schemas from seeds.


@dataclass
class Fuzz:
    """Draws columns of every kind; `draw` decides everything."""

    draw: random.Random

    def schema(self, n_columns: int) -> Schema:
        kinds = [self.integer, self.decimal, self.levels, self.levels, self.moments, self.truths]
        columns = [self.draw.choice(kinds)(self.label(0))]
        while len(columns) < n_columns:
            columns.append(self.draw.choice([*kinds, self.constant])(self.label(len(columns))))
        return Schema(tuple(columns))

    def label(self, number: int) -> str:
        """Printable and on one line, as inference makes them; unique by its number."""
        text = "".join(self.word().split("\n"))
        kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
        return " ".join(f"{' '.join(kept.split())[:40]} {number}".split())

    def column(self, label: str, kind: str, dtype: str, **facts: Any) -> Column:
        missing = self.draw.choice([0.0, 0.0, 0.25]) if kind != "constant" else 0.0
        return Column(label, label, kind, dtype, missing, **facts)  # type: ignore[arg-type]

    def integer(self, label: str) -> Column:
        size = 10 ** self.draw.choice([0, 1, 2, 3, 4, 6, 9, 15, 30])
        low, high = sorted(self.draw.randint(-size, size * self.draw.choice([0, 1, 9])) for _ in range(2))
        step = self.step(high - low)
        low, high = low // step * step, high // step * step
        return self.column(
            label, "integer", "object", element="int", lower=str(low), upper=str(high),
            step=str(step) if step > 1 else "",
        )  # fmt: skip

    def decimal(self, label: str) -> Column:
        places = self.draw.choice([1, 1, 2, 3, 4, 8, 15])
        size = 10 ** (places + self.draw.choice([-1, 0, 1, 3, 6, 12]))
        low, high = sorted(self.draw.randint(-size * self.draw.randint(0, 1), 9 * size) for _ in range(2))
        step = self.step(high - low)
        low, high = low // step * step, high // step * step
        lower, upper, grid = (plain(units, places) for units in (low, high, step))
        return self.column(
            label, "decimal", "object", element="Decimal", lower=lower, upper=upper, decimals=places,
            step=grid if step > 1 else "",
        )  # fmt: skip

    def step(self, room: int) -> int:
        return self.draw.choice(
            [step for step in (1, 1, 1, 2, 5, 7, 25, 100, 60, 127, 86_400) if step <= room + 1]
        )

    def levels(self, label: str) -> Column:
        n_levels = self.draw.choice([1, 2, 3, 5, 9, 30, 200])
        levels = dict.fromkeys(self.word() for _ in range(n_levels))
        levels.pop("nan", None)  # the paper codec has no level of this name beside missing cells
        dtype = self.draw.choice(["str", "category"])
        more = {"category_dtype": "str"} if dtype == "category" else {}
        return self.column(label, "categorical", dtype, levels=tuple(levels) or ("x",), **more)

    def word(self) -> str:
        """NFC, for Qwen's vocabulary rewrites other texts, which is an error of its own."""
        if self.draw.random() < 0.3:
            return self.draw.choice(TRICKY)
        scripts = [self.draw.choice(SCRIPTS) for _ in range(self.draw.randint(1, 3))]
        letters = [self.draw.choice(self.draw.choice(scripts)) for _ in range(self.draw.randint(1, 14))]
        return unicodedata.normalize("NFC", "".join(letters))

    def moments(self, label: str) -> Column:
        resolution = self.draw.choice(list(RESOLUTIONS))
        first, last = datetime.min, datetime.max
        if self.draw.random() < 0.7:
            unit = RESOLUTIONS[resolution] * 10 ** self.draw.randint(0, 5)
            first = datetime(
                1900 + self.draw.randint(0, 150), self.draw.randint(1, 12), self.draw.randint(1, 28)
            )
            last = first + unit * self.draw.randint(0, 9)
        form = "microseconds" if resolution.endswith("second") else "minutes"
        form = {"second": "seconds", "millisecond": "milliseconds"}.get(resolution, form)
        lower, upper = (
            (m.date().isoformat() if resolution == "day" else m.isoformat(" ", form)) for m in (first, last)
        )
        return self.column(
            label, "datetime", "datetime64[us]", lower=lower, upper=upper, resolution=resolution
        )

    def truths(self, label: str) -> Column:
        levels = self.draw.choice([("false", "true"), ("false", "true"), ("true",)])
        return self.column(label, "boolean", "boolean", levels=levels)

    def constant(self, label: str) -> Column:
        return self.column(label, "constant", "str", levels=(self.word(),))


def plain(units: int, places: int) -> str:
    text = format(Decimal(units).scaleb(-places), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def fuzzed(seed: int) -> tuple[Schema, tuple[int, ...]]:
    """A schema and an order of its modelled columns."""
    draw = random.Random(seed)
    schema = Fuzz(draw).schema(WIDTHS[seed % len(WIDTHS)])
    order = list(range(len(schema.modelled)))
    draw.shuffle(order)
    return schema, tuple(order)


# Walks.


def walk(program: RowProgram, rng: np.random.Generator) -> list[int]:
    """Any allowed id with equal chance; refuses to go on for longer than a row may be."""
    ids: list[int] = []
    state, spent = program.start, 0
    while state != program.end:
        assert len(ids) < program.longest, "endless"
        tokens, _ = program.edges(state, spent)
        ids.append(int(tokens[int(rng.random() * len(tokens))]))
        state, spent = program.step(state, ids[-1], spent)
    return ids


def check_walks(
    schema: Schema, order: tuple[int, ...], codec_name: str, tokenizer: TextTokenizer, n_rows: int
) -> None:
    codec = codec_for(codec_name, schema)
    program = Grammar(codec, tokenizer).program(order)
    rng = np.random.default_rng(0)
    drawn = [walk(program, rng) for _ in range(n_rows)]
    texts = [tokenizer.decode(ids) for ids in drawn]
    rows = list(parsed(codec, texts, order))
    assert validate(from_rows(rows, schema), schema) == []
    if program.exact:
        for ids, own, text in zip(drawn, tokenizer.encode_batch(texts), texts, strict=True):
            assert ids == own, text


def parsed(codec: Codec, texts: list[str], order: tuple[int, ...]) -> Iterator[Row]:
    for text in texts:
        row = codec.parse_row(text, order)
        assert type(row) is tuple, (row, text)
        assert codec.encode_row(row, order) == text
        yield row


def test_fuzzed_schemas_hold_every_kind_and_resolution() -> None:
    columns = [column for seed in range(36) for column in fuzzed(seed)[0].columns]
    assert {column.kind for column in columns} == {
        "integer", "decimal", "categorical", "datetime", "boolean", "constant",
    }  # fmt: skip
    assert {column.resolution for column in columns} == {"", *RESOLUTIONS}
    assert sum(column.step != "" for column in columns) > 50
    assert sum(column.can_be_missing for column in columns) > 50
    assert {len(fuzzed(seed)[0].columns) for seed in range(10)} == set(WIDTHS)
    levels = {level for column in columns for level in column.levels}
    assert levels >= set(TRICKY) - {"nan"}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("seed", "codec_name"), [(2, "json"), (5, "compact"), (14, "paper")])
def test_every_walk_under_a_fuzzed_schema_is_a_valid_row_in_the_tokenizers_own_ids(
    vocabulary: Callable[[str], TextTokenizer], name: str, seed: int, codec_name: str
) -> None:
    check_walks(*fuzzed(seed), codec_name, vocabulary(name), 70)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("seed", range(36))
def test_a_hundred_thousand_walks_under_36_fuzzed_schemas_are_valid_rows(
    vocabulary: Callable[[str], TextTokenizer], name: str, seed: int
) -> None:
    check_walks(*fuzzed(seed), CODECS[seed % 3], vocabulary(name), 930)


# Free text: what is drawn is valid, and canonical where the program says so.


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("codec_name", CODECS)
def test_every_walk_through_free_text_ends_and_is_a_valid_row(
    vocabulary: Callable[[str], TextTokenizer], name: str, codec_name: str
) -> None:
    notes = (
        Column("note", "note", "text", "str", max_bytes=40, min_bytes=1),
        Column("更多", "更多", "text", "str", 0.3, max_bytes=8),
    )
    age = Column("age", "age", "integer", "int64", lower="0", upper="120", step="5")
    schema = Schema((notes[0], age, notes[1]))
    check_walks(schema, (2, 0, 1), codec_name, vocabulary(name), 30)

"""Schemas that nobody would think of, drawn from seeds: what the decoder has to survive.

What enters is a seed; what leaves is a schema and an order of its columns: 1 to 100 columns of every kind, levels in
many scripts, numbers of any size, grid and sign, dates at every resolution, and, where asked for, texts of a few bytes
or some dozens. Tests walk through their programs; `benchmark.py fuzz` draws their rows from random weights.
"""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from harmonic.table.schema import Column, Schema

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


def fuzzed(seed: int, *, with_text: bool = False) -> tuple[Schema, tuple[int, ...]]:
    """A schema of WIDTHS[seed % 10] columns, one or two of them free text, and an order of its modelled columns."""
    draw = random.Random(seed)
    schema = Fuzz(draw).schema(WIDTHS[seed % len(WIDTHS)])
    if with_text:
        schema = Fuzz(random.Random(f"text {seed}")).with_text(schema)
    order = list(range(len(schema.modelled)))
    draw.shuffle(order)
    return schema, tuple(order)


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

    def with_text(self, schema: Schema) -> Schema:
        """The schema with one or two of its columns turned into free text, under the names they have."""
        columns = list(schema.columns)
        n_texts = min(self.draw.randint(1, 2), len(columns))
        for place in self.draw.sample(range(len(columns)), n_texts):
            columns[place] = self.text(columns[place].label)
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

    def text(self, label: str) -> Column:
        max_bytes = self.draw.choice([1, 2, 4, 8, 16, 24])
        return self.column(label, "text", "str", max_bytes=max_bytes, min_bytes=self.draw.randint(0, 1))

    def constant(self, label: str) -> Column:
        return self.column(label, "constant", "str", levels=(self.word(),))


def plain(units: int, places: int) -> str:
    text = format(Decimal(units).scaleb(-places), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

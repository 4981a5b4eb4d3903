"""What generated columns, levels and tables are called: real words in many writing styles, codes, and nonsense.

What enters is a drawn column with a hint of what it is about; what leaves are labels that are unique in the table,
and level texts that are unique in the column. Names carry a little knowledge (an "age" is an age) and must not be
relied on: a part of all tables is called x1, x2, ... or in syllables that mean nothing.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from harmonic.nano.columns import Drawn
from harmonic.nano.mechanisms import pick, weighted
from harmonic.nano.words import (
    ADJECTIVES,
    BINARY_LEVELS,
    BOOLEAN_NAMES,
    CATCH_ALL,
    CATEGORIES,
    DATE_NAMES,
    NUMBER_NAMES,
    NUMBER_TARGETS,
    PHRASE_WORDS,
    SYLLABLES,
    TARGET_NAMES,
    TITLES,
    UNITS,
)

Levels = tuple[str, ...]


def nonsense(rng: Generator, most: int = 4) -> str:
    return "".join(pick(rng, SYLLABLES) for _ in range(int(rng.integers(2, most + 1))))


def title(rng: Generator) -> str:
    return pick(rng, TITLES) if rng.random() < 0.9 else nonsense(rng) + "s"


# --- writing styles -------------------------------------------------------------------------------


def _abbreviated(text: str) -> str:
    """The first letter and the consonants that follow: "blood pressure" -> "bldprs"."""
    return "".join(word[0] + re.sub("[aeiou ]", "", word[1:])[:3] for word in text.split())


STYLES: dict[str, tuple[float, Callable[[str], str]]] = {
    "snake": (5.0, lambda text: text.replace(" ", "_")),
    "camel": (1.5, lambda text: text.title().replace(" ", "")),
    "back": (0.8, lambda text: text[:1] + text.title().replace(" ", "")[1:]),
    "spaces": (1.0, lambda text: text),
    "titled": (1.0, str.title),
    "kebab": (1.0, lambda text: text.replace(" ", "-")),
    "upper": (0.8, lambda text: text.upper().replace(" ", "_")),
    "dotted": (0.3, lambda text: text.replace(" ", ".")),
    "joined": (0.7, lambda text: text.replace(" ", "")),
    "short": (0.8, _abbreviated),
    "short upper": (0.4, lambda text: _abbreviated(text).upper()),
}


class Namer:
    """Names the columns and levels of one table in one style, each name once."""

    def __init__(self, rng: Generator, nonsense_share: float) -> None:
        self._rng = rng
        self._style = STYLES[weighted(rng, {name: weight for name, (weight, _) in STYLES.items()})][1]
        self._used: set[str] = set()
        self._raw: dict[int, str] = {}
        self._is_nonsense = rng.random() < nonsense_share
        self._numbered = pick(rng, NUMBERED) if self._is_nonsense and rng.random() < 0.6 else ""
        self._next = int(rng.random() < 0.7)
        self._boolean = pick(rng, (0.0, 0.0, 0.3, 1.0))
        self._pair = pick(rng, BINARY_LEVELS) if rng.random() < 0.3 else None
        self._codes = pick(rng, string.ascii_uppercase) if rng.random() < 0.04 else ""
        self._invented = float(rng.random()) if not self._is_nonsense else 0.5 + 0.5 * float(rng.random())

    def label(self, column: Drawn, is_target: bool) -> str:
        """The column's label, unique in the table; its levels get their texts here, too."""
        raw = self._name(column, is_target)
        if is_target and self._rng.random() < 0.6:
            return self._unique(pick(self._rng, NUMBER_TARGETS if column.is_number else TARGET_NAMES))
        if self._numbered:
            while (name := f"{self._numbered}{self._next}") in self._used:
                self._next += 1
            self._used.add(name)
            return name
        return self._unique(raw)

    def _unique(self, raw: str) -> str:
        styled = self._style(raw) or "x"
        name, again = styled, 2
        while name in self._used:
            name, again = f"{styled}{'' if styled[-1].isdigit() else '_'}{again}", again + 1
        self._used.add(name)
        return name

    def _name(self, column: Drawn, is_target: bool = False) -> str:
        """The raw name, in plain words; the source of a derived column is named before it."""
        if id(column) not in self._raw:
            own = column.stem
            if column.is_coded and not column.levels[0]:
                words, column.levels = self._levels(column, is_target)
                own = own or words
            if not own or "{}" in own:
                around = self._name(column.source) if column.source is not None else self._invent(column)
                own = own.format(around) if own else around
            elif self._is_nonsense:
                own = nonsense(self._rng)
            self._raw[id(column)] = own
        return self._raw[id(column)]

    def _invent(self, column: Drawn) -> str:
        if self._is_nonsense:
            return nonsense(self._rng)
        if column.kind == "datetime":
            return pick(self._rng, DATE_NAMES)
        return number_name(self._rng, column.hint)

    def _levels(self, column: Drawn, is_target: bool) -> tuple[str, Levels]:
        """Raw name and level texts of a category column; a column of two levels may become boolean."""
        rng, k = self._rng, len(column.levels)
        if column.twin is not None and len(column.twin.levels) == k:
            self._name(column.twin)
            column.kind = column.twin.kind
            return "", column.twin.levels
        if k == 2 and rng.random() < self._boolean:
            column.kind = "boolean"
            return pick(rng, BOOLEAN_NAMES), ("false", "true")
        if k == 2 and (self._pair is not None or (is_target and rng.random() < 0.6)):
            pair = _ranges(rng, 2) if rng.random() < 0.1 else pick(rng, BINARY_LEVELS)
            return pick(rng, BOOLEAN_NAMES), self._pair or pair
        if k == 2 and column.hint == "flag":
            return pick(rng, BOOLEAN_NAMES), pick(rng, BINARY_LEVELS[:8])
        if self._codes:
            stem = f"{self._codes}{len(self._raw) + 1}"
            return pick(rng, pick(rng, CATEGORIES)[0]), tuple(f"{stem}{i + 1}" for i in range(k))
        return category(rng, k, is_ordered=column.hint == "ordered", nonsense_share=self._invented)


NUMBERED = tuple("x V X f var_ attr feature_ col c A Q s pc F z Attribute m_".split())
"""What stands before the number where columns are only numbered."""


def number_name(rng: Generator, hint: str) -> str:
    raw = pick(rng, NUMBER_NAMES.get(hint, NUMBER_NAMES["measure"]))
    if rng.random() < 0.12:
        raw = f"{pick(rng, ADJECTIVES)} {raw}"
    if hint in ("measure", "money") and rng.random() < 0.08:
        raw = f"{raw} {pick(rng, UNITS)}"
    return raw


# --- levels ---------------------------------------------------------------------------------------


def _distinct(make: Callable[[], str], k: int) -> Levels:
    found: dict[str, None] = {}
    tries = 0
    while len(found) < k:
        text = make()
        tries += 1
        found[text if tries < 5 * k else f"{text} {len(found)}"] = None
    return tuple(found)


def _codes(rng: Generator, k: int) -> Levels:
    """A11, A12, ...; c0, c1, ...; 1, 2, ...; letters."""
    style = rng.random()
    first = int(rng.integers(0, 2))
    if style < 0.35:
        return tuple(str(first + i) for i in range(k))
    if style < 0.6:
        stem = pick(rng, string.ascii_uppercase) + str(pick(rng, ("", "1", "2", "3", "10", "0", "-")))
        return tuple(f"{stem}{first + i}" for i in range(k))
    if style < 0.75:
        stem = pick(rng, ("type ", "group ", "type_", "level_", "Cat", "cls", "G", "zone ", "cluster_", "k"))
        return tuple(f"{stem}{first + i}" for i in range(k))
    if style < 0.9 and k <= 26:
        letters = string.ascii_uppercase if rng.random() < 0.7 else string.ascii_lowercase
        return tuple(letters[:k])
    low = int(rng.integers(1, 90)) * 10 ** int(rng.integers(0, 3))
    return tuple(str(low + int(step)) for step in np.cumsum(rng.integers(1, 60, k)))


def _ranges(rng: Generator, k: int) -> Levels:
    """<=50K, 18-25, 100 to 200, >65: k neighbouring ranges, lowest first."""
    step = pick(rng, (1, 5, 10, 20, 25, 50, 100, 500, 1000))
    cuts = step * np.cumsum(rng.integers(1, 5, max(1, k - 1)))
    unit = pick(rng, ("", "", "", "K", " years", "%", "k")) if step < 500 else ""
    between = pick(rng, ("-", " to ", "..", "<=X<"))
    low, high = pick(rng, (("<=", ">"), ("<", ">="), ("under ", "over "), ("up to ", "above ")))
    middle = [f"{a}{between}{b}{unit}" for a, b in pairwise(cuts.tolist())]
    return (f"{low}{cuts[0]}{unit}", *middle, f"{high}{cuts[-1]}{unit}")[:k]


def _phrases(rng: Generator, k: int) -> Levels:
    joint = pick(rng, (" ", " ", "-", "_", "/"))
    return _distinct(lambda: joint.join(pick(rng, PHRASE_WORDS) for _ in range(int(rng.integers(1, 4)))), k)


def invented_levels(rng: Generator, k: int, *, is_ordered: bool) -> Levels:
    """k levels that belong to no list of words."""
    style = weighted(
        rng, {"codes": 5.0, "ranges": 3.0 if is_ordered else 0.2, "phrases": 1.0, "nonsense": 1.5}
    )
    if style == "codes":
        return _codes(rng, k)
    if style == "ranges":
        return _ranges(rng, k)
    if style == "phrases" and not is_ordered:
        return _phrases(rng, k)
    raised = rng.random() < 0.5
    return _distinct(lambda: nonsense(rng, 3).capitalize() if raised else nonsense(rng, 3), k)


def _case(rng: Generator, levels: Levels) -> Levels:
    style = rng.random()
    if style < 0.75:
        return levels
    if style < 0.85:
        changed = tuple(level.capitalize() for level in levels)
    elif style < 0.93:
        changed = tuple(level.replace(" ", pick(rng, ("-", "_"))) for level in levels)
    else:
        changed = tuple(level.upper() for level in levels)
    return changed if len(set(changed)) == len(levels) else levels


def category(rng: Generator, k: int, *, is_ordered: bool, nonsense_share: float = 0.4) -> tuple[str, Levels]:
    """A column name and k levels (in their order where they are ordered)."""
    if rng.random() >= nonsense_share:
        for _ in range(6):
            names, levels, ordered = pick(rng, CATEGORIES)
            if k <= len(levels) <= 3 * k + 2 and (ordered or not is_ordered):
                kept = (
                    sorted(rng.permutation(len(levels))[:k]) if ordered else rng.permutation(len(levels))[:k]
                )
                return pick(rng, names), _case(rng, tuple(levels[int(i)] for i in kept))
    if k == 2 and rng.random() < 0.75:
        return pick(rng, BOOLEAN_NAMES), pick(rng, BINARY_LEVELS)
    name = pick(rng, pick(rng, CATEGORIES)[0])
    levels = invented_levels(rng, k, is_ordered=is_ordered)
    if k > 2 and not is_ordered and rng.random() < 0.1:
        levels = (*levels[:-1], pick(rng, CATCH_ALL))
    return name, levels

"""Byte automata as EBNF: the very language that our decoder imposes, in the notation that peers read.

What enters is the byte automaton of each segment; what leaves is rules as xgrammar and llama.cpp write them. An
automaton's edges are bytes and a grammar's are characters, so bytes are gathered into characters first. A state that
several edges lead to becomes a rule, any other stands inside the rule that leads to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harmonic.decode.bytes_automaton import ByteAutomaton
from harmonic.decode.grammar import segment_automaton
from harmonic.errors import HarmonicError
from harmonic.prompt.rows import Codec

Ranges = list[tuple[int, int]]
"""Code points, from the first to the last of each range, ascending."""

# By the number of bytes that follow a character's first one: the least code point written so.
_LEAST = (0, 0x80, 0x800, 0x10000)
_SURROGATES = range(0xD800, 0xE000)
_LAST = 0x10FFFF


def table_grammar(codec: Codec, order: Sequence[int], n_rows: int) -> str:
    """The grammar, its start being `root`, of exactly `n_rows` rows of a codec with the columns in `order`."""
    names = [f"column{index}" for index in order]
    rules = [
        f"root ::= {' '.join(['row'] * n_rows)}",
        f"row ::= {_literal(codec.row_open)} {' '.join(names)} {_literal(codec.row_close)}",
    ]
    for place, (name, index) in enumerate(zip(names, order, strict=True)):
        form = codec.form(index, place == len(order) - 1)
        rules += automaton_rules(segment_automaton(form, codec.columns[index]), name)
    return "\n".join(rules) + "\n"


def automaton_rules(automaton: ByteAutomaton, name: str) -> list[str]:
    """Rules, the first one being `name`, that derive exactly the automaton's words.

    Raises HarmonicError for automata whose words are not UTF-8.
    """
    return _Writer(automaton, name).rules()


class _Writer:
    """The states of one automaton that lie between characters, and the characters that lead between them."""

    def __init__(self, automaton: ByteAutomaton, name: str) -> None:
        self._automaton = automaton
        self._name = name
        self._edges: dict[int, list[tuple[Ranges, int]]] = {}
        self._tails: dict[tuple[int, int], dict[int, Ranges]] = {}
        waiting = [0]
        while waiting:
            state = waiting.pop()
            if state not in self._edges:
                self._edges[state] = self._characters(state)
                waiting += [to for _, to in self._edges[state]]
        entries = Counter(to for edges in self._edges.values() for _, to in edges)
        self._shared = {state for state, count in entries.items() if count > 1 and self._edges[state]} | {0}

    def rules(self) -> list[str]:
        return [f"{self._rule(state)} ::= {self._choice(state)}" for state in sorted(self._shared)]

    def _rule(self, state: int) -> str:
        return f"{self._name}_{state}" if state else self._name

    def _choice(self, state: int) -> str:
        """What may follow a state."""
        ways = ['""'] if self._automaton.accepting[state] else []
        return " | ".join(ways + [self._way(ranges, to) for ranges, to in self._edges[state]])

    def _way(self, ranges: Ranges, to: int) -> str:
        """A character, and what may follow it; a run of single characters is one literal."""
        word = ""
        while _is_single(ranges) and self._goes_on_alone(to):
            word += chr(ranges[0][0])
            ranges, to = self._edges[to][0]
        parts = [_literal(word + chr(ranges[0][0]))] if _is_single(ranges) else []
        if not parts:
            parts = [*([_literal(word)] if word else []), _class(ranges)]
        if to in self._shared:
            parts.append(self._rule(to))
        elif self._edges[to]:
            parts.append(f"({self._choice(to)})")
        return " ".join(parts)

    def _goes_on_alone(self, state: int) -> bool:
        """Whether a state stands inside a rule and has one edge and no end."""
        is_inside = state not in self._shared and not self._automaton.accepting[state]
        return is_inside and len(self._edges[state]) == 1

    def _characters(self, state: int) -> list[tuple[Ranges, int]]:
        """The characters that a state reads, by the state after them."""
        found: dict[int, Ranges] = {}
        for byte, to in self._automaton.edges[state]:
            n_more = _n_more(byte)
            first = byte if not n_more else (byte & (0x3F >> n_more)) << 6 * n_more
            for target, ranges in self._tail(to, n_more).items():
                for low, high in ranges:
                    _check(first + low, first + high, n_more)
                    _add(found.setdefault(target, []), first + low, first + high)
        return [(ranges, to) for to, ranges in found.items()]

    def _tail(self, state: int, n_more: int) -> dict[int, Ranges]:
        """The last bits of a character of which `n_more` bytes are left to read, by the state after it."""
        if not n_more:
            return {state: [(0, 0)]}
        if (state, n_more) not in self._tails:
            found: dict[int, Ranges] = {}
            for byte, to in self._automaton.edges[state]:
                if not 0x80 <= byte < 0xC0:
                    raise _no_text(f"byte 0x{byte:02x} stands inside a character")
                first = (byte - 0x80) << 6 * (n_more - 1)
                for target, ranges in self._tail(to, n_more - 1).items():
                    for low, high in ranges:
                        _add(found.setdefault(target, []), first + low, first + high)
            self._tails[state, n_more] = found
        return self._tails[state, n_more]


def _n_more(byte: int) -> int:
    """How many bytes of a character follow its first one."""
    if byte < 0x80:
        return 0
    if 0xC0 <= byte < 0xF8:
        return 1 + (byte >= 0xE0) + (byte >= 0xF0)
    raise _no_text(f"byte 0x{byte:02x} begins a character")


def _check(low: int, high: int, n_more: int) -> None:
    if low < _LEAST[n_more] or high > _LAST:
        raise _no_text(f"U+{low:04X} to U+{high:04X} in {n_more + 1} bytes")
    if low < _SURROGATES.stop and high >= _SURROGATES.start:
        raise _no_text(f"U+{low:04X} to U+{high:04X}, some of them surrogates")


def _no_text(what: str) -> HarmonicError:
    return HarmonicError(
        f"Automaton: it reads {what}, expected words in UTF-8. Use an automaton of a codec's segment."
    )


def _add(ranges: Ranges, low: int, high: int) -> None:
    """Appends a range, which is one with the last where they touch."""
    if ranges and ranges[-1][1] == low - 1:
        ranges[-1] = (ranges[-1][0], high)
    else:
        ranges.append((low, high))


def _is_single(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _literal(text: str) -> str:
    return '"' + "".join(_escaped(ord(character), '"\\') for character in text) + '"'


def _class(ranges: Ranges) -> str:
    ends = ((_escaped(low, "]\\-^["), _escaped(high, "]\\-^[")) for low, high in ranges)
    return "[" + "".join(low if low == high else f"{low}-{high}" for low, high in ends) + "]"


def _escaped(point: int, special: str) -> str:
    if 0x20 <= point < 0x7F:
        return ("\\" if chr(point) in special else "") + chr(point)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"

"""Digits: the canonical numbers between two bounds, on a grid, as nodes of a byte automaton.

What enters is two bounds in units of the last decimal place and a step in the same units; what leaves is a node that
reads exactly the canonical texts of the multiples between them: no leading zero, no zero at the end of a fraction, no
"-0". Digit by digit only three things matter: which bounds the digits so far still touch, how many digits are to come,
and the remainder by the step. Nothing here recurses, so numbers may be as long as they like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harmonic.decode.bytes_automaton import DEAD, ByteNodes

_ZERO = ord("0")

_Bounds = tuple[bool, bool]
"""Whether the digits so far are those of the lower and of the upper bound."""
_Place = tuple[_Bounds, int]
"""Bounds, and the remainder by the step that the digits so far leave."""
_BOUNDS: list[_Bounds] = [(on_low, on_high) for on_low in (False, True) for on_high in (False, True)]


class Grid(NamedTuple):
    """Which numbers there are: so many decimal places, and multiples of `step` units of the last one."""

    places: int
    step: int = 1


def number(nodes: ByteNodes, low: int, high: int, grid: Grid, after: int) -> int:
    """The node of the grid's canonical numbers from low to high, in units of 10 ** -places; DEAD without any."""
    positive = _magnitudes(nodes, max(low, 0), high, grid, after)
    negative = _magnitudes(nodes, max(-high, 1), -low, grid, after)
    return nodes.union(positive, nodes.node(False, {ord("-"): negative}))


def padded(nodes: ByteNodes, low: int, high: int, width: int, after: int) -> int:
    """The node of the integers from low to high, each written with `width` digits."""
    at = dict.fromkeys(_BOUNDS, after)
    for first, last in reversed(list(zip(f"{low:0{width}}", f"{high:0{width}}", strict=True))):
        at = {
            bounds: nodes.node(
                False, {_ZERO + digit: at[then] for digit, then in _digits(bounds, first, last)}
            )
            for bounds in _BOUNDS
        }
    return at[True, True]


def _magnitudes(nodes: ByteNodes, low: int, high: int, grid: Grid, after: int) -> int:
    """Numbers without sign from low to high, in units of 10 ** -places; DEAD if there are none."""
    if low > high:
        return DEAD
    width = max(len(str(high)), grid.places + 1)
    digits = _Digits(f"{low:0{width}}", f"{high:0{width}}", grid)
    return _Writer(nodes, digits, after).node()


class _Digits:
    """The digits of two bounds of one length, and which places can be reached between them."""

    def __init__(self, lows: str, highs: str, grid: Grid) -> None:
        self.lows, self.highs, self.step = lows, highs, grid.step
        self.n_whole, self.n_digits = len(highs) - grid.places, len(highs)
        self.powers = [10 ** (self.n_digits - at) for at in range(self.n_digits + 1)]
        self.zeros = list(self._leading_zeros())
        # Where digits have been written: what can come next after so many places.
        self.reached: list[dict[_Place, None]] = [{} for _ in range(self.n_digits + 1)]
        for at, start in enumerate(self.zeros):
            self.reached[at + 1].update((place, None) for _, place in self.first(at, start))
        for at in range(1, self.n_digits):
            for place in self.reached[at]:
                self.reached[at + 1].update((then, None) for _, then in self.after(at, place))

    def _leading_zeros(self) -> Iterator[_Bounds]:
        """The bounds that hold before each whole digit if only zeros stand before it, which are not written."""
        bounds: _Bounds | None = (True, True)
        for at in range(self.n_whole):
            if bounds is None:
                return
            yield bounds
            bounds = dict(_digits(bounds, self.lows[at], self.highs[at])).get(0)

    def first(self, at: int, bounds: _Bounds) -> Iterator[tuple[int, _Place]]:
        """What may be the first digit, at a place: only the last whole digit may be a zero."""
        for digit, place in self.after(at, (bounds, 0)):
            if digit or at == self.n_whole - 1:
                yield digit, place

    def after(self, at: int, place: _Place) -> Iterator[tuple[int, _Place]]:
        """The digits allowed at a place, and the places after each, but for those that the step cannot mend."""
        bounds, rest = place
        power = self.powers[at + 1]
        for digit, then in _digits(bounds, self.lows[at], self.highs[at]):
            remainder = (rest + digit * power) % self.step
            if -remainder % self.step < power:
                yield digit, (then, remainder)

    def may_end(self, at: int, place: _Place) -> bool:
        """Whether the number may stop here, as if zeros followed: not below the lower bound, and on the grid."""
        (on_low, _), remainder = place
        return not remainder and not (on_low and self.lows[at:].strip("0"))


class _Writer:
    """Makes the nodes of `_Digits`, from the last digit backwards."""

    def __init__(self, nodes: ByteNodes, digits: _Digits, after: int) -> None:
        self.nodes, self.digits, self.after = nodes, digits, after

    def node(self) -> int:
        """The node of all numbers: of each length by itself, then of either."""
        digits, whole, result = self.digits, self._whole(), DEAD
        for at, bounds in enumerate(digits.zeros):
            edges = {_ZERO + digit: whole[at + 1][place] for digit, place in digits.first(at, bounds)}
            result = self.nodes.union(result, self.nodes.node(False, edges))
        return result

    def _whole(self) -> list[dict[_Place, int]]:
        """For each place among the whole digits, the node of what follows it."""
        digits = self.digits
        made: list[dict[_Place, int]] = [{} for _ in range(digits.n_whole + 1)]
        made[-1] = self._points()
        for at in range(digits.n_whole - 1, 0, -1):
            made[at] = {
                place: self._node((digit, made[at + 1][then]) for digit, then in digits.after(at, place))
                for place in digits.reached[at]
            }
        return made

    def _points(self) -> dict[_Place, int]:
        """Behind the whole digits: the end, or a point and a fraction whose last digit is not a zero."""
        digits, nodes = self.digits, self.nodes
        # What follows a digit that is not zero (the number may end there), and what follows a zero (it may not).
        ends = {place: self._end(digits.n_digits, place) for place in digits.reached[-1]}
        goes_on = dict.fromkeys(ends, DEAD)
        for at in range(digits.n_digits - 1, digits.n_whole - 1, -1):
            goes_on = {
                place: self._node(
                    (digit, (ends if digit else goes_on)[then]) for digit, then in digits.after(at, place)
                )
                for place in digits.reached[at]
            }
            if at == digits.n_whole:
                goes_on = {place: nodes.text(b".", more) for place, more in goes_on.items()}
            ends = {place: nodes.union(self._end(at, place), more) for place, more in goes_on.items()}
        return ends

    def _end(self, at: int, place: _Place) -> int:
        return self.after if self.digits.may_end(at, place) else DEAD

    def _node(self, edges: Iterator[tuple[int, int]]) -> int:
        return self.nodes.node(False, {_ZERO + digit: to for digit, to in edges})


def _digits(bounds: _Bounds, first: str, last: str) -> Iterator[tuple[int, _Bounds]]:
    """The digits allowed next, and the bounds that still hold after each."""
    on_low, on_high = bounds
    low, high = int(first) if on_low else 0, int(last) if on_high else 9
    for digit in range(low, high + 1):
        yield digit, (on_low and digit == low, on_high and digit == high)

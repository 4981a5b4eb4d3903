"""Bayesian networks: laws of tables that are known exactly.

What enters is a .bif file (the interchange format of the Bayesian network repository); what leaves is a `Network`
that says how probable a row is, draws rows, and lists every state of a small law. Where the truth is known,
`truth` measures how far a table or a generator is from it. The parser reads what that repository writes: discrete
variables, one line of probabilities for every combination of the parents' levels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harmonic.errors import HarmonicError

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
STREAM_NETWORK = 535
MAX_STATES = 5_000_000
"""A law with more states is not listed; its rows still have exact probabilities."""
TOLERANCE = 1e-3
"""Printed probabilities may miss a sum of 1 by their rounding; they are scaled to it."""

_VARIABLE = re.compile(r"variable\s+(\S+)\s*\{\s*type\s+discrete\s*\[\s*\d+\s*\]\s*\{([^}]*)\}\s*;\s*\}")
_PROBABILITY = re.compile(r"probability\s*\(\s*([^)|]+?)\s*(?:\|([^)]*))?\)\s*\{(.*?)\}", re.DOTALL)
_LINE = re.compile(r"(?:table|\(([^)]*)\))\s*([^;(]+);")


@dataclass(frozen=True)
class Variable:
    """One column of the law. `probabilities`: float [*levels of the parents, levels]; each last axis sums to 1."""

    name: str
    levels: tuple[str, ...]
    parents: tuple[str, ...]
    probabilities: Floats


@dataclass(frozen=True)
class Network:
    """A law over rows of levels. Its variables stand in the file's order, which is that of its tables."""

    name: str
    variables: tuple[Variable, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(variable.name for variable in self.variables)

    @property
    def n_states(self) -> int:
        return prod(len(variable.levels) for variable in self.variables)

    def joint(self) -> Floats:
        """Probability of every state, [n_states], in the order of `states`: the last variable runs fastest.

        Raises HarmonicError for more than `MAX_STATES` states.
        """
        self._check_size()
        codes = np.indices([len(variable.levels) for variable in self.variables]).reshape(
            len(self.variables), -1
        )
        return np.exp(self.log_chances(codes.T.astype(np.intp)))

    def states(self) -> pd.DataFrame:
        """Every state as a row of levels. Raises HarmonicError for more than `MAX_STATES` states."""
        self._check_size()
        rows = product(*(variable.levels for variable in self.variables))
        return pd.DataFrame(rows, columns=list(self.names), dtype=str)

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """`n` fresh rows of the law, as texts."""
        return self.decode(self.draw(n, np.random.default_rng([seed, STREAM_NETWORK])))

    def log_probabilities(self, table: pd.DataFrame) -> Floats:
        """Natural logarithm of the probability of each row, [n_rows]; -inf for a row that the law cannot draw.

        Raises HarmonicError as `encode` does.
        """
        return self.log_chances(self.encode(table))

    def encode(self, table: pd.DataFrame) -> Ints:
        """Level numbers [n_rows, n_variables] of the cells' texts, -1 where missing or no level of the law.

        Other columns of the table are not looked at. Raises HarmonicError where a variable is not a column.
        """
        codes = np.empty((len(table), len(self.variables)), dtype=np.intp)
        for place, variable in enumerate(self.variables):
            if variable.name not in table.columns:
                raise HarmonicError(
                    f"Column {variable.name!r}: not in the table, which has {list(table.columns)}; network "
                    f"{self.name!r} has {list(self.names)}. Rename the table's columns."
                )
            known = {level: code for code, level in enumerate(variable.levels)}
            rows, values = pd.factorize(table[variable.name])
            found = [known.get(str(value), -1) for value in values]
            codes[:, place] = np.array([*found, -1], dtype=np.intp)[rows]
        return codes

    def decode(self, codes: Ints) -> pd.DataFrame:
        """The rows of texts that `encode` gives these numbers."""
        columns = {
            variable.name: np.array(variable.levels, dtype=object)[codes[:, place]]
            for place, variable in enumerate(self.variables)
        }
        return pd.DataFrame(columns, dtype=str)

    def draw(self, n: int, generator: np.random.Generator) -> Ints:
        """`n` fresh rows as level numbers [n, n_variables], parents before children."""
        codes = np.zeros((n, len(self.variables)), dtype=np.intp)
        for place in self._order:
            chances = self._chances(place, codes)
            above = generator.random(n)[:, None] >= np.cumsum(chances, axis=1)[:, :-1]
            codes[:, place] = above.sum(axis=1)
        return codes

    def log_chances(self, codes: Ints) -> Floats:
        """Natural logarithm of the probability of each row of level numbers, [n_rows]; -inf where one is -1."""
        total = np.zeros(len(codes))
        rows = np.arange(len(codes))
        with np.errstate(divide="ignore"):
            for place in range(len(self.variables)):
                total += np.log(self._chances(place, codes)[rows, codes[:, place]])
        return np.where((codes < 0).any(axis=1), -np.inf, total)

    def _chances(self, place: int, codes: Ints) -> Floats:
        """Probabilities [n_rows, n_levels] of a variable, given the rows' parents."""
        variable = self.variables[place]
        given = tuple(codes[:, self.names.index(parent)] for parent in variable.parents)
        return np.broadcast_to(variable.probabilities[given], (len(codes), len(variable.levels)))

    @cached_property
    def _order(self) -> tuple[int, ...]:
        """Places of the variables, parents first. Raises HarmonicError for a cycle."""
        graph = {variable.name: variable.parents for variable in self.variables}
        try:
            order = tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise HarmonicError(
                f"Network {self.name!r}: {' <- '.join(error.args[1])} is a cycle, expected a graph without. "
                "Reverse one of its edges."
            ) from error
        return tuple(self.names.index(name) for name in order)

    def _check_size(self) -> None:
        if self.n_states > MAX_STATES:
            raise HarmonicError(
                f"Network {self.name!r}: {self.n_states:,} states, at most {MAX_STATES:,} are listed. "
                "Use log_probabilities on rows instead."
            )


def read_network(path: str | os.PathLike[str]) -> Network:
    """The network of a .bif file, named after it.

    Raises HarmonicError where the file does not hold discrete variables with one distribution each for every
    combination of their parents' levels, or where its graph has a cycle.
    """
    place = Path(path)
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", place.read_text(encoding="utf-8"), flags=re.DOTALL)
    levels = {name: _split(body) for name, body in _VARIABLE.findall(text)}
    found = {_split(child)[0]: (_split(parents), body) for child, parents, body in _PROBABILITY.findall(text)}
    if not levels or levels.keys() != found.keys():
        raise HarmonicError(
            f"Network file {str(path)!r}: variables {sorted(levels)}, probabilities of {sorted(found)}; "
            "expected the same names, at least one. Complete the file."
        )
    network = Network(place.stem, tuple(_variable(name, *found[name], levels, str(path)) for name in levels))
    network._order  # noqa: B018  a cycle shows here, not at the first draw
    return network


def _variable(
    name: str, parents: tuple[str, ...], body: str, levels: Mapping[str, tuple[str, ...]], path: str
) -> Variable:
    def wrong(what: str) -> HarmonicError:
        return HarmonicError(
            f"Network file {path!r}: probabilities of {name!r}: {what}. Give one line with a probability for each of "
            f"its levels {list(levels[name])} for every combination of levels of {list(parents)}."
        )

    unknown = [parent for parent in parents if parent not in levels]
    if unknown:
        raise wrong(f"parent {unknown[0]!r} is not a variable")
    table = np.full([len(levels[each]) for each in (*parents, name)], np.nan)
    for given, numbers in _LINE.findall(body):
        case, chances = _split(given), [float(number) for number in _split(numbers)]
        fits = len(case) == len(parents) and all(
            level in levels[parent] for level, parent in zip(case, parents, strict=True)
        )
        if not fits or len(chances) != len(levels[name]):
            raise wrong(f"line '({given}) {numbers.strip()}' does not fit")
        table[tuple(levels[parent].index(level) for level, parent in zip(case, parents, strict=True))] = (
            chances
        )
    if np.isnan(table).any():
        raise wrong("a line is absent")
    sums = table.sum(axis=-1, keepdims=True)
    if table.min() < 0 or np.abs(sums - 1).max() > TOLERANCE:
        raise wrong(f"a line sums to {float(sums.flat[np.abs(sums - 1).argmax()]):.6g} or is negative")
    return Variable(name, levels[name], parents, table / sums)


def _split(names: str) -> tuple[str, ...]:
    return tuple(part for part in (name.strip().strip('"') for name in names.split(",")) if part)

"""A delimited text file into a typed frame: encoding, separator, header, missing markers, dtypes.

Bytes enter, a frame of the dtypes that its columns deserve leaves, with a sentence for everything that was
guessed. Cells are read as texts and converted here, never by the reader's own guesses, so that "None", "NA" and
"007" stay what they are; a number column that holds known words beside, such as "?", shows its missing markers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table.casts import typed_column
from harmonic.table.encodings import decoded, empty
from harmonic.table.markers import marker_texts, without_markers
from harmonic.table.numbers import NUMBER
from harmonic.table.separators import layout_of, parse
from harmonic.table.words import add_blanks, add_words, look, sentences

_TEXT_DTYPES = ("str", "object", "category")
_TEXT_KINDS = ("text", "categorical", "identifier")


@dataclass
class Texts:
    """A file as texts: every cell a str or None (missing), with what was guessed on the way."""

    frame: pd.DataFrame
    separator: str = ","
    has_header: bool = True
    decisions: list[str] = field(default_factory=list)


def read_texts(
    data: bytes,
    name: str,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    names: Sequence[Hashable] | None = None,
    known: Collection[str] = (),
) -> Texts:
    """The file's cells as texts under its column names. Raises HarmonicError with the remedy.

    `header=False`: the first line is data, named `names` or "column_1", ...; None: decided by looking at it.
    `known`: names that the header holds if the file is one of a known table; they show its separator.
    """
    decisions: list[str] = []
    text = decoded(data, name, encoding, decisions)
    layout = layout_of(text, name, separator, decisions, known)
    rows = parse(text, name, layout)
    if not rows:
        raise empty(name)
    if header is None:
        header = not _is_data(rows[0])
        if not header:
            decisions.append(
                "Line 1 holds numbers only: read as data, columns are named column_1, column_2, ..."
            )
    frame = _framed(rows[1:] if header else rows, _names(rows[0], header, names, name))
    return Texts(frame, layout.separator, header, decisions)


def _framed(rows: list[list[str]], names: list[Hashable]) -> pd.DataFrame:
    """An object frame of texts."""
    columns: dict[int, np.ndarray] = {}
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    for position, values in enumerate(cells):
        columns[position] = np.empty(len(rows), dtype=object)
        columns[position][:] = values
    frame = pd.DataFrame(columns, dtype=object)
    frame.columns = pd.Index(names)
    return frame


def _is_data(names: Sequence[str]) -> bool:
    """Whether a first line can be no header: numbers only, and with decimals or repetitions."""
    numeric = all(NUMBER.fullmatch(cell) for cell in names)
    return numeric and (len({*names}) < len(names) or any("." in cell for cell in names))


def _names(first: list[str], header: bool, names: Sequence[Hashable] | None, name: str) -> list[Hashable]:
    if names is not None:
        if len(names) != len(first):
            raise HarmonicError(
                f"File {name!r}: has {len(first)} columns, but {len(names)} names were given."
            )
        if doubled := _doubled(names):
            raise HarmonicError(
                f"File {name!r}: names {doubled} were given more than once. Give each column its own."
            )
        return list(names)
    found: list[Hashable] = (
        list(first) if header else [f"column_{position + 1}" for position in range(len(first))]
    )
    if doubled := _doubled(found):
        raise HarmonicError(
            f"File {name!r}: columns {doubled} stand more than once in its header. Rename them, "
            "or pass header=False if line 1 is no header."
        )
    return found


def _doubled(names: Sequence[Hashable]) -> str:
    counts = Counter(names)
    return ", ".join(repr(name) for name, count in counts.items() if count > 1)


def typed(
    texts: Texts,
    *,
    missing: Sequence[str] | None = None,
    overrides: Mapping[Hashable, Mapping[str, Any]] | None = None,
) -> tuple[pd.DataFrame, dict[Hashable, tuple[str, ...]], list[str]]:
    """A typed frame, the missing markers of each column beside the empty cell, and what was guessed.

    `missing` declares markers for all columns, an override's `missing` for one; without either they are
    inferred. An override's `dtype` = "str" keeps a column's texts as they stand.
    """
    overrides = overrides or {}
    frame = texts.frame
    values: dict[Hashable, np.ndarray] = {
        name: frame.iloc[:, position].to_numpy() for position, name in enumerate(frame.columns)
    }
    declared = {name: _declared(overrides.get(name, {}), missing) for name in values}
    has_commas = texts.separator != ","  # there "1,234" is more likely a thousand and some
    looks = {name: look(cells, declared[name], has_commas=has_commas) for name, cells in values.items()}
    markers = dict(declared)
    decisions = add_words(looks, markers) if missing is None else []
    free = {name: seen for name, seen in looks.items() if not _is_text(overrides.get(name, {}))}
    decisions += add_blanks(free, markers)
    decisions += sentences(free, markers)
    columns = []
    for name, cells in values.items():
        dtype = overrides.get(name, {}).get("dtype")
        column = typed_column(cells, markers[name], name, decimal=looks[name].decimal, dtype=dtype)
        columns.append(without_markers(column, name, declared[name][1:]))
    result = pd.DataFrame(dict(enumerate(columns)))
    result.columns = frame.columns
    return result, markers, decisions


def _declared(override: Mapping[str, Any], missing: Sequence[str] | None) -> tuple[str, ...]:
    own = override.get("missing")
    chosen = (missing or ()) if own is None else marker_texts(own, "missing")
    return tuple(dict.fromkeys(("", *chosen)))


def _is_text(override: Mapping[str, Any]) -> bool:
    """Whether a column was declared to hold texts, whatever they look like."""
    return str(override.get("dtype", "")).startswith(_TEXT_DTYPES) or override.get("kind") in _TEXT_KINDS

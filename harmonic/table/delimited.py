"""A delimited text file into a typed frame: encoding, separator, header, missing markers, dtypes.

Bytes enter, a frame of the dtypes that its columns deserve leaves, with a sentence for everything that was
guessed. Cells are read as texts and converted here, never by the reader's own guesses, so that "None", "NA" and
"007" stay what they are; a number column that holds one other word, such as "?", shows its missing marker.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table.numbers import INTEGER, NUMBER

SEPARATORS = (",", ";", "\t", "|")
MARKERS = (
    "?",
    "NA",
    "N/A",
    "n/a",
    "nan",
    "NaN",
    "null",
    "NULL",
    "None",
    "<NA>",
    "#N/A",
    "NaT",
    "-",
    ".",
    "missing",
)
"""Words that mean missing where they are the only word of a number column."""
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BINARY = {b"PK": "a zip or Excel file", b"PAR1": "a Parquet file", b"\x89PNG": "a picture", b"%PDF": "a PDF"}
_INFINITE = {
    "inf",
    "-inf",
    "+inf",
    "Inf",
    "-Inf",
    "Infinity",
    "-Infinity",
    "infinity",
    "-infinity",
    "INF",
    "-INF",
}
_TRUTHS = ({"True", "False"}, {"TRUE", "FALSE"}, {"true", "false"})
_SAMPLE_LINES = 50
_EXACT_FLOAT = 2**53


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
) -> Texts:
    """The file's cells as texts under its column names. Raises HarmonicError with the remedy.

    `header=False`: the first line is data, named `names` or "column_1", ...; None: decided by looking at it.
    """
    decisions: list[str] = []
    text = _decode(data, name, encoding, decisions)
    separator, spaced = _separator(text, separator, decisions)
    rows = _parse(text, name, separator, spaced)
    if header is None:
        header = not _is_data(rows[0])
        if not header:
            decisions.append(
                "Line 1 holds numbers only: read as data, columns are named column_1, column_2, ..."
            )
    frame = _framed(rows[1:] if header else rows, _names(rows[0], header, names, name))
    return Texts(frame, separator, header, decisions)


def unzipped(data: bytes) -> bytes:
    """The bytes themselves, or what they hold if they are gzip."""
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _decode(data: bytes, name: str, encoding: str | None, decisions: list[str]) -> str:
    data = unzipped(data)
    if not data.strip():
        raise HarmonicError(
            f"File {name!r}: is empty, a header line and rows are expected. Check the export."
        )
    if encoding is None:
        for mark, what in _BINARY.items():
            if data.startswith(mark):
                raise HarmonicError(
                    f"File {name!r}: is {what}, not delimited text. Export it as CSV or Parquet."
                )
        encoding = next((coding for mark, coding in _BOMS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or b"\x00" in data:
            raise HarmonicError(
                f"File {name!r}: byte {error.start} is not {encoding}. Save the file as UTF-8 or pass its `encoding`."
            ) from None
    decisions.append("The file is not UTF-8: read as Windows-1252 (pass `encoding` to choose another).")
    return data.decode("cp1252", errors="replace")


def _separator(text: str, separator: str | None, decisions: list[str]) -> tuple[str, bool]:
    """The separator that cuts the first lines into the most fields, all equally many; whether blanks follow it."""
    lines = [line for line in text[:200_000].splitlines()[: _SAMPLE_LINES + 1] if line][:_SAMPLE_LINES]
    if separator is None:
        widths = {candidate: _width(lines, candidate) for candidate in SEPARATORS}
        separator = max(SEPARATORS, key=lambda candidate: widths[candidate])
        if widths[separator] <= 1:
            separator = ","
        if separator != ",":
            decisions.append(f"The separator is {separator!r} (pass `separator` to choose another).")
    fields = [cell for row in csv.reader(lines, delimiter=separator) for cell in row[1:]]
    return separator, bool(fields) and all(cell.startswith(" ") for cell in fields)


def _width(lines: Sequence[str], separator: str) -> int:
    """Fields a line where all lines of the sample agree (the last may be cut), otherwise 0."""
    widths = {len(row) for row in csv.reader(lines, delimiter=separator) if row}
    return widths.pop() if len(widths) == 1 else 0


def _parse(text: str, name: str, separator: str, spaced: bool) -> list[list[str]]:
    """The lines as equally many cells each; empty lines are skipped, but for tables of one column."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=spaced)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row and (not rows or len(rows[0]) > 1):
                continue
            rows.append(row or [""])
            if len(row or [""]) != len(rows[0]):
                raise HarmonicError(
                    f"File {name!r}: line {reader.line_num} has {len(row)} fields, line 1 has {len(rows[0])}. "
                    "Pass the right `separator` or mend the line."
                )
    except csv.Error as error:
        raise HarmonicError(f"File {name!r}: line {reader.line_num}: {error}. Mend the line.") from None
    return rows


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
        return list(names)
    found: list[Hashable] = (
        list(first) if header else [f"column_{position + 1}" for position in range(len(first))]
    )
    doubled = list(dict.fromkeys(cell for cell in found if found.count(cell) > 1))
    if doubled:
        raise HarmonicError(
            f"File {name!r}: columns {', '.join(map(repr, doubled))} stand more than once in its header. Rename them, "
            "or pass header=False if line 1 is no header."
        )
    return found


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
    frame, decisions = texts.frame, []
    values: dict[Hashable, np.ndarray] = {
        name: frame.iloc[:, position].to_numpy() for position, name in enumerate(frame.columns)
    }
    markers = {name: _declared(overrides.get(name, {}), missing) for name in values}
    if missing is None:
        decisions = infer_markers(values, markers)
    decimal = "." if texts.separator == "," else _decimal(values, markers, decisions)
    columns = []
    for name, cells in values.items():
        kept = overrides.get(name, {}).get("dtype")
        columns.append(typed_column(cells, markers[name], decimal=decimal, dtype=kept))
    result = pd.DataFrame(dict(enumerate(columns)))
    result.columns = frame.columns
    return result, markers, decisions


def _declared(override: Mapping[str, Any], missing: Sequence[str] | None) -> tuple[str, ...]:
    own = override.get("missing")
    chosen = missing if own is None else ([own] if isinstance(own, str) else own)
    return tuple(dict.fromkeys(("", *(chosen or ()))))


def infer_markers(
    values: Mapping[Hashable, np.ndarray], markers: dict[Hashable, tuple[str, ...]]
) -> list[str]:
    """Adds to `markers` the word that keeps a column from being numeric, and says so.

    "?" is then missing in every column; other words ("NA", "None") only where they stand among numbers, for
    elsewhere they may be levels.
    """
    found: dict[Hashable, str] = {}
    for name, cells in values.items():
        words = {
            cell
            for cell in pd.unique(cells)
            if cell not in markers[name] and not NUMBER.fullmatch(cell.strip())
        }
        has_numbers = any(cell not in words and cell not in markers[name] for cell in pd.unique(cells))
        if has_numbers and len(words) == 1 and next(iter(words)) in MARKERS:
            found[name] = next(iter(words))
    decisions = []
    for name, word in found.items():
        markers[name] = (*markers[name], word)
        if word != "?":
            decisions.append(f"Column {name!r}: {word!r} stands among numbers only: read as missing.")
    if "?" in found.values():
        for name, cells in values.items():
            if "?" not in markers[name] and (cells == "?").any():
                markers[name] = (*markers[name], "?")
        numeric = [str(name) for name, word in found.items() if word == "?"]
        decisions.append(
            f"'?' is read as missing in every column, for it stands among numbers in {', '.join(numeric)}."
        )
    return decisions


def _decimal(
    values: Mapping[Hashable, np.ndarray], markers: Mapping[Hashable, Any], decisions: list[str]
) -> str:
    """The decimal comma, where columns hold numbers with a comma and none with a point.

    Not asked of comma-separated files: there "1,234" is more likely a thousand and some.
    """
    commas = []
    for name, cells in values.items():
        present = [cell for cell in pd.unique(cells) if cell not in markers[name]]
        swapped = [cell.replace(",", ".") for cell in present if "." not in cell]
        has_commas = len(swapped) == len(present) and any("," in cell for cell in present)
        if has_commas and all(NUMBER.fullmatch(cell) for cell in swapped):
            commas.append(str(name))
    if commas:
        decisions.append(
            f"Commas are read as decimal points in: {', '.join(commas)} (dtype = 'str' keeps the texts)."
        )
    return "," if commas else "."


def typed_column(
    cells: np.ndarray, markers: Sequence[str], *, decimal: str = ".", dtype: str | None = None
) -> pd.Series:
    """One column of texts in the dtype its values deserve: truth, whole number, number, or text.

    Whole numbers with missing cells are float64 as pandas would have it, or Int64 where a float would not be
    exact. Numbers with leading zeros or more digits than 64 bits hold stay texts.
    """
    codes, uniques = pd.factorize(np.asarray(cells, dtype=object))
    absent = np.array([text in markers for text in uniques], dtype=bool)
    present = [text for text, gone in zip(uniques, absent, strict=True) if not gone]
    place = np.full(len(uniques) + 1, -1, dtype=np.int64)
    place[:-1][~absent] = np.arange(len(present))
    codes = place[codes]
    values = (
        _converted(present, decimal, bool((codes < 0).any()))
        if dtype is None
        else pd.array(present, dtype="str")
    )
    series = pd.Series(values).reindex(range(len(present) + 1)) if (codes < 0).any() else pd.Series(values)
    result = series.take(np.where(codes < 0, len(present), codes)).reset_index(drop=True)
    return result if dtype in (None, "str") else result.astype(pd.api.types.pandas_dtype(dtype))


def _converted(present: list[str], decimal: str, has_missing: bool) -> Any:
    if not present:
        return pd.array([], dtype="float64")
    if any({*present} <= words for words in _TRUTHS):
        truths = [text.lower() == "true" for text in present]
        return pd.array(truths, dtype="boolean" if has_missing else "bool")
    texts = [
        text.strip().replace(",", ".") if decimal == "," and "." not in text else text.strip()
        for text in present
    ]
    if all(INTEGER.fullmatch(text) for text in texts):
        return _integers([int(text) for text in texts], present, has_missing)
    if all(NUMBER.fullmatch(text) or text in _INFINITE for text in texts):
        return np.array([float(text) for text in texts], dtype="float64")
    return pd.array(present, dtype="str")


def _integers(values: list[int], texts: list[str], has_missing: bool) -> Any:
    low, high = min(values), max(values)
    if low < -(2**63) or high >= (2**64 if low >= 0 else 2**63):
        return pd.array(texts, dtype="str")
    wide = "UInt64" if high >= 2**63 else "Int64"
    if not has_missing:
        return np.array(values, dtype=wide.lower())
    if max(-low, high) < _EXACT_FLOAT:
        return np.array(values, dtype="float64")
    return pd.Series(values, dtype=pd.api.types.pandas_dtype(wide)).array

"""Where tables come from: a CSV or Parquet file, a DataFrame, or a data sheet; and back into CSV.

A source enters `read_table`, a typed frame and its schema leave. Everything that was guessed on the way stands
in `schema.decisions`; everything that was declared comes from arguments or the data sheet. `load_table` reads
a further file of the same table (a holdout, a sample) under a schema that is already known.
"""

from __future__ import annotations

import csv
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import delimited
from harmonic.table.casts import cast
from harmonic.table.cells import conform, locate
from harmonic.table.dtypes import family
from harmonic.table.infer import check_frame, infer_schema
from harmonic.table.markers import (
    Overrides,
    marker_texts,
    texts_without_markers,
    with_marker_texts,
    without_markers,
)
from harmonic.table.overrides import check_mappings
from harmonic.table.policy import Policy
from harmonic.table.schema import Column, Schema
from harmonic.table.sheets import Sheet, check_digest, packaged, read_sheet, sheet_frame

_PACKAGED = "sklearn:"
_PARQUET = (".parquet", ".pq")

Missing = str | float | Iterable[Any] | None
"""One marker or several, each a text, a number or a date."""


def read_table(
    source: str | Path | pd.DataFrame,
    *,
    target: Hashable | None = None,
    title: str | None = None,
    data_dir: str | Path | None = None,
    overrides: Overrides | None = None,
    missing: Missing = None,
    policy: Policy | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    names: Sequence[Hashable] | None = None,
) -> tuple[pd.DataFrame, Schema]:
    """The table of a CSV or Parquet file, a DataFrame, a data sheet (*.toml) or "sklearn:diabetes"; its schema.

    `missing` are texts or numbers that mean missing in every column, besides the empty cell of a CSV: numbers and
    dates however they are written. `data_dir` is where a data sheet's files lie. Raises HarmonicError for whatever
    cannot be read, with the remedy.
    """
    missing = None if missing is None else marker_texts(missing, "missing")
    overrides = {} if overrides is None else overrides
    check_mappings(overrides)
    overrides = with_marker_texts(overrides)
    if isinstance(source, pd.DataFrame):
        check_frame(source)
        frame, overrides = _as_declared(source, missing, overrides)
        return frame, infer_schema(frame, target=target, title=title, overrides=overrides, policy=policy)
    if str(source).startswith(_PACKAGED):
        source = packaged(str(source).removeprefix(_PACKAGED))
        return read_table(
            source, target=target, title=title, overrides=overrides, missing=missing, policy=policy
        )
    path = Path(source)
    if path.suffix == ".toml":
        sheet = read_sheet(path)
        given = {
            "target": target,
            "title": title,
            "policy": policy,
            "missing": missing,
            "overrides": overrides,
        }
        return _from_sheet(sheet, data_dir, given)
    if _is_parquet(path):
        frame = read_parquet(path)
        return read_table(
            frame, target=target, title=title, overrides=overrides, missing=missing, policy=policy
        )
    texts = delimited.read_texts(
        read_bytes(path), path.name, separator=separator, encoding=encoding, header=header, names=names
    )
    return _typed(texts, target=target, title=title, overrides=overrides, missing=missing, policy=policy)


def read_as_written(
    source: str | Path,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    names: Sequence[Hashable] | None = None,
) -> pd.DataFrame | None:
    """The cells of a CSV as the file writes them, "" where one is empty; None for a source of another form."""
    path = Path(source)
    if str(source).startswith("sklearn:") or path.suffix == ".toml" or _is_parquet(path):
        return None
    texts = delimited.read_texts(
        read_bytes(path), path.name, separator=separator, encoding=encoding, header=header, names=names
    )
    return texts.frame.fillna("")


def _typed(
    texts: delimited.Texts, *, missing: Sequence[str] | None, **given: Any
) -> tuple[pd.DataFrame, Schema]:
    """Typed frame and schema of a file's texts, with the guesses before the inferences."""
    overrides = given.pop("overrides") or {}
    frame, markers, guesses = delimited.typed(texts, missing=missing, overrides=overrides)
    schema = infer_schema(frame, overrides=overrides, **given)
    columns = tuple(_marked(column, markers[column.name]) for column in schema.columns)
    decisions = (*texts.decisions, *guesses, *schema.decisions)
    return frame, replace(schema, columns=columns, decisions=decisions)


def _marked(column: Column, markers: Sequence[str]) -> Column:
    return replace(column, markers=tuple(dict.fromkeys(("", *markers))))


def _from_sheet(
    sheet: Sheet, data_dir: str | Path | None, given: Mapping[str, Any]
) -> tuple[pd.DataFrame, Schema]:
    """A data sheet's table; arguments that were given stand above what the sheet declares."""
    found = sheet_frame(sheet, data_dir)
    declared = with_marker_texts(sheet.columns)
    overrides = {name: dict(fields) for name, fields in declared.items()}
    for name, fields in (given["overrides"] or {}).items():
        overrides[name] = {**overrides.get(name, {}), **fields}
    facts: dict[str, Any] = {
        "target": sheet.target if given["target"] is None else given["target"],
        "title": given["title"] or sheet.title,
        "policy": given["policy"],
        "overrides": overrides,
        "missing": sheet.missing if given["missing"] is None else given["missing"],
    }
    plain, _ = _without_schema(found.content, sheet.missing, declared)
    notes = check_digest(sheet, found, plain)
    if isinstance(found.content, delimited.Texts):
        frame, schema = _typed(found.content, **facts)
    else:
        frame, schema = read_table(found.content, **facts)
    return frame, replace(schema, decisions=(*notes, *schema.decisions))


def _without_schema(
    content: delimited.Texts | pd.DataFrame, missing: Sequence[str], overrides: Overrides
) -> tuple[pd.DataFrame, Any]:
    """The parsed table as the sheet alone declares it: what its digest speaks of."""
    if isinstance(content, delimited.Texts):
        return delimited.typed(content, missing=missing, overrides=overrides)[:2]
    return _as_declared(content, missing, overrides)


def _as_declared(
    frame: pd.DataFrame, missing: Sequence[str] | None, overrides: Overrides
) -> tuple[pd.DataFrame, Overrides]:
    """A DataFrame with the declared markers made missing and declared dtypes taken; all else is not touched."""
    result, changed = frame.copy(deep=False), dict(overrides)
    for position, name in enumerate(frame.columns):
        declared = overrides.get(name, {})
        own = declared.get("missing")
        words = tuple((missing or ()) if own is None else own)
        if not words and declared.get("dtype") is None:
            continue
        series = without_markers(frame.iloc[:, position], name, words)
        if declared.get("dtype") is not None:
            series = cast(series, declared["dtype"], name)
        result.isetitem(position, series.array)
        changed[name] = {**declared, "missing": words}
    return result, changed


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises HarmonicError where there is no such file."""
    if not path.is_file():
        raise HarmonicError(
            f"Table {str(path)!r}: {'is a folder' if path.is_dir() else 'no such file'}. Check the path."
        )
    return path.read_bytes()


def read_parquet(path: Path) -> pd.DataFrame:
    """A Parquet file as a DataFrame with the dtypes it was written with."""
    if not path.is_file():
        read_bytes(path)
    try:
        return pd.read_parquet(path)
    except (ImportError, OSError, ValueError) as error:
        raise HarmonicError(
            f"Table {str(path)!r}: cannot be read as Parquet ({error}). Install pyarrow or export CSV."
        ) from None


def _is_parquet(path: Path) -> bool:
    return path.suffix in _PARQUET


def load_table(
    path: str | Path,
    schema: Schema,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
) -> pd.DataFrame:
    """A further CSV or Parquet file of the table that `schema` describes, in the schema's exact dtypes.

    Raises HarmonicError where a column is absent or a cell cannot be read as its column's kind.
    """
    return conform(read_further(path, schema, separator=separator, encoding=encoding, header=header), schema)


def read_further(
    path: str | Path,
    schema: Schema,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
) -> pd.DataFrame:
    """A further file of the table as it stands: of a CSV the texts of its cells, missing ones made None.

    Raises HarmonicError where a column is absent.
    """
    path = Path(path)
    if _is_parquet(path):
        return _unmarked_values(read_parquet(path), schema)
    data = read_bytes(path)
    known = () if header is False else {str(name) for name in schema.names}
    texts = delimited.read_texts(
        data, path.name, separator=separator, encoding=encoding, header=header, known=known
    )
    if not texts.has_header:
        texts = delimited.read_texts(
            data, path.name, separator=separator, encoding=encoding, header=False, names=schema.names
        )
    by_text = {str(name): name for name in schema.names}
    texts.frame.columns = pd.Index([by_text.get(str(name), name) for name in texts.frame.columns])
    return _unmarked(texts, schema)


def _unmarked_values(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A frame with every column's declared markers made missing: all but the one that a CSV writes."""
    positions, result = locate(frame, schema), frame.copy(deep=False)
    for column in schema.columns:
        series = frame.iloc[:, positions[column.name]]
        result.isetitem(
            positions[column.name], without_markers(series, column.name, column.markers[1:]).array
        )
    return result


def _unmarked(texts: delimited.Texts, schema: Schema) -> pd.DataFrame:
    """Texts with every column's missing markers made missing, and decimal commas made points."""
    positions = locate(texts.frame, schema)
    result = texts.frame.copy(deep=False)
    for column in schema.columns:
        series = texts_without_markers(texts.frame.iloc[:, positions[column.name]], column)
        if texts.separator != "," and family(column) in ("int", "float"):
            series = texts_without_markers(series.str.replace(",", ".", regex=False), column)
        result.isetitem(positions[column.name], series.array)
    return result


def to_csv_text(frame: pd.DataFrame, schema: Schema, *, header: bool = True) -> str:
    """`frame` as CSV that `load_table` reads back: a missing cell is the column's first marker, else empty.

    header: False for rows that go on where others ended.
    """
    out = frame.copy(deep=False)
    positions = locate(frame, schema)
    quoting: Literal[0, 2] = csv.QUOTE_MINIMAL
    for column in schema.columns:
        series = frame.iloc[:, positions[column.name]]
        marker = column.markers[0] if column.markers else ""
        if marker and series.isna().any():
            filled = series.astype(object).where(series.notna(), marker)
            out.isetitem(positions[column.name], filled.array)
        # A lone carriage return would end the line for most readers, and what stands alike in all lines of one column
        # look like separators.
        if _has_returns(series, column) or len(schema.columns) == 1:
            quoting = csv.QUOTE_NONNUMERIC
    return out.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting)


def _has_returns(series: pd.Series, column: Column) -> bool:
    if "str" not in column.dtype and column.dtype not in ("object", "category"):
        return False
    return bool(series.astype("str").str.contains("\r", regex=False, na=False).any())

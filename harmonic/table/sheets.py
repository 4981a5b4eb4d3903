"""Data sheets: small TOML files that say where a table lies and what its columns are.

A path enters, a frozen `Sheet` leaves; `sheet_frame` finds its table among local files or, if it is nowhere
here, on OpenML or at a URL. The digest is that of the parsed local table: it tells whether figures speak of the
same rows. A source that the authors of a sheet could not fetch is marked `unverified`, and says so when used.
"""

from __future__ import annotations

import hashlib
import logging
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.settings import parse_section, read_toml
from harmonic.table import delimited
from harmonic.table.kinds import nearest

_LOG = logging.getLogger(__name__)
_PACKAGED = ("diabetes", "breast_cancer", "iris", "wine")


@dataclass(frozen=True)
class OpenML:
    """[openml]: the same table, or one like it, on OpenML."""

    id: int
    rename: Mapping[str, Any] | None = None
    """Their column names to ours."""
    unverified: bool = False
    """Nobody has fetched it with this sheet: names, rows and order may differ."""


@dataclass(frozen=True)
class Url:
    """[url]: a CSV file to fetch."""

    href: str
    unverified: bool = False


@dataclass(frozen=True)
class Sheet:
    """What a data sheet declares; every key of the TOML file is a field."""

    name: str
    title: str
    """What the rows are, in a few words, for the prompt."""
    target: str
    files: tuple[str, ...] = ()
    """Paths below `data_dir`; several are read one after another as one table."""
    header: bool | None = None
    names: tuple[str, ...] | None = None
    """Column names, where the file has none or others are wanted."""
    missing: tuple[str, ...] = ()
    """Texts that mean missing in every column, besides the empty cell."""
    sha256: str = ""
    """`digest` of the parsed local table."""
    openml: OpenML | None = None
    url: Url | None = None
    columns: Mapping[str, Any] | None = None
    """Overrides by column: [columns.age] kind = "integer"."""


@dataclass(frozen=True)
class Found:
    """A sheet's table: texts to type, or a frame, and where it was found."""

    content: delimited.Texts | pd.DataFrame
    origin: str
    is_local: bool


def digest(frame: pd.DataFrame) -> str:
    """sha256 of the parsed table as CSV: UTF-8, commas, newlines, empty where missing, no index."""
    return hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def check_digest(sheet: Sheet, found: Found, frame: pd.DataFrame) -> tuple[str, ...]:
    """What to say about the origin of `frame`. Raises HarmonicError where local rows are not the sheet's."""
    note = f"Table {sheet.name!r}: read from {found.origin}."
    actual = digest(frame) if sheet.sha256 else ""
    if actual == sheet.sha256:
        return (note,)
    message = (
        f"Table {sheet.name!r}: digest {actual[:12]}... is not the {sheet.sha256[:12]}... of its data sheet."
    )
    if found.is_local:
        raise HarmonicError(f"{message} Restore the file, or correct sha256 in the sheet.")
    _LOG.warning("%s Figures published for this sheet speak of other rows.", message)
    return note, message


def read_sheet(path: str | Path) -> Sheet:
    """The data sheet in a TOML file. Raises HarmonicError for an unknown or absent key, naming the nearest."""
    if not Path(path).is_file():
        raise HarmonicError(f"Data sheet {str(path)!r}: no such file. Known ones stand in configs/tables.")
    return parse_section(Sheet, read_toml(path), f"data sheet {str(path)!r}")


def sheet_frame(sheet: Sheet, data_dir: str | Path | None) -> Found:
    """The sheet's table: local files first, then the network. Raises HarmonicError if it is nowhere."""
    paths = [Path(data_dir) / file for file in sheet.files] if data_dir is not None else []
    if paths and all(path.is_file() for path in paths):
        return Found(_local(paths, sheet), ", ".join(sheet.files), True)
    if sheet.openml is not None:
        origin = _origin(f"OpenML {sheet.openml.id}", sheet.openml.unverified)
        return Found(_from_openml(sheet.name, sheet.openml, data_dir), origin, False)
    if sheet.url is not None:
        return Found(_from_url(sheet, sheet.url), _origin(sheet.url.href, sheet.url.unverified), False)
    where = f"under {str(data_dir)!r}" if data_dir is not None else "without a data folder"
    raise HarmonicError(
        f"Table {sheet.name!r}: {', '.join(sheet.files)} not found {where}, and its sheet names no other source. "
        "Pass `data_dir` (scripts: set HARMONIC_DATA)."
    )


def _origin(origin: str, unverified: bool) -> str:
    return f"{origin} (unverified: nobody has fetched it with this sheet)" if unverified else origin


def packaged(name: str) -> pd.DataFrame:
    """A table that scikit-learn ships, unscaled: "diabetes", "breast_cancer", "iris", "wine"."""
    if name not in _PACKAGED:
        raise HarmonicError(f"Table 'sklearn:{name}': is unknown.{nearest(name, _PACKAGED)}")
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True, **options).frame
    return frame


def _local(paths: list[Path], sheet: Sheet) -> delimited.Texts | pd.DataFrame:
    if paths[0].suffix in (".parquet", ".pq"):
        return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    parts = [_texts(path.read_bytes(), path.name, sheet) for path in paths]
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return replace(parts[0], frame=frame)


def _texts(data: bytes, name: str, sheet: Sheet) -> delimited.Texts:
    return delimited.read_texts(data, name, header=sheet.header, names=sheet.names)


def _from_openml(name: str, source: OpenML, data_dir: str | Path | None) -> pd.DataFrame:
    """The table from OpenML through scikit-learn, under the names of the sheet."""
    from sklearn.datasets import fetch_openml

    _LOG.info("Table %r: fetching OpenML %s.", name, source.id)
    home = None if data_dir is None else str(Path(data_dir) / "openml")
    try:
        frame: pd.DataFrame = fetch_openml(
            data_id=source.id, as_frame=True, parser="auto", data_home=home
        ).frame
    except (OSError, ValueError) as error:
        raise HarmonicError(
            f"Table {name!r}: OpenML {source.id} could not be fetched ({error}). "
            "Put the file under `data_dir` (scripts: HARMONIC_DATA) or go online."
        ) from None
    return frame.rename(columns=dict(source.rename or {}))


def _from_url(sheet: Sheet, source: Url) -> delimited.Texts:
    """The table from a URL."""
    _LOG.info("Table %r: fetching %s.", sheet.name, source.href)
    try:
        with urllib.request.urlopen(source.href, timeout=60) as answer:
            data: bytes = answer.read()
    except OSError as error:
        raise HarmonicError(
            f"Table {sheet.name!r}: {source.href} could not be fetched ({error}). "
            "Put the file under `data_dir` (scripts: HARMONIC_DATA) or go online."
        ) from None
    return _texts(data, source.href.rsplit("/", 1)[-1], sheet)

"""Data sheets: small TOML files that say where a table lies and what its columns are.

A path enters, a frozen `Sheet` leaves; `sheet_frame` finds its table among local files, in scikit-learn or, if
it is nowhere here, on OpenML or at a URL. A digest is that of the parsed local table: it tells whether figures
speak of the same rows. What was never fetched by the authors is marked `unverified` and says so when used.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tomllib
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from harmonic.errors import HarmonicError
from harmonic.table import delimited
from harmonic.table.kinds import nearest

_LOG = logging.getLogger(__name__)
_SKLEARN = ("load_diabetes", "load_breast_cancer", "load_iris", "load_wine")


@dataclass(frozen=True)
class Sheet:
    """What a data sheet declares; every key of the TOML file is a field."""

    name: str
    title: str
    """What the rows are, in a few words, for the prompt."""
    target: str
    files: tuple[str, ...] = ()
    """Paths below `data_dir`; several are read one after another as one table."""
    header: bool = True
    names: tuple[str, ...] = ()
    """Column names, where the file has none or others are wanted."""
    missing: tuple[str, ...] = ()
    """Texts that mean missing in every column, besides the empty cell."""
    sha256: str = ""
    """`digest` of the parsed local table."""
    sklearn: str = ""
    """A loader of scikit-learn's packaged tables."""
    openml: Mapping[str, Any] = field(default_factory=dict)
    """id, rename, unverified: where to fetch the table without a local file."""
    url: Mapping[str, Any] = field(default_factory=dict)
    """href, unverified: a CSV file to fetch where OpenML is not named."""
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Overrides by column: kind, levels, missing, ..."""


@dataclass(frozen=True)
class Found:
    """A sheet's table as it was found: texts to type, or a frame, and where it came from."""

    sheet: Sheet
    content: delimited.Texts | pd.DataFrame
    origin: str
    is_local: bool

    def check(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """What to say about the origin of `frame`. Raises HarmonicError where local rows are not the sheet's."""
        notes = [f"Table {self.sheet.name!r}: read from {self.origin}."]
        found = digest(frame) if self.sheet.sha256 else ""
        if found != self.sheet.sha256:
            message = f"Table {self.sheet.name!r}: digest {found[:12]} is not {self.sheet.sha256[:12]} of its data sheet."
            if self.is_local:
                raise HarmonicError(f"{message} Restore the file, or correct sha256 in the sheet.")
            notes.append(f"{message} Figures published for this sheet speak of other rows.")
            _LOG.warning(notes[-1])
        return tuple(notes)


def digest(frame: pd.DataFrame) -> str:
    """sha256 of the parsed table as CSV: UTF-8, commas, "\\n", empty where missing, no index."""
    return hashlib.sha256(frame.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def read_sheet(path: str | Path) -> Sheet:
    """The data sheet in a TOML file. Raises HarmonicError for an unknown or absent key, naming the nearest."""
    path = Path(path)
    if not path.is_file():
        raise HarmonicError(f"Data sheet {str(path)!r}: no such file. Known sheets stand in configs/tables.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise HarmonicError(f"Data sheet {str(path)!r}: is no TOML ({error}). Mend the line.") from None
    known = [item.name for item in fields(Sheet)]
    for key in content:
        if key not in known:
            raise HarmonicError(f"Data sheet {str(path)!r}: key {key!r} is unknown.{nearest(key, known)}")
    for key in ("name", "title", "target"):
        if not isinstance(content.get(key), str):
            raise HarmonicError(
                f'Data sheet {str(path)!r}: key {key!r} is absent or no text. Add {key} = "...".'
            )
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    return Sheet(**{**content, **lists})


def sheet_frame(sheet: Sheet, data_dir: str | Path | None) -> Found:
    """The sheet's table: local files first, then scikit-learn, then the network. Raises HarmonicError if nowhere."""
    if sheet.sklearn:
        return Found(sheet, packaged(sheet.sklearn), f"scikit-learn's {sheet.sklearn}", True)
    paths = [Path(data_dir) / file for file in sheet.files] if data_dir is not None else []
    if paths and all(path.is_file() for path in paths):
        return Found(sheet, _local(paths, sheet), ", ".join(sheet.files), True)
    if sheet.openml:
        return Found(
            sheet, _from_openml(sheet, data_dir), _origin(f"OpenML {sheet.openml['id']}", sheet.openml), False
        )
    if sheet.url:
        return Found(sheet, _from_url(sheet), _origin(str(sheet.url["href"]), sheet.url), False)
    where = f"under {str(data_dir)!r}" if data_dir is not None else "without a data folder"
    raise HarmonicError(
        f"Table {sheet.name!r}: {', '.join(sheet.files)} not found {where}, and the sheet names no other source. "
        "Pass `data_dir` (scripts: set HARMONIC_DATA)."
    )


def _origin(origin: str, source: Mapping[str, Any]) -> str:
    return (
        f"{origin} (unverified: the authors of this sheet could not fetch it)"
        if source.get("unverified")
        else origin
    )


def packaged(loader: str) -> pd.DataFrame:
    """One of scikit-learn's packaged tables, unscaled."""
    if loader not in _SKLEARN:
        raise HarmonicError(f"scikit-learn table {loader!r} is unknown.{nearest(loader, _SKLEARN)}")
    from sklearn import datasets

    options = {"scaled": False} if loader == "load_diabetes" else {}
    return getattr(datasets, loader)(as_frame=True, **options).frame


def _local(paths: list[Path], sheet: Sheet) -> delimited.Texts | pd.DataFrame:
    if paths[0].suffix in (".parquet", ".pq"):
        return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    parts = [_texts(path.read_bytes(), path.name, sheet) for path in paths]
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return delimited.Texts(frame, parts[0].decisions)


def _texts(data: bytes, name: str, sheet: Sheet) -> delimited.Texts:
    return delimited.read_texts(data, name, header=sheet.header, columns=sheet.names or None)


def _from_openml(sheet: Sheet, data_dir: str | Path | None) -> pd.DataFrame:
    """The table from OpenML through scikit-learn, under the names of the sheet. Not exercised by the tests."""
    from sklearn.datasets import fetch_openml

    _LOG.info("Table %r: fetching OpenML %s.", sheet.name, sheet.openml["id"])
    options = {} if data_dir is None else {"data_home": str(Path(data_dir) / "openml")}
    try:
        frame = fetch_openml(data_id=sheet.openml["id"], as_frame=True, parser="auto", **options).frame
    except (OSError, ValueError) as error:
        raise HarmonicError(
            f"Table {sheet.name!r}: OpenML {sheet.openml['id']} could not be fetched ({error}). "
            "Put the file under `data_dir` (scripts: HARMONIC_DATA) or go online."
        ) from None
    return frame.rename(columns=dict(sheet.openml.get("rename", {})))


def _from_url(sheet: Sheet) -> delimited.Texts:
    """The table from a URL. Not exercised by the tests."""
    href = str(sheet.url["href"])
    try:
        with urllib.request.urlopen(href, timeout=60) as answer:
            data = io.BytesIO(answer.read()).getvalue()
    except OSError as error:
        raise HarmonicError(
            f"Table {sheet.name!r}: {href} could not be fetched ({error}). Put the file under `data_dir`."
        ) from None
    return _texts(data, href.rsplit("/", 1)[-1], sheet)

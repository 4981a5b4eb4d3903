"""Tables of any tool, read for a report: the real file says what a column is, the others are taken as they are.

What enters is paths and what is declared about the columns; what leaves is the arguments of `evaluate`. The schema is
that of the real rows. A synthetic cell that does not fit stays in the table, as a text, for the report counts it;
a reader that refuses or mends it would flatter the tool.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from harmonic.config import table_name
from harmonic.errors import HarmonicError
from harmonic.table.infer import observe
from harmonic.table.schema import Schema
from harmonic.table.sheets import read_sheet
from harmonic.table.sources import read_further, read_table

Source = str | Path


class Inputs(TypedDict, total=False):
    """Keyword arguments of `evaluate`."""

    real: pd.DataFrame
    synthetic: pd.DataFrame
    holdout: pd.DataFrame
    reference: pd.DataFrame
    schema: Schema


def read_inputs(
    real: Source,
    synthetic: Source,
    holdout: Source,
    *,
    reference: Source | None = None,
    target: Hashable | None = None,
    sheet: Source | None = None,
) -> Inputs:
    """The tables of CSV or Parquet files and the schema of the real one.

    `sheet` is a data sheet (TOML) whose columns, target and missing markers hold for all files; `target` stands above
    the sheet's. Raises HarmonicError for what cannot be read, and for a file without a column of the real one.
    """
    frame, schema = read_table(real, **_declared(real, target, sheet))
    schema = observe(schema, frame)
    found = Inputs(real=frame, schema=schema)
    found["synthetic"] = _further(synthetic, schema, "synthetic")
    found["holdout"] = _further(holdout, schema, "holdout")
    if reference is not None:
        found["reference"] = _further(reference, schema, "reference")
    return found


def _declared(real: Source, target: Hashable | None, sheet: Source | None) -> dict[str, Any]:
    """What `read_table` is told about the real file."""
    if sheet is None:
        return {"target": target, "title": table_name(str(real))}
    said = read_sheet(sheet)
    columns: Mapping[str, Any] = said.columns or {}
    return {
        "target": said.target if target is None else target,
        "title": said.title,
        "overrides": columns,
        "missing": said.missing,
        "header": said.header,
        "names": said.names,
    }


def _further(path: Source, schema: Schema, role: str) -> pd.DataFrame:
    """A further file as it stands; errors name its role."""
    try:
        return read_further(path, schema)
    except HarmonicError as error:
        raise HarmonicError(f"The {role} file: {error}") from None

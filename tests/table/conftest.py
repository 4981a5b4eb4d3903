from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from harmonic.table.schema import Schema
from harmonic.table.sources import read_table


@pytest.fixture(scope="session")
def sheet_table(repository: Path, data_dir: Path) -> Callable[[str], tuple[pd.DataFrame, Schema]]:
    """sheet_table("adult"): the table and schema of that data sheet, read once a process."""

    @cache
    def load(name: str) -> tuple[pd.DataFrame, Schema]:
        return read_table(repository / "configs" / "tables" / f"{name}.toml", data_dir=data_dir)

    return load

from __future__ import annotations

import re
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.table.cells import from_rows
from harmonic.table.identifiers import escaped, fresh, is_named_like_one
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Column

N = 60
RNG = np.random.default_rng(0)
REAL = {
    "email": [f"ann.{i}@mail{i % 3}.org" for i in range(N)],
    "phone": [f"+49 30 {RNG.integers(1000000, 9999999)}" for _ in range(N)],
    "uuid": [str(uuid.UUID(int=int(i) * 7919)) for i in RNG.integers(1, 2**62, N)],
    "hash": [f"{int(i):016x}" for i in RNG.integers(2**60, 2**62, N)],
    "code": [f"cust_{i:04d}" for i in RNG.permutation(N) * 13],
    "number": list(range(1, N + 1)),
    "customer_id": [int(i) for i in RNG.choice(10**6, N, replace=False) + 10**6],
}
SHAPES = {
    "email": r"[a-z]{8}@example\.com",
    "phone": r"\+\d\d \d\d \d{7}",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "hash": r"[0-9a-f]{16}",
    "code": r"cust_\d{4}",
    "number": r"\d+",
    "customer_id": r"[1-9]\d{6}",
}


@pytest.mark.parametrize("name", list(REAL))
def test_identifiers_are_found_and_made_afresh(name: str) -> None:
    schema = infer_schema(pd.DataFrame({name: REAL[name], "y": [0, 1] * (N // 2)}))
    column = schema.column(name)
    assert column.kind == "identifier" and [other.name for other in schema.modelled] == ["y"]
    made = from_rows([("0",)] * 500, schema, seed=3)[name]
    assert made.is_unique and all(re.fullmatch(SHAPES[name], str(value)) for value in made)
    if name not in ("number", "code"):
        assert len(set(made) & set(REAL[name])) <= 2


def test_an_identifier_depends_on_seed_and_row_number_alone() -> None:
    schema = infer_schema(pd.DataFrame({"code": REAL["code"], "y": [0, 1] * (N // 2)}))
    whole = from_rows([("0",)] * 10, schema, seed=1)
    part = from_rows([("0",)] * 4, schema, seed=1, first_row=6)
    assert whole["code"].tolist()[6:] == part["code"].tolist()
    assert whole["code"].tolist() != from_rows([("0",)] * 10, schema, seed=2)["code"].tolist()


@pytest.mark.parametrize(
    "values",
    [
        [f"Person {i} Smith" for i in range(N)],
        [f"2020-01-{1 + i % 28:02d}" for i in range(N)],
        [f"{i}-{i + 9}" for i in range(N)],
        [int(i) for i in RNG.choice(10**6, N, replace=False)],
        list(range(1950, 1950 + N)),
        [f"v{i % 5}.{i % 3}" for i in range(N)],
    ],
)
def test_names_dates_ranges_and_quantities_are_no_identifiers(values: Any) -> None:
    assert infer_schema(pd.DataFrame({"x": values})).column("x").kind != "identifier"


def test_a_target_is_never_an_identifier_and_a_person_may_disagree() -> None:
    frame = pd.DataFrame({"x": range(1, N + 1), "y": [0, 1] * (N // 2)})
    assert infer_schema(frame, target="x").column("x").kind == "integer"
    assert infer_schema(frame, overrides={"x": {"kind": "integer"}}).column("x").kind == "integer"
    assert (
        infer_schema(frame, overrides={"y": {"kind": "identifier", "pattern": "99"}}).column("y").pattern
        == "99"
    )


@pytest.mark.parametrize(
    ("label", "expected"),
    [("id", True), ("CustomerID", True), ("row_id", True), ("userId", True), ("instant", True),
     ("width", False), ("idea", False), ("paid", False), ("solid", False)],
)  # fmt: skip
def test_names_that_say_identifier(label: str, expected: bool) -> None:
    assert is_named_like_one(label) is expected


def test_a_pattern_visits_all_its_room_before_it_repeats() -> None:
    column = Column("x", "x", "identifier", "str", pattern=escaped("a9-") + "9a")
    made = fresh(column, 260, seed=5, first_row=0)
    assert len(set(made)) == 260 and all(re.fullmatch(r"a9-\d[a-z]", str(text)) for text in made)


def test_a_pattern_without_room_is_refused() -> None:
    with pytest.raises(HarmonicError, match="no room"):
        fresh(Column("x", "x", "identifier", "str", pattern="x-"), 2, seed=0, first_row=0)


def test_made_numbers_fit_their_dtype() -> None:
    values = pd.Series([int(i) for i in RNG.permutation(120)[:N]], dtype="int8")
    schema = infer_schema(pd.DataFrame({"id": values, "y": [0, 1] * (N // 2)}))
    made = from_rows([("0",)] * 80, schema)["id"]
    assert schema.column("id").pattern == "99" and made.dtype == "int8" and made.is_unique

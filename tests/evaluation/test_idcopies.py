"""Identifiers of training rows in the synthetic table: what is found, what chance explains, what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from harmonic.evaluation import evaluate
from harmonic.evaluation.idcopies import IdCopies, count_id_copies
from harmonic.table.identifiers import fresh
from harmonic.table.infer import infer_schema

People = Callable[[int, int], pd.DataFrame]
STRICT = 0.05 / 8
"""The least level of a family of eight."""


def _codes(n: int, seed: int, room: int) -> list[str]:
    return [f"P{code:06d}" for code in np.random.default_rng(seed).choice(room, n, replace=False)]


def _count(real: Sequence[object], synthetic: Sequence[object], holdout: Sequence[object]) -> IdCopies:
    frames = {
        role: pd.DataFrame({"pid": list(cells)})
        for role, cells in (("real", real), ("synthetic", synthetic), ("holdout", holdout))
    }
    schema = infer_schema(frames["real"], overrides={"pid": {"kind": "identifier"}})
    (found,) = count_id_copies(frames, schema)
    return found


def test_copied_identifiers_are_counted_beside_those_of_the_holdout() -> None:
    pool = _codes(230, 0, 900_000)
    found = _count(pool[:150], [*pool[:30], *pool[:10], *_codes(80, 1, 900_000)], pool[150:])
    assert (found.n_copied, found.n_rows, found.untested, found.is_numbering) == (40, 120, "", False)
    assert (found.repeated.value, found.repeated.noise_floor) == (0.2, 0.0)
    assert found.p_value < 1e-4


def test_blanks_hide_no_copied_identifier() -> None:
    pool = _codes(230, 0, 900_000)
    assert _count(pool[:150], [f"{code} " for code in pool[:120]], pool[150:]).n_copied == 120


@pytest.mark.parametrize("room", [300, 1_000, 900_000])
def test_identifiers_made_afresh_hit_training_and_holdout_rows_alike(room: int) -> None:
    alarms = 0
    for seed in range(60):
        pool = _codes(230, seed, room)
        schema = infer_schema(pd.DataFrame({"pid": pool}), overrides={"pid": {"kind": "identifier"}})
        made = fresh(schema.columns[0], 150, seed=seed, first_row=0)
        alarms += _count(pool[:150], made, pool[150:]).p_value < STRICT
    assert alarms <= 2  # .6 % each


def test_a_table_that_numbers_its_rows_copies_nothing() -> None:
    places = np.random.default_rng(0).permutation(230) + 1
    for holdout in (range(151, 231), range(1, 81)):  # in turn, and every file by itself
        found = _count(range(1, 151), range(1, 121), holdout)
        assert found.is_numbering and found.p_value == 1.0 and not found.untested
    found = _count(places[:150], np.random.default_rng(1).permutation(places[:150])[:120], places[150:])
    assert not found.is_numbering and found.p_value < STRICT


def test_a_holdout_of_later_numbers_is_no_control() -> None:
    codes = [f"P{number:06d}" for number in range(230)]
    found = _count(codes[:150], codes[:120], codes[150:])
    assert found.p_value == 1.0 and "ordered apart" in found.untested
    assert "holdout rows alone" in _count(codes[:150], codes[:120], codes[:80]).untested
    assert "holdout rows, too" in _count(codes[:150], codes[:120], codes).untested
    assert not _count(codes[:150], _codes(120, 0, 900_000), codes[150:]).untested


@pytest.mark.usefixtures("small_models")
def test_the_verdict_tells_copied_identifiers_and_what_could_not_be_tested(people: People) -> None:
    pool = _codes(140, 0, 900_000)
    tables = {
        "real": people(80, 0).assign(pid=pool[:80]),
        "synthetic": people(60, 1).assign(pid=pool[20:80]),
        "holdout": people(60, 2).assign(pid=pool[80:]),
    }
    schema = infer_schema(tables["real"], target="outcome")
    found = evaluate(**tables, schema=schema)
    assert found.privacy.p_values["identifiers"] < 0.05
    assert "60 of 60 synthetic rows hold an identifier of a training row in column 'pid': 75.0 %" in (
        found.privacy.verdict
    )
    rising = sorted(pool)
    later = {
        role: tables[role].assign(pid=rising[at : at + 60])
        for role, at in (("synthetic", 0), ("holdout", 80))
    }
    untested = evaluate(real=tables["real"].assign(pid=rising[:80]), **later, schema=schema)
    assert (
        "Not tested: identifiers (60 of 60 in column pid stand in the training rows"
        in untested.privacy.verdict
    )
    assert any(
        "60 of 60 synthetic identifiers stand in the training rows" in said
        for said in untested.roles.warnings
    )
    numbered = {role: frame.assign(pid=range(1, len(frame) + 1)) for role, frame in tables.items()}
    counted = evaluate(**numbered, schema=infer_schema(numbered["real"], target="outcome"))
    assert "identifiers" not in counted.privacy.p_values and not counted.roles.warnings
    assert any("number the rows" in note for note in counted.notes)

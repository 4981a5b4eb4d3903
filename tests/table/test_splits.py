from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema
from harmonic.table.splits import Parts, digest_rows, split_roles, split_table, with_fewer, with_test

Tables = Callable[[str], tuple[pd.DataFrame, Schema]]


def _table(n: int, seed: int = 0, classes: str = "aaab") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.random(n), "y": rng.choice(list(classes), n)})


def _split(frame: pd.DataFrame, **given: float) -> Parts:
    return split_roles(frame, infer_schema(frame, target="y"), **given)  # type: ignore[arg-type]


@given(
    st.integers(1, 60),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.sampled_from([None, 0.0, 0.25]),
    st.integers(0, 3),
)
def test_roles_share_no_row_and_lose_none(n: int, test: float, val: float | None, seed: int) -> None:
    frame = _table(n)
    parts = split_roles(frame, infer_schema(frame, target="y"), seed=seed, test=test, val=val)
    used = np.concatenate(list(parts.index.values()))
    assert sorted(used.tolist()) == list(range(n))
    assert parts.counts["train"] >= 1 and len(parts.train) == parts.counts["train"]
    assert parts.counts["test"] >= (1 if test and n >= 4 else 0)


def test_one_seed_gives_one_split_and_another_another() -> None:
    frame = _table(500)
    first, again, other = (_split(frame, seed=seed) for seed in (1, 1, 2))
    assert first.digests == again.digests != other.digests
    assert all((first.index[role] == again.index[role]).all() for role in first.index)


def test_classes_keep_their_shares() -> None:
    parts = _split(_table(1000, classes="aaaaaaaaab"))
    share = pd.concat([parts.train, parts.val, parts.test])["y"].eq("b").mean()
    for part in (parts.train, parts.val, parts.test):
        assert part["y"].eq("b").mean() == pytest.approx(share, abs=0.011)
    assert parts.counts == {"train": 700, "val": 100, "test": 200}


def test_validation_begins_at_a_thousand_rows() -> None:
    assert _split(_table(999)).counts["val"] == 0 and "fewer than 1000" in _split(_table(999)).notes[0]
    assert _split(_table(1000)).counts["val"] == 100


def test_rows_of_an_earlier_part_are_removed_and_counted() -> None:
    frame = _table(400)
    doubled = pd.concat([frame, frame.iloc[:40]], ignore_index=True)
    schema = infer_schema(doubled, target="y")
    parts = split_roles(doubled, schema)
    rows = to_rows(doubled, schema)
    held = [{rows[row] for row in parts.index[role]} for role in ("train", "val", "test")]
    assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
    assert sum(parts.removed.values()) == len(doubled) - sum(parts.counts.values()) > 0
    assert any("test rows removed" in note for note in parts.notes)


def test_the_rows_removed_from_test_are_kept_apart_so_that_both_together_are_what_was_drawn() -> None:
    frame = _table(400)
    doubled = pd.concat([frame, frame.iloc[:40]], ignore_index=True)
    schema = infer_schema(doubled, target="y")
    parts = split_roles(doubled, schema)
    earlier = set(to_rows(parts.train, schema)) | set(to_rows(parts.val, schema))
    assert len(parts.twins) == parts.removed["test"] > 0
    assert set(to_rows(parts.twins, schema)) <= earlier
    most = split_roles(frame.iloc[:390], schema, test=0.0, val=0.0)
    whole = with_test(most, doubled[380:], schema)
    assert (len(whole.test), whole.removed["test"], len(whole.twins)) == (10, 50, 50)
    assert _split(frame).twins.empty


def test_an_identifier_does_not_hide_a_twin() -> None:
    frame = _table(400)
    doubled = pd.concat([frame, frame.iloc[:60]], ignore_index=True)
    doubled.insert(0, "id", range(1, len(doubled) + 1))
    assert sum(_split(doubled).removed.values()) > 0


def test_a_table_of_few_distinct_rows_keeps_its_holdout_and_says_so(sheet_table: Tables) -> None:
    frame, schema = sheet_table("asia")
    parts = split_roles(frame, schema)
    assert parts.counts["test"] == 50 and any(
        "kept: the table has few distinct rows" in note for note in parts.notes
    )


def test_a_holdout_file_keeps_the_rows_that_a_table_of_few_distinct_rows_repeats_by_nature(
    sheet_table: Tables,
) -> None:
    frame, schema = sheet_table("asia")
    whole = with_test(split_roles(frame[:200], schema, test=0.0, val=0.0), frame[200:], schema)
    assert len(whole.test) == len(frame) - 200 and whole.twins.empty
    assert any("kept: the table has few distinct rows" in note for note in whole.notes)


def test_a_holdout_file_of_training_rows_is_refused() -> None:
    frame = _table(60)
    schema = infer_schema(frame, target="y")
    with pytest.raises(HarmonicError, match="all 20 rows of the file stand in the training rows"):
        with_test(split_roles(frame, schema, test=0.0, val=0.0), frame[:20], schema)


def test_small_and_one_sided_tables_do_not_crash_and_say_what_was_done() -> None:
    one = _split(_table(1))
    assert one.counts == {"train": 1, "val": 0, "test": 0} and "One row" in one.notes[-1].replace(
        "one row", "One row"
    )
    single = _split(_table(50, classes="a"))
    assert single.counts["test"] == 10
    lonely = _table(50, classes="a")
    lonely.loc[49, "y"] = "b"
    parts = _split(lonely)
    assert "b" in set(parts.train["y"]) and any("one member" in note for note in parts.notes)


def test_a_class_may_be_missing() -> None:
    frame = _table(60)
    frame.loc[::7, "y"] = None
    assert _split(frame).test["y"].isna().any()


@pytest.mark.parametrize(("test", "val"), [(0.9, 0.1), (-0.1, 0.0), (1.0, 0.0)])
def test_shares_that_leave_nothing_to_train_on_are_refused(test: float, val: float) -> None:
    with pytest.raises(HarmonicError, match="leave no training row"):
        _split(_table(50), test=test, val=val)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "seed=-1, a whole number from 0 on is expected"),
        ({"seed": None}, "seed=None, a whole number from 0 on is expected"),
        ({"seed": 1.5}, "seed=1.5, a whole number from 0 on is expected"),
        ({"test": float("nan")}, "test=nan, a share of the rows from 0 to below 1 is expected"),
        ({"test": None}, "test=None, a share of the rows from 0 to below 1 is expected"),
        ({"test": "0.2"}, "test='0.2', a share of the rows from 0 to below 1 is expected"),
        ({"test": float("inf")}, "leave no training row"),
    ],
)
def test_what_is_no_seed_or_share_is_refused(settings: dict[str, Any], message: str) -> None:
    frame = _table(50)
    with pytest.raises(HarmonicError, match=message):
        split_table(frame, infer_schema(frame, target="y"), **settings)


def test_what_is_written_of_a_split_holds_no_rows() -> None:
    frame = _table(400)
    written = json.dumps(_split(frame).to_json())
    assert set(json.loads(written)) == {"counts", "removed", "digests", "notes"}
    assert str(frame["x"].iloc[0])[:8] not in written


def test_split_table_is_the_same_split_without_validation() -> None:
    frame = _table(400)
    schema = infer_schema(frame, target="y")
    train, holdout = split_table(frame, schema, seed=4)
    parts = split_roles(frame, schema, seed=4, val=0.0)
    assert train.equals(parts.train) and holdout.equals(parts.test) and len(holdout) == 80


def test_a_digest_tells_missing_from_text_and_order() -> None:
    digests = {
        digest_rows(rows)
        for rows in ([("a", None)], [("a", "null")], [("a", "")], [("b",), ("a",)], [("a",), ("b",)])
    }
    assert len(digests) == 5


def test_fewer_training_rows_keep_their_classes_and_the_holdout() -> None:
    frame = _table(500)
    schema, parts = infer_schema(frame, target="y"), _split(frame)
    fewer = with_fewer(parts, 80, schema, seed=1)
    assert len(fewer.train) == 80
    assert fewer.train.equals(frame.iloc[fewer.index["train"]].reset_index(drop=True))
    assert set(fewer.index["train"]) < set(parts.index["train"])
    assert fewer.test.equals(parts.test)
    assert fewer.digests["test"] == parts.digests["test"]
    assert fewer.digests["train"] == digest_rows(to_rows(fewer.train, schema))
    assert fewer.train["y"].eq("b").mean() == pytest.approx(parts.train["y"].eq("b").mean(), abs=0.02)
    assert with_fewer(parts, len(parts.train), schema) is parts
    with pytest.raises(HarmonicError, match="train_rows = 999: the training part has"):
        with_fewer(parts, 999, schema)

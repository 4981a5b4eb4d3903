from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pandas as pd
import pytest

from harmonic.errors import HarmonicError
from harmonic.evaluation.roles import assign_roles, check_columns
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema
from harmonic.table.splits import split_roles

People = Callable[[int, int], pd.DataFrame]


@pytest.fixture
def rows(people: People) -> dict[str, pd.DataFrame]:
    """Tables without a row in common."""
    distinct = people(400, 0).drop_duplicates(ignore_index=True)
    sizes = {"real": 60, "synthetic": 50, "holdout": 40, "further": 30}
    starts = range(0, 240, 60)
    return {
        name: distinct[start : start + size].reset_index(drop=True)
        for start, (name, size) in zip(starts, sizes.items(), strict=True)
    }


@pytest.fixture
def frames(rows: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: rows[name] for name in ("real", "synthetic", "holdout")}


def test_tables_of_different_rows_pass_as_they_are(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    measured, roles = assign_roles(frames, people_schema)
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(measured[name], frame)
        assert roles.role(name).n_given == roles.role(name).n_rows == len(frame)
    assert (roles.n_shared, roles.warnings, roles.notes) == (0, (), ())


def test_holdout_rows_that_were_trained_on_are_counted_and_left_out_and_copies_never(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    leaked = pd.concat([frames["holdout"], frames["real"][:7]], ignore_index=True)
    copied = pd.concat([frames["synthetic"], frames["real"][:5]], ignore_index=True)
    measured, roles = assign_roles({**frames, "holdout": leaked, "synthetic": copied}, people_schema)
    pd.testing.assert_frame_equal(measured["holdout"], frames["holdout"])
    assert len(measured["synthetic"]) == 55
    assert (roles.n_shared, roles.role("holdout").n_given, roles.role("holdout").n_rows) == (7, 47, 40)
    assert roles.warnings == (
        "7 of 47 holdout rows stand verbatim in the real table; left out of it, for what was trained on is no control.",
    )


def test_a_reference_is_treated_as_the_holdout_is(
    frames: dict[str, pd.DataFrame], rows: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    reference = pd.concat([rows["further"][:20], frames["real"][:2]], ignore_index=True)
    measured, roles = assign_roles({**frames, "reference": reference}, people_schema)
    assert len(measured["reference"]) == roles.role("reference").n_rows == 20
    assert roles.n_shared == 0 and "2 of 22 reference rows" in roles.warnings[0]


def test_shared_rows_are_natural_where_training_rows_repeat_one_another_as_often(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    real = pd.concat([frames["real"], frames["real"][:6]], ignore_index=True)  # 12 of 66 have a twin
    few, many = (pd.concat([frames["holdout"], frames["real"][:n]], ignore_index=True) for n in (6, 40))
    measured, roles = assign_roles({**frames, "real": real, "holdout": few}, people_schema)
    assert (roles.is_natural, roles.n_shared, len(measured["holdout"])) == (True, 6, 40)
    assert roles.warnings == (
        "6 of 46 holdout rows stand verbatim in the real table, as often as real rows repeat one another; left out of "
        "it, but for the counts of copies: there they show what chance repeats.",
    )
    _, leaked = assign_roles({**frames, "real": real, "holdout": many}, people_schema)
    assert (leaked.is_natural, leaked.n_shared) == (False, 40)
    assert "is no control" in leaked.warnings[0]
    assert not assign_roles(frames, people_schema)[1].is_natural


def test_a_table_of_few_distinct_rows_keeps_its_holdout(people: People) -> None:
    names = ["ward", "test", "outcome"]
    frames = {name: people(40, seed)[names] for seed, name in enumerate(["real", "synthetic", "holdout"])}
    measured, roles = assign_roles(frames, infer_schema(frames["real"]))
    assert len(measured["holdout"]) == 40 and roles.n_shared > 20
    assert "kept, for most real rows have twins" in roles.warnings[0]


def test_digests_are_those_of_the_split_and_of_the_rows_themselves(
    people: People, people_schema: Schema
) -> None:
    parts = split_roles(people(100, 0), people_schema, test=0.3, val=0.0)
    frames = {"real": parts.train, "synthetic": people(20, 1), "holdout": parts.test}
    _, roles = assign_roles(frames, people_schema)
    assert roles.role("real").digest == parts.digests["train"]
    assert roles.role("holdout").digest == parts.digests["test"]
    row = people(20, 1).iloc[0]
    cells = [str(row["age"]), f"{row['dose']:g}", row["ward"], row["test"], row["outcome"]]
    text = json.dumps(cells, separators=(",", ":")) + "\n"
    _, alone = assign_roles({**frames, "synthetic": people(20, 1)[:1]}, people_schema)
    assert alone.role("synthetic").digest == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"holdout": "real"}, "'holdout' and 'real': hold the same 60 rows"),
        ({"synthetic": "holdout"}, "'synthetic' and 'holdout': hold the same 40 rows"),
    ],
)
def test_tables_in_each_others_place_are_refused(
    frames: dict[str, pd.DataFrame], people_schema: Schema, wrong: dict[str, str], message: str
) -> None:
    mixed = frames | {role: frames[other].sample(frac=1, random_state=0) for role, other in wrong.items()}
    with pytest.raises(HarmonicError, match=message):
        assign_roles(mixed, people_schema)


def test_a_holdout_that_is_a_part_of_the_training_rows_is_refused(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    with pytest.raises(HarmonicError, match="all 30 rows stand verbatim in the real table"):
        assign_roles({**frames, "holdout": frames["real"][:30]}, people_schema)


def test_synthetic_rows_that_are_the_real_ones_are_warned_of_and_measured(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    measured, roles = assign_roles({**frames, "synthetic": frames["real"][::-1]}, people_schema)
    assert roles.warnings == (
        "The synthetic table holds exactly the 60 real rows. Are these the right files?",
    )
    assert len(measured["synthetic"]) == 60


def test_synthetic_rows_of_the_holdout_raise_doubts_about_the_files(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    copied = pd.concat([frames["synthetic"], frames["holdout"][:12]], ignore_index=True)
    (warning,) = assign_roles({**frames, "synthetic": copied}, people_schema)[1].warnings
    assert warning.startswith(
        "12 of 40 holdout rows stand in the synthetic table, and 0 of 60 training rows."
    )


def test_renamed_absent_doubled_and_further_columns(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    frame = frames["holdout"]
    with pytest.raises(HarmonicError, match="'outcome': not in the holdout table.*Did you mean 'outcomes'"):
        check_columns(frame.rename(columns={"outcome": "outcomes"}), people_schema, "holdout")
    with pytest.raises(HarmonicError, match="'age': not in the synthetic table.*It has dose, ward"):
        check_columns(frame.drop(columns="age"), people_schema, "synthetic")
    with pytest.raises(HarmonicError, match="'age': stands 2 times in the real table"):
        check_columns(pd.concat([frame, frame["age"]], axis=1), people_schema, "real")
    with pytest.raises(HarmonicError, match="'synthetic': 0 rows"):
        check_columns(frame.head(0), people_schema, "synthetic")
    _, roles = assign_roles({**frames, "synthetic": frames["synthetic"].assign(extra=1)}, people_schema)
    assert roles.notes == ("The synthetic table has columns that the schema has not, left out: extra.",)


def test_cells_of_another_kind_are_noted_and_a_column_of_them_is_refused(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    some = frames["synthetic"].astype({"age": object})
    some.loc[:2, "age"] = "old"
    _, roles = assign_roles({**frames, "synthetic": some}, people_schema)
    assert "Column age: 3 of 50 cells of the synthetic table are not of kind 'integer'" in roles.notes[0]
    with pytest.raises(HarmonicError, match="'age': no cell of the synthetic table is of kind 'integer'"):
        assign_roles({**frames, "synthetic": frames["synthetic"].assign(age="old")}, people_schema)
    texts = frames["synthetic"].assign(age=frames["synthetic"]["age"].astype(str))
    _, roles = assign_roles({**frames, "synthetic": texts}, people_schema)
    assert roles.notes == ("Column age: texts in the synthetic table, read as integer.",)


def test_levels_that_training_never_had_are_counted_and_never_named(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    holdout = frames["holdout"].copy()
    holdout.loc[:2, "ward"] = ["burns", "burns", "maternity"]
    _, roles = assign_roles({**frames, "holdout": holdout}, people_schema)
    assert roles.notes == (
        "Column ward: 3 cells of the holdout table hold 2 levels that the training rows do not have.",
    )


def test_texts_among_other_cells_are_noted_and_files_and_objects_of_numbers_are_not(
    frames: dict[str, pd.DataFrame], people_schema: Schema
) -> None:
    some = frames["synthetic"]
    numbers = some.assign(age=some["age"].astype(object))
    assert assign_roles({**frames, "synthetic": numbers}, people_schema)[1].notes == ()
    mixed = numbers.assign(age=[str(numbers["age"][0]), *numbers["age"][1:]])
    _, roles = assign_roles({**frames, "synthetic": mixed}, people_schema)
    assert roles.notes == ("Column age: texts in the synthetic table, read as integer.",)
    written = some.astype("str").where(some.notna(), None)
    assert assign_roles({**frames, "synthetic": written}, people_schema)[1].notes == ()


@pytest.mark.parametrize("role", ["real", "synthetic", "holdout", "twins"])
def test_anything_but_a_frame_is_refused_by_name(
    frames: dict[str, pd.DataFrame], people_schema: Schema, role: str
) -> None:
    rows = frames["synthetic"].to_numpy()
    with pytest.raises(
        HarmonicError, match=f"Table '{role}': a ndarray was given, a pandas DataFrame is expected"
    ):
        if role == "twins":
            assign_roles(frames, people_schema, rows)  # type: ignore[arg-type]
        assign_roles({**frames, role: rows}, people_schema)  # type: ignore[dict-item]

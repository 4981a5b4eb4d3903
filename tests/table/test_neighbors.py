from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import LabelEncoder, MinMaxScaler

from harmonic.errors import HarmonicError
from harmonic.table import neighbors
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema
from harmonic.table.neighbors import Neighbors, nearest_of
from harmonic.table.schema import Schema

Tables = Callable[[str], tuple[pd.DataFrame, Schema]]


def _table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n).round(2),
            "n": rng.integers(0, 30, n).astype(float),
            "c": rng.choice(["a", "b", "c", "d"], n, p=[0.7, 0.15, 0.1, 0.05]),
            "d": pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
            "b": rng.random(n) < 0.3,
            "y": rng.choice(["p", "q", "r"], n),
        }
    )
    frame.loc[rng.random(n) < 0.2, "n"] = np.nan
    frame.loc[rng.random(n) < 0.1, "c"] = None
    return frame


def _naive_distances(queries: list[tuple], train: list[tuple], kinds: list[str]) -> np.ndarray:
    """The law of the docstring by plain loops over pairs, in double precision."""
    total = np.zeros((len(queries), len(train)))
    for place, kind in enumerate(kinds):
        column = [row[place] for row in train]
        if kind in ("integer", "decimal", "datetime"):
            read = (lambda text: pd.Timestamp(text).value) if kind == "datetime" else float
            present = [read(text) for text in column if text is not None]

            def rank(text: str, present: list = present, read: object = read) -> float:
                value = read(text)  # type: ignore[operator]
                return sum((other < value) + 0.5 * (other == value) for other in present) / len(present)

            def distance(a: str | None, b: str | None, rank: object = rank) -> float:
                if a is None or b is None:
                    return float((a is None) != (b is None))
                return abs(rank(a) - rank(b))  # type: ignore[operator]
        else:

            def distance(a: str | None, b: str | None) -> float:  # type: ignore[misc]
                return float(a != b)

        pairs = [distance(a, b) for a, b in itertools.combinations(column, 2)]
        mean = sum(pairs) / len(pairs)
        if mean:
            total += np.array([[distance(row[place], other) for other in column] for row in queries]) / mean
    return total


def _pick(rows: list[tuple], schema: Schema) -> tuple[list[tuple], list[str]]:
    places = [i for i, column in enumerate(schema.modelled) if column.name != schema.target]
    return [tuple(row[i] for i in places) for row in rows], [schema.modelled[i].kind for i in places]


def test_rank_neighbours_equal_a_naive_search() -> None:
    frame = _table(60)
    schema = infer_schema(frame, target="y")
    rows, kinds = _pick(to_rows(frame, schema), schema)
    truth = _naive_distances(rows, rows, kinds)
    np.fill_diagonal(truth, np.inf)
    found = Neighbors(schema).fit(frame).kneighbors(k=7)
    for row in range(60):
        assert np.allclose(truth[row, found[row]], np.sort(truth[row])[:7], atol=1e-3)
        assert row not in found[row]


def test_queries_are_looked_up_in_training_rows_by_the_same_law() -> None:
    train, queries = _table(60), _table(25, seed=1)
    queries.loc[0, ["c", "x"]] = ["unseen", 99.0]
    schema = infer_schema(pd.concat([train, queries]), target="y")
    (rows, kinds), (asked, _) = _pick(to_rows(train, schema), schema), _pick(to_rows(queries, schema), schema)
    truth = _naive_distances(asked, rows, kinds)
    found = Neighbors(schema).fit(train).kneighbors(queries, 5)
    for row in range(25):
        assert np.allclose(truth[row, found[row]], np.sort(truth[row])[:5], atol=1e-3)


@settings(max_examples=15)
@given(
    st.integers(1, 24),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from(["rank", "published"]),
    st.integers(0, 9),
)
def test_neighbours_equal_brute_force_and_twins_are_never_among_them(
    n: int, k: int, class_aware: bool, distance: str, seed: int
) -> None:
    frame = _table(n, seed)[["n", "c", "b", "y"]]
    frame = pd.concat([frame, frame.iloc[: n // 3]], ignore_index=True)  # twins
    schema = infer_schema(frame, target="y")
    model = Neighbors(schema, distance=distance, class_aware=class_aware).fit(frame)  # type: ignore[arg-type]
    found = model.kneighbors(k=k)
    rows = to_rows(frame, schema)
    points = model._pooled.points
    block = np.zeros((len(rows),) * 2)
    if points:
        block = model.embedding_.distances(points, points, slice(0, len(rows)))
    labels = [_class(row, schema) if class_aware else None for row in rows]
    for row, near in enumerate(found):
        others = [other for other in range(len(rows)) if rows[other] != rows[row]]
        allowed = [other for other in others if labels[other] == labels[row]]
        expected = sorted(allowed, key=lambda other: (block[row, other], other))[:k]
        assert near.tolist() == expected + [-1] * (k - len(expected))


def _class(row: tuple, schema: Schema) -> str | None:
    names = [column.name for column in schema.modelled]
    return row[names.index("y")] if "y" in names else None


def test_published_neighbours_equal_scikit_learn() -> None:
    frame = _table(200).drop(columns=["d"]).dropna().reset_index(drop=True)
    schema = infer_schema(frame, target="y")
    columns = [
        MinMaxScaler().fit_transform(frame[[name]])[:, 0]
        if frame[name].dtype == float
        else LabelEncoder().fit_transform(frame[name])
        for name in frame
    ]
    points = np.column_stack(columns)
    distances, _ = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(points).kneighbors(points)
    found = Neighbors(schema, distance="published").fit(frame).kneighbors(k=5)
    ours = np.linalg.norm(points[:, None] - points[found], axis=2)
    assert np.allclose(ours, distances[:, 1:])


def test_neither_threads_nor_chunks_change_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = _table(300)
    schema = infer_schema(frame, target="y")
    whole = Neighbors(schema, threads=1).fit(frame).kneighbors(k=9)
    monkeypatch.setattr(neighbors, "_BLOCK_CELLS", 700)
    monkeypatch.setattr("harmonic.table.embedding._TILE", 17)
    assert (Neighbors(schema, threads=3).fit(frame).kneighbors(k=9) == whole).all()


def test_the_target_counts_only_when_asked() -> None:
    frame = _table(120)
    changed = frame.assign(y=frame["y"].sample(frac=1, random_state=0).to_numpy())
    schema = infer_schema(frame, target="y")
    plain = Neighbors(schema).fit(frame).kneighbors(k=5)
    assert (Neighbors(schema).fit(changed).kneighbors(k=5) == plain).all()
    aware = Neighbors(schema, class_aware=True).fit(frame).kneighbors(k=5)
    labels = frame["y"].to_numpy()
    assert (labels[aware] == labels[:, None]).all() and (labels[plain] != labels[:, None]).any()


def test_a_pool_is_seeded_and_holds_only_training_rows() -> None:
    frame = _table(300)
    schema = infer_schema(frame, target="y")
    first, again, other = (Neighbors(schema, max_rows=50, seed=seed).fit(frame) for seed in (1, 1, 2))
    assert (first.kneighbors(k=5) == again.kneighbors(k=5)).all()
    assert set(np.unique(first.kneighbors(k=5))) <= set(first.pool_) != set(other.pool_)
    assert all(row not in near for row, near in enumerate(first.kneighbors(k=5)))


def test_few_rows_give_few_neighbours() -> None:
    frame = _table(3)
    schema = infer_schema(frame, target="y")
    assert ((Neighbors(schema).fit(frame).kneighbors(k=5) >= 0).sum(axis=1) == 2).all()
    single = frame.iloc[:1]
    assert (Neighbors(infer_schema(single)).fit(single).kneighbors(k=2) == -1).all()
    assert Neighbors(schema).fit(frame).kneighbors(frame.iloc[:0], 4).shape == (0, 4)


def test_misuse_is_refused() -> None:
    frame = _table(9)
    schema = infer_schema(frame)
    with pytest.raises(HarmonicError, match="before fit"):
        Neighbors(schema).kneighbors(k=1)
    with pytest.raises(HarmonicError, match="k=0"):
        Neighbors(schema).fit(frame).kneighbors(k=0)
    with pytest.raises(HarmonicError, match="'euclid' is unknown"):
        Neighbors(schema, distance="euclid").fit(frame)  # type: ignore[arg-type]


@given(st.integers(1, 400), st.integers(1, 12), st.integers(0, 99))
def test_the_smallest_of_a_block_are_found_with_ties_by_place(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = rng.integers(0, 12, (3, n)).astype(np.float32)
    block[rng.random((3, n)) < 0.3] = np.inf
    expected = [
        [place for place in np.argsort(row, kind="stable")[:k] if np.isfinite(row[place])] for row in block
    ]
    assert [[int(place) for place in row if place >= 0] for row in nearest_of(block, k)] == expected


def test_published_neighbours_are_nearly_label_pure(sheet_table: Tables) -> None:
    frame, schema = sheet_table("diabetes")
    found = Neighbors(schema, distance="published").fit(frame).kneighbors(k=5)
    labels = frame["Outcome"].to_numpy()
    assert (labels[found] == labels[:, None]).all(axis=1).mean() > 0.99  # harmonic.md: 100 % of rows


@pytest.mark.slow
def test_fifty_thousand_rows_of_twenty_columns_take_minutes_not_hours() -> None:
    rng = np.random.default_rng(0)
    numbers = {f"n{i}": rng.normal(size=50_000).round(3) for i in range(10)}
    levels = {f"c{i}": rng.choice([f"l{j}" for j in range(2 + 3 * i)], 50_000) for i in range(10)}
    frame = pd.DataFrame(numbers | levels)
    found = Neighbors(infer_schema(frame)).fit(frame).kneighbors(k=15)
    assert found.shape == (50_000, 15) and found.min() >= 0


def test_unknown_cells_take_no_part_in_the_distance_of_an_incomplete_row() -> None:
    frame = _table(30)
    schema = infer_schema(frame, target="y")
    found = Neighbors(schema, class_aware=True).fit(frame)
    query = frame.head(4).copy()
    query["n"], query["c"] = np.nan, None
    query.loc[::2, "y"] = None
    near = found.near_incomplete(query, range(4), k=5)
    known = infer_schema(frame[["x", "d", "b"]])
    rows = to_rows(frame, known)
    total = _naive_distances(rows[:4], rows, [column.kind for column in known.modelled])
    for number in range(4):
        classes = frame["y"] == frame["y"][number] if number % 2 else pd.Series([True] * 30)
        expected = np.sort(total[number][classes])[:5]
        assert np.allclose(total[number][near[number]], expected, atol=1e-3)
        assert classes[near[number]].all()


def test_ties_of_an_incomplete_row_go_by_chance_and_by_its_number_alone() -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 50, "b": [7, 8, 9, 9] * 25})
    found = Neighbors(infer_schema(frame)).fit(frame)
    query = pd.DataFrame({"a": ["x", "x", "x"], "b": [None, None, None]})
    near = found.near_incomplete(query, [4, 9, 4], k=5)
    assert (frame["a"][near.ravel()] == "x").all()
    assert near[0].tolist() == near[2].tolist() != near[1].tolist()
    assert near[:2].max() > 20, "not the first ones"
    assert found.near_incomplete(query.iloc[1:2], [9], k=5)[0].tolist() == near[1].tolist()

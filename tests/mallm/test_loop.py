"""The loop: a budget that holds, a better graph that is found, and a kill that changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harmonic.config import MallmSection, SampleSection
from harmonic.decode.sampler import Draw
from harmonic.decode.slot import Usage
from harmonic.errors import HarmonicError
from harmonic.mallm import loop as loops
from harmonic.mallm.beginnings import begin, class_graph, random_graph
from harmonic.mallm.discriminator import Discriminator
from harmonic.mallm.gan import MallmGan
from harmonic.mallm.generator import Calls, Candidate, Generator
from harmonic.mallm.loop import Agents, Loop
from harmonic.mallm.selection import Growth, Selection, select
from harmonic.mallm.state import State
from harmonic.table.cells import from_rows, to_rows, validate
from harmonic.table.graph import CausalGraph
from harmonic.table.infer import infer_schema, observe
from harmonic.table.schema import Schema

SMALL = MallmSection(examples=4, rows=4, steps=1, proposals=2, judged_rows=16, graph="none", selects=False)
SELECTING = replace(SMALL, selects=True, edits="none")


def _table(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.choice(["low", "high"], n)
    return pd.DataFrame({"size": np.round(rng.normal(50 + 40 * (kind == "high"), 9), 2), "kind": kind})


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, Schema]:
    frame = _table()
    return frame, observe(infer_schema(frame, target="kind"), frame)


class Writer:
    """A generator that writes rows of the table's law under a graph with kind -> size, and without it sizes of none."""

    calls = Calls(rows=4)

    def __init__(self, frame: pd.DataFrame, schema: Schema, seed: int) -> None:
        self.frame, self.schema, self.seed = frame, schema, seed

    def draw(self, candidate: Candidate, first: int, stop: int) -> Draw:
        made = _table(stop - first, seed=self.seed + first)
        if (1, 0) not in candidate.graph.edges:
            made = made.assign(size=np.round(np.random.default_rng(self.seed).uniform(20, 120, len(made)), 2))
        rows = to_rows(made, self.schema)
        return Draw(dict(enumerate(rows, start=first)), usage=Usage(row_tokens=10 * len(rows)))


def _loop(data: tuple[pd.DataFrame, Schema], section: MallmSection, **options: Any) -> Loop:
    frame, schema = data
    agents = Agents(
        lambda seed: Writer(frame, schema, seed), Discriminator(frame, schema, seed=0, n_repeats=1), None
    )  # type: ignore[arg-type,return-value]
    return Loop(agents, schema, section, len(frame), seed=0, **options)


def _start(schema: Schema) -> Candidate:
    return Candidate(CausalGraph.empty([column.label for column in schema.modelled]))


def test_the_graph_that_helps_is_found_and_kept(data: tuple[pd.DataFrame, Schema]) -> None:
    section = MallmSection(steps=3, proposals=8, judged_rows=50, edits="random")
    start = _start(data[1])
    *_, state = _loop(data, section).run(State(start, start))
    assert (1, 0) in state.best.graph.edges
    assert len(state.steps) == 4
    assert state.steps[0].score > state.steps[-1].score
    assert any(step.accepted and step.gain > step.error for step in state.steps)
    assert state.scored[0].candidate == state.best


def test_the_first_step_lets_the_given_starts_compete(data: tuple[pd.DataFrame, Schema]) -> None:
    section = MallmSection(edits="none", judged_rows=50)
    start = _start(data[1])
    *_, state = _loop(data, section, starts=[class_graph(data[1])]).run(State(start, start))
    assert state.best.graph == class_graph(data[1])
    assert len(state.steps) == 1


def test_a_loop_that_goes_on_from_its_file_ends_where_an_uninterrupted_one_does(
    data: tuple[pd.DataFrame, Schema],
) -> None:
    section = MallmSection(steps=2, proposals=2, judged_rows=30, edits="random")
    start = _start(data[1])
    whole = list(_loop(data, section).run(State(start, start)))
    names = start.graph.names
    for cut in (0, 1):
        again = State.from_json(json.loads(json.dumps(whole[cut].to_json())), names)
        assert again == whole[cut]
        *_, last = _loop(data, section).run(again)
        assert _timeless(last) == _timeless(whole[-1])


@pytest.mark.parametrize(("limit", "steps"), [({"calls": 40}, 2), ({"tokens": 1000}, 2), ({"steps": 1}, 2)])
def test_the_budget_ends_the_loop_after_a_step(
    limit: dict[str, int], steps: int, data: tuple[pd.DataFrame, Schema]
) -> None:
    section = MallmSection(**{"steps": 9, "proposals": 2, "judged_rows": 40, "edits": "random", **limit})  # type: ignore[arg-type]
    start = _start(data[1])
    *_, state = _loop(data, section).run(State(start, start))
    assert len(state.steps) == steps


def test_time_spent_before_a_kill_counts(
    data: tuple[pd.DataFrame, Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 40))
    monkeypatch.setattr(loops.time, "monotonic", lambda: float(next(clock)))
    section = MallmSection(steps=9, proposals=2, judged_rows=40, edits="random", minutes=1.0)
    start = _start(data[1])
    first = next(_loop(data, section).run(State(start, start)))
    assert first.seconds == 40
    assert len(list(_loop(data, section).run(first))) == 1


def test_a_fit_leaves_its_state_and_graph_and_gives_the_same_rows_again(
    tmp_path: Path, data: tuple[pd.DataFrame, Schema]
) -> None:
    frame, schema = data
    model = MallmGan(mallm=SMALL).fit(frame, schema, out=tmp_path)
    rows = model.sample(11, seed=3)
    assert validate(rows, schema) == []
    assert list(rows.dtypes) == list(frame.dtypes)
    names = [column.label for column in schema.modelled]
    assert CausalGraph.from_json((tmp_path / "graph.json").read_text(), names) == model.state_.best.graph
    again = MallmGan(mallm=SMALL).load(frame, schema, tmp_path)
    assert again.sample(11, seed=3).equals(rows)
    pieces = [again.draw(first, first + 4, seed=3, settings=SampleSection(rows=11)).rows for first in (0, 4)]
    assert from_rows(pieces[0] + pieces[1], schema).equals(rows.head(8))
    audit = again.audit(to_rows(rows, schema), settings=SampleSection(rows=11, seed=3))
    assert audit is not None
    assert audit.rows == 8
    shown = again.shown_to(5, settings=SampleSection(seed=3))
    assert shown is not None
    assert shown[0] == shown[3] != shown[4]
    assert len(shown[0].shown) == 4


def test_a_killed_fit_goes_on_and_ends_with_the_same_rows(
    tmp_path: Path, data: tuple[pd.DataFrame, Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, schema = data
    whole = MallmGan(mallm=SMALL).fit(frame, schema, out=tmp_path / "whole")

    class KillError(Exception):
        pass

    judged = iter(range(3))
    judge = Discriminator.judge

    def dying(self: Discriminator, made: pd.DataFrame) -> Any:
        if next(judged, None) is None:
            raise KillError
        return judge(self, made)

    monkeypatch.setattr(Discriminator, "judge", dying)
    with pytest.raises(KillError):
        MallmGan(mallm=SMALL).fit(frame, schema, out=tmp_path / "killed")
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "graph.json").exists()
    with pytest.raises(HarmonicError, match="a loop was begun here"):
        MallmGan(mallm=SMALL).fit(frame, schema, out=tmp_path / "killed")
    with pytest.raises(HarmonicError, match="begun with seed = 0, not 1"):
        MallmGan(mallm=SMALL, seed=1).fit(frame, schema, out=tmp_path / "killed", resume=True)
    hot = SampleSection(temperature=1.5)
    with pytest.raises(HarmonicError, match=r"begun with temperature = 1\.0, not 1\.5"):
        MallmGan(mallm=SMALL, settings=hot).fit(frame, schema, out=tmp_path / "killed", resume=True)
    resumed = MallmGan(mallm=SMALL).fit(frame, schema, out=tmp_path / "killed", resume=True)
    assert resumed.sample(8).equals(whole.sample(8))


def test_selected_rows_are_the_same_in_pieces_after_loading_and_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    code, size = rng.integers(0, 6, 60), rng.integers(10, 99, 60)
    frame = pd.DataFrame({"code": code, "name": [f"n{one}" for one in code], "size": size, "twice": 2 * size})
    schema = observe(infer_schema(frame, target="size"), frame)
    monkeypatch.setattr("harmonic.mallm.pool.pool_size", lambda n_train: 120)
    model = MallmGan(mallm=SELECTING).fit(frame, schema, out=tmp_path)
    settings = SampleSection(rows=20)
    drawn = model.draw(0, 20, seed=3, settings=settings)
    assert drawn.usage.candidates > 5
    assert validate(from_rows(drawn.rows, schema), schema) == []
    rows = json.loads((tmp_path / "pool.json").read_text())["rows"]
    monkeypatch.setattr("harmonic.mallm.pool.PIECE", 50)
    # As it is at the end, and as kills between two pieces and before the first one leave it.
    for n_kept in (None, 48, 0):
        if n_kept is None:
            again = MallmGan(mallm=SELECTING).load(frame, schema, tmp_path)
        else:
            (tmp_path / "graph.json").unlink()
            (tmp_path / "pool.json").unlink()
            if n_kept:
                (tmp_path / "pool.json").write_text(json.dumps({"rows": rows[:n_kept]}))
            again = MallmGan(mallm=SELECTING).fit(frame, schema, out=tmp_path, resume=True)
            assert json.loads((tmp_path / "pool.json").read_text())["rows"] == rows
        pieces = [again.draw(first, first + 8, seed=3, settings=settings).rows for first in (0, 8)]
        assert pieces[0] + pieces[1] == drawn.rows[:16]
    pool = json.loads((tmp_path / "pool.json").read_text())
    assert {len(row) for row in pool["rows"]} == {4}
    assert len(pool["rows"]) == 120
    assert pool["rounds"] > 0
    assert 0 < pool["rate"] < 1


@pytest.mark.parametrize("n_kept", [None, 30])
def test_a_folder_without_the_whole_pool_is_refused(
    n_kept: int | None, tmp_path: Path, data: tuple[pd.DataFrame, Schema]
) -> None:
    MallmGan(mallm=SMALL).fit(*data, out=tmp_path)
    if n_kept is not None:
        rows = to_rows(data[0], data[1])[:n_kept]
        (tmp_path / "pool.json").write_text(json.dumps({"rows": rows}))
    with pytest.raises(HarmonicError, match="no whole pool.json"):
        MallmGan(mallm=SELECTING).load(*data, tmp_path)


def test_a_pool_from_which_trees_have_learnt_is_taken_as_it_is(
    tmp_path: Path, data: tuple[pd.DataFrame, Schema]
) -> None:
    """Of another size than pools have today, say."""
    MallmGan(mallm=SMALL).fit(*data, out=tmp_path)
    rows = to_rows(_table(90, seed=5), data[1])
    kept = {"rounds": 5, "loss": 0.6, "rate": 0.5, "held_out": [0.0] * len(data[0]), "rows": rows}
    (tmp_path / "pool.json").write_text(json.dumps(kept))
    text = (tmp_path / "pool.json").read_text()
    model = MallmGan(mallm=SELECTING).load(*data, tmp_path)
    assert model.draw(0, 4, settings=SampleSection(rows=4)).usage.candidates > 0
    assert (tmp_path / "pool.json").read_text() == text


def test_a_killed_pool_leaves_whole_pieces(
    tmp_path: Path, data: tuple[pd.DataFrame, Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmonic.mallm.pool.PIECE", 50)
    plain = Generator.draw

    def draw(self: Generator, graph: Candidate, first: int, stop: int, **options: Any) -> Draw:
        if first >= 48 and stop > 60:
            raise KeyboardInterrupt
        return plain(self, graph, first, stop, **options)

    monkeypatch.setattr(Generator, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        MallmGan(mallm=SELECTING).fit(*data, out=tmp_path)
    assert len(json.loads((tmp_path / "pool.json").read_text())["rows"]) == 48


@pytest.mark.parametrize(("choice", "is_balanced"), [("by_class", False), ("balanced", True)])
def test_classes_are_balanced_where_the_model_chooses_them(
    choice: Any, is_balanced: bool, data: tuple[pd.DataFrame, Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harmonic.mallm.pool.pool_size", lambda n_train: 60)
    asked: list[bool] = []

    def learns(*tables: Any, balances: bool, **options: Any) -> Selection:
        asked.append(balances)
        return select(*tables, balances=balances, **{**options, "growth": Growth(0, 0.69, ())})

    monkeypatch.setattr("harmonic.mallm.gan.select", learns)
    model = MallmGan(mallm=replace(SELECTING, choice=choice)).fit(*data)
    assert asked == [is_balanced]
    assert (model.draw(0, 4, settings=SampleSection(rows=4)).usage.candidates > 0) is is_balanced


def test_of_few_rows_nothing_is_selected_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = _table(20)
    schema = infer_schema(frame, target="kind")
    with caplog.at_level("INFO"):
        MallmGan(mallm=SELECTING).fit(frame, schema, out=tmp_path)
    assert "20 training rows are too few" in caplog.text
    assert not (tmp_path / "pool.json").exists()
    assert len(MallmGan(mallm=SELECTING).load(frame, observe(schema, frame), tmp_path).sample(6)) == 6


def test_selection_is_left_out_where_the_section_says_so(
    tmp_path: Path, data: tuple[pd.DataFrame, Schema]
) -> None:
    model = MallmGan(mallm=SMALL).fit(*data, out=tmp_path)
    assert not (tmp_path / "pool.json").exists()
    assert model.draw(0, 8, settings=SampleSection(rows=8)).usage.candidates == 0


@pytest.mark.parametrize("graph", ["learnt", "classes", "none", "random", "best", "file"])
def test_the_graph_begins_as_the_section_says(
    graph: str, data: tuple[pd.DataFrame, Schema], tmp_path: Path
) -> None:
    place = tmp_path / "mine.json"
    place.write_text('{"size": ["kind"]}')
    section = MallmSection(graph=str(place) if graph == "file" else graph)
    start, others = begin(section, *data, seed=0)
    n_edges = 0 if graph == "none" else 1
    assert len(start.graph.edges) == n_edges
    assert len(others) == (2 if graph == "best" else 0)


def test_a_random_graph_has_as_many_edges_as_fit() -> None:
    names = list("abcde")
    assert [len(random_graph(names, n, seed=1).edges) for n in (0, 4, 99)] == [0, 4, 10]
    assert random_graph(names, 4, seed=1) != random_graph(names, 4, seed=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"size": ["kind"], "kind": ["size"]}', "is a cycle"),
        ('{"size": ["colour"]}', "column 'colour' is unknown"),
        ("size from kind", "no JSON at line 1"),
    ],
)
def test_a_graph_file_that_is_none_is_refused(
    text: str, message: str, data: tuple[pd.DataFrame, Schema], tmp_path: Path
) -> None:
    place = tmp_path / "bad.json"
    place.write_text(text)
    with pytest.raises(HarmonicError, match=message):
        begin(MallmSection(graph=str(place)), *data, seed=0)


def test_a_graph_file_that_is_not_there_is_named() -> None:
    frame = _table()
    schema = infer_schema(frame, target="kind")
    with pytest.raises(HarmonicError, match="'nowhere.json': cannot be read"):
        begin(MallmSection(graph="nowhere.json"), frame, schema, seed=0)


def test_sampling_before_fitting_and_a_missing_adapter_are_errors(data: tuple[pd.DataFrame, Schema]) -> None:
    frame, schema = data
    with pytest.raises(HarmonicError, match="learnt no table yet"):
        MallmGan().sample(3)
    with pytest.raises(HarmonicError, match="adapter 'nowhere': no such folder"):
        MallmGan(mallm=MallmSection(adapter="nowhere")).fit(frame, schema)


def _timeless(state: State) -> Any:
    return [{**step, "seconds": 0} for step in state.to_json()["steps"]], state.best, state.scored


@pytest.fixture(scope="module")
def fitted(data: tuple[pd.DataFrame, Schema]) -> MallmGan:
    return MallmGan(
        mallm=MallmSection(examples=4, rows=4, edits="none", graph="classes", judged_rows=12, selects=False)
    ).fit(*data)


def test_conditions_hold_in_every_row_and_quotas_are_exact(fitted: MallmGan) -> None:
    made = fitted.sample(10, given={"kind": "high"}, where=["size >= 60"])
    assert set(made["kind"]) == {"high"}
    assert made["size"].min() >= 60
    made = fitted.sample(10, quotas={"kind": {"high": 3, "low": 7}})
    assert made["kind"].value_counts().to_dict() == {"low": 7, "high": 3}


def test_missing_cells_are_filled_in_and_others_stay(
    fitted: MallmGan, data: tuple[pd.DataFrame, Schema]
) -> None:
    holes = data[0].head(6).copy()
    holes.loc[[1, 4], "size"] = np.nan
    filled = fitted.impute(holes)
    assert filled.notna().all(axis=None)
    assert filled["kind"].equals(holes["kind"])
    assert filled["size"].drop([1, 4]).equals(holes["size"].drop([1, 4]))


@pytest.mark.parametrize("classes", ["one class", "no target", "a quantity"])
def test_tables_of_one_class_of_none_and_of_a_quantity_go_through(classes: str) -> None:
    frame = _table(30).assign(kind="low") if classes == "one class" else _table(30)
    target = {"one class": "kind", "no target": None, "a quantity": "size"}[classes]
    section = MallmSection(
        examples=3, rows=3, steps=1, proposals=1, judged_rows=12, edits="random", graph="classes"
    )
    if classes == "one class":
        frame["age"] = np.arange(30) % 7
    made = MallmGan(mallm=section).fit(frame, infer_schema(frame, target=target)).sample(5)
    assert made.shape == (5, frame.shape[1])


def test_nine_rows_are_too_few_to_judge() -> None:
    frame = _table(9)
    with pytest.raises(HarmonicError, match="9 training rows, expected 10 at least"):
        MallmGan(mallm=SMALL).fit(frame, infer_schema(frame, target="kind"))

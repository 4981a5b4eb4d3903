"""Harmonic: fit, sample, exact dtypes, contexts of every kind, on the embedded base."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic import Harmonic, journey, pieces, read_table, split_table
from harmonic.config import BudgetSection, ModelSection, PromptSection, SampleSection
from harmonic.errors import HarmonicError
from harmonic.progress import Progress
from harmonic.prompt.waves import Earlier
from harmonic.run import Run
from harmonic.table.cells import validate
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema
from harmonic.table.sources import to_csv_text

TRAIN = {"learning_rate": 1e-4, "per_device_train_batch_size": 2}
NEIGHBORS = PromptSection(contexts="neighbors", examples=8, fewest=4, rows=4)
"""HARMONIC's own contexts; by default nothing is shown."""


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, Schema]:
    table, schema = read_table("sklearn:diabetes", target="target")
    train, _ = split_table(table, schema, seed=0)
    return train.head(60), schema


def _model(**sections: object) -> Harmonic:
    sections = {"prompt": NEIGHBORS, **sections}
    return Harmonic(budget=BudgetSection(steps=2), train=TRAIN, **sections)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted(data: tuple[pd.DataFrame, Schema], tmp_path_factory: pytest.TempPathFactory) -> Harmonic:
    train, schema = data
    return _model().fit(train, schema, out=tmp_path_factory.mktemp("run"))


def test_rows_come_in_the_exact_columns_and_dtypes_and_are_valid(
    fitted: Harmonic, data: tuple[pd.DataFrame, Schema]
) -> None:
    rows = fitted.sample(20, seed=0)
    assert len(rows) == 20
    assert list(rows.columns) == list(data[0].columns)
    assert (rows.dtypes == data[0].dtypes).all()
    assert validate(rows, fitted.schema_) == []


def test_one_seed_is_one_table_and_a_short_table_begins_a_long_one(fitted: Harmonic) -> None:
    few, many = fitted.sample(5, seed=3), fitted.sample(17, seed=3)
    pd.testing.assert_frame_equal(few, many.head(5))
    pd.testing.assert_frame_equal(few, fitted.sample(5, seed=3, settings=SampleSection(slots=1)))
    assert not few.equals(fitted.sample(5, seed=4))


def test_a_sample_joined_from_pieces_is_the_one_drawn_at_once(
    fitted: Harmonic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 8)
    with Run.open(tmp_path / "run", {}) as run:
        joined = journey.sample(run, fitted, SampleSection(rows=20, seed=5))
        facts = run.read_json("samples/seed-5.json")
    assert joined.read_text() == to_csv_text(fitted.sample(20, seed=5), fitted.schema_)
    assert facts["rows"] == facts["audit_rows"] == 20
    assert not list(joined.parent.glob("*.parts"))


def test_the_seconds_of_a_sample_are_those_of_its_pieces_whoever_drew_them(
    fitted: Harmonic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 8)
    settings = SampleSection(rows=20, seed=6)
    with Run.open(tmp_path / "run", {}) as run:
        begun = pieces.Pieces(run.path("samples/seed-6.parts"), fitted, settings)
        with Progress("rows", 20, enabled=False) as progress:
            begun.draw(0, progress)
        before = begun.folder / "000000.json"
        before.write_text(json.dumps({**json.loads(before.read_text()), "seconds": 1000.0}))
        journey.sample(run, fitted, settings)
        facts = run.read_json("samples/seed-6.json")
    assert 1000 < facts["seconds"] < 1100
    assert facts["rows_per_second"] == pytest.approx(20 / facts["seconds"], rel=1e-3)


def test_a_sample_without_rows_has_a_header(fitted: Harmonic, tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", {}) as run:
        joined = journey.sample(run, fitted, SampleSection(rows=0))
    assert joined.read_text() == to_csv_text(fitted.sample(0), fitted.schema_)


def test_no_rows_asked_for_is_an_empty_typed_table(
    fitted: Harmonic, data: tuple[pd.DataFrame, Schema]
) -> None:
    rows = fitted.sample(0)
    assert len(rows) == 0
    assert (rows.dtypes == data[0].dtypes).all()


def test_a_piece_of_a_table_is_drawn_alone(fitted: Harmonic) -> None:
    whole = fitted.draw(0, 20, seed=1).rows
    assert fitted.draw(9, 14, seed=1).rows == whole[9:14]


def test_the_adapter_can_be_loaded_in_another_synthesizer(
    fitted: Harmonic, data: tuple[pd.DataFrame, Schema]
) -> None:
    other = _model().load(data[0], fitted.schema_, Path(fitted.result_.adapter))
    pd.testing.assert_frame_equal(other.sample(6, seed=0), fitted.sample(6, seed=0))


@pytest.mark.parametrize(
    "prompt",
    [
        PromptSection(contexts="random", examples=8, fewest=4, rows=3),
        PromptSection(contexts="paper", codec="paper", loss="last", examples=5),
        PromptSection(contexts="neighbors", codec="json", order="shuffled", examples=2, rows=2),
        PromptSection(order="shuffled"),
        PromptSection(order="target_then_shuffled"),
        PromptSection(),
    ],
)
def test_every_kind_of_context_trains_and_samples(
    prompt: PromptSection, data: tuple[pd.DataFrame, Schema]
) -> None:
    model = _model(prompt=prompt).fit(*data)
    assert validate(model.sample(5, seed=0), model.schema_) == []


def test_synthetic_contexts_need_no_training_rows_to_sample(
    data: tuple[pd.DataFrame, Schema], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import harmonic.prompt.waves as module

    monkeypatch.setattr(module, "FIRST_WAVE", 8)
    prompt = PromptSection(contexts="synthetic", rows=4, examples=2)
    model = _model(prompt=prompt).fit(*data, out=tmp_path)
    alone = _model(prompt=prompt).load(None, model.schema_, tmp_path / "adapter")
    rows = alone.sample(20, seed=0)
    assert validate(rows, model.schema_) == []
    pd.testing.assert_frame_equal(alone.sample(12, seed=0), rows.head(12))
    _check_pieces_that_span_waves(alone)


def _check_pieces_that_span_waves(model: Harmonic) -> None:
    """Whoever draws a piece knows the rows before it, and not yet its own: to wait for these would be for ever."""
    whole = model.draw(0, 40, seed=0).rows

    def rows_before(first: int) -> Earlier:
        def earlier(start: int, stop: int) -> list[Row]:
            assert stop <= first
            return whole[start:stop]

        return earlier

    for first, stop in ((0, 40), (4, 40), (20, 40), (32, 40)):
        assert model.draw(first, stop, seed=0, earlier=rows_before(first)).rows == whole[first:stop]


@pytest.mark.parametrize(
    ("n_rows", "target", "prompt", "order"),
    [
        (60, "class", {}, "target_first"),
        (300, "class", {}, "target_last"),
        (60, "wage", {}, "target_last"),
        (60, "class", {"crossover": 0}, "target_last"),
        (60, "class", {"order": "shuffled"}, "shuffled"),
    ],
)
def test_classes_come_first_in_small_tables_and_what_was_learnt_is_kept(
    n_rows: int, target: str, prompt: dict[str, object], order: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"wage": rng.normal(10, 5, n_rows).round(2), "class": rng.choice(["a", "b"], n_rows)}
    )
    schema = infer_schema(frame, target=target)
    model = Harmonic(
        prompt=PromptSection(**prompt),  # type: ignore[arg-type]
        budget=BudgetSection(steps=1),
        train=TRAIN,
    ).fit(frame, schema, out=tmp_path)
    assert model.law_.order == order
    # The adapter says it itself, whatever table is shown to it later.
    again = Harmonic().load(frame.head(20), model.schema_, tmp_path / "adapter")
    assert again.law_.order == order


def test_shuffled_columns_need_no_training_rows_to_sample(
    data: tuple[pd.DataFrame, Schema], tmp_path: Path
) -> None:
    prompt = PromptSection(order="shuffled")
    model = _model(prompt=prompt).fit(*data, out=tmp_path)
    alone = _model(prompt=prompt).load(None, model.schema_, tmp_path / "adapter")
    pd.testing.assert_frame_equal(alone.sample(20, seed=0), model.sample(20, seed=0))


def test_full_fine_tuning_trains_and_samples(data: tuple[pd.DataFrame, Schema]) -> None:
    model = _model(model=ModelSection(method="full")).fit(*data)
    assert len(model.sample(3)) == 3


def test_validation_rows_are_used_when_given(data: tuple[pd.DataFrame, Schema]) -> None:
    train, schema = data
    model = _model().fit(train.head(50), schema, val=train.tail(10))
    assert model.result_.val_losses


def test_validation_rows_with_levels_unseen_in_training_do_not_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frame = pd.DataFrame({"size": [1, 2, 3, 4] * 6, "kind": ["a", "b"] * 12})
    val = pd.DataFrame({"size": [2, 3, 4], "kind": ["a", "never seen", "b"]})
    with caplog.at_level("INFO"):
        model = _model(prompt=PromptSection()).fit(frame, val=val)
    assert model.result_.val_losses
    assert "1 of 3 validation rows" in caplog.text
    assert not _model(prompt=PromptSection()).fit(frame, val=val.iloc[[1]]).result_.val_losses


def test_a_wide_table_asks_for_fewer_rows_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({f"c{n}": [f"l{k % 4}" for k in range(40)] for n in range(60)})
    model = _model(prompt=PromptSection(rows=8, examples=5)).fit(frame)
    assert model.law_.rows < 8
    assert "tokens hold no more" in caplog.text
    assert len(model.sample(2)) == 2


def test_errors_come_before_any_training(data: tuple[pd.DataFrame, Schema]) -> None:
    train, schema = data
    with pytest.raises(HarmonicError, match="has learnt no table yet"):
        Harmonic().sample(3)
    with pytest.raises(HarmonicError, match="has 1 rows, expected at least 2"):
        _model().fit(train.head(1), schema)
    with pytest.raises(HarmonicError, match="there is no such folder"):
        Harmonic("/no/such/base").fit(train, schema)
    frame = pd.DataFrame({f"c{n}": ["x" * 30 + str(k % 9) for k in range(40)] for n in range(400)})
    with pytest.raises(HarmonicError, match="the model's context holds 2048"):
        _model().fit(frame)


def test_a_rows_score_does_not_depend_on_the_rows_beside_it(
    fitted: Harmonic, data: tuple[pd.DataFrame, Schema]
) -> None:
    train, _ = data
    scores = fitted.score(train.iloc[3:7], seed=1)
    assert list(scores.index) == list(train.index[3:7])
    assert (scores["full"] <= scores["masked"]).all() and (scores["masked"] < 0).all()
    pd.testing.assert_frame_equal(scores.head(1), fitted.score(train.iloc[3:4], seed=1), rtol=1e-4)


def test_a_row_that_the_schema_does_not_allow_has_no_score(
    fitted: Harmonic, data: tuple[pd.DataFrame, Schema]
) -> None:
    other = data[0].head(1).assign(sex=3)
    with pytest.raises(HarmonicError, match="'sex'"):
        fitted.score(other)


def test_the_audit_says_what_the_mask_has_cost(fitted: Harmonic) -> None:
    settings = SampleSection(seed=2)
    drawn = fitted.draw(0, 20, seed=2, settings=settings)
    audit = fitted.audit(drawn.rows, settings=settings)
    assert audit is not None
    assert audit.rows == 20
    assert 0 < audit.kept_mass < 1
    assert fitted.audit(drawn.rows[:2], settings=settings) is None, "no context is whole"
    pace = fitted.pace(drawn.usage, len(drawn.rows), 2.0, settings)
    assert pace["rows_per_second"] == 10
    assert 0 < (pace["occupancy"] or 0) <= 1
    assert pace["share_of_physical_limit"] is None, "nothing is known about this device"


def test_where_nothing_is_shown_rows_come_without_the_training_table(
    data: tuple[pd.DataFrame, Schema], tmp_path: Path
) -> None:
    train, schema = data
    fitted = _model(prompt=PromptSection()).fit(train, schema, out=tmp_path)
    assert not fitted.needs_rows
    assert fitted.shown_to(10, settings=SampleSection(rows=10)) is None
    stranger = _model(prompt=PromptSection()).load(None, fitted.schema_, tmp_path / "adapter")
    pd.testing.assert_frame_equal(stranger.sample(12, seed=3), fitted.sample(12, seed=3))
    with pytest.raises(HarmonicError, match="shows training rows"):
        _model().load(None, fitted.schema_, tmp_path / "adapter")


def test_what_prompts_showed_is_known_row_by_row(fitted: Harmonic) -> None:
    settings = SampleSection(rows=10, seed=2)
    shown = fitted.shown_to(10, settings=settings)
    assert shown is not None
    assert len(shown) == 10
    assert shown[:6] == fitted.shown_to(6, settings=settings), (
        "rows do not depend on how many are asked about"
    )
    for row in shown:
        assert row.shown
        assert not {*row.shown} & {*row.left_out}
        assert all(0 <= number < len(fitted.rows_) for number in (*row.shown, *row.left_out))

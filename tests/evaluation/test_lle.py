"""LLE: a language model learns the target from rows, and answers under the schema."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmonic.config import LleSection
from harmonic.errors import HarmonicError
from harmonic.evaluation.lle import Lle, Reader, measure_lle
from harmonic.model.load import LoadedModel, load_model
from harmonic.prompt.instructions import IGNORED
from harmonic.table.infer import infer_schema, observe
from harmonic.table.policy import Policy
from harmonic.table.schema import Schema

NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
FAST = LleSection(train={"num_train_epochs": 6, "per_device_train_batch_size": 8})


def _load(adapter: Path | None) -> LoadedModel:
    return load_model("nano", adapter=adapter, trainable=adapter is None)


def _table(n: int, seed: int, *, is_shuffled: bool = False) -> pd.DataFrame:
    """Three colours that say which of three sizes it is, and a column that says nothing."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 3, n)
    size = np.where(rng.random(n) < 0.05, rng.integers(0, 3, n), code)
    size = rng.permutation(size) if is_shuffled else size
    return pd.DataFrame(
        {
            "colour": np.array(["red", "green", "blue"])[code],
            "noise": rng.integers(0, 50, n),
            "size": np.array(["small", "middle", "large"])[size],
            "price": np.round(10 + 20 * code + rng.normal(0, 2, n), 0).astype(int),
        }
    )


def _schema(frame: pd.DataFrame, target: str) -> Schema:
    return observe(infer_schema(frame, target=target), frame, Policy())


@pytest.fixture(scope="module")
def measured() -> Lle:
    real = _table(96, 1)[["colour", "noise", "size"]]
    shuffled = _table(96, 1, is_shuffled=True)[["colour", "noise", "size"]]
    test = _table(80, 2)[["colour", "noise", "size"]]
    test.loc[0, "colour"] = "violet"
    return measure_lle(
        {"real": real, "shuffled": shuffled}, test, _schema(real, "size"), _load, settings=FAST
    )


def test_what_rows_teach_is_told_from_what_they_do_not(measured: Lle) -> None:
    real, shuffled = measured.score("real").scores, measured.score("shuffled").scores
    assert set(real) == {"auc", "f1_macro", "f1_weighted", "balanced_accuracy", "accuracy", "mcc"}
    assert real["auc"].low > 0.8
    assert real["accuracy"].value > 0.8
    assert shuffled["auc"].value < 0.7
    assert abs(shuffled["mcc"].value) < 0.35


def test_a_row_that_cannot_be_told_is_counted(measured: Lle) -> None:
    assert measured.n_test == 80
    assert measured.notes == (
        "1 of 80 test rows hold what no training row does, and were answered without being asked.",
    )


def test_a_quantity_is_answered_by_numbers_within_its_bounds() -> None:
    frame = _table(96, 3)[["colour", "price"]]
    reader = Reader(_schema(frame, "price"), _load, FAST, 0)
    reader.fit(frame)
    answers = reader.answer(_table(30, 4)[["colour", "price"]])
    assert answers.shape == (30,)
    assert ((answers >= frame["price"].min()) & (answers <= frame["price"].max())).all()


def test_loss_stands_on_the_answer_and_the_end_alone() -> None:
    frame = _table(96, 1)[["colour", "noise", "size"]]
    reader = Reader(_schema(frame, "size"), _load, LleSection(train={"max_steps": 1}), 0)
    reader.fit(frame)
    tokens = reader._tokens(("red", "7", "small"))
    tokenizer = reader.grammar.tokenizer
    answered = [token for token in tokens.labels if token != IGNORED]
    assert tokens.labels[-len(answered) :] == answered, "one piece, at the end"
    assert tokens.input_ids[-len(answered) :] == answered
    assert answered[-1] == tokenizer.eos_id
    text = tokenizer.decode(answered[:-1])
    assert text == reader.codec.encode_cell(2, "small", True) + reader.codec.row_close


def test_a_base_in_four_bits_is_taught_and_asked_alike() -> None:
    loads: list[LoadedModel] = []

    def load(adapter: Path | None) -> LoadedModel:
        loads.append(load_model("nano", adapter=adapter, quantization=NF4, trainable=adapter is None))
        return loads[-1]

    real, test = (_table(96, seed)[["colour", "noise", "size"]] for seed in (1, 2))
    found = measure_lle({"real": real}, test, _schema(real, "size"), load, settings=FAST)
    assert found.score("real").scores["auc"].low > 0.8
    assert all(loaded.quantization is not None for loaded in loads)


def test_a_table_without_a_target_is_refused() -> None:
    frame = _table(20, 1)
    with pytest.raises(HarmonicError, match="no target"):
        measure_lle({"real": frame}, frame, infer_schema(frame), _load, settings=FAST)

"""A base that has read the file is told from one that knows no more than the law of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaForCausalLM

from harmonic import read_table
from harmonic.errors import HarmonicError
from harmonic.evaluation.contamination import Contamination, check_contamination
from harmonic.evaluation.filetexts import as_file
from harmonic.model.load import LoadedModel, load_model
from harmonic.model.muon import muon_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Schema

N_ROWS, N_BEFORE = 40, 2


def draw_parts(seed: int, n: int = 120) -> pd.DataFrame:
    """A file of parts, as texts; the price hangs together with the size, and its digits with nothing."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(10, 100, n)
    price = size * 40 + rng.uniform(1000, 5000, n)
    kind = rng.choice(list("abc"), n)
    return pd.DataFrame(
        {"size": [f"{x:.2f}" for x in size], "price": [f"{x:.0f}" for x in price], "kind": kind}
    )


@pytest.fixture(scope="module")
def schema() -> Schema:
    return infer_schema(draw_parts(99, 2_000).astype({"size": float, "price": int}), title="parts")


@pytest.fixture(scope="module")
def file() -> pd.DataFrame:
    return draw_parts(0)


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return load_model("nano", device="cpu")


@pytest.fixture(scope="module")
def reader(
    file: pd.DataFrame, schema: Schema, nano: LoadedModel, tiny_llama: Callable[..., LlamaForCausalLM]
) -> LoadedModel:
    """A small Llama that spells bytes and has read the file until it knows much of it."""
    alphabet = ["<|begin|>", "<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(alphabet[:2])
    tokenizer = TextTokenizer(backend, eos_id=1, bos_id=0)
    model = tiny_llama(len(alphabet), hidden_size=64, intermediate_size=128)
    text = as_file(file, schema)
    learn(model, [0, *tokenizer.encode(text.header)], [tokenizer.encode(text.line(i)) for i in range(120)])
    return replace(nano, model=model.eval(), tokenizer=tokenizer, base="reader", context_length=512)


def learn(model: LlamaForCausalLM, header: list[int], rows: list[list[int]]) -> None:
    """Prompts as the check writes them: the header and some rows from anywhere in the file."""
    rng, n_steps, n_shown = np.random.default_rng(0), 110, N_BEFORE + 1
    optimizer = muon_for(model, lr=0.02, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - 0.9 * step / n_steps)
    model.train()
    for _ in range(n_steps):
        starts = rng.integers(0, len(rows) - n_shown + 1, size=16).tolist()
        texts = [torch.tensor([*header, *chain(*rows[k : k + n_shown])]) for k in starts]
        ids, labels = (
            torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=value)
            for value in (0, -100)
        )
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


@pytest.fixture(scope="module")
def known(reader: LoadedModel, file: pd.DataFrame, schema: Schema) -> Contamination:
    return check_contamination(reader, file, schema, n_rows=N_ROWS, n_before=N_BEFORE)


@pytest.fixture(scope="module")
def unknown(reader: LoadedModel, schema: Schema) -> Contamination:
    """The same base, asked for another file of the same law."""
    return check_contamination(reader, draw_parts(1), schema, n_rows=N_ROWS, n_before=N_BEFORE)


def test_a_base_that_has_read_the_file_is_found_out_by_places_and_by_digits(known: Contamination) -> None:
    assert known.p_values["place"] < 0.001
    assert known.p_values["digits"] < 0.01
    assert known.places.nats.low > 1
    assert known.digits.excess.low > 1
    assert known.digits.n_rows > 30
    assert known.is_known
    assert known.verdict.startswith("The base seems to know this table: ")


def test_a_base_that_knows_the_law_of_the_rows_and_not_the_rows_is_not_accused(
    unknown: Contamination,
) -> None:
    assert min(unknown.p_values.values()) > 0.05
    assert not unknown.is_known
    assert unknown.verdict.startswith("No sign that the base knows the table by heart: ")
    assert unknown.digits.excess.low < 0 < unknown.digits.excess.high


def test_a_header_that_was_read_is_written(
    known: Contamination, nano: LoadedModel, file: pd.DataFrame, schema: Schema
) -> None:
    assert known.header.value == 1
    fresh = check_contamination(nano, file, schema, n_rows=10, n_before=1)
    assert fresh.header.value == 0


def test_nano_knows_no_real_table(nano: LoadedModel, data_dir: Path) -> None:
    path = data_dir / "tables/insurance.csv.gz"
    _, schema = read_table(path, target="charges")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    found = check_contamination(nano, table, schema, n_rows=20, n_before=2)
    assert found.p_values.keys() == {"place", "written", "digits"}
    assert not found.is_known
    assert found.places.written.value == 0
    assert found.notes == ()


def test_results_are_a_function_of_the_seed(reader: LoadedModel, file: pd.DataFrame, schema: Schema) -> None:
    first, again, other = (
        check_contamination(reader, file, schema, n_rows=10, n_before=2, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert first.places.nats != other.places.nats


def test_the_json_holds_all_figures_and_no_nan(known: Contamination, unknown: Contamination) -> None:
    for found in (known, unknown):
        data = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert data["is_known"] == found.is_known
        assert data["digits"]["excess"]["value"] == found.digits.excess.value
        assert data["p_values"] == found.p_values


def test_a_short_context_shows_fewer_rows_and_says_so(
    reader: LoadedModel, file: pd.DataFrame, schema: Schema
) -> None:
    lines = []
    short = replace(reader, context_length=80)
    found = check_contamination(short, file, schema, n_rows=10, n_before=8, progress=lines.append)
    assert found.n_before == 3  # 17 tokens of header, 13 a row
    assert found.notes == ("The context has room for 3 rows before each, not for 8.",)
    assert len(lines) == 5


def test_a_context_without_room_for_two_rows_is_an_error(
    reader: LoadedModel, file: pd.DataFrame, schema: Schema
) -> None:
    with pytest.raises(HarmonicError, match="two rows take up to 43 tokens, its context holds 40"):
        check_contamination(replace(reader, context_length=40), file, schema)


def test_too_few_rows_are_an_error_with_a_remedy(nano: LoadedModel, schema: Schema) -> None:
    with pytest.raises(HarmonicError, match="20 rows, expected at least 26"):
        check_contamination(nano, draw_parts(0, 20), schema)
    with pytest.raises(HarmonicError, match="5 rows asked, 8 before each"):
        check_contamination(nano, draw_parts(0), schema, n_rows=5)


def test_an_adapter_is_refused_for_the_base_is_asked(
    nano: LoadedModel, file: pd.DataFrame, schema: Schema
) -> None:
    with pytest.raises(HarmonicError, match="Load the base without an adapter"):
        check_contamination(replace(nano, adapter=Path("adapter")), file, schema)


def test_a_sorted_file_is_not_judged_by_its_order_and_a_typed_one_is_warned_of(
    reader: LoadedModel, file: pd.DataFrame, schema: Schema
) -> None:
    by_price = file.astype({"size": float, "price": int}).sort_values("price", ignore_index=True)
    found = check_contamination(reader, by_price, schema, n_rows=30, n_before=2)
    assert found.places.clue == "price"
    assert found.p_values.keys() == {"digits"}
    assert "their order can be guessed, by 'price'" in found.verdict
    assert "'size'" in found.notes[0]

"""The recipe in small: a vocabulary, a corpus in the product's prompts, and training that resumes exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from harmonic.errors import HarmonicError
from harmonic.model.load import load_model, load_tokenizer
from harmonic.nano.corpus import CorpusSettings, Pools, batches, draw_instruction, texts
from harmonic.nano.pretrain import ModelSettings, OptimizerSettings, Pretraining, PretrainSettings
from harmonic.nano.vocabulary import BOS, EOS, train_vocabulary
from harmonic.prompt.instructions import IGNORED
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.sources import read_table

CORPUS = CorpusSettings(min_tokens=200, max_tokens=320, long_share=0.0, max_rows=16)
SETTINGS = PretrainSettings(
    vocabulary_tables=300,
    heldout=4,
    model=ModelSettings(
        vocab_size=1200, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=32,
    ),
    optimizer=OptimizerSettings(total_tokens=12_000, batch_tokens=1024, warmup_steps=2),
    corpus=CORPUS,
)  # fmt: skip

_TWO = replace(
    SETTINGS,
    dtype="float32",
    optimizer=OptimizerSettings(total_tokens=1, batch_tokens=2048, warmup_steps=2),
)


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    backend = train_vocabulary(texts(np.random.default_rng(0), CORPUS, 300), 1200)
    return TextTokenizer(backend, eos_id=backend.token_to_id(EOS), bos_id=backend.token_to_id(BOS))


def test_a_categorical_cell_is_one_token_and_digits_are_single(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode(" Bc")) == 1
    assert len(tokenizer.encode(" Zz")) == 1
    assert len(tokenizer.encode(" A39")) == 3
    assert len(tokenizer.encode_ending(" \n")) == 1


def test_bytes_come_back_whatever_they_are(tokenizer: TextTokenizer) -> None:
    for text in ("漢字 é 😀", "a\tb  c", f"{BOS} {EOS}"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_too_few_texts_for_a_vocabulary_are_an_error() -> None:
    with pytest.raises(ValueError, match="Give more texts"):
        train_vocabulary(iter(["abc"]), 2048)


def test_an_instruction_of_the_corpus_fits_and_ends(tokenizer: TextTokenizer) -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        tokens = draw_instruction(rng, CORPUS, tokenizer)
        assert len(tokens.input_ids) <= 320
        assert tokens.labels[-1] == tokenizer.eos_id
        assert tokens.labels[0] == IGNORED


def test_batches_go_on_with_the_pool_they_are_told(tokenizer: TextTokenizer) -> None:
    pools = Pools(0, CORPUS, tokenizer, 2048)
    after = next(pool_batch for pool_batch in batches(pools, 0) if pool_batch[0] == 2)
    assert next(batches(pools, 1)) == after


def test_batches_are_the_same_whoever_writes_them(tokenizer: TextTokenizer) -> None:
    pools = Pools(0, CORPUS, tokenizer, 2048)
    alone, helped = (list(islice(batches(pools, 0, n_workers), 12)) for n_workers in (0, 2))
    assert alone == helped


def test_bfloat16_trains_float32_weights(tmp_path: Path) -> None:
    half = Pretraining(replace(SETTINGS, dtype="bfloat16"), tmp_path / "half")
    whole = Pretraining(replace(SETTINGS, dtype="float32"), tmp_path / "whole")
    for pretraining in (half, whole):
        pretraining.train(minutes=0)
    assert {weights.dtype for weights in half.model.parameters()} == {torch.float32}
    moved, expected = (p.model.state_dict()["model.layers.0.mlp.up_proj.weight"] for p in (half, whole))
    assert 0 < float((moved - expected).abs().max()) < 0.02


def test_training_learns_saves_and_goes_on(tmp_path: Path) -> None:
    pretraining = Pretraining(SETTINGS, tmp_path)
    before = pretraining.heldout_loss()
    pretraining.train(minutes=5)
    assert pretraining.is_done
    after = pretraining.heldout_loss()
    assert np.mean(list(after.values())) < np.mean(list(before.values()))
    resumed = Pretraining(SETTINGS, tmp_path)
    assert (resumed.tokens, resumed.step, resumed.pool) == (
        pretraining.tokens,
        pretraining.step,
        pretraining.pool,
    )
    for ours, theirs in zip(resumed.model.parameters(), pretraining.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    resumed.export(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    assert loaded.context_length == 2048
    assert json.loads((tmp_path / "model" / "pretraining.json").read_text())["tokens"] == pretraining.tokens


def test_a_run_begins_with_the_weights_of_a_folder_and_refuses_those_of_another_form(tmp_path: Path) -> None:
    first = Pretraining(SETTINGS, tmp_path / "first")
    first.export(tmp_path / "model")
    second = Pretraining(replace(SETTINGS, seed=5, start=str(tmp_path / "model")), tmp_path / "second")
    assert second.tokenizer_ids == first.tokenizer_ids
    assert (second.tokens, second.step) == (0, 0)
    for ours, theirs in zip(second.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs.to(torch.bfloat16).float())
    wider = replace(SETTINGS, model=replace(SETTINGS.model, hidden_size=32), start=str(tmp_path / "model"))
    with pytest.raises(HarmonicError, match=r"Give \[model\] the form that the folder has"):
        Pretraining(wider, tmp_path / "third")


def test_key_heads_that_grow_in_number_begin_with_the_same_function(tmp_path: Path) -> None:
    one_head = replace(SETTINGS.model, hidden_size=32, num_attention_heads=4, num_key_value_heads=2)
    Pretraining(replace(SETTINGS, model=one_head), tmp_path / "first").export(tmp_path / "model")
    more_heads = replace(one_head, num_key_value_heads=4)
    grown = Pretraining(
        replace(SETTINGS, model=more_heads, start=str(tmp_path / "model")), tmp_path / "second"
    ).model
    first = load_model(str(tmp_path / "model")).model.float()
    ids = torch.arange(40).view(2, 20)
    torch.testing.assert_close(grown(input_ids=ids).logits, first(input_ids=ids).logits)


def test_two_processes_take_the_step_of_one_that_reads_both_their_batches(
    tmp_path: Path, repository: Path
) -> None:
    (tmp_path / "tiny.toml").write_text(
        "heldout = 2\nworkers = 0\nvocabulary_tables = 300\ndtype = 'float32'\n"
        "[model]\nvocab_size = 1200\nhidden_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
        "num_key_value_heads = 2\nintermediate_size = 32\n"
        "[optimizer]\ntotal_tokens = 1\nbatch_tokens = 2048\nwarmup_steps = 2\n"
        "[corpus]\nmin_tokens = 200\nmax_tokens = 320\nlong_share = 0.0\nmax_rows = 16\n"
    )
    shared = tmp_path / "shared"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(repository / "scripts" / "pretrain.py"), str(tmp_path / "tiny.toml"), "--out", str(shared)]
    subprocess.run([sys.executable, *torchrun, *script], check=True, cwd=repository, capture_output=True)
    state = torch.load(shared / "state.pt", weights_only=True)

    alone = Pretraining(_TWO, tmp_path / "alone")
    pools = Pools(0, CORPUS, alone.tokenizer, 1024)
    both = [next(batches(pools, 0, rank=rank, world=2))[1] for rank in range(2)]
    alone._train_step([tokens for batch in both for tokens in batch])
    assert (state["step"], state["pool"]) == (1, 2)
    for name, weights in alone.model.state_dict().items():
        assert torch.allclose(weights, state["model"][name], atol=1e-4), name


def test_an_adult_row_takes_at_most_45_tokens_of_nano(data_dir: Path) -> None:
    from harmonic.model.load import NANO
    from harmonic.table.cells import to_rows

    frame, schema = read_table(data_dir / "tables" / "adult.csv.gz")
    codec, tokenizer = codec_for("compact", schema), load_tokenizer(NANO, "nano")
    rows = to_rows(frame.head(2000), schema)
    lengths = [len(ids) for ids in tokenizer.encode_batch([codec.encode_row(row, range(15)) for row in rows])]
    assert np.mean(lengths) <= 35
    assert max(lengths) <= 45

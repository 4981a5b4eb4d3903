from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.model.finetune import finetune
from harmonic.model.load import NANO, base_path, load_model
from harmonic.model.visits import RepeatedVisits

Change = Callable[[Path], None]


@pytest.fixture
def copy(base: str, tmp_path: Path) -> Path:
    """The tiny base once more, to be spoilt."""
    return Path(shutil.copytree(base, tmp_path / "copy"))


def edit(name: str, **changes: Any) -> Change:
    def change(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**data, **changes}))

    return change


def drop(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def slow_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")


def test_a_folder_loads_with_its_tokenizer_and_context(base: str) -> None:
    loaded = load_model(base)
    assert loaded.context_length == 256 and loaded.dtype == torch.float32 and str(loaded.device) == "cpu"
    assert loaded.tokenizer.vocab_size == 320 and loaded.tokenizer.chat is None
    assert (loaded.tokenizer.bos_id, loaded.tokenizer.eos_id) == (1, 2)
    assert not loaded.model.training


def test_nano_is_the_packaged_checkpoint() -> None:
    assert Path(__file__).resolve().parents[2] / "checkpoints" / "nano" == NANO
    if not (NANO / "config.json").is_file():
        pytest.skip("nano is not made yet")
    assert base_path("nano") == NANO


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickle_only, r"only \.bin files.*never opened"),
        (drop("model.safetensors"), "no weights, expected model.safetensors"),
        (cut_weights, "ends too early"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "not safetensors"),
        (drop("config.json"), "no config.json"),
        (drop("tokenizer.json"), "no tokenizer, expected tokenizer.json"),
        (slow_tokenizer, "a slow tokenizer only"),
        (edit("tokenizer_config.json", eos_token=None), "no end token"),
        (edit("config.json", model_type="mine", auto_map={"AutoModel": "m.M"}), "wants to run its own code"),
        (edit("config.json", model_type="mine"), "unknown to transformers"),
        (
            edit("config.json", architectures=["LlamaForSequenceClassification"]),
            "not a causal language model",
        ),
    ],
)
def test_a_spoilt_base_is_refused_with_the_reason(copy: Path, change: Change, message: str) -> None:
    change(copy)
    with pytest.raises(HarmonicError, match=f"(?s){message}"):
        load_model(str(copy))


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    config = BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(HarmonicError, match="BertForMaskedLM is not a causal"):
        load_model(str(tmp_path))


def test_a_tokenizer_of_another_model_is_refused(copy: Path, save_base: Callable[..., Path]) -> None:
    with pytest.raises(HarmonicError, match="320 tokens, its embeddings 300 rows"):
        load_model(str(save_base(vocab_size=300)))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "../a/b/c"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(HarmonicError, match="there is no such folder"):
        load_model(name)


def test_a_name_that_the_hub_does_not_give_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HarmonicError, match="'no/such-model' at revision 'v1'.*the hub does not give it"):
        load_model("no/such-model", revision="v1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": {"load_in_4bits": True}}, "load_in_4bits.*Did you mean 'load_in_4bit'"),
        ({"quantization": {"bnb_4bit_quant_type": "nf4"}}, "neither load_in_4bit"),
        ({"dtype": "float8"}, "expected one of float32"),
        ({"device": "gpu"}, "torch does not know it"),
        ({"adapter": "nowhere"}, "no such folder"),
    ],
)
def test_bad_options_are_refused_by_name(base: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(HarmonicError, match=message):
        load_model(base, **options)


@pytest.fixture(scope="module")
def adapter(
    base: str, visits: Callable[..., RepeatedVisits], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    loaded, out = load_model(base), tmp_path_factory.mktemp("run")
    return finetune(
        loaded, visits(loaded.tokenizer), out=out, budget=BudgetSection(steps=1), progress=False
    ).adapter


def test_a_wrong_base_for_an_adapter_is_refused_naming_both(
    base: str, adapter: Path, save_base: Callable[..., Path]
) -> None:
    other = str(save_base(seed=1))
    with pytest.raises(HarmonicError) as refusal:
        load_model(other, adapter=adapter)
    assert base in str(refusal.value) and other in str(refusal.value)


def test_a_base_that_moved_is_still_the_base(copy: Path, adapter: Path) -> None:
    assert load_model(str(copy), adapter=adapter).adapter == adapter


def test_a_loaded_adapter_trains_only_when_asked(base: str, adapter: Path) -> None:
    def trainable(**options: Any) -> int:
        model = load_model(base, adapter=adapter, **options).model
        return sum(weight.requires_grad for weight in model.parameters())

    assert trainable() == 0 and trainable(trainable=True) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("harmonic_base.json"), "nobody can say which base"),
        (drop("adapter_model.safetensors"), "pickled weights are never opened"),
    ],
)
def test_a_spoilt_adapter_is_refused(
    base: str, adapter: Path, tmp_path: Path, change: Change, message: str
) -> None:
    spoilt = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    change(spoilt)
    with pytest.raises(HarmonicError, match=message):
        load_model(base, adapter=spoilt)

"""What tests share: real tables and vocabularies, tiny models, and a process that reaches for nothing outside."""

from __future__ import annotations

import gzip
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

# Before any library reads them: nothing is downloaded, nothing lands in a user's caches, one thread a worker.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="harmonic-tests-"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

REPOSITORY = Path(__file__).resolve().parents[1]

# A shared machine is slow at times, which is no fault of the code under test.
settings.register_profile("harmonic", deadline=None, derandomize=True)
settings.load_profile("harmonic")


def _needed(folder: Path) -> Path:
    """The folder; without it the test is skipped with a word, and fails where CI is set."""
    if not folder.is_dir():
        message = f"{folder} is not here: set HARMONIC_DATA to the folder of the real tables"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the project."""
    return REPOSITORY


@pytest.fixture(scope="module")
def measurement(repository: Path) -> Iterator[Callable[[str], ModuleType]]:
    """measurement("ebnf"): a module of benchmarks, from the folder of the scripts."""
    sys.path.insert(0, str(repository / "scripts"))
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    sys.path.remove(str(repository / "scripts"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real tables: HARMONIC_DATA, or ../shared/data beside the project."""
    return _needed(Path(os.environ.get("HARMONIC_DATA") or REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def tokenizers_dir() -> Path:
    """Real vocabularies (llama2, llama3, qwen2.5): `tokenizers` beside the real tables."""
    data = os.environ.get("HARMONIC_DATA")
    return _needed(Path(data).parent / "tokenizers" if data else REPOSITORY.parent / "shared" / "tokenizers")


@pytest.fixture(scope="session")
def real_tokenizer(tokenizers_dir: Path) -> Callable[[str], Tokenizer]:
    """real_tokenizer("llama3"): that vocabulary, read once a process."""
    from tokenizers import Tokenizer

    @cache
    def load(name: str) -> Tokenizer:
        return Tokenizer.from_str(gzip.decompress((tokenizers_dir / f"{name}.json.gz").read_bytes()).decode())

    return load


@pytest.fixture(scope="session")
def tiny_llama() -> Callable[..., LlamaForCausalLM]:
    """tiny_llama(vocab_size, seed=0, **settings): a Llama of random weights, two layers of 32."""

    def make(vocab_size: int, *, seed: int = 0, **settings: Any) -> LlamaForCausalLM:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        sizes = {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, **(sizes | settings))).eval()

    return make

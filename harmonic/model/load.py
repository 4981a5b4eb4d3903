"""A base model from disk or hub, ready to train or to sample, with its adapter and its tokenizer.

What enters is the name of a base ("nano", a folder, a hub name with a revision), and perhaps an adapter and a
quantization; what leaves is a `LoadedModel`. Everything is looked over before the first weight is read: safetensors
only, no code from the checkpoint, a causal language model, a fast tokenizer, and the base that the adapter knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from bitsandbytes.nn import Linear4bit
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from harmonic.errors import HarmonicError
from harmonic.files import read_json
from harmonic.model.chat import chat_wrapper
from harmonic.model.identity import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BaseNote,
    check_note,
    read_note,
    weight_files,
    weights_digest,
)
from harmonic.model.quiet import quiet
from harmonic.model.vendor import build
from harmonic.prompt.tokens import TextTokenizer

NANO = Path(__file__).resolve().parents[2] / "checkpoints" / "nano"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_FILES = ["*.json", "*.jinja", "*.safetensors"]
_HUB_COPIES = ["*/*", "consolidated*"]  # the same weights once more, for other programs
_UNBOUNDED = 2**31 - 1
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model with all that identifies it."""

    model: Any
    """transformers.PreTrainedModel, or peft.PeftModel around one."""
    tokenizer: TextTokenizer
    base: str
    """As it was asked for."""
    folder: Path
    """Where the base lies."""
    revision: str | None
    digest: str
    """identity.weights_digest of the base."""
    device: torch.device
    dtype: torch.dtype
    context_length: int
    """The most tokens that prompt and rows may have together."""
    quantization: Mapping[str, Any] | None = None
    adapter: Path | None = None

    @property
    def note(self) -> BaseNote:
        """What an adapter trained on this model keeps about it."""
        return BaseNote(self.base, self.digest, self.revision, self.quantization)


def load_model(
    base: str,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    quantization: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    trainable: bool = False,
) -> LoadedModel:
    """The model `base`, in evaluation mode, with the adapter on top if one is given.

    revision: a hub revision. quantization: keys of transformers.BitsAndBytesConfig. dtype: None = float32 on CPU,
    bfloat16 on GPUs that have it, float16 on others. device: None = this process's GPU, else CPU. trainable: whether
    the adapter's weights take gradients. An adapter of full fine-tuning is a model folder and takes the base's place.
    Raises HarmonicError for whatever cannot or must not be loaded, naming it, before weights are read.
    """
    place = _device(device)
    precision = _dtype(dtype, place)
    folder = base_path(base, revision)
    files = _check_folder(folder, base)
    quantizer = _quantizer(quantization)
    tokenizer = load_tokenizer(folder, base)
    note = BaseNote(base, weights_digest(files), revision, dict(quantization) if quantization else None)
    top = Path(adapter) if adapter is not None else None
    source = folder if top is None else _check_adapter(top, note, folder)
    with quiet():
        model = _read_weights(source, precision, quantizer, place)
        _check_vocabulary(model, tokenizer, base)
        if top is not None and (top / ADAPTER_CONFIG).is_file():
            model = PeftModel.from_pretrained(model, top, is_trainable=trainable, use_safetensors=True)
    text_config = model.config.get_text_config().to_dict()
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        base=base,
        folder=folder,
        revision=revision,
        digest=note.digest,
        device=place,
        dtype=precision,
        context_length=text_config.get("max_position_embeddings") or _UNBOUNDED,
        quantization=note.quantization,
        adapter=top,
    )


def base_path(base: str, revision: str | None = None) -> Path:
    """The folder of a base: the packaged one for "nano", a local folder, or a hub snapshot, fetched if need be.

    Raises HarmonicError if there is no such folder and no such name on the hub.
    """
    if base == "nano":
        if not (NANO / "config.json").is_file():
            raise HarmonicError(
                f"Base 'nano': {str(NANO)!r} is empty. Restore it, or make it: scripts/pretrain.py."
            )
        return NANO
    path = Path(base).expanduser()
    if path.is_dir():
        return path
    if path.exists() or not _HUB_NAME.fullmatch(base):
        raise HarmonicError(
            f"Base {base!r}: there is no such folder. Give 'nano', a folder with config.json and safetensors, "
            "or a hub name such as 'Qwen/Qwen2.5-0.5B'."
        )
    return _hub_path(base, revision)


def load_tokenizer(folder: Path, base: str) -> TextTokenizer:
    """The fast tokenizer of a model folder, with its end token and chat template. Raises HarmonicError."""
    if not (folder / "tokenizer.json").is_file():
        is_slow = any((folder / name).is_file() for name in ("tokenizer.model", "vocab.json", "vocab.txt"))
        reason = "a slow tokenizer only" if is_slow else "no tokenizer"
        raise HarmonicError(
            f"Base {base!r}: it has {reason}, expected tokenizer.json. Save its fast tokenizer there with "
            "transformers.AutoTokenizer, or take another base."
        )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if tokenizer.eos_token_id is None:
        raise HarmonicError(
            f"Base {base!r}: its tokenizer names no end token, so no answer would ever end. "
            "Set eos_token in tokenizer_config.json."
        )
    return TextTokenizer(
        tokenizer.backend_tokenizer,
        eos_id=tokenizer.eos_token_id,
        bos_id=tokenizer.bos_token_id,
        chat=chat_wrapper(tokenizer, base),
    )


def _hub_path(base: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(base, revision=revision, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_COPIES)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        at = f" at revision {revision!r}" if revision is not None else ""
        raise HarmonicError(
            f"Base {base!r}{at}: it is no folder here, and the hub does not give it ({type(error).__name__}). "
            "Check name, revision and network, sign in if it is gated, or give a local folder."
        ) from error


def _check_folder(folder: Path, base: str) -> list[Path]:
    """The weight files of a folder that holds a causal language model without own code. Raises HarmonicError."""
    if not (folder / "config.json").is_file():
        raise HarmonicError(
            f"Base {base!r}: {str(folder)!r} has no config.json. Give a folder with a whole model."
        )
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        reason = "wants to run its own code" if "auto_map" in config else "is unknown to transformers"
        raise HarmonicError(
            f"Base {base!r}: its model type {kind!r} {reason}, and no code from a checkpoint is ever run. "
            "Take a base whose architecture comes with transformers, or a newer transformers that has it."
        )
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    causal = {known} if isinstance(known, str) else set(known or ())
    named = set(config.get("architectures") or causal)
    if not causal & named:
        raise HarmonicError(
            f"Base {base!r}: {', '.join(sorted(named)) or str(kind)} is not a causal language model, which writes text "
            "from left to right. Take a base such as Llama, Qwen, Mistral or 'nano'."
        )
    return weight_files(folder)


def _check_adapter(adapter: Path, loaded: BaseNote, folder: Path) -> Path:
    """The folder whose weights are loaded: the base's, or the adapter's own after full fine-tuning."""
    if not adapter.is_dir():
        raise HarmonicError(
            f"Adapter {str(adapter)!r}: there is no such folder. Give the adapter/ of a finished run."
        )
    check_note(adapter, read_note(adapter), loaded)
    if not (adapter / ADAPTER_CONFIG).is_file():
        _check_folder(adapter, str(adapter))
        return adapter
    if not (adapter / ADAPTER_WEIGHTS).is_file():
        raise HarmonicError(
            f"Adapter {str(adapter)!r}: it has no {ADAPTER_WEIGHTS}, and pickled weights are never opened. "
            "Train it again, or save it as safetensors."
        )
    return folder


def _read_weights(
    source: Path, dtype: torch.dtype, quantizer: BitsAndBytesConfig | None, device: torch.device
) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(
        source,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype=dtype,
        quantization_config=quantizer,
        device_map={"": device} if quantizer is not None else None,
    )
    if quantizer is None:
        return model.to(device)
    if device.type == "cpu":
        _keep_unpacked(model)
    return model


def _keep_unpacked(model: Any) -> None:
    """Keeps bitsandbytes from repacking 4-bit weights at the first evaluation on CPUs with AVX512-BF16.

    Repacked, scales are rounded, gradients no longer pass (training after a validation would stand still, without a
    word), and layers whose width is no multiple of 64, as nano's, fail.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _check_vocabulary(model: Any, tokenizer: TextTokenizer, base: str) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if tokenizer.vocab_size > rows:
        raise HarmonicError(
            f"Base {base!r}: its tokenizer has {tokenizer.vocab_size} tokens, its embeddings {rows} rows. "
            "Tokenizer and weights are not of one model: restore the folder."
        )


def _quantizer(settings: Mapping[str, Any] | None) -> BitsAndBytesConfig | None:
    if not settings:
        return None
    config = build("quantization", BitsAndBytesConfig, settings)
    if not (config.load_in_4bit or config.load_in_8bit):
        raise HarmonicError(
            f"[quantization] {dict(settings)}: neither load_in_4bit nor load_in_8bit is set, so nothing would be "
            "quantized. Write load_in_4bit = true, or leave out the section."
        )
    return config


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        # Under a launcher each process has its own GPU, which accelerate assigns.
        return torch.device(PartialState().device if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise HarmonicError(f"Device {device!r}: torch does not know it. Write 'cpu' or 'cuda'.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise HarmonicError(f"Device {str(device)!r}: there is no GPU that torch can use here. Write 'cpu'.")
    return place


def _dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype is not None:
        if dtype not in DTYPES:
            raise HarmonicError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}.")
        return DTYPES[dtype]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

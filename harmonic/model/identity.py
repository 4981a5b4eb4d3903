"""Which weights these are: the digest of a base, and the note that an adapter keeps about its base.

What enters is a folder of safetensors files; what leaves is one sha256 over names, types, shapes and bytes of all
tensors in sorted order, the same however they are cut into files. An adapter on another base is noise that looks like
a model, so the note is written beside every adapter and compared at every loading. Stdlib only.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from harmonic.errors import HarmonicError
from harmonic.files import read_json, write_json

NOTE = "harmonic_base.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_INDEX, _WEIGHTS = "model.safetensors.index.json", "model.safetensors"
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class BaseNote:
    """What an adapter was trained on: the base's name, revision and digest, and its quantization if it had one."""

    base: str
    digest: str
    revision: str | None = None
    quantization: Mapping[str, Any] | None = None


def write_note(adapter: Path, note: BaseNote) -> None:
    """Writes the note into the adapter's folder."""
    write_json(adapter / NOTE, asdict(note))


def read_note(adapter: Path) -> BaseNote:
    """The note of an adapter. Raises HarmonicError where there is none."""
    if not (adapter / NOTE).is_file():
        raise HarmonicError(
            f"Adapter {str(adapter)!r}: it has no {NOTE}, so nobody can say which base it belongs to. "
            "Train it again, or take the adapter folder of a run of harmonic."
        )
    return BaseNote(**read_json(adapter / NOTE))


def check_note(adapter: Path, note: BaseNote, loaded: BaseNote) -> None:
    """Raises HarmonicError, naming both, if the adapter was trained on other weights than those loaded."""
    if note.digest != loaded.digest:
        raise HarmonicError(
            f"Adapter {str(adapter)!r}: it was trained on base {note.base!r} (weights {note.digest[:12]}), not on "
            f"{loaded.base!r} (weights {loaded.digest[:12]}). Load it with the base it was trained on."
        )
    if dict(note.quantization or {}) != dict(loaded.quantization or {}):
        raise HarmonicError(
            f"Adapter {str(adapter)!r}: it was trained on base {note.base!r} with quantization "
            f"{_shown(note.quantization)}, and is loaded with {_shown(loaded.quantization)}: another model. "
            "Load it with the quantization it was trained with."
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder. Raises HarmonicError where there are none, or one is missing."""
    if (folder / _INDEX).is_file():
        names = sorted(set(read_json(folder / _INDEX)["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise HarmonicError(
                f"Base {str(folder)!r}: weight file {missing[0]!r} is missing. Copy it whole."
            )
        return [folder / name for name in names]
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    found = sorted(
        {path.suffix for path in folder.iterdir()} & {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".gguf"}
    )
    reason = f"only {', '.join(found)} files" if found else "no weights"
    raise HarmonicError(
        f"Base {str(folder)!r}: it has {reason}, expected {_WEIGHTS}. Pickled weights can run code and are never "
        "opened: take a revision with safetensors, or convert it where you trust it."
    )


def weights_digest(files: list[Path]) -> str:
    """sha256 over (name, type, shape, bytes) of all tensors, by name. Raises HarmonicError for a broken file."""
    entries: list[tuple[str, dict[str, Any], Path, int]] = []
    for path in files:
        header, start = _read_header(path)
        entries += [(name, facts, path, start) for name, facts in header.items() if name != "__metadata__"]
    digest = hashlib.sha256()
    for name, facts, path, start in sorted(entries, key=lambda entry: entry[0]):
        digest.update(json.dumps([name, facts["dtype"], facts["shape"]]).encode())
        begin, end = facts["data_offsets"]
        with path.open("rb") as file:
            file.seek(start + begin)
            _update(digest, file, end - begin, path)
    return digest.hexdigest()


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            return json.loads(file.read(length)), 8 + length
    except (ValueError, struct.error) as error:
        raise HarmonicError(f"File {str(path)!r}: is not safetensors ({error}). Copy it whole.") from None


def _update(digest: Any, file: BinaryIO, length: int, path: Path) -> None:
    while length:
        chunk = file.read(min(length, _CHUNK))
        if not chunk:
            raise HarmonicError(f"File {str(path)!r}: ends too early. Copy it whole.")
        digest.update(chunk)
        length -= len(chunk)


def _shown(quantization: Mapping[str, Any] | None) -> str:
    return json.dumps(dict(quantization)) if quantization else "none"

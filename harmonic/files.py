"""Files that appear whole or not at all, and disk errors that say what to do.

What enters is a path and what shall stand there; what leaves is that file or folder, or the old one, or none: it
is written beside its place, brought to the disk, and renamed. What a killed process left behind, `mend_folder`
takes away. Stdlib only.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonic.errors import HarmonicError

_TEMPORARY = ".tmp-"
_REPLACED = ".old-"
_RESUME = "then go on with --resume: what was whole before still is"
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space is left on the disk", f"Make room, {_RESUME}."),
    errno.EDQUOT: ("the disk quota is used up", f"Make room, {_RESUME}."),
    errno.EFBIG: ("the file would be larger than is allowed here", f"Raise the limit, {_RESUME}."),
    errno.EROFS: ("the disk is read-only", "Choose another place with --out."),
    errno.EACCES: ("access is not permitted", "Choose another place with --out, or change the permissions."),
    errno.EPERM: ("access is not permitted", "Choose another place with --out, or change the permissions."),
    errno.ENOTDIR: ("a file stands where a folder is needed", "Choose another place with --out."),
    errno.EEXIST: ("a file stands where a folder is needed", "Choose another place with --out."),
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Disk errors inside become HarmonicErrors that name `path`, the reason and the remedy; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        reason, remedy = _REASONS[error.errno]
        raise HarmonicError(f"{str(path)!r}: cannot be used, {reason}. {remedy}") from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields where to write; on leaving, the file stands at `path`. After an error `path` is as it was."""
    temporary = _beside(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder to fill; on leaving, it stands at `path` in place of what stood there."""
    temporary = _beside(path)
    with explained(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for inner in temporary.rglob("*"):
                _sync(inner)
            _sync(temporary)
            _replace_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """The file with that content, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """The file with that text as UTF-8, line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Any) -> None:
    """The file with that data as JSON. Raises ValueError for inf and nan, which JSON does not have."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The data of a JSON file. Raises HarmonicError if it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HarmonicError(
            f"{str(path)!r}: is missing. Was this folder made by a run of harmonic?"
        ) from None
    except ValueError as error:
        raise HarmonicError(f"{str(path)!r}: is not JSON ({error}). Restore it, or start over.") from None


def append_line(path: Path, line: str) -> None:
    """One more line in one write, so that lines of several processes do not mix."""
    with explained(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            left = (line + "\n").encode("utf-8")
            while left:  # a disk that is nearly full takes a part, and refuses the rest
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)


def end_last_line(path: Path) -> None:
    """Takes away a last line without an end, which a killed process left, so that the next one stands alone."""
    if not path.exists():
        return
    with explained(path), path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def mend_folder(folder: Path) -> None:
    """Takes away half-written files and folders, and puts back a folder that was about to be replaced."""
    with explained(folder):
        for left in list(folder.rglob(f"{_REPLACED}*")):
            place = left.with_name(left.name.removeprefix(_REPLACED))
            if place.exists():
                remove(left)
            else:
                os.rename(left, place)
        for left in list(folder.rglob(f"{_TEMPORARY}*")):
            remove(left)


def remove(path: Path) -> None:
    """Takes away a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_leftover(name: str) -> bool:
    """Whether a file of that name is half-written."""
    return name.startswith((_TEMPORARY, _REPLACED))


def _beside(path: Path) -> Path:
    # The name's own end stays, for writers that choose a format by it.
    return path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")


def _replace_folder(temporary: Path, path: Path) -> None:
    """Two renames where a folder stands in the place: between them a kill leaves `.old-`, which is mended."""
    replaced = path.with_name(_REPLACED + path.name)
    remove(replaced)
    if path.exists():
        os.rename(path, replaced)
    os.rename(temporary, path)
    _sync(path.parent)
    remove(replaced)


def _sync(path: Path) -> None:
    """Brings a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

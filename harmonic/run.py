"""The run folder: one run, one folder that describes itself, whole after every kill.

What enters is a folder and a resolved config; what leaves is a `Run` through which every artefact is written:

    config.json  environment.json  schema.json  split.json
    adapter/ (or model/)  trainer/        of harmonic
    loop.json  pool.json  graph.json      of mallm
    samples/seed-1.csv + seed-1.json  log.jsonl  report.json  report.html  DONE (written last)
    audit.json                            of an audit, which has neither samples nor report

An existing folder is refused unless it is resumed with the same config or forced. Only files named here are ever
written or taken away, so that --force cannot empty somebody's home. One process holds the folder at a time; its
lock is the kernel's and ends with it, however it ends. Stdlib only.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

from harmonic import __version__, files
from harmonic.errors import HarmonicError

LAYOUT = (
    "config.json environment.json schema.json split.json adapter model trainer loop.json pool.json graph.json samples "
    "log.jsonl report.json report.html audit.json contamination.json DONE"
).split()
"""Everything that may stand in a run folder."""
_LOCK = ".lock"
_BEFORE_WORK = {"config.json", "environment.json", "schema.json", "split.json", "log.jsonl"}
"""What a run writes before it trains or draws anything."""
_OPENING = {"environment.json", _LOCK}
"""What stands before config.json does: a kill in between leaves a folder that is as good as empty."""
_MOVABLE = {"run.out"}
"""Settings that may differ on resuming: a folder may be moved."""
_PACKAGES = (
    "torch transformers trl peft accelerate bitsandbytes datasets tokenizers safetensors numpy scipy pandas "
    "pyarrow scikit-learn"
).split()
_log = logging.getLogger(__name__)


class Run:
    """A run folder: `Run.open` for the one process that writes it, `Run.join` for those beside or after it."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        lock: int | None = None,
        *,
        is_new: bool = False,
        made_folder: bool = False,
    ) -> None:
        self.folder = folder
        self.is_new = is_new
        """Whether it was begun here and now."""
        self.made_folder = made_folder
        """Whether there was no such folder before."""
        self.config = config
        """The resolved config as plain data, for `config.config_from_dict`."""
        self._lock = lock

    @classmethod
    def open(
        cls,
        folder: str | PurePath,
        config: Mapping[str, Any] | None = None,
        *,
        resume: bool = False,
        force: bool = False,
    ) -> Run:
        """The run in `folder`, made if there is none; hold it in a `with` statement.

        `config` is resolved, plain data; None stands for that of the folder, which must then be a run's.
        `resume` goes on with a run of the same config, or begins; `force` begins anew. Raises HarmonicError
        for an existing folder without either, another config, a foreign folder, a second process, a full or
        read-only disk.
        """
        path = Path(folder)
        with files.explained(path):
            _check_may_open(path, config, resume, force)
            is_there = path.is_dir()
            path.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(path)
        try:
            # Once more: until the lock was taken, another process may have been here.
            _check_may_open(path, config, resume, force)
            files.mend_folder(path)
            files.end_last_line(path / "log.jsonl")
            if force:
                _empty(path)
            goes_on = (path / "config.json").exists()
            if not goes_on:
                files.write_json(path / "environment.json", environment())
                files.write_json(path / "config.json", config)
            run = cls(
                path,
                files.read_json(path / "config.json"),
                lock,
                is_new=not goes_on,
                made_folder=not is_there,
            )
            run._log_opening(goes_on)
        except BaseException:
            _give_lock(path, lock)
            raise
        return run

    @classmethod
    def join(cls, folder: str | PurePath) -> Run:
        """The run in `folder` without its lock: for readers, and for the further processes of one job.

        Raises HarmonicError if no run stands there.
        """
        path = Path(folder)
        _check_is_run(path)
        return cls(path, files.read_json(path / "config.json"))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        has_worked = not self.is_new or any(self.has(name) for name in LAYOUT if name not in _BEFORE_WORK)
        is_refused = isinstance(error, HarmonicError) and not has_worked
        try:
            if is_refused:
                # Mended, it may begin in the same place.
                _empty(self.folder)
        finally:
            self.close()
        if is_refused and self.made_folder:
            # Something else may stand in it, or hold it: the refusal is what is to be said.
            with suppress(OSError):
                self.folder.rmdir()

    def close(self) -> None:
        """Lets others have the folder."""
        if self._lock is not None:
            _give_lock(self.folder, self._lock)
            self._lock = None

    @property
    def is_done(self) -> bool:
        """Whether everything the config asks for stands here."""
        return self.has("DONE")

    def finish(self) -> None:
        """Says that everything stands here: DONE is the last file."""
        self.log("finished")
        self.write_text("DONE", _now() + "\n")

    def path(self, name: str) -> Path:
        """Where `name` ("schema.json", "samples/seed-1.csv") stands. Raises ValueError for names not in LAYOUT."""
        parts = PurePath(name).parts
        if not parts or parts[0] not in LAYOUT or ".." in parts:
            raise ValueError(f"{name!r}: not in the layout of a run folder, {LAYOUT}. Add it there.")
        return self.folder.joinpath(*parts)

    def has(self, name: str) -> bool:
        """Whether `name` stands here (whole, as everything here does)."""
        return self.path(name).exists()

    def read_json(self, name: str) -> Any:
        """The data of a JSON file of the run. Raises HarmonicError if it is missing or broken."""
        return files.read_json(self.path(name))

    def write_json(self, name: str, data: Any) -> None:
        files.write_json(self.path(name), data)

    def write_text(self, name: str, text: str) -> None:
        files.write_text(self.path(name), text)

    def write_bytes(self, name: str, data: bytes) -> None:
        files.write_bytes(self.path(name), data)

    def atomic_file(self, name: str) -> AbstractContextManager[Path]:
        """Yields where to write what then stands at `name`, for writers of other libraries."""
        return files.atomic_file(self.path(name))

    def atomic_folder(self, name: str) -> AbstractContextManager[Path]:
        """Yields an empty folder to fill, which then stands at `name`."""
        return files.atomic_folder(self.path(name))

    def log(self, event: str, **facts: Any) -> None:
        """One line more in log.jsonl: when, what, and plain facts."""
        line = json.dumps({"time": _now(), "event": event, **facts}, ensure_ascii=False)
        files.append_line(self.path("log.jsonl"), line)

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines of log.jsonl, but for a last one that a kill tore."""
        if not self.has("log.jsonl"):
            return
        for line in self.path("log.jsonl").read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)

    def _log_opening(self, goes_on: bool) -> None:
        self.log("resumed" if goes_on else "started", process=os.getpid())
        if not goes_on:
            return
        changed = _differences(self.read_json("environment.json"), environment())
        if changed:
            self.log("environment changed", changed=changed)
            _log.warning(
                "Run folder %r: resumed under another environment: %s.", str(self.folder), _listed(changed)
            )


def environment() -> dict[str, Any]:
    """Versions, platform and threads, without names of hosts, users or paths."""
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {
        "harmonic": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": threads,
        "packages": versions,
    }


def _check_may_open(path: Path, config: Mapping[str, Any] | None, resume: bool, force: bool) -> None:
    """Raises HarmonicError unless a run may begin or go on here. Writes nothing."""
    if _is_vacant(path) and config is not None:
        return
    _check_is_run(path)
    if config is None or force:
        return
    if not resume:
        state = "holds a finished run" if (path / "DONE").exists() else "holds a run"
        raise HarmonicError(
            f"Run folder {str(path)!r}: {state}. Use --resume to go on with it, --force to start over, "
            "or another --out."
        )
    differences = _differences(files.read_json(path / "config.json"), config)
    if differences.keys() - _MOVABLE:
        raise HarmonicError(
            f"Run folder {str(path)!r}: holds a run of other settings: {_listed(differences)}. "
            "Resume with the old settings, use --force to start over, or another --out."
        )


def _is_vacant(path: Path) -> bool:
    if not path.is_dir():
        return not path.exists()
    return all(inner.name in _OPENING or files.is_leftover(inner.name) for inner in path.iterdir())


def _check_is_run(path: Path) -> None:
    """Raises HarmonicError unless a run wrote here: a model's folder has a config.json, too."""
    if not path.is_dir():
        state = "is a file" if path.exists() else "does not exist"
        raise HarmonicError(
            f"Run folder {str(path)!r}: {state}. Expected the folder of a run; check the path."
        )
    try:
        found = files.read_json(path / "environment.json")
        is_run = "harmonic" in found and (path / "config.json").exists()
    except HarmonicError:
        is_run = False
    if not is_run:
        raise HarmonicError(
            f"Run folder {str(path)!r}: holds other files, no run of harmonic. Nothing was changed in it. "
            "Use another --out."
        )


def _empty(path: Path) -> None:
    # config.json last but for the mark of our own: a kill on the way leaves a folder that --force takes again.
    with files.explained(path):
        for name in sorted(LAYOUT, key=lambda name: (name == "environment.json", name == "config.json")):
            files.remove(path / name)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ: (old, new), None where a side has none."""
    left, right = dict(_flat(old)), dict(_flat(new))
    keys = sorted(left.keys() | right.keys())
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _listed(differences: Mapping[str, tuple[Any, Any]], most: int = 8) -> str:
    shown = [f"{key} (was {old!r}, is {new!r})" for key, (old, new) in list(differences.items())[:most]]
    return ", ".join(shown) + (f" and {len(differences) - most} more" if len(differences) > most else "")


def _take_lock(path: Path) -> int:
    """The folder's lock, which the kernel takes back when its process ends. Raises HarmonicError if it is held."""
    place = path / _LOCK
    while True:
        with files.explained(place):
            lock = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode("ascii", "replace").strip()
            os.close(lock)
            raise HarmonicError(
                f"Run folder {str(path)!r}: process {holder or 'unknown'} is at work in it. "
                "Wait for it or end it, or use another --out."
            ) from None
        if _stands(place, lock):
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
            return lock
        os.close(lock)


def _stands(place: Path, lock: int) -> bool:
    """Whether the locked file is still the one of that name: its last holder may just have taken it away."""
    try:
        return os.path.samestat(os.stat(place), os.fstat(lock))
    except FileNotFoundError:
        return False


def _give_lock(path: Path, lock: int) -> None:
    (path / _LOCK).unlink(missing_ok=True)
    os.close(lock)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from harmonic import files
from harmonic.errors import HarmonicError
from harmonic.run import LAYOUT, Run, environment

CONFIG: dict[str, Any] = {"run": {"seed": 0, "out": None}, "prompt": {"examples": 5}}
OTHER: dict[str, Any] = {"run": {"seed": 0, "out": None}, "prompt": {"examples": 3}, "model": {"base": "x"}}


def _made(folder: Path, *, done: bool = False) -> Path:
    with Run.open(folder, CONFIG) as run:
        run.write_text("samples/seed-1.csv", "a\n1\n")
        if done:
            run.finish()
    return folder


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_folder_describes_itself(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "harmonic" / "rows" / "s0"
    with Run.open(folder, CONFIG) as run:
        assert run.config == CONFIG
        assert not run.is_done
    assert json.loads((folder / "config.json").read_text()) == CONFIG
    assert _names(folder) == {"config.json", "environment.json", "log.jsonl"}


def test_the_environment_holds_versions_and_no_names_of_people_or_machines() -> None:
    import platform

    text = json.dumps(environment())
    assert "torch" in text
    for secret in (platform.node(), str(Path.home()), os.getcwd()):
        assert not secret or secret not in text


def test_an_existing_run_is_refused_without_a_word(tmp_path: Path) -> None:
    _made(tmp_path / "a")
    with pytest.raises(
        HarmonicError, match="holds a run. Use --resume to go on with it, --force to start over"
    ):
        Run.open(tmp_path / "a", CONFIG)
    _made(tmp_path / "b", done=True)
    with pytest.raises(HarmonicError, match="holds a finished run"):
        Run.open(tmp_path / "b", CONFIG)


def test_resuming_goes_on_and_begins_where_there_is_nothing(tmp_path: Path) -> None:
    with Run.open(tmp_path / "new", CONFIG, resume=True) as run:
        run.write_json("schema.json", {"columns": []})
    with Run.open(tmp_path / "new", CONFIG, resume=True) as run:
        assert run.read_json("schema.json") == {"columns": []}
        assert [event["event"] for event in run.events()] == ["started", "resumed"]


def test_a_run_refused_before_any_work_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="wrong"), Run.open(tmp_path / "run", CONFIG) as run:
        run.write_json("schema.json", {})
        raise HarmonicError("wrong")
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(HarmonicError, match="wrong"), Run.open(tmp_path / "mine", CONFIG):
        raise HarmonicError("wrong")
    assert list((tmp_path / "mine").iterdir()) == [], "a folder that was there stays"


@pytest.mark.parametrize("error", [HarmonicError("wrong"), KeyboardInterrupt(), RuntimeError("ours")])
def test_a_run_that_has_worked_keeps_everything(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), Run.open(tmp_path / "run", CONFIG) as run:
        if isinstance(error, HarmonicError):
            run.write_json("trainer/plan.json", {})
        raise error
    assert (tmp_path / "run" / "config.json").exists()
    with pytest.raises(HarmonicError), Run.open(tmp_path / "run", CONFIG, resume=True):
        raise HarmonicError("wrong")
    assert (tmp_path / "run" / "config.json").exists(), "nor does an error of a resumed one take it away"


def test_done_is_seen_on_resuming(tmp_path: Path) -> None:
    with Run.open(_made(tmp_path / "a", done=True), CONFIG, resume=True) as run:
        assert run.is_done


def test_resuming_with_other_settings_names_the_keys_that_differ(tmp_path: Path) -> None:
    folder = _made(tmp_path / "a")
    with pytest.raises(HarmonicError) as raised:
        Run.open(folder, OTHER, resume=True)
    message = str(raised.value)
    assert "prompt.examples (was 5, is 3)" in message
    assert "model.base (was None, is 'x')" in message
    assert "run.seed" not in message
    assert ".lock" not in _names(folder)


def test_a_moved_folder_is_still_the_same_run(tmp_path: Path) -> None:
    _made(tmp_path / "a").rename(tmp_path / "b")
    with Run.open(tmp_path / "b", CONFIG | {"run": {"seed": 0, "out": "b"}}, resume=True) as run:
        assert run.config == CONFIG


def test_force_starts_over_and_leaves_what_is_not_the_runs(tmp_path: Path) -> None:
    folder = _made(tmp_path / "a", done=True)
    (folder / "my notes.txt").write_text("mine")
    with Run.open(folder, OTHER, force=True) as run:
        assert not run.is_done
    assert json.loads((folder / "config.json").read_text()) == OTHER
    assert _names(folder) == {"config.json", "environment.json", "log.jsonl", "my notes.txt"}


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"force": True}])
@pytest.mark.parametrize("foreign", ["letters.txt", "config.json", "environment.json"])
def test_a_foreign_folder_is_refused_and_left_alone(
    tmp_path: Path, foreign: str, flags: dict[str, bool]
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / foreign).write_text('{"model_type": "llama"}')
    with pytest.raises(HarmonicError, match="holds other files, no run of harmonic. Nothing was changed"):
        Run.open(tmp_path, CONFIG, **flags)
    assert {path.name for path in tmp_path.iterdir()} == {"weights", foreign}


def test_a_corrupt_config_is_a_clear_error(tmp_path: Path) -> None:
    folder = _made(tmp_path / "a")
    (folder / "config.json").write_text('{"run": ')
    with pytest.raises(HarmonicError, match="config.json': is not JSON"):
        Run.open(folder, CONFIG, resume=True)
    with Run.open(folder, CONFIG, force=True) as run:
        assert run.config == CONFIG


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    for place in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(HarmonicError, match="is a file|a file stands where a folder is needed"):
            Run.open(place, CONFIG)


def test_a_later_process_joins_or_opens_the_folder_alone(tmp_path: Path) -> None:
    folder = _made(tmp_path / "a", done=True)
    assert Run.join(folder).config == CONFIG
    with Run.open(folder) as run, pytest.raises(HarmonicError, match="is at work in it"):
        assert run.config == CONFIG
        Run.open(folder)
    for open_or_join in (Run.open, Run.join):
        with pytest.raises(HarmonicError, match="does not exist. Expected the folder of a run"):
            open_or_join(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_only_the_layout_is_written(tmp_path: Path) -> None:
    with Run.open(tmp_path / "a", CONFIG) as run:
        for name in ("notes.txt", "samples/../../x", "", "/etc/passwd"):
            with pytest.raises(ValueError, match="not in the layout"):
                run.path(name)
        assert all(run.path(name).parent == run.folder for name in LAYOUT)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with Run.open(tmp_path / "a", CONFIG) as run:
        run.write_text("samples/seed-1.csv", "old\n")
        with pytest.raises(KeyboardInterrupt), run.atomic_file("samples/seed-1.csv") as path:
            path.write_text("half of the new")
            assert path.suffix == ".csv"
            raise KeyboardInterrupt
        assert run.path("samples/seed-1.csv").read_text() == "old\n"
        assert _names(run.path("samples")) == {"seed-1.csv"}


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "adapter"
    for version in ("old", "new"):
        with files.atomic_folder(place) as folder:
            (folder / "inner").mkdir()
            (folder / "inner" / f"{version}.bin").write_text(version)
    assert _names(tmp_path) == {"adapter/inner/new.bin"}
    with pytest.raises(RuntimeError), files.atomic_folder(place) as folder:
        (folder / "half.bin").write_text("half")
        raise RuntimeError
    assert _names(tmp_path) == {"adapter/inner/new.bin"}


def test_a_kill_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    folder = _made(tmp_path / "a")
    (folder / ".old-adapter").mkdir()
    (folder / ".old-adapter" / "weights").write_text("old")
    (folder / ".tmp-7-adapter").mkdir()
    (folder / "samples" / ".tmp-7-seed-2.csv").write_text("half")
    with Run.open(folder, CONFIG, resume=True) as run:
        assert run.path("adapter/weights").read_text() == "old"
    assert not [name for name in _names(folder) if ".tmp-" in name or ".old-" in name]


def test_json_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_torn_last_line_of_the_log_is_forgotten(tmp_path: Path) -> None:
    folder = _made(tmp_path / "a")
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"event": "torn')
    assert [event["event"] for event in Run.join(folder).events()] == ["started"]
    with Run.open(folder, CONFIG, resume=True) as run:
        run.log("trained", steps=3, note="ünï\n")
        events = list(run.events())
    assert [event["event"] for event in events] == ["started", "resumed", "trained"]
    assert (events[-1]["steps"], events[-1]["note"]) == (3, "ünï\n")


def test_another_environment_is_said_on_resuming(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = _made(tmp_path / "a")
    old = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(old | {"python": "2.7"}))
    with Run.open(folder, CONFIG, resume=True) as run:
        assert [event["event"] for event in run.events()][-1] == "environment changed"
    assert "python (was '2.7'" in caplog.text


def _start(folder: Path, work: str, repository: Path) -> subprocess.Popen[str]:
    """A process that holds the run, says so, and then works."""
    code = (
        "import sys, time\nfrom harmonic.run import Run\n"
        f"with Run.open({str(folder)!r}, {CONFIG!r}, resume=True) as run:\n"
        f"    print('open', flush=True)\n    {work}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=repository
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path, repository: Path) -> None:
    process = _start(tmp_path / "a", "time.sleep(60)", repository)
    with pytest.raises(HarmonicError, match=f"process {process.pid} is at work in it"):
        Run.open(tmp_path / "a", CONFIG, resume=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Run.open(tmp_path / "a", CONFIG, resume=True) as run:
        assert run.config == CONFIG
    assert ".lock" not in _names(tmp_path / "a")


def test_what_a_kill_leaves_is_whole(tmp_path: Path, repository: Path) -> None:
    work = "while True: run.write_text('samples/seed-1.csv', 'row\\n' * 50000); run.log('wrote', text='x' * 5000)"
    for _ in range(3):
        process = _start(tmp_path / "a", work, repository)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with Run.open(tmp_path / "a", CONFIG, resume=True) as run:
            assert run.path("samples/seed-1.csv").read_text() == "row\n" * 50000
            assert {event["event"] for event in run.events()} == {"started", "wrote", "resumed"}
    assert _names(tmp_path / "a") == {"config.json", "environment.json", "log.jsonl", "samples/seed-1.csv"}


def test_a_disk_that_takes_no_more_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.open(tmp_path / "a", CONFIG) as run:
        run.write_text("DONE", "old")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", _no_space)
            with pytest.raises(
                HarmonicError, match="no space is left on the disk. Make room, then go on with --resume"
            ):
                run.write_text("DONE", "new")
        assert run.path("DONE").read_text() == "old"


def _no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_over_the_limit_is_a_clear_error_and_leaves_the_old_one(tmp_path: Path) -> None:
    with Run.open(tmp_path / "a", CONFIG) as run:
        run.write_text("samples/seed-1.csv", "old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(HarmonicError, match="larger than is allowed here"):
                run.write_text("samples/seed-1.csv", "new" * 10_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert run.path("samples/seed-1.csv").read_text() == "old"


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_one_may_not_use_is_a_clear_error(mode: int, repository: Path) -> None:
    # In a process of its own that gives up an administrator's rights, to whom every folder is open.
    code = (
        "import os, sys\nfrom harmonic.run import Run\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        f"try: Run.open(sys.argv[1], {CONFIG!r})\nexcept ValueError as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        locked = Path(top) / "locked"
        locked.mkdir()
        locked.chmod(mode)
        command = [sys.executable, "-c", code, str(locked / "run")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
        locked.chmod(0o755)
    assert "access is not permitted. Choose another place with --out" in done.stdout, done.stderr

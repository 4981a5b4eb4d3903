"""The scripts as a person runs them: whole journeys, kills, several processes, and errors in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

SMALL = [
    "--set",
    "budget.steps=4",
    "--set",
    "train={learning_rate=1e-4, per_device_train_batch_size=1, save_steps=1}",
    "--set",
    "sample.rows=24",
    "--set",
    "prompt={contexts='neighbors', examples=8, fewest=4, rows=4}",
    "--set",
    'model.method="lora"',
]
IN_SMALL_PIECES = (
    "import runpy, sys; from harmonic import pieces; pieces.PIECE_ROWS = 8; sys.argv = sys.argv[1:]; "
)
RUN_FILE = "sys.path.insert(0, 'scripts'); runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "patients.csv"
    load_diabetes(as_frame=True, scaled=False).frame.head(80).to_csv(path, index=False)
    return path


def _command(repository: Path, *arguments: str | Path, in_pieces: bool = False) -> list[str]:
    head = ["-c", IN_SMALL_PIECES + RUN_FILE] if in_pieces else []
    return [sys.executable, *head, *map(str, arguments)]


def _run(repository: Path, *arguments: str | Path, status: int = 0, in_pieces: bool = False) -> str:
    done = subprocess.run(
        _command(repository, *arguments, in_pieces=in_pieces),
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(repository: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, with its sample and report, made by the command of the README."""
    out = tmp_path_factory.mktemp("runs") / "patients"
    printed = _run(repository, "scripts/run.py", "--table", table, "--target", "target", "--out", out, *SMALL)
    assert f"Report: {out / 'report.html'}" in printed
    return out


def test_a_bare_table_becomes_rows_and_a_report(run: Path, table: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.json",
        "schema.json",
        "split.json",
        "adapter",
        "samples",
        "report.html",
        "report.json",
    }
    assert (run / "DONE").exists()
    rows, real = pd.read_csv(run / "samples" / "seed-0.csv"), pd.read_csv(table)
    assert len(rows) == 24
    assert (rows.dtypes == real.dtypes).all()
    assert len(json.loads((run / "samples" / "seed-0.shown.json").read_text())["shown"]) == 24
    assert json.loads((run / "report.json").read_text())["privacy"]["prompt_echo"]["n_rows"] > 0
    text = "".join(path.read_text() for path in run.rglob("*.json") if "trainer" not in str(path))
    assert str(table.parent) not in text.replace(str(table), "")


def test_a_finished_run_is_not_done_again_and_not_overwritten(
    repository: Path, run: Path, table: Path
) -> None:
    before = (run / "DONE").read_text()
    again = ["scripts/run.py", "--table", table, "--target", "target", "--out", run, *SMALL]
    assert "holds a finished run. Use --resume" in _run(repository, *again, status=2)
    _run(repository, *again, "--resume")
    assert (run / "DONE").read_text() == before


def test_sampling_evaluating_and_merging_take_the_run_folder(
    repository: Path, run: Path, tmp_path: Path
) -> None:
    _run(repository, "scripts/sample.py", run, "--rows", "16", "--seed", "5")
    first, other = (pd.read_csv(run / "samples" / f"seed-{seed}.csv") for seed in (0, 5))
    assert len(other) == 16
    assert not other.equals(first.head(16))
    _run(repository, "scripts/evaluate.py", run)
    _run(repository, "scripts/merge.py", run, "--out", tmp_path / "merged")
    assert (tmp_path / "merged" / "model.safetensors").exists()


def test_rows_are_drawn_under_conditions_and_holes_are_filled(
    repository: Path, run: Path, table: Path, tmp_path: Path
) -> None:
    asked = ["--seed", "6", "--given", "sex=2", "--where", "age >= 40", "--name", "older"]
    _run(repository, "scripts/sample.py", run, "--rows", "12", *asked)
    rows = pd.read_csv(run / "samples" / "older.csv")
    assert (rows["sex"] == 2).all() and (rows["age"] >= 40).all()
    printed = _run(repository, "scripts/sample.py", run, "--seed", "6", "--quota", "sex=1:5,2:3")
    quotas = Path(printed.split("Rows: ")[1].splitlines()[0].strip())
    assert quotas.name.startswith("seed-6-") and not (run / "samples" / "seed-6.csv").exists()
    assert pd.read_csv(quotas)["sex"].value_counts().to_dict() == {1: 5, 2: 3}
    holes = pd.read_csv(table).head(5)
    holes.loc[2, ["sex", "bmi"]] = None
    holes.to_csv(tmp_path / "holes.csv", index=False)
    _run(
        repository,
        "scripts/sample.py",
        run,
        "--impute",
        tmp_path / "holes.csv",
        "--out",
        tmp_path / "filled.csv",
    )
    assert pd.read_csv(tmp_path / "filled.csv").notna().all().all()


def test_with_a_holdout_file_every_row_of_the_table_trains(
    repository: Path, table: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(table)
    frame.head(60).to_csv(tmp_path / "train.csv", index=False)
    frame.tail(20).to_csv(tmp_path / "test.csv", index=False)
    files = ["--table", tmp_path / "train.csv", "--holdout", tmp_path / "test.csv"]
    given = ["--target", "target", "--rows", "8", "--seed", "3", "--out", tmp_path / "run"]
    _run(repository, "scripts/run.py", *files, *given, *SMALL[:4])
    counts = json.loads((tmp_path / "run" / "split.json").read_text())["counts"]
    assert counts["train"] + counts["val"] == 60 and counts["test"] == 20
    assert len(pd.read_csv(tmp_path / "run" / "samples" / "seed-3.csv")) == 8


def test_a_run_folder_keeps_its_settings(repository: Path, run: Path) -> None:
    printed = _run(repository, "scripts/run.py", run, "--set", "prompt.rows=2", "--resume", status=2)
    assert "a run folder keeps the settings" in printed


def test_files_of_any_tool_are_evaluated(repository: Path, table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table)
    names = {"real": frame.iloc[:40], "synthetic": frame.iloc[40:60], "holdout": frame.iloc[60:]}
    arguments: list[str | Path] = []
    for name, part in names.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        arguments += [f"--{name}", tmp_path / f"{name}.csv"]
    _run(
        repository, "scripts/evaluate.py", *arguments, "--target", "target", "--out", tmp_path / "report.html"
    )
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_sample_killed_three_times_is_the_same_table(repository: Path, run: Path) -> None:
    sample = ["scripts/sample.py", run, "--rows", "64"]
    _run(repository, *sample, "--seed", "7", in_pieces=True)
    parts = run / "samples" / "seed-8.parts"
    for kill in range(1, 4):
        process = subprocess.Popen(
            _command(repository, *sample, "--seed", "8", in_pieces=True),
            cwd=repository,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        while process.poll() is None and len(list(parts.glob("0*.json"))) < kill:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (run / "samples" / "seed-8.csv").exists()
    _run(repository, *sample, "--seed", "8", in_pieces=True)
    resumed = (run / "samples" / "seed-8.csv").read_text()
    for path in (run / "samples").glob("seed-8.*"):
        path.unlink()
    _run(repository, *sample, "--seed", "8")
    assert (run / "samples" / "seed-8.csv").read_text() == resumed


@pytest.mark.slow
def test_two_processes_draw_the_table_of_one(repository: Path, run: Path) -> None:
    script = repository / "scripts" / "sample.py"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    _run(repository, *torchrun, script, run, "--rows", "520", "--seed", "9")
    together = (run / "samples" / "seed-9.csv").read_text()
    for path in (run / "samples").glob("seed-9.*"):
        path.unlink()
    _run(repository, script, run, "--rows", "520", "--seed", "9")
    assert (run / "samples" / "seed-9.csv").read_text() == together


def test_accelerate_launch_trains_and_a_kill_in_training_changes_nothing(
    repository: Path, table: Path, tmp_path: Path
) -> None:
    settings = [
        "--set", f'table.source="{table}"', "--set", "budget.steps=8",
        "--set", "train={learning_rate=1e-4, per_device_train_batch_size=1, save_steps=1}",
    ]  # fmt: skip
    train = ["scripts/train.py", "configs/runs/harmonic/quickstart.toml", *settings, "--resume", "--out"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    _run(repository, *launch, *train, tmp_path / "launched")
    process = subprocess.Popen(
        _command(repository, *train, tmp_path / "killed"),
        cwd=repository,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    while process.poll() is None and not list((tmp_path / "killed" / "trainer").glob("checkpoint-*/WHOLE")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "adapter").exists()
    _run(repository, *train, tmp_path / "killed")
    weights = [
        (tmp_path / name / "adapter" / "model.safetensors").read_bytes() for name in ("launched", "killed")
    ]
    assert weights[0] == weights[1]


LOOP = [
    "--target", "target", "--set", "sample.rows=40", "--set",
    "mallm={examples=4, rows=4, steps=1, proposals=2, judged_rows=12, edits='random'}",
]  # fmt: skip


def test_a_loop_says_beforehand_what_it_costs(repository: Path, table: Path, tmp_path: Path) -> None:
    printed = _run(
        repository, "scripts/mallm.py", "--table", table, *LOOP, "--dry-run", "--out", tmp_path / "run"
    )
    assert '"method": "mallm"' in printed
    assert (
        "Loop: 1 steps, 2 edited graphs each; at most 120 rows in about 30 calls, each with 4 examples"
        in printed
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_loop_killed_at_four_moments_ends_with_the_same_table(
    repository: Path, table: Path, tmp_path: Path
) -> None:
    command = ["scripts/mallm.py", "--table", table, *LOOP, "--resume", "--out"]
    _run(repository, *command, tmp_path / "whole", in_pieces=True)
    killed = tmp_path / "killed"
    for moment in ("loop.json", "pool.json", "samples/seed-0.parts/000000.json", "samples/seed-0.csv"):
        process = subprocess.Popen(
            _command(repository, *command, killed, in_pieces=True),
            cwd=repository,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        while process.poll() is None and not (killed / moment).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (killed / "DONE").exists(), moment
    _run(repository, *command, killed, in_pieces=True)
    tables = [(folder / "samples" / "seed-0.csv").read_text() for folder in (tmp_path / "whole", killed)]
    assert tables[0] == tables[1]
    graphs = [(folder / "graph.json").read_text() for folder in (tmp_path / "whole", killed)]
    assert graphs[0] == graphs[1]
    assert "The causal graph" in (killed / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scripts/run.py", "no.toml"], "cannot be read"),
        (["scripts/run.py", "--table", "no.csv", "--out", "{tmp}/a"], "no such file"),
        (["scripts/run.py", "--table", "{table}", "--target", "tarket", "--out", "{tmp}/b"], "'tarket'"),
        (
            ["scripts/run.py", "--table", "{table}", "--set", "promt.rows=3", "--out", "{tmp}/c"],
            "Did you mean 'prompt'",
        ),
        (["scripts/sample.py", "{tmp}"], "holds other files, no run of harmonic"),
        (["scripts/sample.py", "{tmp}", "--impute", "a.csv"], "--impute and --out go together"),
        (["scripts/evaluate.py"], "Nothing to report on"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy(
    arguments: list[str], message: str, repository: Path, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "stranger.txt").write_text("not a run")
    filled = [argument.format(tmp=tmp_path, table=table) for argument in arguments]
    printed = _run(repository, *filled, status=2)
    assert message in printed
    assert "Traceback" not in printed


def test_a_table_that_changed_since_training_is_refused(repository: Path, run: Path, table: Path) -> None:
    kept = table.read_text()
    try:
        table.write_text("\n".join(kept.splitlines()[:-1]) + "\n")
        assert "no longer those it was trained on" in _run(
            repository, "scripts/sample.py", run, "--seed", "6", status=2
        )
    finally:
        table.write_text(kept)

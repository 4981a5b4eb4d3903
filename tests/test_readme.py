"""The README and the figures: what they name exists, and the README's code runs as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXTS = ("README.md", "scripts/benchmarks/README.md")


@pytest.fixture(params=TEXTS)
def text(request: pytest.FixtureRequest, repository: Path) -> str:
    return (repository / request.param).read_text()


def test_every_script_and_config_that_it_names_exists(text: str, repository: Path) -> None:
    named = set(
        re.findall(r"(?:scripts|configs|harmonic|checkpoints/nano)/[\w./-]+\.(?:py|toml|yaml|md)", text)
    )
    assert named
    missing = [name for name in named if not (repository / name).exists()]
    assert not missing


def test_every_measurement_that_it_names_can_be_asked_for(text: str, repository: Path) -> None:
    named = set(re.findall(r"scripts/benchmark\.py (\w+)", text))
    assert named
    assert not [name for name in named if not (repository / "scripts" / "benchmarks" / f"{name}.py").exists()]


@pytest.mark.slow
def test_the_python_block_runs_as_written(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = re.search(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(block.group(1), "README.md", "exec"), {})
    assert (tmp_path / "report.html").exists()

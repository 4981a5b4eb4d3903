"""The README: what it names exists, and its code runs as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_every_script_and_config_that_it_names_exists(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    named = set(re.findall(r"(?:scripts|configs|harmonic|checkpoints/nano)/[\w./-]+\.(?:py|toml|yaml)", text))
    assert len(named) > 5
    missing = [name for name in named if not (repository / name).exists()]
    assert not missing


@pytest.mark.slow
def test_the_python_block_runs_as_written(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = re.search(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(block.group(1), "README.md", "exec"), {})
    assert (tmp_path / "report.html").exists()

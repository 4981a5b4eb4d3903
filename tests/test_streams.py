"""Every purpose draws from a random stream of its own: no two numbers that key one are equal."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path


def _streams(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names with STREAM and their numbers: `A_STREAM = 1`, `STREAM_A, STREAM_B = 1, 2` and `_STREAMS = {"a": 1}`."""
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]
        if not any("STREAM" in name for name in names):
            continue
        found = ast.literal_eval(node.value)
        if isinstance(found, dict):
            yield from ((f"{names[0]}[{key!r}]", value) for key, value in found.items())
        else:
            yield from zip(names, found if isinstance(found, tuple) else (found,), strict=True)


def test_no_two_random_streams_share_a_number(repository: Path) -> None:
    owners: dict[int, list[str]] = defaultdict(list)
    for path in sorted((repository / "harmonic").rglob("*.py")):
        for name, number in _streams(ast.parse(path.read_text(encoding="utf-8"))):
            owners[number].append(f"{path.stem}.{name}")
    assert len(owners) > 40
    assert {number: names for number, names in owners.items() if len(names) > 1} == {}

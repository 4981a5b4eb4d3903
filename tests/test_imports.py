from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harmonic"
MODULES = sorted(PACKAGE.rglob("*.py"))

STDLIB_ONLY = {"errors", "settings", "files", "config", "defaults", "run"}
GROUND = STDLIB_ONLY | {"progress"}
_TO_DECODE = GROUND | {"precision", "table", "prompt", "nano", "model"}
MAY_USE: dict[str, set[str]] = {
    "": set(),  # the public names: they load on first use
    "errors": set(),
    "settings": {"errors"},
    "files": {"errors"},
    "config": {"errors", "settings"},
    "defaults": {"config"},
    "run": {"errors", "files", "config"},
    "progress": set(),
    "precision": set(),
    "table": GROUND,
    "baselines": GROUND | {"table"},
    "evaluation": GROUND | {"table", "baselines"},
    "prompt": GROUND | {"table"},
    "nano": GROUND | {"precision", "table", "prompt"},
    "model": GROUND | {"precision", "table", "prompt", "nano"},
    "decode": _TO_DECODE,
    "candidates": _TO_DECODE | {"decode"},
    "conditional": _TO_DECODE | {"decode", "candidates"},
    "imputation": _TO_DECODE | {"decode", "candidates", "conditional"},
    "drawing": _TO_DECODE | {"decode", "candidates", "conditional", "imputation"},
    "synthesizer": _TO_DECODE | {"decode", "conditional", "drawing"},
    "mallm": _TO_DECODE | {"decode", "candidates", "conditional", "drawing", "baselines", "evaluation"},
    "exposure": _TO_DECODE | {"decode", "drawing", "evaluation"},
    "pieces": _TO_DECODE | {"decode", "drawing"},
    "building": _TO_DECODE | {"synthesizer", "mallm"},
    "inside": _TO_DECODE | {"building", "baselines", "evaluation"},
    "journey": _TO_DECODE
    | {"decode", "candidates", "drawing", "synthesizer", "mallm", "evaluation", "exposure", "pieces"}
    | {"building", "inside"},
    "auditing": _TO_DECODE | {"synthesizer", "building", "baselines", "evaluation", "journey"},
    "repeats": GROUND | {"journey", "evaluation"},
}
"""The direction of the design; every room may use itself, too."""
ASKING = ("evaluation.llm", "evaluation.lle", "evaluation.contamination")
"""What of the evaluation asks language models; all else there does without torch."""
MAY_ALSO_USE = {module: {"precision", "prompt", "nano", "model", "decode"} for module in ASKING}

HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "safetensors"}
ROOMS_OF_TORCH = ("precision", "model", "decode", "nano", *ASKING)


def _module(path: Path, package: Path = PACKAGE) -> str:
    """`table.schema` for harmonic/table/schema.py, `table` for its __init__.py, nothing for the top."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """Absolute names of everything the file imports at run time, at any depth of its code."""
    inside = ["harmonic", *path.relative_to(package).parent.parts]
    for node in _running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            # `from harmonic import run` names a module after the word import.
            yield from (f"{stem}.{alias.name}" for alias in node.names) if stem == "harmonic" else (stem,)


def _running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _running_nodes(child)


def _in_room(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)}


def test_every_module_has_a_place_in_the_direction() -> None:
    new = {_module(path).partition(".")[0] for path in MODULES} - MAY_USE.keys()
    assert not new, f"New in harmonic/: {sorted(new)}. Give each a place in MAY_USE."


def test_imports_follow_the_direction_of_the_design() -> None:
    wrong = []
    for path in MODULES:
        module = _module(path)
        room = module.partition(".")[0]
        allowed = MAY_USE.get(room, set()) | MAY_ALSO_USE.get(module, set()) | {room, "__version__"}
        used = {name.split(".")[1] for name in _imports(path) if name.startswith("harmonic.")}
        wrong += [f"harmonic.{module} uses {name}" for name in sorted(used - allowed)]
    assert not wrong


def test_torch_lives_in_few_rooms() -> None:
    heavy = {_module(path): _roots(path) & HEAVY for path in MODULES}
    assert not {
        module: used for module, used in heavy.items() if used and not _in_room(module, ROOMS_OF_TORCH)
    }


def test_trl_is_imported_by_fine_tuning_alone() -> None:
    users = [_module(path) for path in MODULES if "trl" in _roots(path)]
    assert not [module for module in users if not module.startswith("model.finetune")]


def test_the_ground_is_made_of_the_standard_library() -> None:
    allowed = set(sys.stdlib_module_names) | {"harmonic"}
    outside = {name: _roots(PACKAGE / f"{name}.py") - allowed for name in STDLIB_ONLY}
    assert not any(outside.values()), outside


def _printed(code: str, repository: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_harmonic_costs_neither_torch_nor_pandas(repository: Path) -> None:
    code = "import sys, harmonic; print({'torch', 'pandas', 'numpy', 'transformers'} & set(sys.modules))"
    assert _printed(code, repository) == "set()\n"


def test_tables_and_prompts_cost_no_torch(repository: Path) -> None:
    code = (
        "import sys, harmonic, harmonic.prompt.instructions\nharmonic.read_table, harmonic.split_table\n"
        "print('torch' in sys.modules)"
    )
    assert _printed(code, repository) == "False\n"


def test_the_public_names_are_found_and_others_are_not() -> None:
    import harmonic

    for name in harmonic.__all__:
        assert getattr(harmonic, name) is not None
        assert name in dir(harmonic)
    with pytest.raises(AttributeError, match="has no attribute 'Harmony'. It has Harmonic, "):
        _ = harmonic.Harmony


def test_the_import_reader_sees_every_form(tmp_path: Path) -> None:
    path = tmp_path / "table" / "x.py"
    path.parent.mkdir()
    path.write_text(
        "import torch.nn as nn\nfrom harmonic import run\nfrom harmonic.model.load import y\n"
        "from . import schema\nfrom .schema import Row\nfrom .. import decode\nfrom ..prompt import rows\n"
        "def f():\n    import trl\nif TYPE_CHECKING:\n    import peft\n"
    )
    roots = {"torch.nn", "harmonic.run", "harmonic.model.load", "trl"}
    relative = {"harmonic.table", "harmonic.table.schema", "harmonic.decode", "harmonic.prompt"}
    assert set(_imports(path, tmp_path)) == roots | relative

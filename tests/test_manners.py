from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "harmonic"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [
    *MODULES,
    *(path for top in ("scripts", "tests") for path in sorted((REPOSITORY / top).rglob("*.py"))),
]
MOST_LINES = 400
VAGUE_NAMES = {"utils", "util", "common", "core", "helpers", "misc"}
OUTSIDE = {"sys.argv", "os.environ", "os.getenv", "os.getcwd", "Path.cwd"}


def _places(paths: list[Path], is_wrong: Callable[[ast.AST], bool]) -> Iterator[str]:
    """file:line of every node for which `is_wrong` holds."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if is_wrong(node):
                yield f"{path.relative_to(REPOSITORY).as_posix()}:{getattr(node, 'lineno', 1)}"


def _is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _is_bare_except(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler) and node.type is None


def _swallows_everything(node: ast.AST) -> bool:
    """`except Exception` and its kin, but for those that raise again."""
    if not (isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name)):
        return False
    catches_all = node.type.id in ("Exception", "BaseException")
    return catches_all and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))


def _looks_outside(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) in OUTSIDE


def test_a_file_can_be_read_in_one_sitting() -> None:
    lines = {
        path.relative_to(PACKAGE): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES
    }
    assert lines
    assert not {path: n for path, n in lines.items() if n > MOST_LINES}


def test_a_module_opens_with_a_paragraph() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    assert not [path for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)]


def test_the_package_logs_and_never_prints() -> None:
    assert not list(_places(MODULES, _is_print))


def test_no_except_is_bare() -> None:
    assert not list(_places(SOURCES, _is_bare_except))


def test_what_catches_everything_raises_it_again() -> None:
    assert not list(_places(MODULES, _swallows_everything))


def test_a_module_is_named_for_what_it_is() -> None:
    names = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not names & VAGUE_NAMES


def test_only_runs_and_scripts_read_arguments_environment_and_working_directory() -> None:
    assert not list(_places([path for path in MODULES if path != PACKAGE / "run.py"], _looks_outside))


def test_the_watchers_see_what_they_watch_for() -> None:
    def seen(code: str, is_wrong: Callable[[ast.AST], bool]) -> bool:
        return any(is_wrong(node) for node in ast.walk(ast.parse(code)))

    assert seen("print(1)", _is_print)
    assert seen("try:\n    f()\nexcept:\n    raise", _is_bare_except)
    assert seen("try:\n    f()\nexcept Exception:\n    pass", _swallows_everything)
    assert not seen("try:\n    f()\nexcept BaseException:\n    g()\n    raise", _swallows_everything)
    assert seen("x = os.environ['A']", _looks_outside)

"""Strict settings: TOML files into frozen dataclasses, every wrong key and value named.

What enters is a TOML file (or its parsed data), overrides `a.b=value` and a dataclass; what leaves is an
instance of it. An unknown key is an error that names the nearest one, a wrong value one that says what was
expected. Run files and pretraining recipes come through here. Stdlib only: a wrong file is refused before
anything heavy is imported.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harmonic.errors import HarmonicError

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number may be, for `Annotated`: from `least` (or beyond `above`) to `most`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def allow(self, value: float) -> bool:
        return self.above < value and self.least <= value <= self.most

    def __str__(self) -> str:
        least = f" of at least {self.least:g}" if self.least > -math.inf else ""
        above = f" above {self.above:g}" if self.above > -math.inf else ""
        most = f" and at most {self.most:g}" if self.most < math.inf else ""
        return least + above + most


Natural = Annotated[int, Bounds(least=0)]
Count = Annotated[int, Bounds(least=1)]
Share = Annotated[float, Bounds(least=0, most=1)]
Positive = Annotated[float, Bounds(above=0)]
NonNegative = Annotated[float, Bounds(least=0)]


def read_toml(path: str | PurePath) -> dict[str, Any]:
    """The data of a TOML file. Raises HarmonicError if it is missing, not text or not TOML."""
    try:
        return tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise HarmonicError(f"File {str(path)!r}: cannot be read ({reason}). Check the path.") from None
    except UnicodeDecodeError as error:
        raise HarmonicError(f"File {str(path)!r}: is not UTF-8 text ({error}). Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise HarmonicError(
            f"File {str(path)!r}: is not TOML ({error}). Mend that place; text values stand in double quotes."
        ) from None


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `data` with each "a.b=value" set: TOML, or bare text; "a.b=" takes the key out."""
    changed: dict[str, Any] = {key: _copied(value) for key, value in data.items()}
    for override in overrides:
        key, equals, text = override.partition("=")
        names = [name.strip() for name in key.split(".")]
        if not equals or not all(names):
            raise HarmonicError(f"Override {override!r}: expected key=value, such as --set run.seed=1.")
        inner = changed
        for depth, name in enumerate(names[:-1], start=1):
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise HarmonicError(
                    f"Override {override!r}: {'.'.join(names[:depth])!r} holds a value, not a section."
                )
        if text.strip():
            inner[names[-1]] = _override_value(text)
        else:
            inner.pop(names[-1], None)
    return changed


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _override_value(text: str) -> Any:
    """The text as a TOML value; as itself where it is none (a bare word, a path)."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def parse_section(cls: type[Section], data: Mapping[str, Any], where: str) -> Section:
    """An instance of the dataclass `cls` from parsed TOML or JSON; nested dataclasses are sections too.

    `where` is what errors call this section ("[prompt]"). Values must be of the annotated type: int, float
    (whole numbers too), str, bool, Literal, tuple[X, ...] (from a list), Mapping (verbatim), a dataclass,
    unions of these, and numbers `Annotated` with `Bounds`. Raises HarmonicError for unknown keys, missing
    keys and wrong values.
    """
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise HarmonicError(_unknown_key(str(key), list(known), where))
    hints = get_type_hints(cls, include_extras=True)
    values = {key: _value(value, hints[key], known[key], where) for key, value in data.items()}
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise HarmonicError(f"key {name!r} is missing in {where}. Add {name} = {_example(hints[name])}.")
    return cls(**values)


def _unknown_key(key: str, known: list[str], where: str) -> str:
    nearest = get_close_matches(key, known, n=1, cutoff=0.0)
    return f"key {key!r} is not known in {where}. Did you mean {nearest[0]!r}? It takes {', '.join(known)}."


class _UnfitError(Exception):
    """A value is not of the annotated type; the caller knows the key and writes the message."""


def _value(value: Any, hint: Any, field: Field[Any], where: str) -> Any:
    try:
        return _convert(value, hint, _inside(where, field.name))
    except _UnfitError:
        has_default = field.default not in (MISSING, None) and not is_dataclass(field.default)
        example = _toml(field.default) if has_default else _example(hint)
        raise HarmonicError(
            f"key {field.name!r} in {where}: value {_toml(value)} is not {_describe(hint)}. "
            f"Write, for instance, {field.name} = {example}."
        ) from None


def _inside(where: str, name: str) -> str:
    """What errors call a section `name` within the section `where`."""
    return f"{where[:-1]}.{name}]" if where.startswith("[") else f"[{name}]"


def _convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint` says. Raises _UnfitError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(_convert(value, arguments[0], where), arguments[1])
    if origin in (Union, UnionType):
        return _convert_union(value, arguments, where)
    if origin is Literal:
        return _when(value in arguments and isinstance(value, str), value)
    if origin is tuple:
        items = _when(isinstance(value, list | tuple), value)
        return tuple(_convert(item, arguments[0], where) for item in items)
    if is_dataclass(hint) and isinstance(hint, type):
        return parse_section(hint, _when(isinstance(value, Mapping), value), where)
    if origin is not None and issubclass(origin, Mapping):
        return _when(isinstance(value, Mapping) and _is_plain(value), value)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return float(_when(is_number, value))
    return _when(type(value) is hint, value)


def _convert_union(value: Any, members: tuple[Any, ...], where: str) -> Any:
    for member in members:
        try:
            return _convert(value, member, where)
        except _UnfitError:
            continue
    raise _UnfitError


def _bounded(value: float, bounds: Bounds) -> float:
    return _when(bounds.allow(value), value)


def _when(fits: bool, value: Any) -> Any:
    if not fits:
        raise _UnfitError
    return value


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold the value (TOML's dates, inf and nan it cannot)."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(_is_plain(inner) for inner in value)
    return (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, float) and math.isfinite(value))
    )


_WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "absent"}
_EXAMPLES = {int: "1", float: "1.0", str: '"..."', bool: "true"}


def _describe(hint: Any) -> str:
    """The type in words, for an error."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{_describe(arguments[0])}{arguments[1]}"
    if origin in (Union, UnionType):
        return " or ".join(_describe(member) for member in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(_toml, arguments))
    if origin is tuple:
        return f"a list, each {_describe(arguments[0])}"
    return _WORDS.get(hint, "a section of plain values")


def _example(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return f"[{_example(arguments[0])}]"
    if origin is Literal:
        return _toml(arguments[0])
    return _example(arguments[0]) if arguments and origin is not dict else _EXAMPLES.get(hint, "{ ... }")


def _toml(value: Any) -> str:
    """A value as it would stand in a file."""
    return json.dumps(value, ensure_ascii=False, default=str)

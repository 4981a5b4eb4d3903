"""Vendor sections: keys that another library owns, passed on verbatim and checked here.

What enters is a section of the run file and the vendor's own class; what leaves is the vendor's object, or an error
that names the section, the key and the nearest key the vendor knows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from harmonic.errors import HarmonicError

Product = TypeVar("Product")


def build(
    section: str,
    maker: Callable[..., Product],
    settings: Mapping[str, Any],
    ours: Mapping[str, Any] | None = None,
) -> Product:
    """`maker(**settings, **ours)`. Raises HarmonicError for a key it does not take, one of ours, or a bad value.

    `ours` are the keys that harmonic sets itself, with what it sets.
    """
    check_keys(section, maker, settings, ours or {})
    try:
        return maker(**settings, **(ours or {}))
    except (ValueError, TypeError, ImportError) as error:
        raise HarmonicError(
            f"[{section}] {dict(settings)}: {maker.__name__} refuses it ({error}). Change or leave out that key."
        ) from error


def check_keys(
    section: str, maker: Callable[..., Any], settings: Mapping[str, Any], ours: Mapping[str, Any]
) -> None:
    """Raises HarmonicError for keys of `settings` that `maker` does not take or that harmonic sets itself."""
    known = [
        name
        for name, parameter in inspect.signature(maker).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    for key, value in settings.items():
        if key not in known:
            nearest = get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise HarmonicError(
                f"Key {key!r} in [{section}]: {maker.__name__} does not take it. Did you mean {nearest!r}?"
            )
        if key in ours:
            raise HarmonicError(
                f"Key {key!r} in [{section}]: value {value!r}, but harmonic sets it itself ({ours[key]!r}). "
                "Leave it out."
            )

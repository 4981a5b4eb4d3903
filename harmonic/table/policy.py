"""What a schema may reveal and when a column counts as what: the thresholds of inference and observation.

Nothing enters but numbers from a run file or a data sheet; what leaves is a frozen `Policy` that `infer` obeys
and whose consequences stand, column by column, in `Schema.decisions`. Rare levels and extremes can identify
people: keeping them is the default because it is what was measured, and the schema says so every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harmonic.errors import HarmonicError


@dataclass(frozen=True)
class Policy:
    """Thresholds and choices of inference; each consequence is printed as a decision of the schema."""

    rare_levels: Literal["keep", "group"] = "keep"
    """"group" merges the levels that fewer than `min_level_count` training rows have into "other"."""
    min_level_count: int = 5
    extremes: Literal["keep", "round"] = "keep"
    """"round" moves bounds outwards to two digits of the column's range, so that no row's exact value shows."""
    max_levels: int = 1000
    """A text column with more distinct values than this is free text."""
    few_values: int = 12
    """A number column with at most that many distinct values, five rows a value, is categorical."""
    target_values: int = 20
    """A target of whole numbers with at most that many distinct values is a class."""
    digits: int = 8
    """Decimals that need more significant digits than this are rounded to about so many."""

    def __post_init__(self) -> None:
        if self.rare_levels not in ("keep", "group"):
            raise HarmonicError(
                f"Policy: rare_levels={self.rare_levels!r} is unknown. Use 'keep' or 'group'."
            )
        if self.extremes not in ("keep", "round"):
            raise HarmonicError(f"Policy: extremes={self.extremes!r} is unknown. Use 'keep' or 'round'.")
        for name in ("min_level_count", "max_levels", "few_values", "target_values", "digits"):
            if getattr(self, name) < 1:
                raise HarmonicError(
                    f"Policy: {name}={getattr(self, name)} is below 1. Use a whole number >= 1."
                )

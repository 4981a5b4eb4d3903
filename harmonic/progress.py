"""Progress of long work: a bar with rate and time left on a terminal, a log line a minute elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

log = logging.getLogger(__name__)
EVERY_SECONDS = 60.0


class Progress:
    """Counts up to `total` of some unit; use it in a `with` statement."""

    def __init__(self, unit: str, total: int, *, enabled: bool = True) -> None:
        self.unit = unit
        self.total = total
        self.done = 0
        self._started = self._told = time.monotonic()
        self._is_terminal = enabled and sys.stderr.isatty()
        self._enabled = enabled
        self._settled = self._found = 0
        self._bar = tqdm(total=total, unit=f" {unit}", disable=not self._is_terminal, smoothing=0.1)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def reach(self, done: int) -> None:
        """Shows that `done` units are done in all."""
        done = min(done, self.total)
        self._bar.update(done - self.done)
        self.done = done
        now = time.monotonic()
        if self._enabled and not self._is_terminal and now - self._told >= EVERY_SECONDS:
            self._told = now
            rate = (done - self._found) / (now - self._started)
            left = (self.total - done) / rate if rate else float("inf")
            log.info("%d of %d %s, %.1f a second, about %.0f s left", done, self.total, self.unit, rate, left)

    def advance(self, amount: int) -> None:
        """Settles `amount` more units: `reach` counted within them, this adds them up."""
        self._settled += amount
        self.reach(self._settled)

    def skip(self, amount: int) -> None:
        """Settles `amount` units that stood before: they are done, and took no time."""
        self._found += amount
        if self._is_terminal:
            self._bar.initial += amount
        self.advance(amount)

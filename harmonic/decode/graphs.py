"""Passes over a few fixed numbers of packed tokens, captured once each as CUDA graphs and replayed.

UNVERIFIED: capture and replay have not run on a CUDA machine; sizes, padding and buffers are tested on CPUs.

What enters is packed tokens and the pass that reads them; what leaves is what the pass returns for these tokens. A step
of decoding is some three hundred small kernels, which a CPU launches more slowly than a GPU runs them; a graph launches
them at once, but it is bound to its shapes and addresses. So tokens are padded to the next of a few sizes and copied
into a buffer that never moves. Without capture the same code runs eagerly: same sizes, same padding, same buffers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_WARM_UPS = 2
"""Passes before a capture: what libraries allocate or tune at first use must not happen inside it."""


def sizes(most: int) -> list[int]:
    """The sizes that tokens are padded to: 1, 2, 4, 8, then four a doubling, until one is `most` or more.

    Less than a fifth of a size beyond 8 is ever padding; from 32 on they are multiples of 8, as tensor cores like it.
    """
    found = [1, 2, 4, 8]
    while found[-1] < most:
        found += [found[-1] + found[-1] // 4 * n for n in (1, 2, 3, 4)]
    return found[: bisect_left(found, most) + 1]


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph, and where its replay leaves what the pass returns."""

    graph: torch.cuda.CUDAGraph
    found: Tensor


class Steps:
    """Runs `read` over int64 [3, n] tokens, n padded to one of `sizes(most)`; with `captures` from CUDA graphs.

    read: a pass that waits for nothing and, given the same tokens twice, leaves the same behind. padding: int64 [3],
    the column that fills up; what the pass returns for it is cut off.
    """

    def __init__(
        self,
        read: Callable[[Tensor], Tensor],
        device: torch.device,
        padding: Tensor,
        most: int,
        captures: bool,
    ) -> None:
        self._read = read
        self._device = device
        self._padding = padding[:, None]
        self._sizes = sizes(most)
        self._captures = captures
        self._buffers: dict[int, Tensor] = {}
        self._graphs: dict[int, _Captured] = {}

    def takes(self, n: int) -> bool:
        """Whether so many tokens fit the largest size."""
        return n <= self._sizes[-1]

    def forget(self) -> None:
        """Drops all graphs: what their passes read or wrote has moved."""
        self._graphs.clear()

    def run(self, tokens: Tensor) -> Tensor:
        """What `read` returns, [n, d], for int64 [3, n] tokens on the CPU; overwritten by the next run."""
        n = tokens.shape[1]
        size = self._sizes[bisect_left(self._sizes, n)]
        if size not in self._buffers:
            self._buffers[size] = torch.zeros(3, size, dtype=torch.long, device=self._device)
        buffer = self._buffers[size]
        buffer.copy_(torch.cat([tokens, self._padding.expand(3, size - n)], dim=1))
        if not self._captures:
            return self._read(buffer)[:n]
        if size not in self._graphs:
            self._graphs[size] = self._capture(buffer)
        captured = self._graphs[size]
        captured.graph.replay()
        return captured.found[:n]

    def _capture(self, buffer: Tensor) -> _Captured:
        """Warms up on a side stream, as capture asks for, then captures; the pass writes the same each time."""
        with torch.cuda.device(self._device):
            side, here = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(here)
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    self._read(buffer)
            here.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # One pool for all: they run one after another, and what one returns is used before the next one runs.
            pool = next((captured.graph.pool() for captured in self._graphs.values()), None)
            with torch.cuda.graph(graph, pool=pool):
                found = self._read(buffer)
        return _Captured(graph, found)

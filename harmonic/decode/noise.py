"""Random numbers by key: the same (seed, row, attempt, step, token) gives the same number on every machine.

What enters is integers; what leaves is uniform or Gumbel noise. A counter-based generator has no state, so neither the
number of processes, nor the order in which slots finish, nor an interruption can change a table. The mixer is
splitmix64 (Steele, Lea and Flood 2014), written in signed 64-bit arithmetic, which wraps alike on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel(
    seed: int, rows: Tensor, attempts: Tensor, steps: Tensor, tokens: Tensor, where: Tensor | None = None
) -> Tensor:
    """Standard Gumbel noise, float64 [n, k], for tokens int64 [n, k] and keys int64 [n].

    where: bool [n, k], the places that are looked at; the others hold 0 and cost nothing. None = all.
    """
    keys = _row_keys(seed, rows, attempts, steps)[:, None]
    if where is None:
        return -torch.log(-torch.log(_uniform(keys ^ tokens)))
    noise = torch.zeros(tokens.shape, dtype=torch.float64, device=tokens.device)
    noise[where] = -torch.log(-torch.log(_uniform(keys.expand_as(tokens)[where] ^ tokens[where])))
    return noise


def uniform(seed: int, rows: Tensor, attempts: Tensor, steps: Tensor, tokens: Tensor) -> Tensor:
    """Uniform noise inside (0, 1), float64 [n, k], for tokens int64 [n, k] and keys int64 [n]."""
    return _uniform(_row_keys(seed, rows, attempts, steps)[:, None] ^ tokens)


def _row_keys(seed: int, rows: Tensor, attempts: Tensor, steps: Tensor) -> Tensor:
    key = _mix(torch.full_like(rows, _signed(seed)))
    for part in (rows, attempts, steps):
        key = _mix(key ^ part)
    return key


def _uniform(keys: Tensor) -> Tensor:
    # 53 bits, shifted half a step off zero: logarithms of it are always finite.
    return (_shift(_mix(keys), 11).double() + 0.5) * 2.0**-53


def _mix(x: Tensor) -> Tensor:
    x = x + _signed(0x9E3779B97F4A7C15)
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value

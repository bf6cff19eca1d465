"""Arrays over counts, shifted by other counts and added up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Kernel", "in_parts", "largest", "rows_of", "slipped", "added"]

_AT_ONCE = 2**20  # numbers in one intermediate array

Array = npt.NDArray[np.float64]
#: Differences, how probable each is, and what is added to that of any difference.
Kernel = tuple[npt.NDArray[np.int64], Array, float]


def in_parts(n: int, size: int) -> Iterator[slice]:
    """Yield parts of n rows that are not too many for the memory."""
    step = max(1, _AT_ONCE // max(size, 1))
    for start in range(0, n, step):
        yield slice(start, start + step)


def rows_of(a: Array, at: npt.NDArray[np.int64], size: int) -> Array:
    """Return ``a[n : n + size]`` for each n, 0 beyond the end of `a`."""
    if not len(at):
        return np.zeros((0, size))
    padded = np.zeros(int(at.max()) + size)
    padded[: len(a)] = a[: len(padded)]
    return np.lib.stride_tricks.sliding_window_view(padded, size)[at]


def added(rows: Array, weights: Array, axis: int = 1) -> Array:
    return weights @ rows if axis == 0 else rows @ weights


def largest(rows: Array, weights: Array, axis: int = 1) -> Array:
    weights = weights[:, None] if axis == 0 else weights
    return np.max(rows * weights, axis=axis, initial=0.0)


def slipped(a: Array, kernel: Kernel, size: int, sign: int) -> Array:
    """Return the distribution of `a` plus (or minus) a slip of a known type."""
    out = np.zeros(size)
    for d, p in zip(sign * kernel[0], kernel[1], strict=True):
        low, high = max(d, 0), min(len(a) + d, size)
        if low < high:
            out[low:high] += p * a[low - d : high - d]
    return out

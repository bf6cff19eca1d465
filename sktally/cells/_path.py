"""Find the best path along many bands at once: scores in, rows out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["best_paths"]

# Columns that are gone through at once: a path steps sideways between them only.
_AT_ONCE = 3
# Price of a sideways step of one pixel, in pixels of full darkness.
_STEP_PRICE = np.float32(0.35)
# Price of each pixel off the row where a line is expected: of two lines, such as
# the frame of the box and that of the table around it, the likelier is taken.
_OFF_PRICE = 0.01


def best_paths(
    scores: Sequence[np.ndarray], expected: Sequence[float]
) -> list[np.ndarray]:
    """Return the row of the best path at each column, ``(n, columns)`` each.

    Bands of all shapes go through one dynamic programme, since what it costs is its
    calls, a few a column: the shorter bands are preceded by columns, and followed by
    rows, that leave their path as it is.

    Parameters
    ----------
    scores : sequence of ndarray of shape (columns, rows, n)
        float32.
    expected : sequence of float
        The row where a path is expected in each.

    Returns
    -------
    list of ndarray of shape (n, columns)
        intp, contiguous.
    """
    # Columns left over at the end go with their neighbours.
    steps = [len(score) // _AT_ONCE for score in scores]
    ends = np.cumsum([0, *(score.shape[2] for score in scores)])
    length, reach = max(steps), max(score.shape[1] for score in scores)
    total = np.full((length, reach + 2, ends[-1]), -np.inf, dtype=np.float32)
    for i, (score, n) in enumerate(zip(scores, steps, strict=True)):
        off = np.abs(np.arange(score.shape[1]) - expected[i])
        mine = total[:, 1 : score.shape[1] + 1, ends[i] : ends[i + 1]]
        mine[: length - n] = 0
        gain = mine[length - n :]
        np.subtract(
            score[: n * _AT_ONCE : _AT_ONCE],
            (_AT_ONCE * _OFF_PRICE * off[:, None]).astype(np.float32),
            out=gain,
        )
        for first in range(1, _AT_ONCE):
            gain += score[first : n * _AT_ONCE : _AT_ONCE]
    rows = _trace(total, _accumulate(total))
    paths = []
    for i, (score, n) in enumerate(zip(scores, steps, strict=True)):
        column = length - n + np.minimum(np.arange(len(score)) // _AT_ONCE, n - 1)
        paths.append(np.ascontiguousarray(rows[column, ends[i] : ends[i + 1]].T))
    return paths


def _accumulate(total: np.ndarray) -> np.ndarray:
    """Turn gains into totals of best paths in place; return what a step leads to.

    `total` is ``(columns, rows + 2, n)``, with a border of -inf; what is returned is
    ``(columns - 1, rows * n)``, the total with a sideways step before the column.
    """
    n = total.shape[2]
    total = total.reshape(len(total), -1)
    side = np.empty((len(total) - 1, total.shape[1] - 2 * n), dtype=np.float32)
    best = np.empty_like(side[0])
    for before, now, step in zip(total[:-1], total[1:, n:-n], side, strict=True):
        np.maximum(before[: -2 * n], before[2 * n :], out=step)
        np.subtract(step, _STEP_PRICE, out=step)
        np.maximum(step, before[n:-n], out=best)
        np.add(now, best, out=now)
    return side


def _trace(total: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return the rows of the best paths, ``(columns, n)``, from the last column."""
    length, _, n = total.shape
    row = total[-1, 1:-1].argmax(axis=0)
    total = total.reshape(length, -1)[:-1]
    moved = side > total[:, n:-n]
    up = total[:, : -2 * n] - _STEP_PRICE == side
    up &= moved
    came = moved.view(np.int8) - 2 * up.view(np.int8)
    step = came * np.int32(n)
    at = np.empty((length, n), dtype=np.intp)
    at[-1] = row * n + np.arange(n)
    for column in range(length - 1, 0, -1):
        np.add(at[column], step[column - 1].take(at[column]), out=at[column - 1])
    return at // n

"""Place ink in the output image: centred by mass and scaled, as MNIST's digits are.

MNIST scales the ink to fit 20 x 20 pixels, aspect kept, and puts its centre of
mass in the centre of 28 x 28 (LeCun, Cortes and Burges, the MNIST database).
"""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["place_ink"]

# Ink shorter than this share of the cell is not enlarged to the full size: a
# short dash would come out as tall as a 1.
_SMALLEST = 0.4


def place_ink(
    ink: np.ndarray,
    box: np.ndarray,
    size: int,
    padding: int,
    pixel: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Return each cell's ink centred by mass and scaled to fit.

    Parameters
    ----------
    ink : ndarray of shape (n_cells, height, width)
        float32.
    box : ndarray of shape (n_cells, 4)
        Top, left, bottom, right (exclusive) of the ink; all 0 where empty.
    size : int
        Height and width of the output.
    padding : int
        Border that the ink is scaled to leave free.
    pixel : tuple of float
        Height and width of an input pixel, for cells to be squashed to squares.

    Returns
    -------
    ndarray of shape (n_cells, size, size)
        float32.
    """
    n, height, width = ink.shape
    # Sums and no matrix products: those round differently for other cells beside it.
    flat = ink.reshape(n * height, width)
    rows = cv2.reduce(flat, 1, cv2.REDUCE_SUM).reshape(n, height)
    columns = ink.sum(axis=1)
    mass = rows.sum(axis=1)
    inked = np.flatnonzero(mass)
    mass = np.maximum(mass, 1e-6)
    y = (rows * np.arange(height, dtype=np.float32)).sum(axis=1) / mass
    x = (columns * np.arange(width, dtype=np.float32)).sum(axis=1) / mass
    extent = np.maximum(
        (box[:, 2] - box[:, 0]) * pixel[0], (box[:, 3] - box[:, 1]) * pixel[1]
    )
    least = _SMALLEST * max(height * pixel[0], width * pixel[1])
    scale = (size - 2 * padding) / np.maximum(extent, least)
    # Twice as fine and averaged: one sample a pixel would skip thin strokes.
    fine = 2 * size
    step_y, step_x = 0.5 / (scale * pixel[0]), 0.5 / (scale * pixel[1])
    # Pixel i of the fine image lies at i / 2 - 1/4 of the final one, whose pixel
    # size / 2 is where MNIST has the centre of mass.
    first = size + 0.5
    inverse = np.zeros((n, 2, 3))
    inverse[:, 0, 0], inverse[:, 0, 2] = step_x, x - first * step_x
    inverse[:, 1, 1], inverse[:, 1, 2] = step_y, y - first * step_y
    # Only where ink comes to lie is there anything to sample.
    at, step = inverse[:, (1, 0), 2], inverse[:, (1, 0), (1, 0)]
    ends = np.stack([_ends(rows > 0), _ends(columns > 0)], axis=2)
    low = np.floor((ends[0] - 1 - at) / step).clip(0, fine).astype(int)
    high = np.ceil((ends[1] - at) / step + 1).clip(0, fine).astype(int)
    inverse[:, (1, 0), 2] += low * step
    out = np.zeros((n, fine, fine), dtype=np.float32)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    spans = np.concatenate([low, high], axis=1)[inked].tolist()
    for i, (top, left, bottom, right) in zip(inked.tolist(), spans, strict=True):
        part, wide = out[i, top:bottom, left:right], (right - left, bottom - top)
        cv2.warpAffine(ink[i], inverse[i], wide, dst=part, flags=how)
    out = cv2.resize(
        out.reshape(n * fine, fine), (size, n * size), interpolation=cv2.INTER_AREA
    )
    return out.reshape(n, size, size)


def _ends(marked: np.ndarray) -> np.ndarray:
    """Return where the first True of each row is, and what follows the last."""
    return np.stack(
        [marked.argmax(axis=1), marked.shape[1] - marked[:, ::-1].argmax(axis=1)]
    )

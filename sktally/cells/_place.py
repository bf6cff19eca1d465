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
    mass = np.maximum(ink.sum(axis=(1, 2)), 1e-6)
    y = ink.sum(axis=2) @ np.arange(height, dtype=np.float32) / mass
    x = ink.sum(axis=1) @ np.arange(width, dtype=np.float32) / mass
    extent = np.maximum(
        (box[:, 2] - box[:, 0]) * pixel[0], (box[:, 3] - box[:, 1]) * pixel[1]
    )
    least = _SMALLEST * max(height * pixel[0], width * pixel[1])
    scale = (size - 2 * padding) / np.maximum(extent, least)
    # Twice as fine and averaged: one sample a pixel would skip thin strokes.
    fine = 2 * size
    target = (np.arange(fine, dtype=np.float32) + 0.5) / 2 - 0.5 - size / 2
    maps = np.empty((n, fine, fine, 2), dtype=np.float32)
    maps[..., 0] = (x[:, None] + target / (scale * pixel[1])[:, None])[:, None]
    rows = y[:, None] + target / (scale * pixel[0])[:, None]
    # Rows beyond the cell would show its neighbour in the stack: stay in the gap.
    offset = np.arange(n, dtype=np.float32)[:, None] * (height + 2)
    maps[..., 1] = (np.clip(rows, -1, height) + 1 + offset)[:, :, None]
    tall = np.zeros((n, height + 2, width), dtype=np.float32)
    tall[:, 1:-1] = ink
    tall = tall.reshape(-1, width)
    out = cv2.remap(tall, maps.reshape(n * fine, fine, 2), None, cv2.INTER_LINEAR)
    out = cv2.resize(out, (size, n * size), interpolation=cv2.INTER_AREA)
    return out.reshape(n, size, size)

"""Sample digit boxes off a page: quadrilaterals in, upright square cells out.

Comes in: one grey page and the corners of its boxes. Goes out: one uint8 cell a
box, all of them by one resampling call.
"""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["sample_cells"]

# cv2.remap refuses sources and destinations with a side of 2**15 or more.
_SIDE_LIMIT = 32_000
# Above this step, in source pixels per cell pixel, bilinear sampling alone would
# skip pixels and a thin pen line would come out dotted.
_COARSE_STEP = 1.25


def sample_cells(
    page: np.ndarray,
    quads: np.ndarray,
    *,
    cell_size: int = 40,
    margin: float = 0.15,
) -> np.ndarray:
    """Sample boxes of any quadrilateral shape to upright square cells.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8, grey.
    quads : ndarray of shape (..., 4, 2)
        Corners of the boxes, x and y in page pixels (the centre of the top left
        pixel is 0, 0), in the order top left, top right, bottom right, bottom
        left of the form. NaN for a box that does not exist.
    cell_size : int, default=40
        Height and width of a cell in pixels.
    margin : float, default=0.15
        What is shown around the box on each side, as a share of its size.

    Returns
    -------
    cells : ndarray of shape (..., cell_size, cell_size)
        uint8 with the polarity of the page. A box that does not exist is 0
        everywhere, and no other cell is: a black one comes out as 1.

    Notes
    -----
    The corners are interpolated bilinearly, which on a box differs from the
    perspective map by far less than a pixel. Where a cell pixel covers several
    page pixels, the part of the page around the boxes is shrunk by area averages
    first. Beyond the edge of the page its last pixels are repeated: white would
    show as an edge on grey paper.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.cells import sample_cells
    >>> page = np.full((60, 90), 200, np.uint8)
    >>> page[20:40, 50:60] = 30
    >>> box = [[49.5, 19.5], [59.5, 19.5], [59.5, 39.5], [49.5, 39.5]]
    >>> cell = sample_cells(page, np.array(box), cell_size=20, margin=0.5)
    >>> cell.shape, int(cell[10, 10]), int(cell[2, 10])
    ((20, 20), 30, 200)
    """
    lead = quads.shape[:-2]
    quads = np.asarray(quads, dtype=np.float64).reshape(-1, 4, 2)
    cells = np.zeros((len(quads), cell_size, cell_size), dtype=np.uint8)
    known = np.isfinite(quads).all(axis=(1, 2))
    if known.any():
        outer = _widen(quads[known], margin)
        sampled = _sample(page, outer, cell_size)
        sampled[~sampled.any(axis=(1, 2))] = 1
        cells[known] = sampled
    return cells.reshape(*lead, cell_size, cell_size)


def _widen(quads: np.ndarray, margin: float) -> np.ndarray:
    """Move the corners of ``(n, 4, 2)`` quads out by `margin` of the sides."""
    u = np.array([-margin, 1 + margin, 1 + margin, -margin])
    v = np.array([-margin, -margin, 1 + margin, 1 + margin])
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
    return weights @ quads


def _sample(page: np.ndarray, quads: np.ndarray, size: int) -> np.ndarray:
    """Sample the inside of each quad to ``(n, size, size)``."""
    sides = np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=2)
    step = float(np.median(sides)) / size
    shrink = max(1, int(step))
    region, origin = _region(page, quads, shrink)
    corners = ((quads - origin + 0.5) / shrink - 0.5).astype(np.float32)
    fine = size * (2 if step / shrink > _COARSE_STEP else 1)
    maps = _maps(corners, fine).reshape(len(quads) * fine, fine, 2)
    rows = max(1, _SIDE_LIMIT // fine) * fine
    parts = [
        cv2.remap(
            region,
            maps[start : start + rows],
            None,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for start in range(0, len(maps), rows)
    ]
    strip = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if fine != size:
        strip = cv2.resize(
            strip, (size, len(quads) * size), interpolation=cv2.INTER_AREA
        )
    return strip.reshape(len(quads), size, size)


def _region(
    page: np.ndarray, quads: np.ndarray, shrink: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of the page that holds all quads, shrunk, and its origin."""
    limit = np.array(page.shape[::-1])
    low = np.floor(quads.min(axis=(0, 1))).astype(int) - shrink
    high = np.ceil(quads.max(axis=(0, 1))).astype(int) + shrink + 1
    # A quad wholly off the page still needs one block of pixels to repeat.
    low = np.clip(low, 0, np.maximum(limit - shrink, 0))
    high = np.clip(high, np.minimum(low + shrink, limit), limit)
    size = (high - low) // shrink * shrink
    high = np.where(size > 0, low + size, high)
    region = page[low[1] : high[1], low[0] : high[0]]
    if shrink > 1:
        target = np.maximum((high - low) // shrink, 1)
        region = cv2.resize(
            region, (int(target[0]), int(target[1])), interpolation=cv2.INTER_AREA
        )
    return np.ascontiguousarray(region), low.astype(np.float64)


def _maps(corners: np.ndarray, fine: int) -> np.ndarray:
    """Return where each cell pixel lies on the page, ``(n, fine, fine, 2)``."""
    t = ((np.arange(fine, dtype=np.float32) + 0.5) / fine)[:, None]
    left = corners[:, None, 0] * (1 - t) + corners[:, None, 3] * t
    right = corners[:, None, 1] * (1 - t) + corners[:, None, 2] * t
    return left[:, :, None] + (right - left)[:, :, None] * t

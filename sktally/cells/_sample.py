"""Sample digit boxes off a page: quadrilaterals in, upright cells out.

Comes in: one grey page and the corners of its boxes. Goes out: one uint8 cell a
box, all of them by one resampling call.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from sktally.pages._view import shrink_image

__all__ = ["sample_cells", "sample_step"]

# cv2.remap refuses sources and destinations with a side of 2**15 or more.
_SIDE_LIMIT = 32_000
# Above this step, in source pixels per cell pixel, bilinear sampling alone would
# skip pixels and a thin pen line would come out dotted. Two samples a pixel, one
# towards either end of a diagonal, look at each row and column as often as four in
# a square, and at diagonals as often as one does at rows.
_COARSE_STEP = 1.25


def sample_cells(
    page: np.ndarray,
    quads: np.ndarray,
    *,
    cell_size: int | tuple[int, int] = 34,
    margin: float = 0.15,
) -> np.ndarray:
    """Sample boxes of any quadrilateral shape to upright cells.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8, grey.
    quads : ndarray of shape (..., 4, 2)
        Corners of the boxes, x and y in page pixels (the centre of the top left
        pixel is 0, 0), in the order top left, top right, bottom right, bottom
        left of the form. NaN for a box that does not exist.
    cell_size : int or (int, int), default=34
        Height and width of a cell in pixels; one number for both.
    margin : float, default=0.15
        What is shown around the box on each side, as a share of its size.

    Returns
    -------
    cells : ndarray of shape (..., height, width)
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
    shape = (cell_size, cell_size) if isinstance(cell_size, int) else cell_size
    lead = quads.shape[:-2]
    quads = np.asarray(quads, dtype=np.float64).reshape(-1, 4, 2)
    known = np.isfinite(quads).all(axis=(1, 2))
    if known.all() and known.size:  # as mostly
        return _sample(page, _widen(quads, margin), shape).reshape(*lead, *shape)
    cells = np.zeros((len(quads), *shape), dtype=np.uint8)
    if known.any():
        cells[known] = _sample(page, _widen(quads[known], margin), shape)
    return cells.reshape(*lead, *shape)


def sample_step(
    quads: np.ndarray, shape: tuple[int, int], margin: float = 0.0
) -> float:
    """Return the median of page pixels per cell pixel, over all sides of boxes."""
    quads = quads.reshape(-1, 4, 2)
    along = quads[:, [3, 1, 2, 2]] - quads[:, [0, 0, 1, 3]]
    sides = np.hypot(along[..., 0], along[..., 1])[np.isfinite(quads[:, 0, 0])]
    # left, top, right, bottom; numpy's own median takes ten times as long
    steps = np.sort(sides / np.array(shape * 2), axis=None)
    middle = (steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2
    return (1 + 2 * margin) * float(middle)


def _widen(quads: np.ndarray, margin: float) -> np.ndarray:
    """Move the corners of ``(n, 4, 2)`` quads out by `margin` of the sides."""
    u = np.array([-margin, 1 + margin, 1 + margin, -margin])
    v = np.array([-margin, -margin, 1 + margin, 1 + margin])
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
    # All in one product: NumPy takes a box at a time otherwise.
    flat = weights @ quads.transpose(1, 0, 2).reshape(4, -1)
    return flat.reshape(4, -1, 2).transpose(1, 0, 2)


def _sample(page: np.ndarray, quads: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Sample the inside of each quad to ``(n, height, width)``, none of them all 0."""
    step = sample_step(quads, shape)
    shrink = max(1, int(step))
    region, origin = _region(page, quads, shrink)
    corners = ((quads - origin + 0.5) / shrink - 0.5).astype(np.float32)
    asides = (-0.25, 0.25) if step / shrink > _COARSE_STEP else (0.0,)
    seen = [_look(region, corners, shape, aside) for aside in asides]
    cells = seen[0]
    if len(seen) == 2:
        cells = cv2.addWeighted(cells, 0.5, seen[1], 0.5, 0, dst=cells)
    cells[~cells.any(axis=(1, 2))] = 1
    return cells


def _look(
    image: np.ndarray, corners: np.ndarray, shape: tuple[int, int], aside: float
) -> np.ndarray:
    """Sample quads, each pixel so far to the right and below of its middle."""
    height, width = shape
    # Where rows begin and end on the left and right sides, then what is between.
    down, right = _between(height, aside), _between(width, aside)
    ends = down.T @ corners[:, [[0, 1], [3, 2]]].transpose(3, 0, 1, 2)
    at = ends.reshape(2, len(corners) * height, 2) @ right
    # A row a cell: OpenCV goes quicker along long rows than along those of a cell.
    whole = height * width < _SIDE_LIMIT
    x, y = at.reshape(2, -1, height * width if whole else width)
    parts = [
        cv2.remap(
            image,
            x[start : start + _SIDE_LIMIT],
            y[start : start + _SIDE_LIMIT],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for start in range(0, len(x), _SIDE_LIMIT)
    ]
    strip = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return strip.reshape(len(corners), height, width)


def _region(
    page: np.ndarray, quads: np.ndarray, shrink: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of the page that holds all quads, shrunk, and its origin."""
    limit = np.array(page.shape[::-1])
    low = np.floor(quads.min(axis=(0, 1))).astype(int) - shrink
    high = np.ceil(quads.max(axis=(0, 1))).astype(int) + shrink + 1
    # A quad wholly off the page still needs one block of pixels to repeat.
    low = np.maximum(np.minimum(low, limit - shrink), 0)
    high = np.minimum(np.maximum(high, low + shrink), limit)
    region = page[low[1] : high[1], low[0] : high[0]]
    if min(region.shape) >= shrink:
        region = _shrink_rows(region, quads[..., 1] - low[1], shrink)
    else:  # a page thinner than a cell pixel
        target = np.maximum((high - low) // shrink, 1).tolist()
        region = cv2.resize(region, target, interpolation=cv2.INTER_AREA)
    return region, low.astype(np.float64)


def _shrink_rows(region: np.ndarray, y: np.ndarray, shrink: int) -> np.ndarray:
    """Shrink a part of a page where its rows show quads of corners `y` ``(n, 4)``.

    What lies between is left as it happens to be: nobody looks there.
    """
    if shrink == 1:
        return region
    height, width = (side // shrink for side in region.shape)
    first = np.floor(y.min(axis=1) / shrink).astype(int) - 1
    last = np.ceil(y.max(axis=1) / shrink).astype(int) + 1
    wanted = np.zeros(height + 2, np.int8)  # one more at each end, where bands end
    # Beyond the edges their rows are repeated.
    first, last = first.clip(0, height - 1), last.clip(1, height)
    for start, stop in zip(first.tolist(), last.tolist(), strict=True):
        wanted[start + 1 : stop + 1] = 1
    small = np.empty((height, width), np.uint8)
    for start, stop in np.flatnonzero(np.diff(wanted)).reshape(-1, 2).tolist():
        band = region[start * shrink : stop * shrink]
        small[start:stop] = shrink_image(band, shrink)
    return small


@lru_cache(maxsize=16)
def _between(n: int, aside: float) -> np.ndarray:
    """Return by what each of n pixels of a row lies towards its ends, ``(2, n)``."""
    share = (np.arange(n, dtype=np.float32) + np.float32(0.5 + aside)) / n
    return np.stack([1 - share, share])

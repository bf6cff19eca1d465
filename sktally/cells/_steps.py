"""The steps of normalisation in order, on a stack of cells of one size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sktally.cells._clean import CleanCells, clean_cells, flatten_background, measure
from sktally.cells._place import place_ink

__all__ = ["Steps", "normalize_cells"]

# Larger cells are cleaned at this side: strokes are wide enough there, and the
# time grows with the area.
_WORK_SIDE = 64
# Below this side a frame cannot be told from a stroke.
_LEAST_SIDE = 12
# Share of the stroke's darkness that is paper still, and that is full ink: what is
# between is the soft edge of the stroke, or a stroke that hardly took. At 0.15 less
# is read right (benchmarks/cleaning.py).
_PAPER, _FULL_INK = 0.05, 0.9


@dataclass(frozen=True)
class Steps:
    """Hold the parameters of `CellNormalizer` in the form the steps take them."""

    size: int
    padding: int
    square: str
    scaling: str
    inverted: bool
    flatten: bool
    remove_frame: bool
    remove_dots: bool
    center: bool


def normalize_cells(cells: np.ndarray, full: float, steps: Steps) -> np.ndarray:
    """Normalise cells.

    Parameters
    ----------
    cells : ndarray of shape (n_cells, height, width)
        Of any number type, 0 to `full`.
    full : float
        Full scale.
    steps : Steps
        What to do.

    Returns
    -------
    ndarray of shape (n_cells, size, size)
        float32, ink bright; for ``scaling="standard"`` not yet divided by the sd.
    """
    if steps.square == "crop":
        cells = _middle(cells)
    if min(cells.shape[1:]) >= _LEAST_SIDE and (steps.flatten or steps.center):
        images = _cleaned(_dark_bytes(cells, full, inverted=steps.inverted), steps)
    else:
        images = _fit_whole(_darkness(cells, full, inverted=steps.inverted), steps)
        if steps.scaling == "ink":
            images /= np.maximum(images.max(axis=(1, 2), keepdims=True), 1e-6)
    if steps.scaling == "standard":
        images -= images.mean(axis=(1, 2), keepdims=True)
    return images


def _darkness(cells: np.ndarray, full: float, *, inverted: bool) -> np.ndarray:
    """Return float32 ink in 0 to 1."""
    unit = np.clip(cells.astype(np.float32) / np.float32(full), 0, 1)
    return 1 - unit if inverted else unit


def _dark_bytes(cells: np.ndarray, full: float, *, inverted: bool) -> np.ndarray:
    """Return ink in 8 bits."""
    if cells.dtype == np.uint8:  # what `_darkness` comes to, without the detour
        return ~cells if inverted else cells
    return (_darkness(cells, full, inverted=inverted) * 255).round().astype(np.uint8)


def _middle(cells: np.ndarray) -> np.ndarray:
    """Cut cells to the square in their middle."""
    height, width = cells.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cells[:, top : top + side, left : left + side]


def _cleaned(dark: np.ndarray, steps: Steps) -> np.ndarray:
    """Clean, scale the darkness, place."""
    dark, pixel = _to_work_side(dark, squash=steps.square == "squash")
    if steps.flatten:
        found = flatten_background(dark)
    else:
        found = dark, np.zeros(len(dark), dtype=np.float32)
    if steps.remove_frame or steps.remove_dots:
        clean = clean_cells(
            *found, remove_frame=steps.remove_frame, remove_dots=steps.remove_dots
        )
    else:
        clean = measure(*found)
    ink = _scaled(clean, steps)
    if not steps.center:
        return _fit_whole(ink, steps)
    return place_ink(ink, clean.box, steps.size, steps.padding, pixel)


def _scaled(clean: CleanCells, steps: Steps) -> np.ndarray:
    if steps.scaling != "ink":
        return clean.ink / 255
    level = np.maximum(clean.level, 1)[:, None, None]
    ink = clean.ink / level
    ink -= _PAPER
    ink /= _FULL_INK - _PAPER
    np.clip(ink, 0, 1, out=ink)
    ink[clean.level == 0] = 0
    return ink


def _to_work_side(
    cells: np.ndarray, *, squash: bool
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return 8-bit cells, shrunk if large, and the shape of their pixels."""
    n, height, width = cells.shape
    side = max(height, width)
    pixel = (side / height, side / width) if squash else (1.0, 1.0)
    if side > _WORK_SIDE:
        shape = [
            max(_LEAST_SIDE, round(s * _WORK_SIDE / side)) for s in (width, height)
        ]
        cells = np.stack(
            [cv2.resize(c, shape, interpolation=cv2.INTER_AREA) for c in cells]
        )
    return cells, pixel


def _fit_whole(dark: np.ndarray, steps: Steps) -> np.ndarray:
    """Scale whole cells to fit inside the padding."""
    n, height, width = dark.shape
    inner = steps.size - 2 * steps.padding
    side = max(height, width)
    if steps.square == "squash":
        new = (inner, inner)
    else:
        new = (
            max(1, round(inner * height / side)),
            max(1, round(inner * width / side)),
        )
    top, left = (steps.size - new[0]) // 2, (steps.size - new[1]) // 2
    out = np.zeros((n, steps.size, steps.size), dtype=np.float32)
    shrinks = new[0] < height or new[1] < width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    for image, cell in zip(out, dark, strict=True):
        image[top : top + new[0], left : left + new[1]] = cv2.resize(
            np.ascontiguousarray(cell), new[::-1], interpolation=how
        )
    return out

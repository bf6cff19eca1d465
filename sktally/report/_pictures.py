"""Pictures of a page, small enough to be in a report: the page itself, and its boxes.

Comes in: a scan, and where its boxes lie. Goes out: PNG files as ``data:`` addresses.
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from sktally.cells._sample import sample_cells

__all__ = ["Picture", "embedded", "field_picture", "page_picture"]

_CELL = 56  # pixels of a box
_PAGE = 300  # pixels of the longer side of a page
_LEVELS = 16  # of grey: half the bytes, and no pen line is lost
_LINE = (0, 114, 178)


class Picture(NamedTuple):
    """A picture within a report: its address, and its size in pixels."""

    address: str
    width: int
    height: int


def embedded(picture: npt.NDArray[np.uint8]) -> Picture:
    """Return a picture as a PNG of few colours."""
    image = Image.fromarray(picture).quantize(_LEVELS, dither=Image.Dither.NONE)
    stream = BytesIO()
    image.save(stream, "PNG", optimize=True)
    content = base64.b64encode(stream.getvalue()).decode()
    return Picture(f"data:image/png;base64,{content}", image.width, image.height)


def field_picture(
    page: npt.NDArray[np.uint8], quads: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8] | None:
    """Return the boxes of a field side by side, or None where it has none.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8, grey.
    quads : ndarray of shape (n_places, 4, 2)
        Corners of the boxes; NaN where there is none.
    """
    there = np.isfinite(quads).all(axis=(1, 2))
    if not there.any():
        return None
    cells = sample_cells(page, quads[None, there], cell_size=_CELL, margin=0.1)[0]
    parts = [np.pad(cell, ((0, 0), (0, 2)), constant_values=255) for cell in cells]
    return np.hstack(parts)[:, :-2]


def page_picture(
    page: npt.NDArray[np.uint8], quads: list[npt.NDArray[np.float64]], turn: int
) -> npt.NDArray[np.uint8]:
    """Return a small picture of a page, upright, with its boxes drawn.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8, grey.
    quads : list of ndarray of shape (n_places, 4, 2)
        Corners of the boxes of each field.
    turn : int
        Degrees to turn it counter-clockwise.
    """
    scale = _PAGE / max(page.shape)
    size = [max(1, round(side * scale)) for side in page.shape[::-1]]
    small = cv2.resize(page, size, interpolation=cv2.INTER_AREA)
    canvas = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
    for corners in quads:
        boxes = (corners[np.isfinite(corners).all(axis=(1, 2))] + 0.5) * scale - 0.5
        boxes = np.clip(boxes, -1e4, 1e4)
        lines = list((boxes * 16).round().astype(np.int32))
        cv2.polylines(canvas, lines, True, _LINE, 1, cv2.LINE_AA, shift=4)
    return np.ascontiguousarray(np.rot90(canvas, turn // 90))

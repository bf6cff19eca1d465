"""Reduce a page for work that needs no more pixels, and keep the way back.

Comes in: a page and how large it should be. Goes out: a smaller page with the map
from its pixels to those of the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["View", "reduce_page"]


@dataclass(frozen=True)
class View:
    """A reduced page: its pixels, and the map from them to those of the page."""

    image: np.ndarray
    to_page: np.ndarray


def reduce_page(page: np.ndarray, long_side: float) -> View:
    """Reduce a page by a whole number: several times as fast as any other factor."""
    height, width = page.shape
    k = min(max(1, round(max(height, width) / long_side)), height, width)
    if k == 1:
        return View(page, np.eye(3))
    size = (width // k, height // k)
    page = page[: size[1] * k, : size[0] * k]
    shift = (k - 1) / 2
    to_page = np.array([[k, 0, shift], [0, k, shift], [0, 0, 1.0]])
    return View(cv2.resize(page, size, interpolation=cv2.INTER_AREA), to_page)

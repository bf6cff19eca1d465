"""Reduce a page for work that needs no more pixels, and keep the way back.

Comes in: a page and how large it should be. Goes out: a smaller page with the map
from its pixels to those of the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["View", "Views", "even_out", "halve_page", "reduce_page"]


@dataclass(frozen=True)
class View:
    """A reduced page: its pixels, and the map from them to those of the page."""

    image: np.ndarray
    to_page: np.ndarray


class Views:
    """Reduce one page to several sizes, to each of them once."""

    def __init__(self, page: np.ndarray) -> None:
        self.page = page
        self._made: dict[int, View] = {}

    def reduced(self, long_side: float) -> View:
        """Return the page, as `reduce_page` would."""
        factor = max(1, round(max(self.page.shape) / long_side))
        if factor not in self._made:
            self._made[factor] = _reduce(self.page, factor)
        return self._made[factor]


def reduce_page(page: np.ndarray, long_side: float) -> View:
    """Reduce a page by a whole number: several times as fast as any other factor."""
    return Views(page).reduced(long_side)


def halve_page(page: np.ndarray, most: float) -> View:
    """Halve a page as often as it shrinks by `most` at most: the fastest of all."""
    return _reduce(page, 2 ** int(np.log2(max(most, 1.0))))


def _reduce(page: np.ndarray, factor: int) -> View:
    """Average blocks of pixels. OpenCV halves ten times as fast as it reduces else."""
    height, width = page.shape
    factor = min(factor, height, width)
    if factor == 1:
        return View(page, np.eye(3))
    size = (width // factor, height // factor)
    image = page[: size[1] * factor, : size[0] * factor]
    left = factor
    while left > 1:
        step = 2 if left % 2 == 0 else left
        left //= step
        small = (size[0] * left, size[1] * left)
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    shift = (factor - 1) / 2
    to_page = np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1.0]])
    return View(image, to_page)


def even_out(page: np.ndarray, window: int, floor: float, most: float) -> np.ndarray:
    """Return darkness against the surroundings over the local contrast, -1 to `most`.

    Shadow and contrast are evened out over `window` pixels; less contrast than
    `floor` grey levels counts as none.
    """
    size = (window, window)
    dark = cv2.boxFilter(page, cv2.CV_32F, size)
    cv2.subtract(dark, page, dst=dark, dtype=cv2.CV_32F)
    contrast = cv2.sqrBoxFilter(dark, cv2.CV_32F, size)
    contrast += floor**2
    cv2.divide(dark, cv2.sqrt(contrast, dst=contrast), dst=dark)
    return np.clip(dark, -1.0, most, out=dark)

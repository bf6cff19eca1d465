"""Reduce a page for work that needs no more pixels, and keep the way back.

Comes in: a page and how large it should be. Goes out: a smaller page with the map
from its pixels to those of the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import cv2
import numpy as np

__all__ = [
    "View",
    "Views",
    "as_views",
    "even_out",
    "reduce_page",
    "shrink_image",
]

_SAME = np.eye(3)
_SAME.flags.writeable = False
_BLURRED = 5  # larger squares are blurred no faster than areas are averaged


@dataclass(frozen=True)
class View:
    """A reduced page: its pixels, and the maps to those of the page and back."""

    image: np.ndarray
    to_page: np.ndarray
    from_page: np.ndarray


class Views:
    """Reduce one page to several sizes, to each of them once."""

    def __init__(self, page: np.ndarray) -> None:
        self.page = page
        self._made: dict[int, View] = {}

    def reduced(self, long_side: float) -> View:
        """Return the page, its longer side about so long."""
        return self._by(max(1, round(max(self.page.shape) / long_side)))

    def halved(self, most: float) -> View:
        """Return the page, halved until it is smaller by `most` or a little less."""
        return self._by(2 ** int(log2(max(most, 1.0))))

    def _by(self, factor: int) -> View:
        if factor not in self._made:
            self._made[factor] = _reduce(self.page, factor)
        return self._made[factor]


def as_views(page: np.ndarray | Views) -> Views:
    """Return the views of a page."""
    return page if isinstance(page, Views) else Views(page)


def reduce_page(page: np.ndarray, long_side: float) -> View:
    """Reduce a page by a whole number: several times as fast as any other factor."""
    return Views(page).reduced(long_side)


def _reduce(page: np.ndarray, factor: int) -> View:
    factor = min(factor, *page.shape)
    if factor == 1:
        return View(page, _SAME, _SAME)
    shift = (factor - 1) / 2
    to_page = np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1.0]])
    from_page = np.array([[1, 0, -shift], [0, 1, -shift], [0, 0, factor]]) / factor
    return View(shrink_image(page, factor), to_page, from_page)


def shrink_image(image: np.ndarray, factor: int) -> np.ndarray:
    """Average whole blocks of pixels, what is left at the right and below is cut off.

    OpenCV halves images ten times as fast as it shrinks them else, and blurs by a
    small odd square twice as fast.
    """
    height, width = (side // factor for side in image.shape)
    image = image[: height * factor, : width * factor]
    while factor > 1:
        if factor % 2 == 0:
            factor //= 2
            size = (width * factor, height * factor)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        elif factor <= _BLURRED:
            middle = factor // 2
            image = cv2.blur(image, (factor, factor))[middle::factor, middle::factor]
            return np.ascontiguousarray(image)
        else:
            return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return image


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

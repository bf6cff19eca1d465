"""Tell pieces of ink of the digit from dots, specks and remnants of frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["SPECK", "CleanCells", "Pieces"]

# All lengths are shares of the cell's side, chosen by looking at pages 1-250 of
# indonesia-2024 and at synthetic cells.
# Least length of the longest piece of ink; less is a speck in an empty box.
SPECK = 0.17
# Least length of a piece of a broken stroke, and its least weight as a share of
# the heaviest piece of the cell.
_DOT, _DOT_WEIGHT = 0.1, 0.06
# Pieces paler than this share of the main one are not of the same pen.
_PALE = 0.45
# A remnant of a frame has its centre farther than this from that of the cell, and
# lies at the edge of the cell, or is thin and: long as a frame, short, or with this
# share of its pixels against the frame. So a 1 close to the frame is kept.
_OUTER, _THIN, _LINE, _SHORT, _CONTACT = 0.3, 0.12, 0.7, 0.2, 0.3
_AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class CleanCells:
    """Hold cleaned cells: ink, and where it is in each.

    Attributes
    ----------
    ink : ndarray of shape (n_cells, height, width)
        float32, darkness above the paper, 0 wherever there is no ink.
    level : ndarray of shape (n_cells,)
        float32, darkness of the full stroke; 0 where the cell is empty.
    box : ndarray of shape (n_cells, 4)
        int, top, left, bottom, right (exclusive) of the ink; 0 where empty.
    """

    ink: np.ndarray
    level: np.ndarray
    box: np.ndarray


class Pieces:
    """Connected pieces of ink of all cells, with what is needed to choose."""

    def __init__(self, dark: np.ndarray, inked: np.ndarray) -> None:
        n, self.height, self.width = dark.shape
        self.dark = dark
        tall = np.zeros((n, self.height + 1, self.width), dtype=np.uint8)
        tall[:, : self.height] = inked
        _, labels, stats, centres = cv2.connectedComponentsWithStats(
            tall.reshape(-1, self.width), connectivity=8
        )
        self.labels = labels.reshape(tall.shape)[:, : self.height]
        stats = stats[1:]  # label 0 is everything that is not ink
        self.cell, self.top = np.divmod(stats[:, cv2.CC_STAT_TOP], self.height + 1)
        self.left = stats[:, cv2.CC_STAT_LEFT]
        self.bottom = self.top + stats[:, cv2.CC_STAT_HEIGHT]
        self.right = self.left + stats[:, cv2.CC_STAT_WIDTH]
        self.area = stats[:, cv2.CC_STAT_AREA]
        self.x, self.y = centres[1:, 0], centres[1:, 1] % (self.height + 1)
        self.pixels = np.flatnonzero(inked)
        self.piece = self.labels.ravel()[self.pixels] - 1
        self.values = dark.ravel()[self.pixels]
        weight = np.bincount(self.piece, self.values, minlength=len(stats))
        self.darkness = weight / np.maximum(self.area, 1)

    def substantial(self) -> np.ndarray:
        """Return the pieces of cells that hold more than specks."""
        extent = np.maximum(self.bottom - self.top, self.right - self.left)
        longest = np.zeros(len(self.dark))
        np.maximum.at(longest, self.cell, extent)
        return longest[self.cell] >= SPECK * min(self.height, self.width)

    def remnants(self, beyond: np.ndarray) -> np.ndarray:
        """Return the pieces left of a frame, or peeking in from beyond it."""
        side = min(self.height, self.width)
        tall, wide = self.bottom - self.top, self.right - self.left
        extent, thin = np.maximum(tall, wide), np.minimum(tall, wide)
        at_edge = (self.top == 0) | (self.bottom == self.height)
        at_edge |= (self.left == 0) | (self.right == self.width)
        off = np.maximum(
            np.abs(self.x / self.width - 0.5), np.abs(self.y / self.height - 0.5)
        )
        line = (extent >= _LINE * side) | (extent < _SHORT * side)
        line |= self._contact(beyond) > _CONTACT
        # A second stroke that could be a lone 1 is none beside a digit.
        inner = np.zeros(len(self.dark))
        np.maximum.at(inner, self.cell, extent * (off <= _OUTER))
        line |= inner[self.cell] >= SPECK * side
        return (off > _OUTER) & (at_edge | (line & (thin <= _THIN * side)))

    def _contact(self, beyond: np.ndarray) -> np.ndarray:
        """Return the share of each piece's pixels that touch the frame taken out."""
        n = len(beyond)
        tall = np.zeros((n, self.height + 1, self.width), dtype=np.uint8)
        tall[:, : self.height] = beyond
        tall = cv2.dilate(tall.reshape(-1, self.width), _AROUND).reshape(tall.shape)
        touching = tall[:, : self.height].reshape(-1)[self.pixels]
        return np.bincount(self.piece, touching, len(self.area)) / self.area

    def of_one_pen(self, keep: np.ndarray, *, remove_dots: bool) -> np.ndarray:
        """Return `keep` less dots, and pieces far paler than the main one."""
        n = len(self.dark)
        side = min(self.height, self.width)
        extent = np.maximum(self.bottom - self.top, self.right - self.left)
        weight = self.area * self.darkness * keep
        main, longest, darkest = np.zeros((3, n))
        np.maximum.at(longest, self.cell, extent * keep)
        keep = keep & (longest[self.cell] >= SPECK * side)
        if not remove_dots:
            return keep
        np.maximum.at(main, self.cell, weight)
        chief = keep & (weight >= main[self.cell])
        darkest[self.cell[chief]] = self.darkness[chief]
        keep &= (weight >= _DOT_WEIGHT * main[self.cell]) & (extent >= _DOT * side)
        return keep & (self.darkness >= _PALE * darkest[self.cell])

    def collect(self, keep: np.ndarray) -> CleanCells:
        """Return the ink of the pieces kept, with soft edges."""
        n = len(self.dark)
        kept = keep[self.piece]
        pixels, values = self.pixels[kept], self.values[kept]
        tall = np.zeros((n, self.height + 2, self.width), dtype=np.uint8)
        cell, inside = np.divmod(pixels, self.height * self.width)
        tall.reshape(n, -1)[cell, inside] = 1
        near = cv2.dilate(tall.reshape(-1, self.width), _AROUND)
        near = near.reshape(tall.shape)[:, : self.height]
        ink = (self.dark * near).astype(np.float32)
        level = _upper_quartile(values, cell, n)
        box = np.zeros((n, 4), dtype=np.intp)
        box[:, :2] = 10**6
        cell = self.cell[keep]
        np.minimum.at(box[:, 0], cell, self.top[keep])
        np.minimum.at(box[:, 1], cell, self.left[keep])
        np.maximum.at(box[:, 2], cell, self.bottom[keep])
        np.maximum.at(box[:, 3], cell, self.right[keep])
        box[box[:, 2] == 0] = 0
        return CleanCells(ink, level, box)


def _upper_quartile(values: np.ndarray, cell: np.ndarray, n: int) -> np.ndarray:
    """Return the upper quartile of the uint8 `values` of each cell; 0 for none."""
    counts = np.bincount(cell * 256 + values, minlength=256 * n).reshape(n, 256)
    total = counts.cumsum(axis=1)
    wanted = 0.75 * total[:, -1:]
    return (total >= wanted).argmax(axis=1).astype(np.float32)

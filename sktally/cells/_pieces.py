"""Tell pieces of ink of the digit from dots, specks and remnants of frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

__all__ = ["SPECK", "CleanCells", "Pieces", "pile_up"]

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
        self.dark, inked = pile_up(dark), pile_up(inked)
        self.pixels, self.piece, n_pieces = _label(inked)
        # Pixels come row by row: of each piece the first is topmost, the last lowest.
        row = self.pixels // (self.width + 1)
        x = self.pixels - row * (self.width + 1)
        top, bottom, right = np.zeros((3, n_pieces), dtype=np.intp)
        top[self.piece[::-1]], bottom[self.piece] = row[::-1], row
        self.cell, self.top = np.divmod(top, self.height + 1)
        self.bottom = bottom % (self.height + 1) + 1
        self.left = np.full(n_pieces, self.width)
        np.minimum.at(self.left, self.piece, x)
        np.maximum.at(right, self.piece, x)
        self.right = right + 1

    @cached_property
    def area(self) -> np.ndarray:
        """Pixels of each piece."""
        return np.bincount(self.piece, minlength=len(self.cell))

    @cached_property
    def values(self) -> np.ndarray:
        """Darkness of each pixel."""
        return np.asarray(self.dark.ravel()[self.pixels])

    @cached_property
    def darkness(self) -> np.ndarray:
        """Mean darkness of each piece."""
        return np.bincount(self.piece, self.values, len(self.cell)) / self.area

    def off_centre(self) -> np.ndarray:
        """Return how far each piece lies off the middle, as a share of the sides."""
        row, x = np.divmod(self.pixels, self.width + 1)
        n_pieces = len(self.cell)
        middle_x = np.bincount(self.piece, x, n_pieces) / self.area
        middle_y = np.bincount(self.piece, row, n_pieces) / self.area
        middle_y %= self.height + 1
        return np.maximum(
            np.abs(middle_x / self.width - 0.5), np.abs(middle_y / self.height - 0.5)
        )

    def longest(self) -> np.ndarray:
        """Return the length of the longest piece of each cell, 0 without any."""
        extent = np.maximum(self.bottom - self.top, self.right - self.left)
        longest = np.zeros(len(self.dark))
        np.maximum.at(longest, self.cell, extent)
        return longest

    def substantial(self) -> np.ndarray:
        """Return the pieces of cells that hold more than specks."""
        return self.longest()[self.cell] >= SPECK * min(self.height, self.width)

    def remnants(self, beyond: np.ndarray) -> np.ndarray:
        """Return the pieces left of a frame, or peeking in from beyond it."""
        side = min(self.height, self.width)
        tall, wide = self.bottom - self.top, self.right - self.left
        extent, thin = np.maximum(tall, wide), np.minimum(tall, wide)
        at_edge = (self.top == 0) | (self.bottom == self.height)
        at_edge |= (self.left == 0) | (self.right == self.width)
        off = self.off_centre()
        line = (extent >= _LINE * side) | (extent < _SHORT * side)
        # A second stroke that could be a lone 1 is none beside a digit.
        inner = np.zeros(len(self.dark))
        np.maximum.at(inner, self.cell, extent * (off <= _OUTER))
        line |= inner[self.cell] >= SPECK * side
        outer, thin = off > _OUTER, thin <= _THIN * side
        if (outer & thin & ~(at_edge | line)).any():
            line |= self._contact(beyond) > _CONTACT
        return outer & (at_edge | (line & thin))

    def _contact(self, beyond: np.ndarray) -> np.ndarray:
        """Return the share of each piece's pixels that touch the frame taken out."""
        touching = _grown(pile_up(beyond)).ravel()[self.pixels]
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
        near = np.zeros_like(self.dark)
        near.ravel()[self.pixels[kept]] = 1
        ink = (self.dark * _grown(near))[:, : self.height, : self.width]
        level = _upper_quartile(self.values[kept], self.cell[self.piece[kept]], n)
        box = np.zeros((n, 4), dtype=np.intp)
        box[:, :2] = 10**6
        cell = self.cell[keep]
        np.minimum.at(box[:, 0], cell, self.top[keep])
        np.minimum.at(box[:, 1], cell, self.left[keep])
        np.maximum.at(box[:, 2], cell, self.bottom[keep])
        np.maximum.at(box[:, 3], cell, self.right[keep])
        box[box[:, 2] == 0] = 0
        return CleanCells(ink.astype(np.float32, order="C"), level, box)


def _upper_quartile(values: np.ndarray, cell: np.ndarray, n: int) -> np.ndarray:
    """Return the upper quartile of the uint8 `values` of each cell; 0 for none."""
    counts = np.bincount(cell * 256 + values, minlength=256 * n).reshape(n, 256)
    total = counts.cumsum(axis=1)
    wanted = 0.75 * total[:, -1:]
    return (total >= wanted).argmax(axis=1).astype(np.float32)


def pile_up(cells: np.ndarray) -> np.ndarray:
    """Return uint8 cells with an empty row below and column beside, so none touch."""
    n, height, width = cells.shape
    pile = np.zeros((n, height + 1, width + 1), dtype=np.uint8)
    pile[:, :height, :width] = cells
    return pile


def _label(pile: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the ink pixels of the flat pile, their pieces, and how many there are."""
    # OpenCV's own statistics cover all paper too, and take longer than the labels.
    n, labels = cv2.connectedComponents(pile.reshape(-1, pile.shape[2]), connectivity=8)
    pixels = np.flatnonzero(pile.view(bool))
    return pixels, labels.ravel()[pixels].astype(np.intp) - 1, n - 1


def _grown(pile: np.ndarray) -> np.ndarray:
    """Return a pile of 0 and 1 grown by one pixel; its empty rows and columns aside.

    Shifts of the flat pile run over far longer rows than a filter of narrow cells.
    """
    grown = pile.reshape(-1)
    for step in (1, pile.shape[2]):
        before, grown = grown, grown.copy()
        grown[step:] |= before[:-step]
        grown[:-step] |= before[step:]
    return grown.reshape(pile.shape)

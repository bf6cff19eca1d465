"""Clean cells: raw darkness in, only what the pen left out.

Works on all cells at once: they are stacked to one tall image with a gap after
each, so that one call of a filter or of the labelling serves a whole page.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sktally.cells._frame import find_frames

__all__ = ["CleanCells", "clean_cells", "flatten_background", "measure"]

# The paper under the ink is estimated with a window of this share of the side: it
# must be wider than any stroke or frame line and narrower than a shadow.
_WINDOW = 0.33
# Least darkness above the paper, of 255, that can be ink. A watermark or a guide
# dot on a blurred photo stays below.
_FLOOR = 6.0
# Least length of the longest piece of ink, as a share of the side; less is a speck.
_SPECK = 0.17
# Pen strokes are at least this dark, as a share of the box frame. On pages 1-250
# of indonesia-2024 99.9 % of digits exceed 0.34 and empty boxes stay below 0.25.
_PALEST = 0.3
# Ink is what exceeds this share of the stroke's darkness (zero-shot accuracy there
# is flat from 0.2 to 0.3 and falls beyond).
_CUT = 0.25
# Percentiles of a cell that stand for its stroke, of which a short 1 has a fiftieth
# of the pixels, and for the darkest of it.
_STROKE, _DARKEST = 0.985, 0.995
# Mean darkness of what was taken as ink, as a share of its darkest, under which it
# is not all ink, and the share that is cut at then. The least on pages 1-250 of
# indonesia-2024, which has no watermark, is 0.38.
_MIXED, _CUT_MIXED = 0.36, 0.45
# Pieces paler than this share of the main one are not of the same pen.
_PALE_PIECE = 0.45


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


def flatten_background(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return darkness above the paper and the noise of the paper.

    Parameters
    ----------
    cells : ndarray of shape (n_cells, height, width)
        uint8 darkness, ink bright.

    Returns
    -------
    dark : ndarray of shape (n_cells, height, width)
        uint8.
    noise : ndarray of shape (n_cells,)
        float32, one standard deviation of the paper.
    """
    n, height, width = cells.shape
    window = max(3, round(_WINDOW * min(height, width)) | 1)
    gap = window // 2 + 1
    tall = np.full((n, height + gap, width), 255, dtype=np.uint8)
    tall[:, :height] = cells
    flat = tall.reshape(-1, width)
    paper = cv2.erode(cv2.blur(flat, (3, 3)), np.ones((window, window), np.uint8))
    paper.reshape(tall.shape)[:, height:] = 0
    paper = cv2.dilate(paper, np.ones((window, window), np.uint8))
    dark = cv2.subtract(flat, paper).reshape(tall.shape)[:, :height]
    step = cv2.absdiff(cells[:, :, 1:].reshape(n, -1), cells[:, :, :-1].reshape(n, -1))
    noise = _percentiles(step, (0.4,))[0]
    (median,) = _percentiles(dark, (0.4,))
    offset = median.astype(np.uint8)[:, None, None]
    return np.where(dark > offset, dark - offset, 0), noise


def clean_cells(
    dark: np.ndarray,
    noise: np.ndarray,
    *,
    remove_frame: bool = True,
    remove_dots: bool = True,
) -> CleanCells:
    """Take frames, dots and specks out of flattened cells.

    Parameters
    ----------
    dark : ndarray of shape (n_cells, height, width)
        uint8, darkness above the paper.
    noise : ndarray of shape (n_cells,)
        One standard deviation of the paper.
    remove_frame : bool, default=True
        Whether to take out box frames and all beyond them.
    remove_dots : bool, default=True
        Whether to take out small faint round pieces.

    Returns
    -------
    CleanCells
    """
    floor = np.maximum(_FLOOR, 3.0 * noise)
    if remove_frame:
        beyond, printed = find_frames(dark.astype(np.float32), floor / 2)
        floor = np.maximum(floor, _PALEST * printed)
        dark = np.where(beyond, 0, dark)
    pieces = _Pieces(dark, _ink_mask(dark, floor))
    keep = pieces.choose(remove_dots)
    return pieces.collect(keep)


def _ink_mask(dark: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return which pixels are ink; none where the stroke is paler than `floor`."""
    level, top = _ink_levels(dark)
    threshold = np.where(level < floor, 255, np.maximum(_CUT * level, floor / 2))
    mask = dark > threshold[:, None, None]
    # Where ink is pale on average beside its darkest pixels, a watermark got in.
    mean = np.einsum("nij,nij->n", mask, dark, dtype=np.float32)
    mean /= np.maximum(mask.sum(axis=(1, 2)), 1)
    mixed = mean < _MIXED * top
    if mixed.any():
        threshold[mixed] = np.maximum(threshold, _CUT_MIXED * top)[mixed]
        mask[mixed] = dark[mixed] > threshold[mixed, None, None]
    return mask


def _ink_levels(dark: np.ndarray) -> list[np.ndarray]:
    """Return how dark the stroke and its darkest pixels are, away from the edge."""
    height, width = dark.shape[1:]
    dy, dx = round(0.18 * height), round(0.18 * width)
    return _percentiles(dark[:, dy : height - dy, dx : width - dx], (_STROKE, _DARKEST))


def _percentiles(cells: np.ndarray, shares: tuple[float, ...]) -> list[np.ndarray]:
    """Return percentiles of each uint8 cell, by counting and not by sorting."""
    n = len(cells)
    values = cells.reshape(n, -1)
    counts = np.bincount(
        (values + (np.arange(n) * 256)[:, None]).ravel(), minlength=256 * n
    )
    total = counts.reshape(n, 256).cumsum(axis=1)
    return [
        (total >= share * values.shape[1]).argmax(axis=1).astype(np.float32)
        for share in shares
    ]


class _Pieces:
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
        self.centres = centres[1:]
        weight = np.bincount(
            self.labels.ravel(), dark.ravel(), minlength=len(stats) + 1
        )
        self.darkness = weight[1:] / np.maximum(self.area, 1)

    def choose(self, remove_dots: bool) -> np.ndarray:
        """Return which pieces are ink of the digit."""
        side = min(self.height, self.width)
        tall, wide = self.bottom - self.top, self.right - self.left
        extent = np.maximum(tall, wide)
        thin = np.minimum(tall, wide)
        edge = (
            (self.top == 0)
            | (self.left == 0)
            | (self.bottom == self.height)
            | (self.right == self.width)
        )
        x, y = self.centres[:, 0], self.centres[:, 1] % (self.height + 1)
        off = np.maximum(np.abs(x / self.width - 0.5), np.abs(y / self.height - 0.5))
        # What is left of a frame, or peeks in from next door, lies along an edge.
        remnant = (off > 0.3) & ((thin <= 0.12 * side) | edge)
        weight = self.area * self.darkness * ~remnant
        main = np.zeros(len(self.dark))
        np.maximum.at(main, self.cell, weight)
        extents = np.zeros(len(self.dark))
        np.maximum.at(extents, self.cell, extent * ~remnant)
        keep = ~remnant & (extents[self.cell] >= _SPECK * side)
        if remove_dots:
            dot = (weight < 0.06 * main[self.cell]) | (extent < 0.1 * side)
            darkest = np.zeros(len(self.dark))
            chief = keep & (weight >= main[self.cell])
            darkest[self.cell[chief]] = self.darkness[chief]
            keep &= ~dot & (self.darkness >= _PALE_PIECE * darkest[self.cell])
        return keep

    def collect(self, keep: np.ndarray) -> CleanCells:
        """Return the ink of the pieces kept, with soft edges."""
        n = len(self.dark)
        kept = np.concatenate([[False], keep])[self.labels]
        tall = np.zeros((n, self.height + 2, self.width), dtype=np.uint8)
        tall[:, : self.height] = kept
        near = cv2.dilate(tall.reshape(-1, self.width), np.ones((3, 3), np.uint8))
        near = near.reshape(tall.shape)[:, : self.height].astype(bool)
        ink = np.where(near, self.dark, 0).astype(np.float32)
        box = np.zeros((n, 4), dtype=np.intp)
        box[:, :2] = 10**6
        cell = self.cell[keep]
        np.minimum.at(box[:, 0], cell, self.top[keep])
        np.minimum.at(box[:, 1], cell, self.left[keep])
        np.maximum.at(box[:, 2], cell, self.bottom[keep])
        np.maximum.at(box[:, 3], cell, self.right[keep])
        box[box[:, 2] == 0] = 0
        return CleanCells(ink, _top_level(self.dark, kept), box)


def measure(dark: np.ndarray, noise: np.ndarray) -> CleanCells:
    """Take the cells as they are and measure their ink."""
    pieces = _Pieces(dark, _ink_mask(dark, np.maximum(_FLOOR, 3.0 * noise)))
    clean = pieces.collect(np.ones(len(pieces.area), dtype=bool))
    return CleanCells(dark.astype(np.float32), clean.level, clean.box)


def _top_level(dark: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the darkness that a quarter of the kept pixels exceed."""
    n = len(dark)
    pixels = kept.sum(axis=(1, 2))
    values = np.where(kept, dark, 0).reshape(n, -1)
    counts = np.bincount(
        (values + (np.arange(n) * 256)[:, None]).ravel(), minlength=256 * n
    )
    total = counts.reshape(n, 256).cumsum(axis=1)
    wanted = (values.shape[1] - 0.25 * pixels)[:, None]
    return (total >= wanted).argmax(axis=1).astype(np.float32) * (pixels > 0)

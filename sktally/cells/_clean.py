"""Clean cells: raw darkness in, only what the pen left out.

Works on all cells at once: they are put in one image with gaps between them, so
that one call of a filter or of the labelling serves a whole page.
"""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np

from sktally.cells._frame import find_frames
from sktally.cells._pieces import SPECK, CleanCells, Pieces, pile_up

__all__ = ["clean_cells", "flatten_background", "measure"]

# The paper under the ink is estimated with a window of this share of the side: it
# must be wider than any stroke or frame line and narrower than a shadow.
_WINDOW = 0.33
# Least darkness above the paper, of 255, that can be ink, whatever the frame.
_FLOOR = 6.0
# Pen strokes are at least this dark, as a share of the box frame. On pages 1-250
# of indonesia-2024 the palest digit has 0.34, the darkest empty box 0.25.
_PALEST = 0.3
# Least darkness, of 255, where no frame tells what the print looks like.
_UNFRAMED = 16.0
# A seven-segment guide has at least six dots; a crossing that is darker than its
# arms is one.
_DOTS = 6
# Ink darker than this multiple of the frame is no print.
_SURELY_PEN = 1.3
# Ink is what exceeds this share of the stroke's darkness. Of a network that saw only
# MNIST, accuracy on those pages varies by 0.006 from 0.2 to 0.3 and is 0.02 lower
# at 0.4.
_CUT = 0.25
# Percentiles of a cell that stand for its stroke, of which a short 1 has a fiftieth
# of the pixels, and for the darkest of it.
_STROKE, _DARKEST = 0.985, 0.995
# Mean darkness of what was taken as ink, as a share of its darkest, under which it
# may not all be ink, and the share that is cut at where it is not.
_MIXED, _CUT_MIXED = 0.5, 0.45
# What is pale is a watermark, not a stroke that hardly took, if more than this share of
# its pixels has ink all around, within a square of this share of the side. The most on
# pages 1-250 of indonesia-2024, which has no watermark, is 0.21; synthetic cells with
# one have 0.2 to 0.6.
_BROAD, _AROUND = 0.25, 0.08


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
    # Side by side, since filters run along rows, with a gap between any two so that
    # none touches another: beside each cell it mirrors the cell for the blur, and is
    # then what the erosion and the dilation pass over.
    wide = np.zeros((height, n * (width + gap)), dtype=np.uint8)
    blocks = wide.reshape(height, n, width + gap)
    blocks[:, :, 1 : width + 1] = cells.transpose(1, 0, 2)
    blocks[:, :, 0], blocks[:, :, width + 1] = blocks[:, :, 2], blocks[:, :, width - 1]
    paper = cv2.blur(wide, (3, 3), borderType=cv2.BORDER_REPLICATE)
    for fill, change in ((255, cv2.erode), (0, cv2.dilate)):
        between = paper.reshape(blocks.shape)
        between[:, :, 0] = between[:, :, width + 1 :] = fill
        paper = change(paper, np.ones((window, window), np.uint8))
    dark = cv2.subtract(wide, paper).reshape(blocks.shape)[:, :, 1 : width + 1]
    dark = np.ascontiguousarray(dark.transpose(1, 0, 2))
    rows = cells.reshape(-1, width)
    (noise,) = _percentiles(cv2.absdiff(rows[:, 1:], rows[:, :-1]).reshape(n, -1), 0.4)
    (median,) = _percentiles(dark.reshape(n, -1), 0.4)
    dark -= np.minimum(dark, median.astype(np.uint8)[:, None, None])
    return dark, noise


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
    beyond, printed = None, np.zeros(len(dark), dtype=np.float32)
    if remove_frame:
        beyond, printed = find_frames(dark, floor / 2)
        floor = np.maximum(floor, np.where(printed > 0, _PALEST * printed, _UNFRAMED))
        dark = dark * ~beyond
    mask, level = _ink_mask(dark, floor)
    if remove_dots:
        # Ink much darker than the frame is pen: those cells need no second look.
        doubtful = (printed == 0) | (level < _SURELY_PEN * printed)
        doubtful = np.flatnonzero(doubtful & (level >= floor))  # others have no ink
        mask[doubtful[_dotted(dark[doubtful], level[doubtful])]] = False
    pieces = Pieces(dark, mask)
    keep = pieces.substantial()
    if beyond is not None:
        keep &= ~pieces.remnants(beyond)
    return pieces.collect(pieces.of_one_pen(keep, remove_dots=remove_dots))


def _ink_mask(dark: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels are ink, none where it is below `floor`, and its level."""
    level, top = _ink_levels(dark)
    threshold = np.where(level < floor, 255, np.maximum(_CUT * level, floor / 2))
    # Whole numbers exceed it as they do its whole part, which is faster to compare.
    threshold = threshold.astype(np.uint8)
    mask = dark > threshold[:, None, None]
    # Where ink is pale on average beside its darkest pixels, either the pen hardly
    # took in places or a watermark got in.
    inked = mask.view(np.uint8)
    mean = _sums(dark * inked) / np.maximum(_sums(inked), 1)
    mixed = np.flatnonzero(mean < _MIXED * top)
    if len(mixed):
        least = np.maximum(threshold, (_CUT_MIXED * top).astype(np.uint8))[mixed]
        core = dark[mixed] > least[:, None, None]
        broad = _broad(mask[mixed], core)
        mask[mixed[broad]] = core[broad]
    return mask, level


def _broad(mask: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Return in which cells the ink away from its dark core is broader than a pen."""
    n, height, width = mask.shape
    size = max(3, round(_AROUND * min(height, width)) | 1)
    around = np.ones((size, size), np.uint8)
    shade = pile_up(mask.view(np.uint8) + core).reshape(-1, width + 1)
    pale = shade * (cv2.dilate(shade, around) == 1)
    inside = cv2.erode(pale, around, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return _sums(inside.reshape(n, -1)) > _BROAD * _sums(pale.reshape(n, -1))


def _dotted(dark: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return which cells hold dots only: nothing longer at half the level.

    Guide dots print close together: at the low cut that pale strokes need they join
    to the very shape of an 8.
    """
    half = np.maximum(0.5 * level, 1).astype(np.uint8)
    ink, longest = dark > half[:, None, None], SPECK * min(dark.shape[1:])
    # Most digits have an upright stroke that is longer, which is quick to see.
    dotted = ~_upright(ink, ceil(longest))
    if dotted.any():  # OpenCV crashes on labelling an image without rows
        pieces = Pieces(dark[dotted], ink[dotted])
        dots = np.bincount(pieces.cell, minlength=len(pieces.dark))
        dotted[dotted] = (pieces.longest() < longest) & (dots >= _DOTS)
    return dotted


def _upright(ink: np.ndarray, length: int) -> np.ndarray:
    """Return which cells have so many pixels of ink one below the other."""
    n, height, width = ink.shape
    run, so_far = ink.reshape(n, height * width), 1
    while so_far < length:
        step = min(so_far, length - so_far)
        run = run[:, step * width :] & run[:, : -step * width]
        so_far += step
    return np.asarray(run.any(axis=1))


def _ink_levels(dark: np.ndarray) -> np.ndarray:
    """Return how dark the stroke and its darkest pixels are, away from the edge."""
    n, height, width = dark.shape
    dy, dx = round(0.18 * height), round(0.18 * width)
    inside = dark[:, dy : height - dy, dx : width - dx]
    return _percentiles(inside.reshape(n, -1), _STROKE, _DARKEST, low=False)


def _sums(cells: np.ndarray) -> np.ndarray:
    """Return the sum of each uint8 cell."""
    return cv2.reduce(
        cells.reshape(len(cells), -1), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S
    )[:, 0]


def _percentiles(values: np.ndarray, *shares: float, low: bool = True) -> np.ndarray:
    """Return percentiles of each row of uint8 values, bit by bit.

    One is the largest value that less than the share of its row lies below. To
    compare and count eight times is faster than a histogram of each row, or sorting.
    """
    wanted = np.array(shares)[:, None, None] * values.shape[1]
    below = np.empty((len(shares), *values.shape), dtype=np.uint8)
    value = np.zeros((len(shares), len(values), 1), dtype=np.uint8)

    def too_low(high: np.ndarray) -> np.ndarray:
        np.less(values, high, out=below.view(bool))
        rows = below.reshape(-1, values.shape[1])
        count = cv2.reduce(rows, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        return count.reshape(value.shape) < wanted

    bits = [128, 64, 32, 16, 8, 4, 2, 1]
    # The paper needs low bits only: one look more, or four less. Ink needs all.
    if low and not too_low(value + np.uint8(16)).any():
        bits = bits[4:]
    for bit in bits:
        higher = value + np.uint8(bit)
        value = np.where(too_low(higher), higher, value)
    return value[:, :, 0].astype(np.float32)


def measure(dark: np.ndarray, noise: np.ndarray) -> CleanCells:
    """Take the cells as they are and measure their ink."""
    mask, _ = _ink_mask(dark, np.maximum(_FLOOR, 3.0 * noise))
    pieces = Pieces(dark, mask)
    clean = pieces.collect(np.ones(len(pieces.area), dtype=bool))
    return CleanCells(dark.astype(np.float32), clean.level, clean.box)

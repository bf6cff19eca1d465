"""Find printed box frames in cells: darkness in, the mask of frame and beyond out.

A frame line runs from end to end of a cell near one of its edges; a pen stroke
seldom does. So each side is searched for the darkest path that runs its whole
length with small sideways steps, which follows lines that are tilted or bent, and
the path counts as a frame only if it is dark nearly everywhere. What is darker than
the print is elsewhere along it is a stroke drawn on the line or across it, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["find_frames"]

# How far from the edge a frame is looked for, as a share of the side. Cells show
# 0.15 of the box around it, so the frame is expected at 0.12; boxes cut without
# a margin, or off by a twelfth, are still within reach. Further in, the stem of a
# block 8 is taken for the side that a box lacks (benchmarks/cleaning.py, 0.27).
_REACH = 0.2
# Share of the middle of the path that has to be dark. A bar of a blocky 5 or 7
# covers at most two thirds of it.
_COVERED = 0.85
# Price of a sideways step of one pixel, in pixels of full darkness.
_STEP_PRICE = 0.35
# Where a frame is expected, as a share of the side (a margin of 0.15 around the
# box), and the price of each pixel off it: of two lines, such as the frame of the
# box and that of the table around it, the likelier is taken.
_EXPECTED = 0.115
_OFF_PRICE = 0.01
# A single line, or a second one, has to be dark over this share of the side.
_WHOLE = 0.95
# Sides that together are a frame, each at `_COVERED`.
_SIDES = 3
# Share at each end of a line that is not asked to be dark: beyond the corners.
_CUT_OFF = 0.15
# Darkness of a second line, as a share of the first.
_SECOND = 0.5
# Thickness of a line is its lower than median one over the columns.
_THIN_SHARE = 0.35
# Gaps shorter than this many pixels do not break a line.
_DASH = 7
# How far inwards of its path a line can reach, in pixels, and how far outwards of it
# strokes are looked for.
_INWARDS, _OUTWARDS = 4, 6
# Ink on a line that is darker than print by this share of the line is pen; print is
# what this share of the line's columns does not exceed: the bar of a 7 covers up to
# three quarters of it (benchmarks/cleaning.py).
_OVER, _PRINT_SHARE = 0.25, 0.2


def find_frames(dark: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels are frame or print beyond it, and how dark frames are.

    Parameters
    ----------
    dark : ndarray of shape (n_cells, height, width)
        float32, darkness above the paper.
    noise : ndarray of shape (n_cells,)
        Darkness below which nothing counts as a line.

    Returns
    -------
    beyond : ndarray of shape (n_cells, height, width)
        bool.
    darkness : ndarray of shape (n_cells,)
        float32, of the palest line that is part of a frame; 0 without a frame.
    """
    mask = np.zeros(dark.shape, dtype=bool)
    # Each view has the side to search on top; square cells share one call.
    views = [v for v in (dark, dark.swapaxes(1, 2)) for v in (v, v[:, ::-1])]
    masks = [m for m in (mask, mask.swapaxes(1, 2)) for m in (m, m[:, ::-1])]
    square = dark.shape[1] == dark.shape[2]
    groups = [slice(0, 4)] if square else [slice(0, 2), slice(2, 4)]
    palest = np.full(len(dark), np.inf, dtype=np.float32)
    for group in groups:
        reach = max(3, round(_REACH * views[group][0].shape[1])) + _INWARDS
        bands = np.concatenate([view[:, :reach] for view in views[group]])
        beyond, darkness = _side(bands, noise, len(views[group]))
        for out, found in zip(
            masks[group], np.split(beyond, len(views[group])), strict=True
        ):
            out[:, :reach] |= found
        palest = np.minimum(palest, darkness.reshape(-1, len(dark)).min(axis=0))
    return mask, np.where(np.isfinite(palest), palest, 0)


def _side(
    band: np.ndarray, noise: np.ndarray, n_sides: int
) -> tuple[np.ndarray, np.ndarray]:
    """Search bands whose outer edge is row 0: mask, darkness (inf where none)."""
    noise = np.tile(noise, n_sides)
    line = _find_line(band, noise, join=_DASH)
    # One line alone can be a long stroke; three sides of a square are a frame.
    sides = line.likely.reshape(n_sides, -1).sum(axis=0)
    line.likely &= np.tile(sides >= min(_SIDES, n_sides), n_sides) | line.whole
    beyond = line.beyond(band.shape)
    beyond &= ~_pen_on(band, line, noise)
    # What was found may be the line of a table, and the box frame further in.
    rest = np.where(beyond, 0, band)
    cut = round(_CUT_OFF * band.shape[2])
    middle = np.minimum(rest[:, :, cut:-cut], line.typical[:, None, None])
    rows = np.maximum(middle[:, 1:], middle[:, :-1])
    second = rows.mean(axis=2).max(axis=1) > 0.7 * line.typical
    again = np.flatnonzero(line.likely & second)
    if len(again):
        inner = _find_line(rest[again], noise[again], join=1)
        inner.likely &= inner.unbroken & (inner.typical > _SECOND * line.typical[again])
        more = inner.beyond((len(again), *band.shape[1:]))
        beyond[again] |= more & ~_pen_on(rest[again], inner, noise[again])
    return beyond, np.where(line.likely, line.typical, np.inf)


@dataclass
class _Line:
    """Hold the best line along each band and whether it is a frame.

    `path` is its row at each column and `inner` the last row of it, `typical` its
    darkness.
    """

    path: np.ndarray
    inner: np.ndarray
    typical: np.ndarray
    likely: np.ndarray
    whole: np.ndarray
    unbroken: np.ndarray

    def beyond(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the mask of the lines that are frames and of all beyond them."""
        rows = np.arange(shape[1])[:, None]
        return (rows <= self.inner[:, None]) & self.likely[:, None, None]


def _find_line(band: np.ndarray, noise: np.ndarray, *, join: int) -> _Line:
    reach, length = band.shape[1] - _INWARDS, band.shape[2]
    strength = band[:, :reach].mean(axis=2).max(axis=1)
    level = np.maximum(0.7 * strength, noise)
    path = _best_path(np.minimum(band[:, :reach] / level[:, None, None], 1))
    cells, columns = np.arange(len(band))[:, None], np.arange(length)
    on_path = np.maximum(band[cells, path, columns], band[cells, path + 1, columns])
    # A thin line that was scanned coarsely is a row of dashes: join them.
    on_path = cv2.morphologyEx(on_path, cv2.MORPH_CLOSE, np.ones((1, join), np.uint8))
    typical = np.median(on_path, axis=1)
    there = on_path > 0.45 * typical[:, None]
    middle, nearly_all = (
        there[:, round(cut * length) : length - round(cut * length)].mean(axis=1)
        for cut in (_CUT_OFF, 0.06)
    )
    straight = _bend(path) <= max(0.75, 0.02 * length)
    likely = (middle >= _COVERED) & (typical > 2 * noise) & straight
    inner = path + _thickness(band, path, typical)[:, None]
    return _Line(path, inner, typical, likely, nearly_all >= _WHOLE, middle >= _WHOLE)


def _pen_on(band: np.ndarray, line: _Line, noise: np.ndarray) -> np.ndarray:
    """Return which pixels on a line or beyond it are darker than print: pen strokes.

    What print looks like, at each distance from the path, is what its palest columns
    look like there, one pixel to either side allowed for.
    """
    n, height, length = band.shape
    columns = np.arange(round(_CUT_OFF * length), length - round(_CUT_OFF * length))
    offset = np.arange(-_OUTWARDS, _INWARDS + 2)[:, None]
    rows = line.path[:, None, columns] + offset
    inside = (rows >= 0) & (rows <= line.inner[:, None, columns])
    at = np.clip(rows, 0, height - 1) * length + columns
    at += (np.arange(n) * (height * length))[:, None, None]
    along = band.ravel()[at] * inside
    k = int(_PRINT_SHARE * len(columns))
    profile = np.partition(along, k, axis=2)[:, :, k]
    print_ = cv2.dilate(profile, np.ones((1, 3), np.uint8))
    most = print_ + np.maximum(_OVER * line.typical, noise)[:, None]
    pen = np.zeros(band.size, dtype=bool)
    pen[at[inside & (along > most[:, :, None])]] = True
    return pen.reshape(band.shape)


def _best_path(score: np.ndarray) -> np.ndarray:
    """Return the row of the best path at each column, ``(n, length)``."""
    n, reach, columns = score.shape
    # Two columns a step halve the time; an odd last column goes with its neighbour.
    length = columns // 2
    off = np.abs(np.arange(reach) - reach * _EXPECTED / _REACH)
    gain = score[:, :, : 2 * length : 2] + score[:, :, 1 : 2 * length : 2]
    gain -= (2 * _OFF_PRICE * off[:, None]).astype(np.float32)
    gain = np.ascontiguousarray(gain.transpose(2, 1, 0))
    total = np.full((reach + 2, n), -np.inf, dtype=np.float32)
    total[1:-1] = gain[0]
    came = np.zeros((length, reach, n), dtype=np.int8)
    for column in range(1, length):
        stay = total[1:-1]
        up = total[:-2] - _STEP_PRICE
        down = total[2:] - _STEP_PRICE
        side = np.maximum(up, down)
        came[column] = (side > stay) * np.where(up >= down, np.int8(-1), np.int8(1))
        total[1:-1] = np.maximum(stay, side) + gain[column]
    path = np.empty((n, length), dtype=np.intp)
    row = total[1:-1].argmax(axis=0)
    everyone = np.arange(n)
    for column in range(length - 1, -1, -1):
        path[:, column] = row
        row = row + came[column, row, everyone]
    return np.pad(np.repeat(path, 2, axis=1), ((0, 0), (0, columns % 2)), mode="edge")


def _thickness(band: np.ndarray, path: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Return how many pixels the line reaches inwards of its path."""
    columns = np.arange(0, band.shape[2], 2)
    rows = path[:, None, columns] + np.arange(_INWARDS + 1)[:, None]
    profile = band[np.arange(len(band))[:, None, None], rows, columns]
    # Not the median: a stroke along half of the line would make it look thicker.
    profile.partition(int(_THIN_SHARE * profile.shape[2]), axis=2)
    profile = profile[:, :, int(_THIN_SHARE * profile.shape[2])]
    # It ends where the ink fades, or grows again towards a stroke beside it.
    ends = profile < 0.3 * typical[:, None]
    ends[:, 2:] |= profile[:, 2:] > profile[:, 1:-1]
    ends[:, 0] = False
    return np.where(ends.any(axis=1), ends.argmax(axis=1), _INWARDS)


def _bend(path: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of paths from straight lines."""
    x = np.linspace(-1, 1, path.shape[1])
    centred = path - path.mean(axis=1, keepdims=True)
    slope = (centred * x).sum(axis=1) / (x**2).sum()
    return np.sqrt(((centred - slope[:, None] * x) ** 2).mean(axis=1))

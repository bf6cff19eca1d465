"""Find printed box frames in cells: darkness in, the mask of frame and beyond out.

A frame line runs from end to end of a cell near one of its edges; a pen stroke
seldom does. So each side is searched for the darkest path that runs its whole
length with small sideways steps, which follows lines that are tilted or bent, and
the path counts as a frame only if it is dark nearly everywhere. What is darker than
the print is elsewhere along it is a stroke drawn on the line or across it, and stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sktally.cells._path import best_paths

__all__ = ["find_frames"]

# How far from the edge a frame is looked for, as a share of the side. Cells show
# 0.15 of the box around it, so the frame is expected at 0.12; boxes cut without
# a margin, or off by a twelfth, are still within reach. Further in, the stem of a
# block 8 is taken for the side that a box lacks (benchmarks/cleaning.py, 0.27).
_REACH = 0.2
# Share of the middle of the path that has to be dark. A bar of a blocky 5 or 7
# covers at most two thirds of it.
_COVERED = 0.85
# Where a frame is expected, as a share of the side (a margin of 0.15 around the box).
_EXPECTED = 0.115
# A single line, or a second one, has to be dark over this share of the side.
_WHOLE = 0.95
# Sides that together are a frame, each at `_COVERED`.
_SIDES = 3
# Share at each end of a line that is not asked to be dark: beyond the corners.
_CUT_OFF = 0.15
# Darkness of a second line, as a share of the first.
_SECOND = 0.5
# What is darker than this share of a line's darkness is on it.
_THERE = 0.45
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
        uint8, darkness above the paper.
    noise : ndarray of shape (n_cells,)
        float32, darkness below which nothing counts as a line.

    Returns
    -------
    beyond : ndarray of shape (n_cells, height, width)
        bool.
    darkness : ndarray of shape (n_cells,)
        float32, of the palest line that is part of a frame; 0 without a frame.
    """
    mask = np.zeros(dark.shape, dtype=bool)
    turned = np.zeros(dark.swapaxes(1, 2).shape, dtype=bool)
    # Each view has the side to search on top; those of one shape share all calls.
    views = [v for v in (dark, dark.swapaxes(1, 2)) for v in (v, v[:, ::-1])]
    masks = [m for m in (mask, turned) for m in (m, m[:, ::-1])]
    square = dark.shape[1] == dark.shape[2]
    groups = [slice(0, 4)] if square else [slice(0, 2), slice(2, 4)]
    bands = []
    for group in groups:
        reach = max(3, round(_REACH * views[group][0].shape[1])) + _INWARDS
        bands.append(np.concatenate([view[:, :reach] for view in views[group]]))
    palest = np.full(len(dark), np.inf, dtype=np.float32)
    for group, (beyond, darkness) in zip(groups, _search(bands, noise), strict=True):
        found = beyond.reshape(-1, len(dark), *beyond.shape[1:])
        for out, side in zip(masks[group], found, strict=True):
            out[:, : side.shape[1]] |= side
        palest = np.minimum(palest, darkness.reshape(-1, len(dark)).min(axis=0))
    mask |= turned.swapaxes(1, 2)
    return mask, np.where(np.isfinite(palest), palest, 0)


def _search(
    bands: list[np.ndarray], noise: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Search bands whose outer edge is row 0: mask, darkness (inf where none)."""
    noises = [np.tile(noise, len(band) // len(noise)) for band in bands]
    lines = _find_lines(bands, noises, join=_DASH)
    masks, more = [], []
    for band, line, floor in zip(bands, lines, noises, strict=True):
        # One line alone can be a long stroke; three sides of a square are a frame.
        n_sides = len(band) // len(noise)
        sides = line.likely.reshape(n_sides, -1).sum(axis=0)
        line.likely &= np.tile(sides >= min(_SIDES, n_sides), n_sides) | line.whole
        mask = _beyond(band, line, floor)
        # What was found may be the line of a table, and the box frame further in.
        rest = band * ~mask
        again = _may_hold_second(rest, line)
        if len(again):
            more.append((mask, again, rest[again], floor[again], line.typical[again]))
        masks.append(mask)
    if more:
        _add_second(*zip(*more, strict=True))
    return [
        (mask, np.where(line.likely, line.typical, np.inf))
        for mask, line in zip(masks, lines, strict=True)
    ]


def _add_second(
    masks: Sequence[np.ndarray],
    again: Sequence[np.ndarray],
    rests: Sequence[np.ndarray],
    noises: Sequence[np.ndarray],
    firsts: Sequence[np.ndarray],
) -> None:
    """Add to the masks what lies beyond second lines, further in, of some bands."""
    lines = _find_lines(rests, noises, join=1)
    for i, line in enumerate(lines):
        line.likely &= line.unbroken & (line.typical > _SECOND * firsts[i])
        if line.likely.any():
            masks[i][again[i]] |= _beyond(rests[i], line, noises[i])


def _may_hold_second(rest: np.ndarray, line: _Line) -> np.ndarray:
    """Return the bands with a line in which there may be a second one."""
    reach, cut = rest.shape[1] - _INWARDS, round(_CUT_OFF * rest.shape[2])
    # For an unbroken line nearly each column must have a pixel that could be on it.
    # Few bands have: the costlier look is left to them, and mostly the search.
    least = _THERE * (_SECOND * line.typical)
    columns = rest[:, : reach + 1].max(axis=1)[:, cut:-cut] > least[:, None]
    at = np.flatnonzero(line.likely & (_share(columns) >= _WHOLE))
    if not len(at):
        return at
    typical = line.typical[at]
    inside = rest[at, :, cut:-cut]
    pairs = np.maximum(inside[:, 1:], inside[:, :-1])
    rows = np.minimum(pairs, typical[:, None, None])
    return at[rows.mean(axis=2).max(axis=1) > 0.7 * typical]


@dataclass
class _Line:
    """Hold the best line along each band and whether it is a frame.

    `path` is its row at each column and `at` that pixel in the flat bands, `inwards`
    how many more rows it has, `typical` its darkness.
    """

    path: np.ndarray
    at: np.ndarray
    inwards: np.ndarray
    typical: np.ndarray
    likely: np.ndarray
    whole: np.ndarray
    unbroken: np.ndarray


def _find_lines(
    bands: Sequence[np.ndarray], noises: Sequence[np.ndarray], *, join: int
) -> list[_Line]:
    """Return the best line along each of the uint8 bands of each shape."""
    scores = [_score(band, noise) for band, noise in zip(bands, noises, strict=True)]
    paths = best_paths(scores, [s.shape[1] * _EXPECTED / _REACH for s in scores])
    return [
        _line(band, path, noise, join=join)
        for band, path, noise in zip(bands, paths, noises, strict=True)
    ]


def _score(band: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return how dark pixels are beside the darkest row, ``(columns, rows, n)``."""
    n, height, length = band.shape
    rows = cv2.reduce(
        band.reshape(-1, length), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S
    ).reshape(n, height)[:, :-_INWARDS]
    strength = rows.max(axis=1).astype(np.float32) / np.float32(length)
    turned = np.ascontiguousarray(band[:, :-_INWARDS].transpose(2, 1, 0))
    score = turned.astype(np.float32)
    score /= np.maximum(0.7 * strength, noise)
    return np.minimum(score, 1, out=score)


def _line(band: np.ndarray, path: np.ndarray, noise: np.ndarray, *, join: int) -> _Line:
    """Measure the line along the path of each band."""
    n, height, length = band.shape
    at = path * length + np.arange(length)
    at += (np.arange(n) * (height * length))[:, None]
    pixels = band.ravel()
    on_path = np.maximum(pixels.take(at), pixels.take(at + length))
    if join > 1:
        # A thin line that was scanned coarsely is a row of dashes: join them.
        kernel = np.ones((1, join), np.uint8)
        on_path = cv2.morphologyEx(on_path, cv2.MORPH_CLOSE, kernel)
    on_path = on_path.astype(np.float32)
    ordered = np.sort(on_path, axis=1)
    typical = (ordered[:, (length - 1) // 2] + ordered[:, length // 2]) / 2
    there = on_path > _THERE * typical[:, None]
    middle, nearly_all = (
        _share(there[:, round(cut * length) : length - round(cut * length)])
        for cut in (_CUT_OFF, 0.06)
    )
    straight = _bend(path) <= max(0.75, 0.02 * length)
    likely = (middle >= _COVERED) & (typical > 2 * noise) & straight
    inwards = _inwards(band, at, typical)
    whole, unbroken = nearly_all >= _WHOLE, middle >= _WHOLE
    return _Line(path, at, inwards, typical, likely, whole, unbroken)


def _share(marked: np.ndarray) -> np.ndarray:
    """Return the share of each row that is True."""
    return marked.sum(axis=1) / marked.shape[1]


def _beyond(band: np.ndarray, line: _Line, noise: np.ndarray) -> np.ndarray:
    """Return the mask of the lines that are frames and of all beyond, but for pen."""
    last = np.where(line.likely[:, None], line.path + line.inwards[:, None], -1)
    rows = np.arange(band.shape[1], dtype=np.int8)[:, None]
    beyond = rows <= last.astype(np.int8)[:, None]
    beyond.ravel()[_pen_on(band, line, noise)] = False
    return beyond


def _pen_on(band: np.ndarray, line: _Line, noise: np.ndarray) -> np.ndarray:
    """Return which pixels on a line or beyond it are darker than print: pen strokes.

    What print looks like, at each distance from the path, is what its palest columns
    look like there, one pixel to either side allowed for. Pixels come as indices of
    the flat bands.
    """
    length = band.shape[2]
    cut = round(_CUT_OFF * length)
    offset = np.arange(-_OUTWARDS, _INWARDS + 1)[:, None]
    at = line.at[:, None, cut : length - cut] + offset * length
    small = offset.astype(np.int8)
    inside = small >= -line.path.astype(np.int8)[:, None, cut : length - cut]
    inside &= small <= line.inwards[:, None, None]
    # Indices of rows above a band are of the band before, and from the end in the
    # first: `inside` drops them.
    along = band.ravel().take(at)
    along *= inside
    # Every second column shows well enough what print looks like.
    profile = along[:, :, ::2].astype(np.float32)
    k = int(_PRINT_SHARE * profile.shape[2])
    profile.partition(k, axis=2)
    profile = profile[:, :, k]
    print_ = profile.copy()
    np.maximum(print_[:, 1:], profile[:, :-1], out=print_[:, 1:])
    np.maximum(print_[:, :-1], profile[:, 1:], out=print_[:, :-1])
    most = print_ + np.maximum(_OVER * line.typical, noise)[:, None]
    most = most.clip(0, 255).astype(np.uint8)  # whole: as good to be exceeded by whole
    return at[along > most[:, :, None]]


def _inwards(band: np.ndarray, at: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Return how many pixels the line reaches inwards of its path."""
    offset = np.arange(_INWARDS + 1)[:, None] * band.shape[2]
    profile = band.ravel().take(at[:, None, ::2] + offset).astype(np.float32)
    # Not the median: a stroke along half of the line would make it look thicker.
    k = int(_THIN_SHARE * profile.shape[2])
    profile.partition(k, axis=2)
    profile = profile[:, :, k]
    # It ends where the ink fades, or grows again towards a stroke beside it.
    ends = profile < 0.3 * typical[:, None]
    ends[:, 2:] |= profile[:, 2:] > profile[:, 1:-1]
    ends[:, 0] = False
    return np.where(ends.any(axis=1), ends.argmax(axis=1), _INWARDS).astype(np.int8)


def _bend(path: np.ndarray) -> np.ndarray:
    """Return the root mean square distance of paths from straight lines."""
    length = path.shape[1]
    x, square = _even(length)
    centred = path - path.sum(axis=1, keepdims=True) / length
    slope = (centred * x).sum(axis=1) / square
    centred -= slope[:, None] * x
    centred *= centred
    return np.sqrt(centred.sum(axis=1) / length)


@lru_cache
def _even(length: int) -> tuple[np.ndarray, float]:
    """Return evenly spaced numbers from -1 to 1 and the sum of their squares."""
    x = np.linspace(-1, 1, length)
    x.flags.writeable = False
    return x, float((x**2).sum())

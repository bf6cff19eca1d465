"""Find marks on a page, to a fraction of a pixel.

Comes in: a grey page and a mark of a form. Goes out: the places on the page that
look like it, with a normalised correlation each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor, log2

import cv2
import numpy as np

from sktally.pages._marks import NOISE_LEVEL, DrawnMark, Mark, draw_mark

__all__ = ["find_marks", "match_mark", "match_marks"]

_STEPS = 16  # scales an octave at which marks are matched
_WIDTHS = 4  # windows are so many pixels wide, or a multiple
_SMALL = 128  # pixels up to which matrix products are faster than other ways


def _correlate(images: np.ndarray, drawn: DrawnMark) -> np.ndarray:
    """Return the weighted normalised correlation of dark parts of images with ink."""
    images = images.astype(np.float32)
    images -= images.sum() / np.float32(images.size)
    _, power, n = drawn.pattern
    if drawn.profile is not None and max(images.shape[1:]) <= _SMALL:
        top, total, squares = _by_bars(images, drawn)
    else:
        sums = [_by_template(image, drawn) for image in images]
        top, total, squares = (np.stack(one) for one in zip(*sums, strict=True))
    spread = np.maximum(squares - total * total / n, 0) + n * NOISE_LEVEL**2
    score: np.ndarray = top / np.sqrt(spread * power)
    return score.astype(np.float32)


def _by_template(image: np.ndarray, drawn: DrawnMark) -> tuple[np.ndarray, ...]:
    """Return the sums under a mark: of image by pattern, the image, its square."""
    top = cv2.matchTemplate(image, drawn.pattern[0], cv2.TM_CCORR)
    if drawn.is_full:
        h, w = drawn.weight.shape
        sums = cv2.integral2(image)
        total, squares = (
            (t[h:, w:] - t[:-h, w:] - t[h:, :-w] + t[:-h, :-w]) for t in sums
        )
    else:
        total = cv2.matchTemplate(image, drawn.weight, cv2.TM_CCORR)
        squares = cv2.matchTemplate(image * image, drawn.weight, cv2.TM_CCORR)
    return top, total, squares


def _by_bars(images: np.ndarray, drawn: DrawnMark) -> tuple[np.ndarray, ...]:
    """Return what `_by_template` does for a rectangle: the product of two bars."""
    inked_y, all_y, inked_x, all_x = _bars(drawn, *images.shape[1:])
    total = all_y @ images @ all_x
    share = drawn.ink.sum() / drawn.ink.size
    return (
        share * total - inked_y @ images @ inked_x,
        total,
        all_y @ (images * images) @ all_x,
    )


@lru_cache(maxsize=64)
def _bars(drawn: DrawnMark, height: int, width: int) -> tuple[np.ndarray, ...]:
    """Return the matrices that sum columns, then rows, under a bar and its surround."""
    assert drawn.profile
    found = []
    for bar, length in zip(drawn.profile[::-1], (height, width), strict=True):
        for weights in (bar, np.ones_like(bar)):
            shifts = range(length - len(bar) + 1)
            padded = [np.pad(weights, (i, length - len(bar) - i)) for i in shifts]
            found.append(np.stack(padded))
    inked_y, all_y, inked_x, all_x = found
    return inked_y, all_y, inked_x.T.copy(), all_x.T.copy()


def _peak(scores: np.ndarray, least: float = -1.0) -> tuple[np.ndarray | None, float]:
    """Return x, y of the highest value, to a fraction of a pixel, and the value.

    No place if the value is below `least`.
    """
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    if best < least:
        return None, best
    rows, columns = scores.shape
    place = np.array([x, y], float)
    if 0 < x < columns - 1:
        place[0] += _vertex(*scores[y, x - 1 : x + 2].tolist())
    if 0 < y < rows - 1:
        place[1] += _vertex(*scores[y - 1 : y + 2, x].tolist())
    return place, best


def _vertex(before: float, middle: float, after: float) -> float:
    """Return where the parabola through three values is highest, -0.5 to 0.5."""
    bend = before - 2 * middle + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def find_marks(
    image: np.ndarray,
    drawn: DrawnMark,
    *,
    windows: Sequence[tuple[float, float, float, float]],
    count: int,
    least: float = 0.2,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the best places of a mark inside each of some windows of a page.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Page at search scale, uint8 or float32, the form nearly upright.
    drawn : DrawnMark
        What to look for, from `draw_mark`.
    windows : sequence of tuple of float
        x1, y1, x2, y2 in pixels where the reference point may lie.
    count : int
        At most so many places in each, best first, no two overlapping.
    least : float, default=0.2
        Correlation below which nothing counts as found.

    Returns
    -------
    list of (xy, scores)
        For each window the places of the reference point in pixels, ``(n, 2)``, and
        the normalised correlations, -1 to 1, ``(n,)``.
    """
    found = [(np.empty((0, 2)), np.empty(0))] * len(windows)
    alike: dict[tuple[int, ...], list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for i, window in enumerate(windows):
        part, corner = _window(image, drawn, window)
        if part is not None:
            alike.setdefault(part.shape, []).append((i, part, corner))
    for some in alike.values():  # windows of one size share the calls
        which, parts, corners = zip(*some, strict=True)
        for i, scores, corner in zip(
            which, _correlate(np.stack(parts), drawn), corners, strict=True
        ):
            xy, values = _peaks(scores, count, least, max(2, min(drawn.ink.shape) // 2))
            found[i] = xy + (corner + drawn.at), values
    return found


def _window(
    image: np.ndarray, drawn: DrawnMark, window: tuple[float, float, float, float]
) -> tuple[np.ndarray | None, np.ndarray]:
    """Cut out what a mark covers whose reference point is anywhere in a window.

    None if the window is off the page. Also returned is the corner, x and y.
    """
    height, width = image.shape
    x1, y1, x2, y2 = window
    x1, x2 = _span(x1, x2, width)
    y1, y2 = _span(y1, y2, height)
    left, top = (near - int(at) for near, at in zip((x1, y1), drawn.at, strict=True))
    if x2 < x1 or y2 < y1:
        return None, np.array([left, top])
    right = left + (x2 - x1) + drawn.ink.shape[1]
    bottom = top + (y2 - y1) + drawn.ink.shape[0]
    part = image[max(0, top) : bottom, max(0, left) : right]
    # A mark may touch the edge of a scan: beyond it the paper goes on.
    above, below = max(0, -top), max(0, bottom - height)
    before, behind = max(0, -left), max(0, right - width)
    if above or below or before or behind:
        sides, paper = (above, below, before, behind), _paper(part)
        part = cv2.copyMakeBorder(part, *sides, cv2.BORDER_CONSTANT, value=paper)
    return part, np.array([left, top])


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """Return the first and last pixel of a span cut to a row, none if first > last.

    It is up to 3 pixels wider than asked for, so that most spans are of few widths.
    """
    first, last = max(0, floor(low)), min(length - 1, floor(high))
    if first <= last:
        last = first + _WIDTHS * ceil((last - first + 1) / _WIDTHS) - 1
        first, last = max(0, first - max(0, last - length + 1)), min(last, length - 1)
    return first, last


def _peaks(
    scores: np.ndarray, count: int, least: float, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest places of a map of scores, each further off than `radius`.

    The map is overwritten.
    """
    xy, values = [], []
    for _ in range(count):
        place, value = _peak(scores, least)
        if place is None:
            break
        xy.append(place)
        values.append(value)
        cx, cy = (round(value) for value in place.tolist())
        scores[
            max(0, cy - radius) : cy + radius + 1, max(0, cx - radius) : cx + radius + 1
        ] = -1
    return np.array(xy).reshape(-1, 2), np.array(values)


def _paper(part: np.ndarray) -> float:
    """Return the grey level that a fifth of a part of a page exceeds."""
    some = part[::3, ::3].ravel()
    if not some.size:
        return 255.0
    at = int(0.8 * (some.size - 1))
    return float(np.partition(some, at)[at])


def match_mark(
    image: np.ndarray,
    mark: Mark,
    *,
    xy: np.ndarray,
    jacobian: np.ndarray,
    scale: float,
    radius: float,
) -> tuple[np.ndarray, float]:
    """Match a mark near a place on a skew page, in a small window set upright.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Page.
    mark : Mark
        What to look for.
    xy : ndarray of shape (2,)
        Expected place in page pixels.
    jacobian : ndarray of shape (2, 2)
        Page pixels per form unit at that place.
    scale : float
        Pixels per form unit of the upright window.
    radius : float
        How far to search, in form units.

    Returns
    -------
    xy : ndarray of shape (2,)
        Where it is in page pixels.
    score : float
        Normalised correlation, -1 to 1.
    """
    (place,), (score,) = match_marks(
        image,
        [mark],
        xy=xy[None],
        jacobians=jacobian[None],
        scales=[scale],
        radius=radius,
    )
    return place, float(score)


def match_marks(
    image: np.ndarray,
    marks: list[Mark],
    *,
    xy: np.ndarray,
    jacobians: np.ndarray,
    scales: list[float],
    radius: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Match several marks as `match_mark` does, those that look alike all at once.

    ``xy`` is ``(n, 2)``, ``jacobians`` ``(n, 2, 2)``; both answers have n rows.
    """
    alike: dict[tuple[int, float], tuple[DrawnMark, list[int]]] = {}
    for i, (mark, scale) in enumerate(zip(marks, scales, strict=True)):
        # The window is set upright at any scale: at one of few, the drawing is kept.
        scale = 2.0 ** (round(_STEPS * log2(scale)) / _STEPS)
        drawn = draw_mark(mark, (scale, scale), 30.0)
        alike.setdefault((id(drawn), scale), (drawn, []))[1].append(i)
    found, scores = xy.astype(float), np.empty(len(xy))
    for (_, scale), (drawn, which) in alike.items():
        linear = jacobians[which] / scale
        # The second time around is centred on the first answer, for sub-pixels.
        for reach in (max(2, round(radius * scale)), 2):
            found[which], scores[which] = _match_upright(
                image, drawn, found[which], linear, reach
            )
    return found, scores


def _match_upright(
    image: np.ndarray,
    drawn: DrawnMark,
    xy: np.ndarray,
    linear: np.ndarray,
    reach: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Match a drawn mark in windows of which `linear` leads to page pixels."""
    at, (height, width) = drawn.at, drawn.ink.shape
    origin = xy - linear @ (at + reach)
    size = (width + 2 * reach, height + 2 * reach)
    windows = np.empty((len(xy), size[1], size[0]), image.dtype)
    matrices = np.concatenate([linear, origin[:, :, None]], axis=2)
    for window, matrix in zip(windows, matrices, strict=True):
        cv2.warpAffine(
            image,
            matrix,
            size,
            dst=window,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=255.0,
        )
    places, scores = np.empty((len(xy), 2)), np.empty(len(xy))
    for i, correlation in enumerate(_correlate(windows, drawn)):
        places[i], scores[i] = _peak(correlation)
    # Still rising at the edge: the slope of something further off.
    rising = (places.min(axis=1) < 0.5) | (places.max(axis=1) > 2 * reach - 0.5)
    scores[rising] = 0.0
    return origin + (linear @ (places + at)[..., None])[..., 0], scores

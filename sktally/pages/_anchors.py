"""Find marks on a page, to a fraction of a pixel.

Comes in: a grey page and a mark of a form. Goes out: the places on the page that
look like it, with a normalised correlation each.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally.pages._marks import NOISE_LEVEL, DrawnMark, Mark, draw_mark

__all__ = ["find_mark", "match_mark"]

_STEPS = 16  # scales an octave at which marks are matched


def _correlate(image: np.ndarray, drawn: DrawnMark) -> np.ndarray:
    """Return the weighted normalised correlation of dark image parts with ink."""
    image = image - np.float32(cv2.mean(image)[0])
    pattern, power, n = drawn.pattern
    top = cv2.matchTemplate(image, pattern, cv2.TM_CCORR)
    if drawn.is_full:
        h, w = drawn.weight.shape
        sums = cv2.integral2(image)
        total, squares = (
            (t[h:, w:] - t[:-h, w:] - t[h:, :-w] + t[:-h, :-w]) for t in sums
        )
    else:
        total = cv2.matchTemplate(image, drawn.weight, cv2.TM_CCORR)
        squares = cv2.matchTemplate(image * image, drawn.weight, cv2.TM_CCORR)
    spread = np.maximum(squares - total * total / n, 0) + n * NOISE_LEVEL**2
    score: np.ndarray = top / np.sqrt(spread * power)
    return score.astype(np.float32)


def _peak(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Return x, y of the highest value, to a fraction of a pixel, and the value."""
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    shift = [0.0, 0.0]
    rows, columns = scores.shape
    for axis, (at, length) in enumerate(((x, columns), (y, rows))):
        if 0 < at < length - 1:
            line = scores[y, x - 1 : x + 2] if axis == 0 else scores[y - 1 : y + 2, x]
            before, middle, after = (float(v) for v in line)
            bend = before - 2 * middle + after
            if bend < 0:
                shift[axis] = 0.5 * (before - after) / bend
    return np.array([x + shift[0], y + shift[1]]), float(best)


def find_mark(
    image: np.ndarray,
    drawn: DrawnMark,
    *,
    window: tuple[float, float, float, float],
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best places of a mark inside a window of a page.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        float32 page at search scale, the form nearly upright.
    drawn : DrawnMark
        What to look for, from `draw_mark`.
    window : tuple of float
        x1, y1, x2, y2 in pixels where the reference point may lie.
    count : int
        At most so many places, best first, no two overlapping.

    Returns
    -------
    xy : ndarray of shape (n, 2)
        Places of the reference point in pixels.
    scores : ndarray of shape (n,)
        Normalised correlation, -1 to 1.
    """
    ink, at = drawn.ink, drawn.at
    height, width = image.shape
    x1, y1 = (max(0, int(np.floor(v))) for v in window[:2])
    x2, y2 = min(width - 1, int(window[2])), min(height - 1, int(window[3]))
    if x2 < x1 or y2 < y1:
        return np.empty((0, 2)), np.empty(0)
    left, top = x1 - int(at[0]), y1 - int(at[1])
    right = x2 - int(at[0]) + ink.shape[1]
    bottom = y2 - int(at[1]) + ink.shape[0]
    part = image[max(0, top) : bottom, max(0, left) : right]
    # A mark may touch the edge of a scan: beyond it the paper goes on.
    part = cv2.copyMakeBorder(
        part,
        max(0, -top),
        max(0, bottom - height),
        max(0, -left),
        max(0, right - width),
        cv2.BORDER_CONSTANT,
        value=_paper(part),
    )
    scores = _correlate(part, drawn)
    offset = np.array([left, top]) + at
    radius = max(2, int(0.5 * min(ink.shape)))
    xy, values = [], []
    for _ in range(count):
        place, value = _peak(scores)
        if value < 0.2:
            break
        xy.append(place + offset)
        values.append(value)
        cx, cy = np.round(place).astype(int)
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
    # The window is set upright at any scale: at one of few, the drawing is kept.
    scale = float(2 ** (np.round(_STEPS * np.log2(scale)) / _STEPS))
    drawn = draw_mark(mark, (scale, scale), 30.0)
    score = -1.0
    # The second time around is centred on the first answer, for sub-pixels.
    for reach in (max(2, round(radius * scale)), 2):
        xy, score = _match_upright(image, drawn, xy, jacobian / scale, reach)
    return xy, score


def _match_upright(
    image: np.ndarray,
    drawn: DrawnMark,
    xy: np.ndarray,
    linear: np.ndarray,
    reach: int,
) -> tuple[np.ndarray, float]:
    """Match a drawn mark in a window of which `linear` leads to page pixels."""
    at, (height, width) = drawn.at, drawn.ink.shape
    origin = xy - linear @ (at + reach)
    window = cv2.warpAffine(
        image,
        np.column_stack([linear, origin]),
        (width + 2 * reach, height + 2 * reach),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=255.0,
    )
    place, score = _peak(_correlate(window.astype(np.float32), drawn))
    if min(place) < 0.5 or max(place) > 2 * reach - 0.5:
        score = 0.0  # still rising at the edge: the slope of something further off
    return origin + linear @ (place + at), score

"""Move the boxes of each field onto the frames that are printed around them.

Comes in: a page, a form, and the homography that roughly maps one to the other.
Goes out: the corners of every box on the page, and per field how well its printed
frames fit there. Paper bends and lenses distort, so each field gets its own small
affine correction, and each box a shift.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._frames import (
    BOX,
    STRETCH,
    FramePattern,
    frame_patterns,
    sample_patches,
    take,
)
from sktally.pages._registration import apply_homography, form_quads

__all__ = ["snap_fields"]

_TRIED = 6  # shifts looked at closely; the best coarse one may be a table line
_ELSEWHERE = 0.15  # box heights to another shift worth refining
_GOOD = 0.75  # correlation at which no other shift is refined
_AT_ONCE = 40  # fields; OpenCV samples from images of up to 32,767 rows
_NOISE = 0.05  # variance of an evened-out patch that is bare paper
_CURL = 0.12  # largest move of a single box, as a share of its height
_STAY_BOX = 0.05  # what that move costs, in units of the score


def snap_fields(
    page: np.ndarray,
    form: TallyForm,
    homography: np.ndarray,
    *,
    reach: float = 1.0,
    stay: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the boxes of each field to the frames printed on the page.

    A rectified patch around every field is sampled, evened out, and compared with
    the drawn frames: dark on the lines, light beside them. All moves within
    `reach` are tried, then size and slant are refined. Ink inside the boxes and
    neighbouring print hardly matter because only the lines and a narrow band
    beside them are looked at.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8 grey page, dark ink on light paper.
    form : TallyForm
        Fields with ``frame`` > 0 are snapped. The lines of a frame are centred on
        the edges of its box.
    homography : ndarray of shape (3, 3)
        Form units to page pixels.
    reach : float, default=1.0
        Largest move along y, in box heights; along x it is half of that. It is
        cut to 0.45 of the distance at which another field or box looks alike.
    stay : float, default=0.1
        What a move by `reach` costs, in units of the score: of two places that
        fit about equally well the nearer one wins.

    Returns
    -------
    quads : ndarray of shape (n_fields, n_places, 4, 2)
        float64 corners of every box in page pixels: top left, top right, bottom
        right, bottom left of the form. NaN where a field has no such place.
    field_scores : ndarray of shape (n_fields,)
        Correlation, -1 to 1, of the page with the frames where they were snapped
        to; NaN where a field has no printed frame, whose quads are then plainly
        mapped. A frame outside the page scores about 0.

    Examples
    --------
    >>> import cv2, numpy as np
    >>> from sktally import load_form
    >>> form = load_form("example")
    >>> page = np.full((1100, 850), 255, np.uint8)
    >>> for x, y, w, h in form.box_array().reshape(-1, 4).astype(int) + [4, 7, 0, 0]:
    ...     page = cv2.rectangle(page, (x, y), (x + w, y + h), 0, 3)
    >>> quads, scores = snap_fields(page, form, np.eye(3))
    >>> off = quads[0, 0, 0] - [604, 257]  # drawn 4 right of and 7 below 600, 250
    >>> bool(np.abs(off).max() < 1), bool(scores.min() > 0.8)
    (True, True)
    """
    plain = form_quads(form)
    quads = apply_homography(homography, plain)
    scores = np.full(form.n_fields, np.nan)
    framed = [i for i, field in enumerate(form.fields) if field.frame > 0]
    if not framed:
        return quads, scores
    patterns = frame_patterns(form.fields, float(reach))
    for first in range(0, len(framed), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        moves, own, scored = _snap_some(page, homography, patterns[part], stay)
        for k, (i, pattern) in enumerate(
            zip(framed[part], patterns[part], strict=True)
        ):
            n = len(form.fields[i].rectangles)
            corners = apply_homography(np.linalg.inv(pattern.to_form), plain[i, -n:])
            basis = _basis(corners.reshape(-1, 2), pattern)
            corners += (moves[k] @ basis.reshape(6, -1)).reshape(corners.shape)
            onto = homography @ pattern.to_form
            quads[i, -n:] = apply_homography(onto, corners + own[k, :n, None])
            scores[i] = scored[k]
    return quads, scores


def _snap_some(
    page: np.ndarray,
    homography: np.ndarray,
    patterns: tuple[FramePattern, ...],
    stay: float,
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Return the moves of fields and of their single boxes, and the scores."""
    patches = sample_patches(page, homography, patterns)
    moves, points = _fit(patches, patterns, stay)
    box = np.stack([p.box for p in patterns])
    own = _fit_boxes(patches, points, box)
    points += own[np.arange(len(patterns))[:, None], box]
    values = take(patches, points)
    scores = []
    for k, pattern in enumerate(patterns):
        seen = _in_view(apply_homography(homography @ pattern.to_form, points[k]), page)
        scores.append(_score(values[k], box[k], seen))
    return moves, own, scores


def _basis(points: np.ndarray, pattern: FramePattern) -> np.ndarray:
    """Return what each of six moves does to points, ``(6, n_points, 2)``.

    The moves are shift x, shift y, size x, size y, slant x, slant y; one unit of
    each moves the edge of the field by one pixel of the patch.
    """
    x, y = ((points - pattern.centre) / pattern.half).T
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = [one, none, x, none, y, none]
    along_y = [none, one, none, y, none, x]
    return np.stack([np.stack(along_x), np.stack(along_y)], axis=-1)


def _correlate(values: np.ndarray) -> np.ndarray:
    """Correlate samples ``(..., 2 * n_points)`` with on = 1, beside = 0."""
    half = values.shape[-1] // 2
    mean = values.mean(axis=-1)
    spread = np.sqrt((values * values).mean(axis=-1) - mean * mean + _NOISE)
    contrast = values[..., :half].mean(axis=-1) - values[..., half:].mean(axis=-1)
    return contrast / (2 * spread)


def _fit(
    patches: np.ndarray, patterns: tuple[FramePattern, ...], stay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best moves of each field, ``(n, 6)``, and the points so moved."""
    starts = np.zeros((2, len(patterns), 6))
    for i, (patch, pattern) in enumerate(zip(patches, patterns, strict=True)):
        starts[:, i, :2] = _best_shifts(patch, pattern, stay)
    points = np.stack([p.points for p in patterns])
    basis = np.stack([_basis(p.points, p) for p in patterns])
    limits = np.stack([_limits(p) for p in patterns])

    def value(moves: np.ndarray) -> np.ndarray:
        moved = points + np.einsum("mnk,nkpc->mnpc", moves, basis)
        share = np.abs(moves) / limits
        cost = stay * (share**2) @ [1.0, 1.0, 0.2, 0.2, 0.2, 0.2]
        score = _correlate(take(patches, moved)) - cost
        score[(share[..., 2:] > 1).any(axis=-1)] = -np.inf
        return score

    moves, best = starts[0], np.full(len(patterns), -np.inf)
    for start in starts:
        moves, best = _better(moves, best, _refined(start, value)[None], value)
        if best.min() >= _GOOD:
            break
    for axis in (0, 1):
        moves = _centred(moves, axis, value)
    return moves, points + np.einsum("nk,nkpc->npc", moves, basis)


def _refined(
    moves: np.ndarray, value: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Climb to the nearest best move of each field, ``(n, 6)``."""
    best = value(moves[None])[0]
    for step in (1.0, 0.5, 0.25):
        for axis in (0, 1, 5, 2, 3, 4, 0, 1):
            both = np.zeros((2, 1, 6))
            both[:, 0, axis] = -step, step
            moves, best = _better(moves, best, moves + both, value)
    return moves


def _better(
    old: np.ndarray,
    best: np.ndarray,
    trials: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Take, one by one, the best of trials ``(n_trials, ...)`` where it is better."""
    tried = value(trials)
    which = tried.argmax(axis=0)[None]
    found = np.take_along_axis(tried, which, axis=0)[0]
    chosen = np.take_along_axis(trials, which[..., None], axis=0)[0]
    better = found > best
    return np.where(better[..., None], chosen, old), np.where(better, found, best)


def _centred(
    moves: np.ndarray, axis: int, value: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Move to the vertex of a parabola: on thin lines the best value is a plateau."""
    step = np.zeros(moves.shape[-1])
    step[axis] = 1.0
    low, middle, high = value(np.stack([moves - step, moves, moves + step]))
    bend = low - 2 * middle + high
    good = np.isfinite(bend) & (bend < -1e-6)
    off = np.where(good, low - high, 0.0) / np.where(good, 2 * bend, 1.0)
    return moves + off.clip(-0.5, 0.5)[..., None] * step


def _fit_boxes(patches: np.ndarray, points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return by how much each box then moves by itself, ``(n, n_boxes, 2)``.

    Between creases paper curls: boxes of one field no longer lie on a line.
    """
    rows = np.arange(len(points))[:, None]
    n_boxes = int(box.max()) + 1
    half = points.shape[1] // 2
    weights = (box[:, None] == np.arange(n_boxes)[:, None]).astype(float)
    sign = np.where(np.arange(2 * half) < half, 1.0, -1.0)
    for part in (weights[..., :half], weights[..., half:]):
        part /= np.maximum(part.sum(axis=-1, keepdims=True), 1)
    weights = (weights * sign).astype(np.float32)
    own = np.zeros((len(points), n_boxes, 2))
    spread = 2 * np.sqrt(take(patches, points).var(axis=1)[:, None] + _NOISE)

    def value(own: np.ndarray) -> np.ndarray:
        values = take(patches, points + own[:, rows, box])
        fit = np.moveaxis(weights @ values.transpose(1, 2, 0), 2, 0) / spread
        share = own / (_CURL * BOX)
        fit[(np.abs(share) > 1).any(axis=-1)] = -np.inf
        return fit - _STAY_BOX * (share**2).sum(axis=-1)

    best = value(own[None])[0]
    steps = np.arange(1.0, _CURL * BOX)
    for axis in (1, 0):
        shifts = np.zeros((2 * len(steps), 1, 1, 2))
        shifts[:, 0, 0, axis] = np.concatenate([steps, -steps])
        own, best = _better(own, best, own + shifts, value)
    for axis in (1, 0):
        own = _centred(own, axis, value)
    return own


def _in_view(points: np.ndarray, page: np.ndarray) -> np.ndarray:
    """Tell which points lie on the page."""
    limit = np.array(page.shape[::-1])
    inside = (points >= -0.5) & (points <= limit - 0.5)
    return inside[:, 0] & inside[:, 1]


def _score(values: np.ndarray, box: np.ndarray, seen: np.ndarray) -> float:
    """Return the mean of how the whole field correlates and how its worst box does.

    A field that is one box off still fits with two of three boxes; the third then
    gives it away. What is out of view counts as neither print nor paper.
    """
    values = np.where(seen, values, 0.0)
    on = np.arange(len(values)) < len(values) // 2
    spread = 2 * np.sqrt(values.var() + _NOISE)
    single = [
        values[on & (box == k)].mean() - values[~on & (box == k)].mean()
        for k in np.unique(box)
    ]
    return float(_correlate(values) + min(single) / spread) / 2


def _limits(pattern: FramePattern) -> np.ndarray:
    """Return the largest value of each of the six moves, in patch pixels."""
    width, height = STRETCH * np.maximum(pattern.half, BOX / 2)
    stretch = [width, height, height, width]
    return np.concatenate([np.maximum(pattern.reach, 1e-6), stretch])


def _best_shifts(patch: np.ndarray, pattern: FramePattern, stay: float) -> np.ndarray:
    """Return the best shift within reach, and the best that is elsewhere, (2, 2).

    All are tried coarsely, then finely around the best few. The second is there for
    slanted fields, on which a table line may fit better at first.
    """
    far_x, far_y = pattern.reach.astype(int)
    dx, dy = (np.arange(-far, far + 1, 2) for far in (far_x, far_y))
    shifts = np.stack(np.meshgrid(dx, dy), axis=-1).reshape(-1, 2)
    soft = cv2.GaussianBlur(patch, (0, 0), 1.4)
    score = _shift_scores(soft, pattern.points[::2], shifts, pattern, stay)
    few = shifts[np.argsort(-score, kind="stable")[:_TRIED]]
    around = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    close = (few[:, None] + around).reshape(-1, 2)
    soft = cv2.GaussianBlur(patch, (0, 0), 0.7)
    first = close[
        _shift_scores(soft, pattern.points, close, pattern, stay).argmax()
    ].astype(float)
    elsewhere = np.abs(shifts - first).max(axis=1) > _ELSEWHERE * BOX
    second = shifts[np.where(elsewhere, score, -np.inf).argmax()]
    return np.stack([first, second if elsewhere.any() else first])


def _shift_scores(
    patch: np.ndarray,
    points: np.ndarray,
    shifts: np.ndarray,
    pattern: FramePattern,
    stay: float,
) -> np.ndarray:
    """Score whole-pixel shifts ``(n_shifts, 2)`` less what they cost."""
    height, width = patch.shape
    on = len(points) // 2 * 2
    base = points[:on].round().astype(int)
    x = (base[:, 0] + shifts[:, :1]).clip(0, width - 1)
    y = (base[:, 1] + shifts[:, 1:]).clip(0, height - 1)
    share = shifts / np.maximum(pattern.reach, 1e-6)
    cost = stay * (share**2).sum(axis=1)
    return _correlate(patch.ravel()[y * width + x]) - cost

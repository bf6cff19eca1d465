"""Search for the place of frames on patches: shifts first, then size and slant.

Comes in: evened-out patches and the points of the frames on them. Goes out: the
small affine move of each field that fits best, and the shift of each of its boxes.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from sktally.pages._frames import BOX, STRETCH, Frames, take

__all__ = [
    "NOISE",
    "box_shifts",
    "correlate",
    "fit_boxes",
    "fit_fields",
    "move_basis",
    "strain",
]

NOISE = 0.05  # variance of an evened-out patch that is bare paper
_TRIED = 6  # shifts looked at closely; the best coarse one may be a table line
_ELSEWHERE = 0.15  # box heights to another shift worth refining
_GOOD = 0.75  # correlation at which no other shift is refined
_CURL = 0.25  # largest move of a single box, as a share of its height
_STAY_BOX = 0.05  # what that move costs, in units of the score


def correlate(values: np.ndarray) -> np.ndarray:
    """Correlate samples ``(..., 2 * n_points)`` with on = 1, beside = 0."""
    half = values.shape[-1] // 2
    mean = values.mean(axis=-1)
    spread = np.sqrt((values * values).mean(axis=-1) - mean * mean + NOISE)
    contrast = values[..., :half].mean(axis=-1) - values[..., half:].mean(axis=-1)
    return contrast / (2 * spread)


def move_basis(points: np.ndarray, frames: Frames) -> np.ndarray:
    """Return what each of six moves does to points, ``(n, 6, n_points, 2)``.

    The moves are shift x, shift y, size x, size y, slant x, slant y; one unit of
    each moves the edge of the field by one pixel of the patch.
    """
    x, y = np.moveaxis((points - frames.centre[:, None]) / frames.half[:, None], -1, 0)
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = np.stack([one, none, x, none, y, none], axis=1)
    along_y = np.stack([none, one, none, y, none, x], axis=1)
    return np.stack([along_x, along_y], axis=-1)


def fit_fields(
    patches: np.ndarray, frames: Frames, stay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best moves of each field, ``(n, 6)``, and the points so moved."""
    starts = np.zeros((2, len(frames), 6))
    for i, patch in enumerate(patches):
        starts[:, i, :2] = _best_shifts(patch, frames, i, stay)
    points = frames.points
    basis = move_basis(points, frames)
    limits = _limits(frames)

    def value(moves: np.ndarray) -> np.ndarray:
        moved = points + np.einsum("mnk,nkpc->mnpc", moves, basis)
        share = np.abs(moves) / limits
        cost = stay * (share**2) @ [1.0, 1.0, 0.2, 0.2, 0.2, 0.2]
        score = correlate(take(patches, moved)) - cost
        score[(share[..., 2:] > 1).any(axis=-1)] = -np.inf
        return score

    moves, best = starts[0], np.full(len(frames), -np.inf)
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


def fit_boxes(patches: np.ndarray, points: np.ndarray, frames: Frames) -> np.ndarray:
    """Return by how much each box then moves by itself, ``(n, n_boxes, 3)``.

    Between creases paper curls: boxes of one field no longer lie on a line, nor on
    parallel ones. The moves are shift x, shift y, and how far the right side goes
    down and the left one up.
    """
    n_boxes = frames.weights.shape[1]
    own = np.zeros((len(points), n_boxes, 3))
    spread = 2 * np.sqrt(take(patches, points).var(axis=1)[:, None] + NOISE)

    def value(own: np.ndarray) -> np.ndarray:
        values = take(patches, points + box_shifts(own, frames))
        fit = np.moveaxis(frames.weights @ values.transpose(1, 2, 0), 2, 0) / spread
        fit[(np.abs(own) > _CURL * BOX).any(axis=-1)] = -np.inf
        return fit - _STAY_BOX * strain(own)

    best = value(own[None])[0]
    steps = np.arange(1.0, _CURL * BOX)
    for axis in (1, 0, 2):
        shifts = np.zeros((2 * len(steps), 1, 1, 3))
        shifts[:, 0, 0, axis] = np.concatenate([steps, -steps])
        own, best = _better(own, best, own + shifts, value)
    for axis in (1, 0, 2):
        own = _centred(own, axis, value)
    return own


def strain(own: np.ndarray) -> np.ndarray:
    """Return how far from flat the moves of boxes ``(..., 3)`` are: 1 at a limit."""
    return np.asarray(((own / (_CURL * BOX)) ** 2).sum(axis=-1))


def box_shifts(own: np.ndarray, frames: Frames) -> np.ndarray:
    """Return how the moves of boxes ``(..., n, n_boxes, 3)`` shift the points."""
    x, y, tilt = np.moveaxis(
        own[..., np.arange(len(frames))[:, None], frames.box, :], -1, 0
    )
    return np.stack([x, y + tilt * frames.along], axis=-1)


def _limits(frames: Frames) -> np.ndarray:
    """Return the largest value of each of the six moves, in patch pixels, (n, 6)."""
    width, height = (STRETCH * np.maximum(frames.half, BOX / 2)).T
    stretch = np.stack([width, height, height, width], axis=1)
    return np.hstack([np.maximum(frames.reach, 1e-6), stretch])


def _best_shifts(
    patch: np.ndarray, frames: Frames, index: int, stay: float
) -> np.ndarray:
    """Return the best shift within reach, and the best that is elsewhere, (2, 2).

    All are tried coarsely, then finely around the best few. The second is there for
    slanted fields, on which a table line may fit better at first.
    """
    points, reach = frames.points[index], frames.reach[index]
    far_x, far_y = reach.astype(int)
    dx, dy = (np.arange(-far, far + 1, 2) for far in (far_x, far_y))
    shifts = np.stack(np.meshgrid(dx, dy), axis=-1).reshape(-1, 2)
    soft = cv2.GaussianBlur(patch, (0, 0), 1.4)
    score = _shift_scores(soft, points[::2], shifts, reach, stay)
    few = shifts[np.argsort(-score, kind="stable")[:_TRIED]]
    around = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    close = (few[:, None] + around).reshape(-1, 2)
    soft = cv2.GaussianBlur(patch, (0, 0), 0.7)
    first = close[_shift_scores(soft, points, close, reach, stay).argmax()].astype(
        float
    )
    elsewhere = np.abs(shifts - first).max(axis=1) > _ELSEWHERE * BOX
    second = shifts[np.where(elsewhere, score, -np.inf).argmax()]
    return np.stack([first, second if elsewhere.any() else first])


def _shift_scores(
    patch: np.ndarray,
    points: np.ndarray,
    shifts: np.ndarray,
    reach: np.ndarray,
    stay: float,
) -> np.ndarray:
    """Score whole-pixel shifts ``(n_shifts, 2)`` less what they cost."""
    height, width = patch.shape
    on = len(points) // 2 * 2
    base = points[:on].round().astype(int)
    x = (base[:, 0] + shifts[:, :1]).clip(0, width - 1)
    y = (base[:, 1] + shifts[:, 1:]).clip(0, height - 1)
    share = shifts / np.maximum(reach, 1e-6)
    cost = stay * (share**2).sum(axis=1)
    return correlate(patch.ravel()[y * width + x]) - cost

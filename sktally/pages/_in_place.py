"""Tell which fields lie on their frames as they are, from samples of the page.

Comes in: a page, the points of the frames, and the homography that maps one to the
other. Goes out: which fields would best stay where they are, and how they fit. Most
fields of a scan do, and to see that needs no patch of the page evened out.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from sktally.pages._frames import FLOOR, Frames, map_points, suitable_view
from sktally.pages._refine import NOISE
from sktally.pages._view import Views

__all__ = ["SHARP", "fit_in_place"]

SHARP = 0.6  # a frame that fits so well needs no further search
# A frame that is off by `step` fits as well moved by twice that; a quarter is taken
# off, for corners move further than their field where size or slant are off too.
_ASIDE = 1.5
# How much of the contrast in place may be left there: 0.5 where boxes are in place on
# synthetic scans, 0.94 where one is off by less than is seen with all of it.
_CLEARLY = 0.9
_EVERY = 2  # of the points of a frame; all of them change hardly an answer
_SIDES = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


def fit_in_place(
    views: Views, homography: np.ndarray, frames: Frames, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how each field fits where it is, and whether it would best stay.

    Parameters
    ----------
    views : Views
        uint8 grey page, dark ink on light paper.
    homography : ndarray of shape (3, 3)
        Form units to page pixels.
    frames : Frames
        Fields, from `form_frames`.
    step : float
        Smallest move worth making, as a share of the box height.

    Returns
    -------
    scores : ndarray of shape (n,)
        Correlation, -1 to 1, of the page with the frames.
    fits : ndarray of shape (n,)
        Whether a field fits well, each of its boxes no better a little to any side.
        A field that is partly out of view never does.
    """
    spots, weights, levels, boxes, absent = _spots(frames, step)
    view = suitable_view(views, homography, frames)
    mapped = (view.from_page @ homography).astype(np.float32) @ spots
    x, y = (mapped[:2] / mapped[2]).reshape(2, -1, weights.shape[1])
    seen = cv2.remap(
        view.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    grey = seen.reshape(len(frames), len(_SIDES), -1).astype(np.float32)
    # Pen strokes are darker than frames: cut, so that they count no more.
    ink = grey[:, 0, : grey.shape[2] // 2].mean(axis=1)
    np.maximum(grey, ink[:, None, None], out=grey)
    contrast = -(grey @ weights)
    aside = contrast[:, 1:].max(axis=1)
    stays = (_CLEARLY * contrast[:, 0] >= aside).all(axis=1)
    # Shadows are wider than boxes: of each box its own grey is taken off.
    level = (grey[:, :1] @ levels)[:, 0]
    even = level.ravel()[boxes] - grey[:, 0]
    scores = _scores(even, np.where(absent, np.inf, contrast[:, 0]).min(axis=1))
    seen_whole = _in_view(x, y, view.image.shape, len(frames))
    return scores, np.asarray(seen_whole & stays & (scores >= SHARP))


@lru_cache(maxsize=32)
def _spots(frames: Frames, step: float) -> tuple[np.ndarray, ...]:
    """Return what is looked at, and how it is weighed.

    Points where the fields are and beside that, in form units, homogeneous, ``(3, n *
    5 * n_points)``; weights for the contrast and for the level of each box, ``(n,
    n_points, n_boxes)``; to which box each point belongs, of all fields' boxes in one
    row; which boxes do not exist.
    """
    aside = (_ASIDE * step * frames.height)[:, None, None] * _SIDES
    points = frames.points[:, None, ::_EVERY] + aside[:, :, None]
    flat = map_points(frames.to_form, points.reshape(len(frames), -1, 2)).reshape(-1, 2)
    spots = np.concatenate([flat.T, np.ones((1, len(flat)))]).astype(np.float32)
    weights = frames.weights[:, :, ::_EVERY].transpose(0, 2, 1).copy()
    for half in np.split(weights, 2, axis=1):
        half /= np.maximum(np.abs(half).sum(axis=1, keepdims=True), 1e-9)
    absent = np.asarray(~weights.any(axis=1))
    rows = np.arange(len(frames))[:, None] * absent.shape[1]
    return spots, weights, np.abs(weights) / 2, rows + frames.box[:, ::_EVERY], absent


def _scores(even: np.ndarray, worst: np.ndarray) -> np.ndarray:
    """Return the mean of how the whole field correlates and how its worst box does."""
    power = (even * even).mean(axis=1)
    spread = 2 * np.sqrt(power + NOISE * (power + FLOOR**2))
    half = even.shape[1] // 2
    whole = even[:, :half].mean(axis=1) - even[:, half:].mean(axis=1)
    return np.asarray((whole + worst) / 2 / spread)


def _in_view(
    x: np.ndarray, y: np.ndarray, shape: tuple[int, ...], n: int
) -> np.ndarray:
    """Tell for which of n fields all points lie on an image."""
    height, width = shape[:2]
    if min(x.min(), y.min(), width - 1 - x.max(), height - 1 - y.max()) > -0.5:
        return np.ones(n, bool)  # as mostly
    inside = (np.minimum(x, y) >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
    return np.asarray(inside.reshape(n, -1).all(axis=1))

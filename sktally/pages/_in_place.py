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
    spots, weights, absent = _spots(frames, step)
    view = suitable_view(views, homography, frames)
    mapped = (view.from_page @ homography).astype(np.float32) @ spots
    x, y = (mapped[:2] / mapped[2]).reshape(2, -1, frames.points.shape[1])
    seen = cv2.remap(
        view.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    grey = seen.reshape(len(frames), len(_SIDES), -1).astype(np.float32)
    # Pen strokes are darker than frames: cut, so that they count no more.
    ink = grey[:, 0, : grey.shape[2] // 2].mean(axis=1)
    np.maximum(grey, ink[:, None, None], out=grey)
    contrast = -(grey @ weights)
    scores = _scores(grey[:, 0], contrast[:, 0], frames, absent)
    stays = (contrast[:, 0] >= contrast[:, 1:].max(axis=1)).all(axis=1)
    in_view = _inside(x, y, view.image.shape).reshape(len(frames), -1).all(axis=1)
    return scores, stays & in_view & (scores >= SHARP)


@lru_cache(maxsize=32)
def _spots(frames: Frames, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points where the fields are and beside that, weights, boxes not there.

    The points are in form units, homogeneous, ``(3, n * 5 * n_points)``.
    """
    aside = (_ASIDE * step * frames.height)[:, None, None] * _SIDES
    points = frames.points[:, None] + aside[:, :, None]
    flat = map_points(frames.to_form, points.reshape(len(frames), -1, 2)).reshape(-1, 2)
    spots = np.concatenate([flat.T, np.ones((1, len(flat)))]).astype(np.float32)
    weights = np.ascontiguousarray(frames.weights.transpose(0, 2, 1))
    return spots, weights, ~frames.weights.any(axis=2)


def _scores(
    grey: np.ndarray, contrast: np.ndarray, frames: Frames, absent: np.ndarray
) -> np.ndarray:
    """Return the mean of how the whole field correlates and how its worst box does.

    The grey of each box is taken off first: shadows are wider than boxes.
    """
    level = (grey[:, None] @ np.abs(frames.weights).transpose(0, 2, 1))[:, 0] / 2
    grey = grey - np.take_along_axis(level, frames.box, axis=1)
    power = (grey * grey).mean(axis=1)
    spread = 2 * np.sqrt(power + NOISE * (power + FLOOR**2))
    half = grey.shape[1] // 2
    whole = grey[:, half:].mean(axis=1) - grey[:, :half].mean(axis=1)
    worst = np.where(absent, np.inf, contrast).min(axis=1)
    return np.asarray((whole + worst) / 2 / spread)


def _inside(x: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Tell which rows of points lie on an image."""
    height, width = shape[:2]
    low = np.minimum(x.min(axis=1), y.min(axis=1))
    return (low >= -0.5) & (x.max(axis=1) < width - 0.5) & (y.max(axis=1) < height - 0.5)

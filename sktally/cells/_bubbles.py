"""Read the bubbles beside the boxes of a field: which one the clerk filled.

Comes in: one grey page and where the form lies on it. Goes out: for each box, how
probable each digit is by its bubbles alone. A bubble that is filled is strong evidence;
where none is, or none can be seen, every digit is as probable as any other.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._registration import apply_homography, field_shifts

__all__ = ["DIGITS", "read_bubbles"]

#: What bubbles stand for.
DIGITS = 10
# All as parts of the radius: what is sampled around a centre, the disc whose mean
# darkness counts, and how far from its place a bubble is looked for.
_SEEN, _DISC, _ASIDE = 1.3, 0.7, 0.45
_SIDE = 24  # pixels of what is sampled
# A bubble is filled from here on, as a part of how dark the filled ones of its page
# are; which of two is darker is weighed by the second. The pen must darken the paper by
# the third at least. Chosen by benchmarks/bubbles.py.
_FILLED, _STEEP, _FAINTEST = 0.4, 12.0, 0.15
# How often a clerk fills another bubble than that of the digit in the box.
_SLIPS = 0.005


def read_bubbles(
    page: np.ndarray, form: TallyForm, homography: np.ndarray, quads: np.ndarray
) -> np.ndarray:
    """Return how probable each digit is by the bubbles of each box.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8, dark ink on light paper.
    form : TallyForm
        A form with bubbles.
    homography : ndarray of shape (3, 3)
        From form units to pixels of the page.
    quads : ndarray of shape (n_fields, n_places, 4, 2)
        Corners of the boxes on the page; bubbles are taken to be off their mapped
        places as the boxes of their field are.

    Returns
    -------
    proba : ndarray of shape (n_fields, n_places, 10)
        float32, rows sum to 1; all equal where bubbles say nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally import load_form, make_tally_pages
    >>> form = load_form("indonesia-2024")
    >>> made = make_tally_pages(1, form=form, random_state=0)
    >>> where = made.homographies[0], made.quads[0]
    >>> proba = read_bubbles(made.pages[0], form, *where)
    >>> made.boxes[0, 0], proba[0].argmax(axis=1)
    ('160', array([1, 6, 0]))
    """
    places = form.bubble_array()
    assert places is not None
    proba = np.full(places.shape[:3], 1 / DIGITS, dtype=np.float32)
    off = field_shifts(form, homography, quads)
    known = np.isfinite(places[..., 0, 0]) & np.isfinite(off[:, :1])
    if known.any():
        field = np.nonzero(known)[0]
        level = _levels(page, places[known], homography, off[field])
        proba[known] = _by_darkness(level)
    return proba


def _levels(
    page: np.ndarray, places: np.ndarray, homography: np.ndarray, off: np.ndarray
) -> np.ndarray:
    """Return how light each bubble is inside, 0 to 255, ``(n_boxes, 10)``."""
    along = ((np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1) * _SEEN
    around = np.stack(np.meshgrid(along, along), axis=-1)
    wanted = places[..., None, None, :2] + places[..., None, None, 2:] * around
    points = apply_homography(homography, wanted) + off[:, None, None, None]
    x, y = np.moveaxis(points.reshape(-1, _SIDE, 2).astype(np.float32), -1, 0)
    how = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    seen = cv2.remap(page, x, y, **how).reshape(-1, _SIDE * _SIDE)
    discs = _discs(around.reshape(-1, 2))
    return (seen.astype(np.float32) @ discs).min(axis=1).reshape(places.shape[:2])


def _discs(points: np.ndarray) -> np.ndarray:
    """Return weights of discs at and around the centre, ``(n_pixels, 9)``."""
    turns = np.arange(8) * np.pi / 4
    centers = _ASIDE * np.c_[np.cos(turns), np.sin(turns)]
    away = points[:, None] - np.r_[np.zeros((1, 2)), centers]
    inside = (away**2).sum(axis=-1) <= _DISC**2
    return (inside / inside.sum(axis=0)).astype(np.float32)


def _by_darkness(level: np.ndarray) -> np.ndarray:
    """Return probabilities of digits from the lightness of bubbles, by box."""
    paper = np.maximum(np.median(level, axis=1, keepdims=True), 1)
    darkness = 1 - level / paper
    # of most boxes one is filled, and some of a page may have none
    pen = max(float(np.quantile(darkness.max(axis=1), 0.75)), _FAINTEST)
    weight = np.exp(_STEEP * (darkness / pen - _FILLED).clip(-2, 2))
    filled = weight / (weight.sum(axis=1, keepdims=True) + 1)  # 1: none is filled
    none = 1 - filled.sum(axis=1, keepdims=True)
    return (1 - _SLIPS) * filled + (_SLIPS * (1 - none) + none) / DIGITS

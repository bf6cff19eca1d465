"""Move the boxes of each field onto the frames that are printed around them.

Comes in: a page, a form, and the homography that roughly maps one to the other.
Goes out: the corners of every box on the page, and per field how well its printed
frames fit there. Paper bends and lenses distort, so each field gets its own small
affine correction, and each box a shift.
"""

from __future__ import annotations

import numpy as np

from sktally.form import TallyForm
from sktally.pages._frames import (
    Frames,
    form_frames,
    map_points,
    sample_patches,
    take,
)
from sktally.pages._in_place import SHARP, fit_in_place
from sktally.pages._refine import (
    NOISE,
    box_shifts,
    correlate,
    fit_boxes,
    fit_fields,
    move_basis,
    strain,
)
from sktally.pages._registration import apply_homography, form_quads
from sktally.pages._view import Views, as_views

__all__ = ["SHARP", "snap_fields"]

_AT_ONCE = 40  # fields; OpenCV samples from images of up to 32,767 rows
# What the score loses where boxes move by themselves to the limit. Curled paper costs
# a page less than places one box off, which such moves help most: with 0.1 these score
# 0.55 at most on pages 121-250 of indonesia-2024, without 0.62 (benchmarks/one_off.py).
_STRAINED = 0.1


def snap_fields(
    page: np.ndarray | Views,
    form: TallyForm,
    homography: np.ndarray,
    *,
    reach: float = 1.0,
    stay: float = 0.1,
    step: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the boxes of each field to the frames printed on the page.

    A rectified patch around every field is sampled, evened out, and compared with
    the drawn frames: dark on the lines, light beside them. All moves within
    `reach` are tried, then size and slant are refined. Ink inside the boxes and
    neighbouring print hardly matter because only the lines and a narrow band
    beside them are looked at.

    Parameters
    ----------
    page : ndarray of shape (height, width) or Views
        uint8 grey page, dark ink on light paper, or its views if others use them.
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
    step : float, default=0.0
        Moves that are smaller than this share of a box height are not made. Fields
        that fit well where they are, and no better to any side, are not searched.

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
    if not any(field.frame > 0 for field in form.fields):
        return quads, scores
    views = as_views(page)
    frames = form_frames(form, float(reach))
    if step > 0:
        scores[frames.field], fits = fit_in_place(views, homography, frames, step)
        if fits.all():
            return quads, scores
        frames = frames.part(~fits)
    for first in range(0, len(frames), _AT_ONCE):
        some = frames.part(slice(first, first + _AT_ONCE))
        patches = sample_patches(views, homography, some)
        moved, scored = _search(views.page, homography, patches, some, plain, stay)
        far = _is_far(moved, quads[some.field], step)
        quads[some.field[far]] = moved[far]
        scores[some.field] = scored
    return quads, scores


def _search(
    page: np.ndarray,
    homography: np.ndarray,
    patches: np.ndarray,
    frames: Frames,
    plain: np.ndarray,
    stay: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the quads of fields where they fit best, and the scores there."""
    moves, points = fit_fields(patches, frames, stay)
    own = fit_boxes(patches, points, frames)
    points = points + box_shifts(own, frames)
    seen = _in_view(page, homography, frames, points)
    scores = _score(take(patches, points), frames, seen)
    scores -= _STRAINED * strain(own).max(axis=1)
    corners = plain[frames.field]
    n, n_places = corners.shape[:2]
    corners = map_points(np.linalg.inv(frames.to_form), corners.reshape(n, -1, 2))
    corners += np.einsum("nk,nkpc->npc", moves, move_basis(corners, frames))
    # The boxes of shorter fields are the last of their places.
    short = n_places - (frames.box.max(axis=1) + 1)
    place = (np.arange(n_places) - short[:, None]).clip(0)
    x, y, tilt = np.moveaxis(own[np.arange(n)[:, None], place], -1, 0)[..., None]
    down = y + tilt * np.array([-1, 1, 1, -1])
    corners += np.stack([np.broadcast_to(x, down.shape), down], -1).reshape(n, -1, 2)
    quads = map_points(homography @ frames.to_form, corners)
    return quads.reshape(n, n_places, 4, 2), scores


def _is_far(moved: np.ndarray, quads: np.ndarray, step: float) -> np.ndarray:
    """Tell which fields were moved by more than a small step."""
    distance = np.linalg.norm(moved - quads, axis=-1)
    height = np.linalg.norm(quads[..., 3, :] - quads[..., 0, :], axis=-1)
    least = step * np.nanmedian(height, axis=1)
    return np.asarray(np.nanmax(distance, axis=(1, 2)) >= least)


def _in_view(
    page: np.ndarray, homography: np.ndarray, frames: Frames, points: np.ndarray
) -> np.ndarray:
    """Tell which points of patches ``(n, n_points, 2)`` lie on the page."""
    onto, limit = homography @ frames.to_form, np.array(page.shape[::-1]) - 0.5

    def inside(points: np.ndarray) -> np.ndarray:
        on_page = map_points(onto, points)
        return np.asarray(((on_page >= -0.5) & (on_page <= limit)).all(axis=-1))

    corners = frames.size[:, None] * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    if inside(corners).all():  # as it mostly is; a point leaves no patch
        return np.ones(points.shape[:2], bool)
    return inside(points)


def _score(values: np.ndarray, frames: Frames, seen: np.ndarray) -> np.ndarray:
    """Return the mean of how the whole field correlates and how its worst box does.

    A field that is one box off still fits with two of three boxes; the third then
    gives it away. What is out of view counts as neither print nor paper.
    """
    values = np.where(seen, values, 0.0)
    spread = 2 * np.sqrt(values.var(axis=1) + NOISE)
    single = (frames.weights @ values[..., None])[..., 0]
    single[~frames.weights.any(axis=2)] = np.inf
    return np.asarray(correlate(values) + single.min(axis=1) / spread) / 2

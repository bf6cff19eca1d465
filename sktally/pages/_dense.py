"""Fit a whole page to the print of a form, pixel by pixel.

Comes in: a page, the print of a form (drawn from its description, or the median of
learnt pages), and perhaps where the form roughly lies. Goes out: homographies. It
finds pages on which too few features are left, such as photocopies and pages cut to
black and white, and it sharpens what features found.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._features import Reference, even_out
from sktally.pages._print import draw_print
from sktally.pages._registration import apply_homography, turn_page

__all__ = ["dense_starts", "form_print", "refine_dense"]

_COARSE, _MIDDLE, _FINE = 100, 200, 400  # long side of the form, in pixels
_STEPS = 60


def form_print(form: TallyForm, reference: Reference | None = None) -> np.ndarray:
    """Return the print of a form: uint8, dark on paper near 200, 400 px long.

    The median of learnt pages where there is one, else the drawing of what the form
    describes.
    """
    scale = _FINE / max(form.page.width, form.page.height)
    if reference is not None and reference.median is not None:
        size = (round(form.page.width * scale), round(form.page.height * scale))
        return cv2.resize(reference.median, size, interpolation=cv2.INTER_AREA)
    return (200 - 120 * draw_print(form, scale)).astype(np.uint8)


def refine_dense(
    page: np.ndarray,
    form: TallyForm,
    printed: np.ndarray,
    homography: np.ndarray,
    *,
    size: int = _FINE,
) -> tuple[np.ndarray, float]:
    """Refine a homography by enhanced correlation (ECC) with the print.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8 grey page.
    form : TallyForm
        Gives the size of the form page.
    printed : ndarray
        From `form_print`.
    homography : ndarray of shape (3, 3)
        Form units to page pixels, a few percent off at most.
    size : int
        Long side in pixels at which to fit; a coarser one reaches further.

    Returns
    -------
    homography : ndarray of shape (3, 3)
        The refined one, or the given one where nothing better was found.
    correlation : float
        -1 to 1; -1 where the fit did not converge.
    """
    scale = size / max(form.page.width, form.page.height)
    shape = (round(form.page.width * scale), round(form.page.height * scale))
    target = cv2.resize(printed, shape, interpolation=cv2.INTER_AREA)
    to_form = np.diag([1 / scale, 1 / scale, 1.0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    onto = homography @ to_form
    # Reduced first: sampling a large page at a few pixels would miss thin lines.
    shrink = max(1, int(max(page.shape) / (1.5 * size)))
    small = cv2.resize(page, None, fx=1 / shrink, fy=1 / shrink, interpolation=3)
    onto = np.diag([1 / shrink, 1 / shrink, 1.0]) @ onto
    seen = cv2.warpPerspective(np.full_like(small, 255), onto, shape, flags=flags)
    if (seen > 0).mean() < 0.2:
        return homography, -1.0
    warped = cv2.warpPerspective(
        small, onto, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    move = np.eye(3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _STEPS, 1e-4)
    try:
        score, move = cv2.findTransformECC(
            target, even_out(warped), move, cv2.MOTION_HOMOGRAPHY, stop, seen, 5
        )
    except cv2.error:  # did not converge
        return homography, -1.0
    if not np.isfinite(move).all() or not np.isfinite(score):
        return homography, -1.0
    return homography @ to_form @ move @ np.linalg.inv(to_form), float(score)


def dense_starts(
    page: np.ndarray, form: TallyForm, printed: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield homographies from "the form fills the page", in all four turns.

    Each turn is fitted coarse to fine; the one that correlates best comes first.
    """
    found = []
    for turn in (0, 180, 90, 270):
        turned, back = turn_page(page, turn)
        height, width = turned.shape
        fill = np.diag([width / form.page.width, height / form.page.height, 1.0])
        matrix, score = fill, -1.0
        for size in (_COARSE, _MIDDLE):
            matrix, score = refine_dense(turned, form, printed, matrix, size=size)
        found.append((score, back @ matrix))
    for score, matrix in sorted(found, key=lambda item: -item[0])[:2]:
        if score > 0:
            yield refine_dense(page, form, printed, matrix)[0]


def corner_shift(one: np.ndarray, other: np.ndarray, form: TallyForm) -> float:
    """Return the largest distance in page pixels of two maps' form corners."""
    w, h = form.page.width, form.page.height
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
    step = apply_homography(one, corners) - apply_homography(other, corners)
    return float(np.linalg.norm(step, axis=1).max())

"""Features and median of aligned pages: what is print recurs, what is ink does not.

Comes in: pages and, for each, where the form lies on it. Goes out: a `Reference`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from sktally.form import TallyForm
from sktally.pages._features import Reference, even_out, find_features
from sktally.pages._registration import apply_homography

__all__ = ["median_page", "recurring_features"]

# Blurs in working pixels at which features are kept, and how many: sharp photos, and
# small or shaken ones. With the second, 3 more of 9 hard pages of indonesia-2024
# (1-250) were found.
_KINDS = ((0.0, 1000), (2.0, 500))
_NEAR = 0.004  # of the long side of the form: further apart is another place
_ALIKE = 260.0  # distance of SIFT descriptors, of length 512, of the same print
_SHARE = 0.05  # of the pages on which a feature has to recur, two at least
_MEDIAN_SIDE = 800
_MEDIAN_PAGES = 60


def recurring_features(
    pages: Sequence[np.ndarray], homographies: Sequence[np.ndarray], form: TallyForm
) -> Reference:
    """Keep the features that recur at the same place of the form on several pages.

    Parameters
    ----------
    pages : sequence of ndarray of shape (height, width)
        uint8 grey pages.
    homographies : sequence of ndarray of shape (3, 3)
        Form units to pixels of each page.
    form : TallyForm
        Gives the size of the form page.

    Returns
    -------
    Reference
        Each feature is the mean of its members, most frequent first; no median. Of
        one page all features are kept.
    """
    reach = _NEAR * max(form.page.width, form.page.height)
    least = max(min(2, len(pages)), round(_SHARE * len(pages)))
    points, descriptors = [], []
    for blur, most in _KINDS:
        gathered = [
            _on_form(*args, blur) for args in zip(pages, homographies, strict=True)
        ]
        owner = np.repeat(np.arange(len(pages)), [len(xy) for xy, _ in gathered])
        xy = np.concatenate([part for part, _ in gathered])
        kept = _groups(
            xy, np.concatenate([d for _, d in gathered]), owner, reach, least
        )
        points.append(kept[0][:most])
        descriptors.append(kept[1][:most])
    return Reference(
        np.concatenate(points), np.concatenate(descriptors), None, len(pages)
    )


def _on_form(
    page: np.ndarray, homography: np.ndarray, blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find features of a page, blurred at working size, in form units."""
    points, descriptors = find_features(page, blur=blur)
    return apply_homography(np.linalg.inv(homography), points), descriptors


def _groups(
    points: np.ndarray,
    descriptors: np.ndarray,
    owner: np.ndarray,
    reach: float,
    least: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Group features that are near and alike; return means, most pages first."""
    if not len(points):
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8)
    near = cKDTree(points).query_ball_point(points, reach)
    members = []
    for i, others in enumerate(near):
        candidates = np.array(others)
        away = ((descriptors[candidates] - descriptors[i]) ** 2).sum(axis=1)
        members.append(candidates[away < _ALIKE**2])
    n_pages = np.array([len(np.unique(owner[group])) for group in members])
    free = np.ones(len(points), bool)
    kept = []
    for i in np.argsort(-n_pages, kind="stable"):
        group = members[i][free[members[i]]]
        count = len(np.unique(owner[group]))
        if free[i] and count >= least:
            kept.append((count, points[group].mean(0), descriptors[group].mean(0)))
            free[group] = False
    kept.sort(key=lambda item: -item[0])
    if not kept:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8)
    mean = np.array([item[2] for item in kept])
    mean *= 512 / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1)
    places = np.array([item[1] for item in kept], np.float32)
    return places, mean.round().clip(0, 255).astype(np.uint8)


def median_page(
    pages: Sequence[np.ndarray], homographies: Sequence[np.ndarray], form: TallyForm
) -> np.ndarray:
    """Return the median of aligned pages, evened out: close to a blank form.

    Returns
    -------
    ndarray of shape (height, width)
        uint8, the form page stretched to a long side of 800 pixels, paper near 200.
    """
    scale = _MEDIAN_SIDE / max(form.page.width, form.page.height)
    size = (round(form.page.width * scale), round(form.page.height * scale))
    to_form = np.diag([1 / scale, 1 / scale, 1.0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    layers = []
    for page, matrix in list(zip(pages, homographies, strict=True))[:_MEDIAN_PAGES]:
        flat = np.maximum(even_out(page), 1)  # 0 is: out of view
        layers.append(cv2.warpPerspective(flat, matrix @ to_form, size, flags=flags))
    median = np.full(size[::-1], 200, np.uint8)
    for row in range(size[1]):  # by row, so that memory stays small
        values = np.ma.masked_equal([layer[row] for layer in layers], 0)
        median[row] = np.ma.median(values, axis=0).filled(200).astype(np.uint8)
    return median

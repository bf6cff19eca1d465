"""Fit the map from form to page to matched marks, robustly.

Comes in: places of marks on the form and candidates for them on the page. Goes
out: homographies from form units to page pixels, with the marks that agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import cos, radians

import cv2
import numpy as np

from sktally.pages._registration import apply_homography

__all__ = [
    "Guess",
    "fit_affine",
    "fit_marks",
    "guess_affine",
    "guess_at_once",
    "is_plausible",
    "jacobian",
]


# Share of the tolerance to which marks that are sure agree with an affine map; at
# this distance `guess_affine` takes 3 % off their scores.
_CLOSE = 0.25
_LINE = 1e-12  # width over length of points on a line, to rounding


@dataclass(frozen=True)
class Guess:
    """Record a coarse affine map and the candidates that agree with it.

    Attributes
    ----------
    matrix : ndarray of shape (3, 3)
        Form units to page pixels.
    support : float
        Sum of the scores of the marks that agree.
    chosen : ndarray of shape (n_marks,)
        Index of the candidate of each mark, -1 for none.
    """

    matrix: np.ndarray
    support: float
    chosen: np.ndarray


def fit_affine(form_xy: np.ndarray, page_xy: np.ndarray) -> np.ndarray:
    """Return the least-squares affine map of three or more points, 3 x 3."""
    matrix = np.eye(3)
    matrix[:2] = (_affine_solver(np.asarray(form_xy, float).tobytes()) @ page_xy).T
    return matrix


@lru_cache(maxsize=256)
def _affine_solver(form_xy: bytes) -> np.ndarray:
    """Return what `fit_affine` multiplies by: of one form the points seldom change."""
    points = np.frombuffer(form_xy).reshape(-1, 2)
    return np.linalg.pinv(np.column_stack([points, np.ones(len(points))]), _LINE)


@lru_cache(maxsize=256)
def _spread_out(form_xy: bytes) -> bool:
    """Return whether points do not all lie on one line."""
    points = np.frombuffer(form_xy).reshape(-1, 2)
    widths, *_ = cv2.SVDecomp(points - points[0], flags=cv2.SVD_NO_UV)
    return bool(widths[1, 0] > _LINE * widths[0, 0])


def _fit_projective(form_xy: np.ndarray, page_xy: np.ndarray) -> np.ndarray | None:
    matrix, _ = cv2.findHomography(form_xy, page_xy, 0)
    return None if matrix is None else matrix / matrix[2, 2]


def jacobian(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the derivatives of a homography at points ``(..., 2)``: ``(..., 2, 2)``.

    They are in page pixels per form unit, and their determinant is that of the
    homography over the cube of the depth of the point.
    """
    depth = points @ matrix[2, :2] + matrix[2, 2]
    mapped = (points @ matrix[:2, :2].T + matrix[:2, 2]) / depth[..., None]
    slope = matrix[:2, :2] - mapped[..., None] * matrix[2, :2]
    return np.asarray(slope / depth[..., None, None])


def _triples(form_xy: np.ndarray, usable: np.ndarray, most: int) -> list[tuple]:
    """Return triples of usable marks, those that span the largest area first."""
    found = []
    for triple in combinations(np.flatnonzero(usable).tolist(), 3):
        a, b, c = form_xy[list(triple)]
        area = abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
        found.append((area, triple))
    found.sort(key=lambda entry: -entry[0])
    # A sliver of a triangle determines no map.
    return [t for area, t in found[:most] if area > 0.1 * found[0][0]]


def _near(
    linear: Sequence | np.ndarray, limits: tuple[float, float, float, float]
) -> np.ndarray | bool:
    """Return which linear parts, relative to the expected one, are near identity.

    Each of the four entries of `linear` is a number or an array of numbers.
    """
    smallest, largest, ratio, angle = limits
    (a, b), (c, d) = linear
    # In the complex plane: a turn with a scale, and a reflection with another. The
    # singular values are the sum and the difference of these scales.
    turn, flip = abs((a + d) + 1j * (c - b)) / 2, abs((a - d) + 1j * (b + c)) / 2
    long, short = turn + flip, turn - flip  # which is below 0 for mirror images
    return (
        (short > smallest)
        & (long < largest)
        & (long < ratio * short)
        & (a + d > 2 * cos(radians(angle)) * turn)
    )


def guess_affine(
    form_xy: np.ndarray,
    candidates: list[tuple[np.ndarray, np.ndarray]],
    *,
    expected: np.ndarray,
    tolerance: float,
    limits: tuple[float, float, float, float],
    count: int,
    most_triples: int = 30,
) -> list[Guess]:
    """Return the affine maps with which most candidates agree.

    Parameters
    ----------
    form_xy : ndarray of shape (n_marks, 2)
        Marks in form units.
    candidates : list of (xy, scores)
        For each mark the places found, ``(n, 2)``, and their scores, ``(n,)``.
    expected : ndarray of shape (3, 3)
        The map of a page that fills its scan.
    tolerance : float
        Pixels within which a candidate agrees.
    limits : tuple of float
        Smallest and largest scale relative to `expected`, largest ratio of the
        two scales, largest angle in degrees.
    count : int
        At most so many maps, best first, all different.
    most_triples : int
        How many triples of marks are tried, widest first.

    Returns
    -------
    list of Guess
    """
    most = max((len(scores) for _, scores in candidates), default=0)
    n = len(candidates)
    places = np.full((n, max(most, 1), 2), 1e9)
    scores = np.zeros((n, max(most, 1)))
    for i, (xy, values) in enumerate(candidates):
        places[i, : len(xy)], scores[i, : len(xy)] = xy, values
    triples = _triples(form_xy, scores[:, 0] > 0, most_triples)
    if not triples:
        return []
    matrices = _all_maps(form_xy, np.array(triples), places, scores > 0)
    relative = matrices[:, :, :2] @ np.linalg.inv(expected[:2, :2])
    matrices = matrices[_near(relative.transpose(1, 2, 0), limits)]
    if not len(matrices):
        return []
    predicted = np.einsum("hij,nj->hni", matrices[:, :, :2], form_xy)
    predicted += matrices[:, None, :, 2]
    distance = np.linalg.norm(predicted[:, :, None] - places[None], axis=3)
    value = scores * np.clip(1 - 0.5 * (distance / tolerance) ** 2, 0, 1)
    value[distance > tolerance] = 0
    support = value.max(axis=2).sum(axis=1)
    guesses: list[Guess] = []
    for h in np.argsort(-support, kind="stable"):
        chosen = np.where(value[h].max(axis=1) > 0, value[h].argmax(axis=1), -1)
        if all(
            np.linalg.norm(
                apply_homography(g.matrix, form_xy) - predicted[h], axis=1
            ).max()
            > tolerance
            for g in guesses
        ):
            matrix = np.vstack([matrices[h], [0.0, 0.0, 1.0]])
            guesses.append(Guess(matrix, float(support[h]), chosen))
        if len(guesses) == count:
            break
    return guesses


def guess_at_once(
    form_xy: np.ndarray,
    candidates: list[tuple[np.ndarray, np.ndarray]],
    *,
    expected: np.ndarray,
    tolerance: float,
    limits: tuple[float, float, float, float],
) -> Guess | None:
    """Return the map with which the best candidates of all marks agree closely.

    None if there is none, or if the marks are three, with which some map always does.
    The parameters are those of `guess_affine`, which finds no other map then.
    """
    if len(form_xy) < 4 or not all(len(scores) for _, scores in candidates):
        return None
    places = np.array([xy[0] for xy, _ in candidates])
    matrix = fit_affine(form_xy, places)
    relative = matrix[:2, :2] @ cv2.invert(expected[:2, :2])[1]
    off = np.abs(form_xy @ matrix[:2, :2].T + matrix[:2, 2] - places).max()
    if off > _CLOSE * tolerance or not _near(relative.tolist(), limits):
        return None
    support = sum(float(scores[0]) for _, scores in candidates)
    return Guess(matrix, support, np.zeros(len(form_xy), int))


def _all_maps(
    form_xy: np.ndarray, triples: np.ndarray, places: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Return the affine maps of triples of marks, all candidates: (n, 2, 3)."""
    designs = np.concatenate([form_xy[triples], np.ones((len(triples), 3, 1))], axis=2)
    picks = np.indices((places.shape[1],) * 3).reshape(3, -1).T
    chosen = triples[:, None], picks[None]
    maps = np.linalg.inv(designs)[:, None] @ places[chosen]
    return maps[known[chosen].all(axis=2)].transpose(0, 2, 1)


def fit_marks(
    form_xy: np.ndarray, page_xy: np.ndarray, *, tolerance: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the maps that matched marks allow, the most trusted first.

    Three marks give an affine map. Four or more give a projective one; where an
    affine map leaves more than `tolerance`, that may be perspective or a mark in
    the wrong place, so the maps without each mark in turn follow.

    Parameters
    ----------
    form_xy, page_xy : ndarray of shape (n_marks, 2)
        Marks in form units and in page pixels.
    tolerance : float
        Pixels within which marks agree with a map.

    Returns
    -------
    list of (matrix, used)
        Homography and a mask of the marks that it was fitted to.
    """
    n = len(form_xy)
    everything = np.ones(n, bool)
    if n < 3 or not _spread_out(form_xy.tobytes()):
        return []
    if n == 3:
        return [(fit_affine(form_xy, page_xy), everything)]
    full = _fit_projective(form_xy, page_xy)
    fits = [] if full is None else [(full, everything)]
    off = apply_homography(fit_affine(form_xy, page_xy), form_xy) - page_xy
    if fits and (off * off).sum(axis=1).max() <= tolerance**2:
        return fits
    if n >= 6:
        matrix, inliers = cv2.findHomography(form_xy, page_xy, cv2.RANSAC, tolerance)
        used = inliers.ravel().astype(bool) if matrix is not None else everything
        if 4 <= used.sum() < n:
            again = _fit_projective(form_xy[used], page_xy[used])
            fits = ([(again, used)] if again is not None else []) + fits
        return fits
    for leave in range(n):
        used = np.arange(n) != leave
        if _spread_out(form_xy[used].tobytes()):
            fits += fit_marks(form_xy[used], page_xy[used], tolerance=np.inf)[:1]
            fits[-1] = (fits[-1][0], used)
    return fits


def is_plausible(matrix: np.ndarray, width: float, height: float) -> bool:
    """Return whether a homography shows the form page as a camera would.

    Not mirrored, convex, and no corner of the page more than 2.5 times as large
    as another (a page held at about 60 degrees).
    """
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if not np.isfinite(matrix).all() or depth.min() <= 0:
        return False
    # Areas grow by the determinant of the map over the cube of the depth.
    seen = depth.max() ** 3 < 2.5**2 * depth.min() ** 3
    return bool(seen and cv2.determinant(matrix) > 0)

"""Say how far points of a page are from where a map of the form has them.

Comes in: places on the form and on the page, perhaps a map from one to the other. Goes
out: the root mean square misfit in form units.
"""

from __future__ import annotations

from math import sqrt

import cv2
import numpy as np

from sktally.pages._fit import fit_affine
from sktally.pages._registration import apply_homography

__all__ = ["fit_residual", "joint_residual"]


def fit_residual(form_xy: np.ndarray, page_xy: np.ndarray, matrix: np.ndarray) -> float:
    """Return the root mean square misfit of marks in form units.

    A map that passes through all its marks by construction says nothing about
    them. For four marks the misfit is therefore that of the affine map, and for
    three that of a map without shear.
    """
    n = len(form_xy)
    if n == 4:
        matrix = fit_affine(form_xy, page_xy)
    if n == 3:
        linear = fit_affine(form_xy, page_xy)[:2, :2]
        sizes = np.linalg.norm(linear, axis=0)
        u, _, v = np.linalg.svd(linear / sizes)
        linear = (u @ v) * sizes
        shift = page_xy.mean(axis=0) - linear @ form_xy.mean(axis=0)
        matrix = np.vstack([np.column_stack([linear, shift]), [0.0, 0.0, 1.0]])
    return _misfit(form_xy, page_xy, matrix)


def _misfit(form_xy: np.ndarray, page_xy: np.ndarray, matrix: np.ndarray) -> float:
    """Return the root mean square misfit of points in form units."""
    off = (apply_homography(cv2.invert(matrix)[1], page_xy) - form_xy).ravel()
    return sqrt(off @ off / len(form_xy))


def joint_residual(form_xy: np.ndarray, page_xy: np.ndarray) -> float:
    """Return the root mean square misfit, in form units, of more points than four.

    That of the projective map which suits all of them best; NaN where there is none.
    """
    scale, form_xy = _scaled(form_xy)
    _, page_xy = _scaled(page_xy)
    # Linear in the eight numbers of the map, which is exact on flat paper and, on
    # points so scaled, as good as any where the page is held at an angle.
    n = len(form_xy)
    design, (u, v) = np.zeros((2, n, 8)), page_xy.T
    design[0, :, :2] = design[1, :, 3:5] = form_xy
    design[0, :, 2] = design[1, :, 5] = 1
    design[0, :, 6:] = -u[:, None] * form_xy
    design[1, :, 6:] = -v[:, None] * form_xy
    wanted = np.concatenate([u, v])[:, None]
    how = cv2.DECOMP_CHOLESKY | cv2.DECOMP_NORMAL
    solved, numbers = cv2.solve(design.reshape(-1, 8), wanted, flags=how)
    if not solved:
        return float("nan")
    matrix = np.append(numbers, 1.0).reshape(3, 3)
    return _misfit(form_xy, page_xy, matrix) / scale


def _scaled(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Return by what to scale points, and them scaled: -1 to 1 about their middle."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 2 / max(float((high - low).max()), 1e-9)
    return scale, (points - (low + high) / 2) * scale

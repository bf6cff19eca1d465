"""Printed features of a page, and the reference that a form's features are kept in.

Comes in: pages. Goes out: feature points with descriptors, matches, homographies,
and `Reference` records, which are written to and read from safetensors files. A
file holds numbers only; nothing in it is executed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sktally.exceptions import FormError
from sktally.form import TallyForm

__all__ = [
    "WORKING_SIZE",
    "Reference",
    "even_out",
    "find_features",
    "fit_homography",
    "is_plausible",
    "match_features",
    "read_reference",
    "write_reference",
]

# Long side in pixels at which features are sought: at 700 and 1000 px repeated grid
# and handwriting give many more wrong matches (benchmarks/registration.py).
WORKING_SIZE = 500
_FORMAT = "1"
_MOST_FEATURES = 2000
# Half of the usual 0.04: print on blurred photos is faint.
_CONTRAST = 0.02
_TOLERANCE = 3.0  # working pixels from a feature's place to be counted as agreeing


@dataclass(frozen=True)
class Reference:
    """Hold what was learnt of a form's print from filled pages.

    Attributes
    ----------
    points : ndarray of shape (n_features, 2)
        float32, form units.
    descriptors : ndarray of shape (n_features, 128)
        uint8 SIFT descriptors.
    median : ndarray of shape (height, width) or None
        uint8 median of the aligned pages, light paper near 200, the whole form page
        stretched on it; None where no image is kept.
    n_pages : int
        Number of pages that it was learnt from.
    """

    points: np.ndarray
    descriptors: np.ndarray
    median: np.ndarray | None = None
    n_pages: int = 0


def find_features(
    page: np.ndarray, size: int = WORKING_SIZE, *, blur: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Find SIFT features of a page brought to a long side of `size` pixels.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8 grey page.
    size : int
        Working size in pixels.
    blur : float
        Standard deviation in working pixels by which the page is blurred first.

    Returns
    -------
    points : ndarray of shape (n_features, 2)
        float32, pixels of `page`.
    descriptors : ndarray of shape (n_features, 128)
        float32.
    """
    scale = size / max(page.shape)
    shape = [max(1, round(side * scale)) for side in page.shape]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(page, (shape[1], shape[0]), interpolation=how)
    if blur:
        small = cv2.GaussianBlur(small, (0, 0), blur)
    sift = cv2.SIFT.create(
        nfeatures=_MOST_FEATURES,
        contrastThreshold=_CONTRAST,
        enable_precise_upscale=True,  # else all features lie 0.25 px to the right
    )
    keypoints, descriptors = sift.detectAndCompute(small, None)
    if descriptors is None or not len(keypoints):
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    stretch = np.array(page.shape[::-1]) / shape[::-1]
    points = (np.array(cv2.KeyPoint.convert(keypoints)) + 0.5) * stretch - 0.5
    return points.astype(np.float32), descriptors


def match_features(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pair descriptors that are each other's nearest: indices ``(n_matches, 2)``.

    The usual ratio test would throw away print that is repeated in every row.
    """
    if not len(one) or not len(other):
        return np.empty((0, 2), int)
    one, other = one.astype(np.float32), other.astype(np.float32)
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    distance = squares - 2 * one @ other.T
    nearest = distance.argmin(axis=1)
    mutual = distance.argmin(axis=0)[nearest] == np.arange(len(one))
    return np.stack([np.flatnonzero(mutual), nearest[mutual]], axis=1)


def fit_homography(
    source: np.ndarray, target: np.ndarray, *, pixel: float = 1.0
) -> tuple[np.ndarray | None, np.ndarray]:
    """Fit a homography robustly (MAGSAC) and say which points agree with it.

    Parameters
    ----------
    source, target : ndarray of shape (n_points, 2)
        Matched points.
    pixel : float
        Size of a working pixel in units of `target`.

    Returns
    -------
    homography : ndarray of shape (3, 3) or None
        None where none was found.
    agree : ndarray of shape (n_points,)
        bool.
    """
    none = np.zeros(len(source), bool)
    if len(source) < 4:
        return None, none
    matrix, agree = cv2.findHomography(
        np.ascontiguousarray(source, np.float32),
        np.ascontiguousarray(target, np.float32),
        cv2.USAC_MAGSAC,
        _TOLERANCE * pixel,
        maxIters=3000,
        confidence=0.9999,
    )
    if matrix is None or not np.isfinite(matrix).all():
        return None, none
    return matrix, agree.ravel().astype(bool)


def is_plausible(homography: np.ndarray, width: float, height: float) -> bool:
    """Tell whether a form page can lie on a photo this way.

    Refused are mirror images, pages seen from behind the camera, pages more than
    three times as wide or tall as they should be, and ones that shrink fourfold
    from one end to the other: steeper than one could read.
    """
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    depth = corners @ homography[2, :2] + homography[2, 2]
    if depth.min() * depth.max() <= 0:
        return False
    if np.abs(depth).max() > 4 * np.abs(depth).min():
        return False
    mapped = (corners @ homography[:2, :2].T + homography[:2, 2]) / depth[:, None]
    sides = np.roll(mapped, -1, axis=0) - mapped
    after = np.roll(sides, -1, axis=0)
    if (sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]).min() <= 0:
        return False
    length = np.linalg.norm(sides, axis=1)
    across, along = length[[0, 2]].sum() / width, length[[1, 3]].sum() / height
    return bool(1 / 3 < across / along < 3)


def even_out(page: np.ndarray, *, share: float = 0.07) -> np.ndarray:
    """Divide a page by its local brightness: paper comes out near 200 of 255.

    A box filter does what a wide Gaussian does at a thirtieth of the time.
    """
    side = max(3, int(share * max(page.shape)))
    paper = cv2.blur(page, (side, side)).astype(np.float32)
    return np.clip(page * (200 / np.maximum(paper, 1)), 0, 255).astype(np.uint8)


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference as a safetensors file."""
    tensors = {
        "points": reference.points.astype(np.float32),
        "descriptors": reference.descriptors.astype(np.uint8),
    }
    if reference.median is not None:
        tensors["median"] = reference.median
    content = {"format": _FORMAT, "n_pages": str(reference.n_pages)}
    save_file(tensors, path, {"sktally.reference": json.dumps(content)})


def read_reference(form: TallyForm) -> Reference:
    """Return the learnt reference of a form.

    Raises
    ------
    FormError
        If the form has none, or its file is missing, damaged or of another format.
    """
    path = form.reference_path
    if path is None:
        raise FormError(
            f"form {form.name!r} has no [reference]; make one from filled pages with "
            "`sktally form learn FORM PAGE...`"
        )
    try:
        stamp = path.stat()
    except OSError as error:
        raise FormError(
            f"form {form.name!r}: its reference {path} cannot be read "
            f"({error.strerror}); make it with `sktally form learn FORM PAGE...`"
        ) from None
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int, _size: int) -> Reference:
    """Read a file once for all its pages, and again when it has changed."""
    try:
        with safe_open(path, "numpy") as file:
            content = json.loads((file.metadata() or {}).get("sktally.reference", "{}"))
            names = set(file.keys())
            arrays = {name: file.get_tensor(name) for name in names}
            found, n_pages = content.get("format"), int(content.get("n_pages", 0))
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise FormError(
            f"{path}: not a reference file, or damaged ({error}); make it anew with "
            "`sktally form learn FORM PAGE...`"
        ) from None
    if found != _FORMAT:
        raise FormError(
            f"{path}: reference of format {found or 'none'!s}, expected "
            f"{_FORMAT}; make it anew with `sktally form learn FORM PAGE...`"
        )
    return _checked(path, arrays, n_pages)


def _checked(path: Path, arrays: dict[str, np.ndarray], n_pages: int) -> Reference:
    """Check shapes and types of what a reference file holds."""
    points, descriptors = arrays.get("points"), arrays.get("descriptors")
    median = arrays.get("median")
    good = (
        points is not None
        and descriptors is not None
        and points.dtype == np.float32
        and points.shape == (len(descriptors), 2)
        and bool(np.isfinite(points).all())
        and descriptors.dtype == np.uint8
        and descriptors.shape == (len(points), 128)
        and len(points) >= 4
        and (median is None or (median.dtype == np.uint8 and median.ndim == 2))
    )
    if not good:
        got = {name: f"{a.dtype}{list(a.shape)}" for name, a in sorted(arrays.items())}
        raise FormError(
            f"{path}: expected points float32[n, 2] and descriptors uint8[n, 128], n "
            f"at least 4, and perhaps median uint8[height, width], got {got}; make it "
            "anew with `sktally form learn FORM PAGE...`"
        )
    assert points is not None and descriptors is not None
    return Reference(points, descriptors, median, n_pages)

"""Where the paper lies in the picture: turn, skew, perspective, fold.

Comes in: the upright raster of a page. Goes out: the picture of it and the exact map of
form points to its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Pose", "draw_pose", "map_points", "warp_page"]


@dataclass(frozen=True)
class Pose:
    """Where the paper lies in the picture.

    Attributes
    ----------
    matrix : ndarray of shape (3, 3)
        Map from pixels of the upright raster to pixels of the picture.
    size : tuple of int
        Width, height of the picture.
    turn : int
        Degrees counter-clockwise that bring the picture upright.
    fold : float
        Displacement at the crease, in pixels of the raster; 0 for flat paper.
    crease : tuple of float
        Height of the crease in pixels, how far it reaches, and share of the
        displacement that goes sideways.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    turn: int
    fold: float
    crease: tuple[float, float, float]


def _turn_matrix(turn: int, width: int, height: int) -> np.ndarray:
    """Return the map that turns an upright ``width x height`` picture clockwise."""
    rows = {
        0: [[1, 0, 0], [0, 1, 0]],
        90: [[0, -1, height - 1], [1, 0, 0]],
        180: [[-1, 0, width - 1], [0, -1, height - 1]],
        270: [[0, 1, 0], [-1, 0, width - 1]],
    }[turn]
    return np.array([*rows, [0, 0, 1]], dtype=float)


def draw_pose(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    turn: int,
    skew: float,
    perspective: float,
    fold: float,
) -> Pose:
    """Return a pose drawn at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    shape : tuple of int
        Height, width of the upright raster.
    turn : {0, 90, 180, 270}
        Degrees counter-clockwise that bring the picture upright.
    skew : float
        Standard deviation of the skew in degrees.
    perspective : float
        Largest inset of a corner of the paper, as a share of the page side.
    fold : float
        Displacement at a crease, as a share of the page height.
    """
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float) - 0.5
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    inset = rng.uniform(0, perspective, (4, 2)) * inward * (width, height)
    angle = np.deg2rad(np.clip(rng.normal(0, skew), -2.5 * skew, 2.5 * skew))
    cos, sin = np.cos(angle), np.sin(angle)
    middle = corners.mean(axis=0)
    around = (corners - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle
    target = (around + inset).astype(np.float32)
    matrix = np.eye(3)
    if skew or perspective:
        matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    matrix = _turn_matrix(turn, width, height) @ matrix
    size = (height, width) if turn in (90, 270) else (width, height)
    crease = (
        float(rng.uniform(0.25, 0.75) * height),
        float(rng.uniform(0.15, 0.4) * height),
        float(rng.uniform(-1, 1)),
    )
    return Pose(matrix, size, turn, fold * height * rng.choice([-1.0, 1.0]), crease)


def _fold(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Displace raster points ``(..., 2)`` by the fold: most at the crease."""
    row, reach, sideways = pose.crease
    amount = pose.fold * np.maximum(0, 1 - np.abs(points[..., 1] - row) / reach)
    return np.stack([points[..., 0] + sideways * amount, points[..., 1] + amount], -1)


def _unfold(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Invert `_fold` by iteration; it moves points by far less than it reaches."""
    flat = points
    for _ in range(8):
        flat = points - (_fold(flat, pose) - flat)
    return flat


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


def map_points(points: np.ndarray, pose: Pose) -> np.ndarray:
    """Map pixels of the upright raster ``(..., 2)`` to pixels of the picture."""
    folded = _fold(points, pose) if pose.fold else points
    return _project(pose.matrix, folded)


def warp_page(raster: np.ndarray, pose: Pose, background: int) -> np.ndarray:
    """Return the picture of an upright raster, uint8, with a `background` grey."""
    if not pose.fold:
        if np.array_equal(pose.matrix, np.eye(3)):
            return raster
        return cv2.warpPerspective(
            raster,
            pose.matrix,
            pose.size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=background,
        )
    width, height = pose.size
    # The map is smooth but for the crease: every 4th pixel is enough.
    columns = np.arange(0, width + 4, 4, dtype=np.float32)
    rows = np.arange(0, height + 4, 4, dtype=np.float32)
    coarse = np.stack(np.meshgrid(columns, rows), axis=-1)
    source = _unfold(_project(np.linalg.inv(pose.matrix), coarse), pose)
    fine_x, fine_y = np.meshgrid(
        np.arange(width, dtype=np.float32) / 4, np.arange(height, dtype=np.float32) / 4
    )
    maps = cv2.remap(source.astype(np.float32), fine_x, fine_y, cv2.INTER_LINEAR)
    return cv2.remap(
        raster,
        maps[..., 0],
        maps[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=background,
    )

"""Frames of a field as points, and patches of a page to compare them with.

Comes in: a page, a form and a homography. Goes out: for each field a pattern of
points on and beside its printed frames, and a rectified, evened-out patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sktally.form import TallyField
from sktally.pages._registration import apply_homography

__all__ = ["BOX", "STRETCH", "FramePattern", "frame_patterns", "sample_patches", "take"]

BOX = 36.0  # a box is sampled this many pixels high; at 28 thin frames fit 1 px worse
STRETCH = 0.08  # largest correction of size or slant, as a share of the field
_LONGEST = 480.0  # no patch is longer, for frames around long strings
_POINTS = 180  # points sampled along the frames of a field, and as many beside them
_SHARE = 0.45  # never move further than this share of the way to a like neighbour
_FLOOR = 4.0  # contrast in grey levels below which nothing counts as print


@dataclass(frozen=True)
class FramePattern:
    """Hold the frames of one field as points: on the lines, and beside them.

    Attributes
    ----------
    to_form : ndarray of shape (3, 3)
        Patch pixels to form units.
    size : tuple of int
        Width, height of the patch.
    points : ndarray of shape (n_points, 2)
        First half on the lines, second half beside them, in patch pixels.
    box : ndarray of shape (n_points,)
        Which box each point belongs to.
    centre, half : ndarray of shape (2,)
        Middle and half size of the field in patch pixels.
    reach : ndarray of shape (2,)
        Largest move along x and y in patch pixels.
    """

    to_form: np.ndarray
    size: tuple[int, int]
    points: np.ndarray
    box: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    reach: np.ndarray


@lru_cache(maxsize=32)
def frame_patterns(
    fields: tuple[TallyField, ...], reach: float
) -> tuple[FramePattern, ...]:
    """Lay out all fields that have frames; kept, because pages come by the thousand."""
    return tuple(
        _pattern(fields, i, reach) for i, field in enumerate(fields) if field.frame > 0
    )


def _pattern(fields: tuple[TallyField, ...], index: int, reach: float) -> FramePattern:
    """Lay out the patch of one field and the points on and beside its frames."""
    field = fields[index]
    boxes = np.array(field.rectangles)
    low = boxes[:, :2].min(axis=0)
    high = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    box = np.median(boxes[:, 2:], axis=0)
    scale = min(BOX / box[1], _LONGEST / (high - low).max())
    limit = np.minimum(reach * box[1] * np.array([0.5, 1.0]), _room(fields, index))
    margin = limit + 0.3 * box[1] + STRETCH * (high - low) / 2
    size = np.ceil((high - low + 2 * margin) * scale).astype(int)
    corner = low - margin
    to_form = np.array(
        [[1 / scale, 0, corner[0]], [0, 1 / scale, corner[1]], [0, 0, 1]]
    )
    points, owner = _line_points(boxes, field.frame)
    return FramePattern(
        to_form,
        (int(size[0]), int(size[1])),
        (points - corner) * scale,
        owner,
        ((low + high) / 2 - corner) * scale,
        (high - low) / 2 * scale,
        limit * scale,
    )


def _room(fields: tuple[TallyField, ...], index: int) -> np.ndarray:
    """Return how far a field may move along x and y before another looks alike.

    Rows of a table are identical: a field moved by a whole row fits perfectly and
    is wrong.
    """
    own = np.array(fields[index].rectangles)
    room = np.array([np.inf, np.inf])
    for other in fields:
        boxes = np.array(other.rectangles)
        step = np.abs(boxes[:, None, :2] - own[None, :, :2]).reshape(-1, 2)
        alike = np.all(
            np.abs(boxes[:, None, 2:] - own[None, :, 2:]) < 0.2 * own[None, :, 2:],
            axis=2,
        ).ravel()
        near = np.median(own[:, 2:], axis=0)
        for axis in (0, 1):
            off = step[:, 1 - axis] < 0.7 * near[1 - axis]
            far = step[alike & off, axis]
            far = far[far > 0.3 * near[axis]]
            if far.size:
                room[axis] = min(room[axis], _SHARE * far.min())
    return room


def _line_points(boxes: np.ndarray, frame: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points on the frames, then as many beside them, and their boxes."""
    x, y, w, h = boxes.T
    ends = [(x, y, x + w, y), (x, y + h, x + w, y + h)]
    ends += [(x, y, x, y + h), (x + w, y, x + w, y + h)]
    lines = np.stack([np.stack(end, axis=1) for end in ends], axis=1).reshape(-1, 4)
    offset = max(1.5 * frame, 0.09 * float(np.median(h)))
    along = lines[:, 2:] - lines[:, :2]
    length = np.linalg.norm(along, axis=1)
    count = np.maximum((length / length.sum() * _POINTS * 2).astype(int), 2)
    which = np.arange(len(lines)).repeat(count)
    share = np.concatenate([(np.arange(n) + 0.5) / n for n in count])
    on = lines[which, :2] + share[:, None] * along[which]
    normal = (along / length[:, None])[which][:, ::-1]
    beside = np.concatenate([on + offset * normal, on - offset * normal])
    free = _distance(beside, lines) >= 0.8 * offset
    free = free if free.any() else ~free
    beside, beside_box = beside[free], np.tile(which // 4, 2)[free]
    one = np.linspace(0, len(on) - 1, _POINTS).round().astype(int)
    two = np.linspace(0, len(beside) - 1, _POINTS).round().astype(int)
    points = np.concatenate([on[one], beside[two]])
    return points, np.concatenate([which[one] // 4, beside_box[two]])


def _distance(points: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return the distance of each point from the nearest axis-parallel line."""
    low = np.minimum(lines[:, :2], lines[:, 2:])
    high = np.maximum(lines[:, :2], lines[:, 2:])
    gap = np.maximum(low - points[:, None], points[:, None] - high).clip(min=0)
    return np.linalg.norm(gap, axis=2).min(axis=1)


def sample_patches(
    page: np.ndarray, homography: np.ndarray, patterns: tuple[FramePattern, ...]
) -> np.ndarray:
    """Sample all patches, evened out, dark print positive: float32 (n, h, w)."""
    onto = [homography @ p.to_form for p in patterns]
    middle = [
        apply_homography(m, p.centre) for m, p in zip(onto, patterns, strict=True)
    ]
    right = [
        apply_homography(m, p.centre + [1.0, 0.0])
        for m, p in zip(onto, patterns, strict=True)
    ]
    step = np.median(np.linalg.norm(np.subtract(right, middle), axis=1))
    shrink = int(np.clip(step, 1, min(page.shape) / 2)) if step > 1 else 1
    if shrink > 1:
        rows, columns = (s // shrink * shrink for s in page.shape)
        page = cv2.resize(
            page[:rows, :columns],
            (columns // shrink, rows // shrink),
            interpolation=cv2.INTER_AREA,
        )
        offset = 0.5 / shrink - 0.5
        reduce = np.array([[1 / shrink, 0, offset], [0, 1 / shrink, offset], [0, 0, 1]])
        onto = [reduce @ m for m in onto]
    width = max(p.size[0] for p in patterns)
    height = max(p.size[1] for p in patterns)
    # Beyond its edge the page goes on as it ends: a grey border would be an edge.
    how = {
        "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        "borderMode": cv2.BORDER_REPLICATE,
    }
    raw = [cv2.warpPerspective(page, m, (width, height), **how) for m in onto]
    return np.stack([_even_out(patch) for patch in raw])


def _even_out(patch: np.ndarray) -> np.ndarray:
    """Return darkness against the surroundings over the local contrast."""
    size = (int(BOX), int(BOX))
    patch = patch.astype(np.float32)
    dark = cv2.blur(patch, size) - patch
    contrast = np.sqrt(cv2.blur(dark * dark, size) + _FLOOR**2)
    # Pen strokes are darker than frames: cut, so that they count no more.
    return np.clip(dark / contrast, -1.0, 2.0)


def take(patches: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample each patch at its points ``(..., n, n_points, 2)``, all in one call."""
    n, height, width = patches.shape
    points = points.astype(np.float32)
    points[..., 1] = points[..., 1].clip(0, height - 1)
    points[..., 1] += height * np.arange(n, dtype=np.float32)[:, None]
    values = cv2.remap(
        patches.reshape(-1, width),
        points.reshape(-1, points.shape[-2], 2),
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return values.reshape(points.shape[:-1])

"""Frames of a field as points, and patches of a page to compare them with.

Comes in: a page, a form and a homography. Goes out: for each field a pattern of
points on and beside its printed frames, and a rectified, evened-out patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields

import cv2
import numpy as np

from sktally.form import TallyField, TallyForm
from sktally.form._kept import kept
from sktally.pages._registration import apply_homography
from sktally.pages._view import View, Views, even_out

__all__ = [
    "BOX",
    "FLOOR",
    "STRETCH",
    "Frames",
    "form_frames",
    "map_points",
    "sample_patches",
    "suitable_view",
    "take",
]

BOX = 36.0  # a box is sampled this many pixels high; at 28 thin frames fit 1 px worse
STRETCH = 0.08  # largest correction of size or slant, as a share of the field
_LONGEST = 480.0  # no patch is longer, for frames around long strings
_POINTS = 180  # points sampled along the frames of a field, and as many beside them
_SHARE = 0.45  # never move further than this share of the way to a like neighbour
FLOOR = 4.0  # contrast in grey levels below which nothing counts as print


@dataclass(frozen=True, eq=False)
class Frames:
    """Hold the frames of some fields as points: on the lines, and beside them.

    Attributes
    ----------
    field : ndarray of shape (n,)
        Which fields of the form these are.
    to_form : ndarray of shape (n, 3, 3)
        Patch pixels to form units.
    size : ndarray of shape (n, 2)
        Width, height of each patch.
    points : ndarray of shape (n, n_points, 2)
        First half on the lines, second half beside them, in patch pixels.
    box : ndarray of shape (n, n_points)
        Which box of its field each point belongs to.
    along : ndarray of shape (n, n_points)
        Where each point lies in its box along x: -1 at its left, 1 at its right.
    weights : ndarray of shape (n, n_boxes, n_points)
        What weighs the samples at the points to the contrast of each box; 0 where a
        field has no such box.
    height : ndarray of shape (n,)
        Height of the boxes in patch pixels.
    pixel : ndarray of shape (n, 2, 2)
        Ends of the patch pixel in the middle of the field, in form units.
    centre, half : ndarray of shape (n, 2)
        Middle and half size of the field in patch pixels.
    reach : ndarray of shape (n, 2)
        Largest move along x and y in patch pixels.
    """

    field: np.ndarray
    to_form: np.ndarray
    size: np.ndarray
    points: np.ndarray
    box: np.ndarray
    along: np.ndarray
    weights: np.ndarray
    height: np.ndarray
    pixel: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    reach: np.ndarray

    def __len__(self) -> int:
        return len(self.field)

    def part(self, which: slice | np.ndarray) -> Frames:
        """Return some of the fields."""
        return Frames(*(getattr(self, f.name)[which] for f in dataclass_fields(self)))


@kept
def form_frames(form: TallyForm, reach: float) -> Frames:
    """Lay out all fields that have frames."""
    fields = form.fields
    framed = [i for i, field in enumerate(fields) if field.frame > 0]
    most = max((len(fields[i].rectangles) for i in framed), default=0)
    laid_out = [_lay_out(fields, i, reach, most) for i in framed]
    return Frames(*(np.array(column) for column in zip(*laid_out, strict=True)))


def _lay_out(
    fields: tuple[TallyField, ...], index: int, reach: float, n_boxes: int
) -> tuple:
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
    left, width = boxes[owner][:, [0, 2]].T
    middle = (low + high) / 2
    return (
        index,
        to_form,
        size,
        (points - corner) * scale,
        owner,
        2 * (points[:, 0] - left) / width - 1,
        _weights(owner, n_boxes),
        box[1] * scale,
        [middle, middle + [1 / scale, 0]],
        (middle - corner) * scale,
        (high - low) / 2 * scale,
        limit * scale,
    )


def _weights(owner: np.ndarray, n_boxes: int) -> np.ndarray:
    """Return what makes of samples the mean on less that beside each box's lines."""
    half = len(owner) // 2
    weights = (owner == np.arange(n_boxes)[:, None]).astype(np.float32)
    for part in (weights[:, :half], weights[:, half:]):
        part /= np.maximum(part.sum(axis=1, keepdims=True), 1)
    weights[:, half:] *= -1
    return weights


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


def suitable_view(views: Views, homography: np.ndarray, frames: Frames) -> View:
    """Return the page, halved as long as its pixels are no larger than of patches."""
    along = np.diff(apply_homography(homography, frames.pixel), axis=1)[:, 0]
    steps = np.sort(np.hypot(along[:, 0], along[:, 1]))
    return views.halved(float(steps[len(steps) // 2]))


def sample_patches(views: Views, homography: np.ndarray, frames: Frames) -> np.ndarray:
    """Sample all patches, evened out, dark print positive: float32 (n, h, w)."""
    view = suitable_view(views, homography, frames)
    onto = view.from_page @ homography @ frames.to_form
    width, height = frames.size.max(axis=0).tolist()
    # Beyond its edge the page goes on as it ends: a grey border would be an edge.
    how = {
        "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        "borderMode": cv2.BORDER_REPLICATE,
    }
    raw = (cv2.warpPerspective(view.image, m, (width, height), **how) for m in onto)
    # Pen strokes are darker than frames: cut, so that they count no more.
    return np.stack([even_out(patch, int(BOX), FLOOR, 2.0) for patch in raw])


def map_points(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map each row of points ``(n, n_points, 2)`` through its own homography."""
    mapped = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return mapped[..., :2] / mapped[..., 2:]


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

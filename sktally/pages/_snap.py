"""Move the boxes of each field onto the frames that are printed around them.

Comes in: a page, a form, and the homography that roughly maps one to the other.
Goes out: the corners of every box on the page, and per field how well its printed
frames fit there. Paper bends and lenses distort, so each field gets its own small
affine correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._registration import apply_homography, form_quads

__all__ = ["snap_fields"]

_BOX = 28.0  # a box is sampled this many pixels high; finer did not fit better
_LONGEST = 480.0  # and no patch longer than this, for frames around long strings
_POINTS = 240  # points sampled along the frames of a field, and as many beside them
_SHARE = 0.45  # never move further than this share of the way to a like neighbour
_STRETCH = 0.08  # largest correction of size or slant, as a share of the field
_NOISE = 0.05  # variance of an evened-out patch that is bare paper
_FLOOR = 4.0  # contrast in grey levels below which nothing counts as print


@dataclass(frozen=True)
class _Pattern:
    """Frames of one field as points of a patch: on the lines, and beside them.

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


def snap_fields(
    page: np.ndarray,
    form: TallyForm,
    homography: np.ndarray,
    *,
    reach: float = 1.0,
    stay: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the boxes of each field to the frames printed on the page.

    A rectified patch around every field is sampled, evened out, and compared with
    the drawn frames: dark on the lines, light beside them. All moves within
    `reach` are tried, then size and slant are refined. Ink inside the boxes and
    neighbouring print hardly matter because only the lines and a narrow band
    beside them are looked at.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8 grey page, dark ink on light paper.
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
    ...     page = cv2.rectangle(page, (x, y), (x + w, y + h), 0, 2)
    >>> quads, scores = snap_fields(page, form, np.eye(3))
    >>> quads[0, 0, 0].round().tolist()  # drawn 4 right of and 7 below 600, 250
    [604.0, 257.0]
    >>> bool(scores.min() > 0.8)
    True
    """
    plain = form_quads(form)
    quads = apply_homography(homography, plain)
    scores = np.full(form.n_fields, np.nan)
    framed = [i for i, field in enumerate(form.fields) if field.frame > 0]
    if not framed:
        return quads, scores
    patterns = [_pattern(form, i, reach) for i in framed]
    patches = _sample_patches(page, homography, patterns)
    moves, points, values = _fit(patches, patterns, stay)
    for k, (i, pattern, move) in enumerate(zip(framed, patterns, moves, strict=True)):
        onto = homography @ pattern.to_form
        seen = _in_view(apply_homography(onto, points[k]), page)
        scores[i] = _score(values[k], pattern.box, seen)
        corners = apply_homography(np.linalg.inv(pattern.to_form), plain[i])
        basis = _basis(corners.reshape(-1, 2), pattern)
        corners = corners + (move @ basis.reshape(6, -1)).reshape(corners.shape)
        quads[i] = apply_homography(onto, corners)
    return quads, scores


def _pattern(form: TallyForm, index: int, reach: float) -> _Pattern:
    """Lay out the patch of one field and the points on and beside its frames."""
    field = form.fields[index]
    boxes = np.array(field.rectangles)
    low = boxes[:, :2].min(axis=0)
    high = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    box = np.median(boxes[:, 2:], axis=0)
    scale = min(_BOX / box[1], _LONGEST / (high - low).max())
    limit = np.minimum(reach * box[1] * np.array([0.5, 1.0]), _room(form, index))
    margin = limit + 0.3 * box[1] + _STRETCH * (high - low) / 2
    size = np.ceil((high - low + 2 * margin) * scale).astype(int)
    corner = low - margin
    to_form = np.array(
        [[1 / scale, 0, corner[0]], [0, 1 / scale, corner[1]], [0, 0, 1]]
    )
    points, owner = _line_points(boxes, field.frame)
    return _Pattern(
        to_form,
        (int(size[0]), int(size[1])),
        (points - corner) * scale,
        owner,
        ((low + high) / 2 - corner) * scale,
        (high - low) / 2 * scale,
        limit * scale,
    )


def _room(form: TallyForm, index: int) -> np.ndarray:
    """Return how far a field may move along x and y before another looks alike.

    Rows of a table are identical: a field moved by a whole row fits perfectly and
    is wrong.
    """
    own = np.array(form.fields[index].rectangles)
    room = np.array([np.inf, np.inf])
    for other in form.fields:
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


def _sample_patches(
    page: np.ndarray, homography: np.ndarray, patterns: list[_Pattern]
) -> np.ndarray:
    """Sample all patches, evened out, dark print positive: float32 (n, h, w)."""
    width = max(p.size[0] for p in patterns)
    height = max(p.size[1] for p in patterns)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    xy = np.stack(
        [apply_homography(homography @ p.to_form, grid) for p in patterns]
    )  # fields, height, width, 2
    step = np.linalg.norm(np.diff(xy[:, height // 2, :, :], axis=1), axis=2)
    shrink = max(1, int(np.nanmedian(step)))
    xy = np.nan_to_num(xy, nan=-1e6)
    if shrink > 1:
        rows, columns = (s // shrink * shrink for s in page.shape)
        page = cv2.resize(
            page[:rows, :columns],
            (columns // shrink, rows // shrink),
            interpolation=cv2.INTER_AREA,
        )
        xy = (xy + 0.5) / shrink - 0.5
    maps = xy.reshape(-1, width, 2).clip(-30000, 30000).astype(np.float32)
    # Beyond its edge the page goes on as it ends: a grey border would be an edge.
    raw = cv2.remap(
        page, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).reshape(len(patterns), height, width)
    return np.stack([_even_out(patch) for patch in raw])


def _even_out(patch: np.ndarray) -> np.ndarray:
    """Return darkness against the surroundings over the local contrast."""
    size = (int(_BOX), int(_BOX))
    patch = patch.astype(np.float32)
    dark = cv2.blur(patch, size) - patch
    contrast = np.sqrt(cv2.blur(dark * dark, size) + _FLOOR**2)
    # Pen strokes are darker than frames: cut, so that they count no more.
    return np.clip(dark / contrast, -1.0, 2.0)


def _basis(points: np.ndarray, pattern: _Pattern) -> np.ndarray:
    """Return what each of six moves does to points, ``(6, n_points, 2)``.

    The moves are shift x, shift y, size x, size y, slant x, slant y; one unit of
    each moves the edge of the field by one pixel of the patch.
    """
    x, y = ((points - pattern.centre) / pattern.half).T
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = [one, none, x, none, y, none]
    along_y = [none, one, none, y, none, x]
    return np.stack([np.stack(along_x), np.stack(along_y)], axis=-1)


def _correlate(values: np.ndarray) -> np.ndarray:
    """Correlate samples ``(..., 2 * n_points)`` with on = 1, beside = 0."""
    half = values.shape[-1] // 2
    mean = values.mean(axis=-1)
    spread = np.sqrt((values * values).mean(axis=-1) - mean * mean + _NOISE)
    contrast = values[..., :half].mean(axis=-1) - values[..., half:].mean(axis=-1)
    return contrast / (2 * spread)


def _fit(
    patches: np.ndarray, patterns: list[_Pattern], stay: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best moves ``(n, 6)``, the points moved by them, and their values."""
    moves = np.zeros((len(patterns), 6))
    for i, (patch, pattern) in enumerate(zip(patches, patterns, strict=True)):
        moves[i, :2] = _best_shift(patch, pattern, stay)
    points = np.stack([p.points for p in patterns])
    basis = np.stack([_basis(p.points, p) for p in patterns])
    limits = np.stack([_limits(p) for p in patterns])

    def value(moves: np.ndarray, stay: float) -> np.ndarray:
        moved = points + np.einsum("nk,nkpc->npc", moves, basis)
        share = np.abs(moves) / limits
        cost = stay * (share**2) @ [1.0, 1.0, 0.2, 0.2, 0.2, 0.2]
        score = _correlate(_take(patches, moved)) - cost
        score[(share[:, 2:] > 1).any(axis=1)] = -np.inf
        return score

    best = value(moves, stay)
    for step in (1.0, 0.5, 0.25):
        for axis in (0, 1, 5, 2, 3, 4, 0, 1):
            for sign in (-1, 1):
                trial = moves.copy()
                trial[:, axis] += sign * step
                tried = value(trial, stay)
                better = tried > best
                moves[better], best[better] = trial[better], tried[better]
    moved = points + np.einsum("nk,nkpc->npc", moves, basis)
    return moves, moved, _take(patches, moved)


def _in_view(points: np.ndarray, page: np.ndarray) -> np.ndarray:
    """Tell which points lie on the page."""
    limit = np.array(page.shape[::-1])
    return ((points >= -0.5) & (points <= limit - 0.5)).all(axis=1)


DEBUG = []
def _score(values: np.ndarray, box: np.ndarray, seen: np.ndarray) -> float:
    """Return the mean of how the whole field correlates and how its worst box does.

    A field that is one box off still fits with two of three boxes; the third then
    gives it away. Boxes that are mostly out of view are not asked.
    """
    if seen.mean() < 0.5:
        return 0.0
    on = np.arange(len(values)) < len(values) // 2
    spread = np.sqrt(values.var() + _NOISE)
    single = []
    for k in np.unique(box):
        own = box == k
        if seen[own].mean() >= 0.5:
            contrast = values[own & on].mean() - values[own & ~on].mean()
            single.append(contrast / (2 * spread))
    whole = float(_correlate(values))
    DEBUG.append((whole, min(single)))
    return (whole + float(min(single, default=0.0))) / 2


def _limits(pattern: _Pattern) -> np.ndarray:
    """Return the largest value of each of the six moves, in patch pixels."""
    width, height = _STRETCH * np.maximum(pattern.half, _BOX / 2)
    stretch = [width, height, height, width]
    return np.concatenate([np.maximum(pattern.reach, 1e-6), stretch])


def _take(patches: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample each patch at its points, ``(n, n_points, 2)``."""
    n, height, width = patches.shape
    points = points.astype(np.float32)
    points[..., 1] = points[..., 1].clip(0, height - 1)
    points[..., 1] += height * np.arange(n, dtype=np.float32)[:, None]
    return cv2.remap(
        patches.reshape(-1, width),
        points,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _best_shift(patch: np.ndarray, pattern: _Pattern, stay: float) -> np.ndarray:
    """Try every shift within reach, two pixels apart, on a softened patch."""
    soft = cv2.GaussianBlur(patch, (0, 0), 1.0)
    dx = np.arange(-int(pattern.reach[0]), int(pattern.reach[0]) + 1, 2)
    dy = np.arange(-int(pattern.reach[1]), int(pattern.reach[1]) + 1, 2)
    base = pattern.points.round().astype(int)
    x = (base[:, 0] + dx[:, None]).clip(0, patch.shape[1] - 1)
    y = (base[:, 1] + dy[:, None]).clip(0, patch.shape[0] - 1)
    index = y[:, None, :] * patch.shape[1] + x[None, :, :]
    score = _correlate(soft.ravel()[index])
    reach = np.maximum(pattern.reach, 1e-6)
    score = score - stay * ((dx[None] / reach[0]) ** 2 + (dy[:, None] / reach[1]) ** 2)
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    return np.array([dx[column], dy[row]], float)

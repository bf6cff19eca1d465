"""Find the printed anchors of a form on a page, to a fraction of a pixel.

Comes in: a grey page and the anchors of a form. Goes out: for every mark the
places on the page that look like it, with a normalised correlation each. A
square, a corner and a patch are one mark; a frame is four, its corners, because
a large outline is too stiff a template for a skewed or bent page.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sktally.exceptions import FormError
from sktally.form import Anchor, TallyForm

__all__ = ["Mark", "draw_mark", "find_mark", "form_marks", "match_mark"]

# Grey levels of contrast that count as nothing: keeps paper grain and JPEG noise,
# whose correlation with any pattern can be high, from looking like a mark.
NOISE_LEVEL = 6.0


@dataclass(frozen=True)
class Mark:
    """Describe one point-like pattern that can be matched.

    Attributes
    ----------
    anchor : int
        Index of the anchor in the form.
    xy : tuple of float
        Reference point in form units.
    rectangles : tuple of tuple of float
        Dark rectangles x1, y1, x2, y2 around the reference point, in form units.
    margin : float
        Width of the light surround in form units.
    grain : float
        Form units that a search should resolve as one pixel.
    image : ndarray, optional
        Grey picture in place of rectangles, centred on the reference point.
    size : tuple of float
        Extent of the picture in form units.
    """

    anchor: int
    xy: tuple[float, float]
    rectangles: tuple[tuple[float, float, float, float], ...]
    margin: float
    grain: float
    image: np.ndarray | None = None
    size: tuple[float, float] = (0.0, 0.0)


_SIGNS = {
    "top-left": (1, 1),
    "top-right": (-1, 1),
    "bottom-right": (-1, -1),
    "bottom-left": (1, -1),
}


def _arms(
    sign: tuple[int, int], size: tuple[float, float], thickness: float
) -> tuple[tuple[float, float, float, float], ...]:
    """Return the two arms of an L whose outer vertex is at 0, 0."""
    (sx, sy), (ax, ay), t = sign, size, thickness

    def rectangle(x: float, y: float, x2: float, y2: float) -> tuple:
        xs, ys = sorted((sx * x, sx * x2)), sorted((sy * y, sy * y2))
        return xs[0], ys[0], xs[1], ys[1]

    return rectangle(0, 0, ax, t), rectangle(0, t, t, ay)


def _patch_image(form: TallyForm, anchor: Anchor) -> np.ndarray:
    assert anchor.file
    path = form.beside(anchor.file)
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise FormError(
            f"form {form.name!r}, anchor {anchor.name!r}: cannot read {path} "
            f"({error.strerror}); put the patch image beside the form file"
        ) from None
    image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    if image is None or min(image.shape) < 4 or image.std() < NOISE_LEVEL:
        raise FormError(
            f"form {form.name!r}, anchor {anchor.name!r}: {path} is not a picture "
            "with something printed on it; expected a PNG or JPEG cut from a clean "
            "scan, at least 4 x 4 pixels"
        )
    return image.astype(np.float32)


def _anchor_marks(form: TallyForm, index: int) -> list[Mark]:
    anchor = form.anchors[index]
    (x, y), (w, h) = anchor.center, anchor.size
    if anchor.kind == "square":
        # Seven pixels across: the smallest at which a solid square correlates
        # as well as at full resolution.
        rectangle = (-w / 2, -h / 2, w / 2, h / 2)
        side = min(w, h)
        return [Mark(index, (x, y), (rectangle,), 0.4 * side, side / 7)]
    if anchor.kind == "patch":
        image = _patch_image(form, anchor)
        return [Mark(index, (x, y), (), 0.0, min(w, h) / 16, image, (w, h))]
    t = anchor.thickness or 1.0
    if anchor.kind == "corner":
        assert anchor.opens
        arms = _arms(_SIGNS[anchor.opens], (w, h), t)
        return [Mark(index, (x, y), arms, 1.5 * t, t / 1.5)]
    marks = []
    for sx, sy in _SIGNS.values():
        vertex = (x - sx * w / 2, y - sy * h / 2)
        arms = _arms((sx, sy), (w / 2, h / 2), t)
        # `size` and `center` of a frame are those of its line's middle.
        shifted = tuple(
            (a - sx * t / 2, b - sy * t / 2, c - sx * t / 2, d - sy * t / 2)
            for a, b, c, d in arms
        )
        marks.append(Mark(index, vertex, shifted, 2 * t, t))
    return marks


def form_marks(form: TallyForm) -> list[Mark]:
    """Return every mark of every anchor of a form.

    Raises
    ------
    FormError
        If the image of a patch cannot be read.
    """
    return [mark for i in range(len(form.anchors)) for mark in _anchor_marks(form, i)]


def _coverage(low: float, high: float, start: int, length: int) -> np.ndarray:
    """Return how much of each pixel of a row the interval [low, high] covers."""
    left = np.arange(start, start + length) - 0.5
    return np.clip(np.minimum(high, left + 1) - np.maximum(low, left), 0, 1)


def draw_mark(
    mark: Mark, scale: tuple[float, float], reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a mark: ink 0 to 1, weight of each pixel, pixel of its reference point.

    `scale` is in pixels a form unit, per axis; nothing is drawn further than
    `reach` pixels from the reference point along an arm.
    """
    if mark.image is not None:
        w, h = (max(4, round(s * k)) for s, k in zip(mark.size, scale, strict=True))
        shrink = w * h < mark.image.size
        how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        image = 255 - cv2.resize(mark.image, (w, h), interpolation=how)
        return image, np.ones_like(image), np.array([(w - 1) / 2, (h - 1) / 2])
    factors = np.array([scale[0], scale[1]] * 2)
    boxes = np.array(mark.rectangles) * factors
    margin = max(mark.margin * min(scale), 2.0)
    solid = len(boxes) == 1
    limit = np.inf if solid else reach
    low = np.maximum(boxes[:, :2].min(axis=0) - margin, -limit)
    high = np.minimum(boxes[:, 2:].max(axis=0) + margin, limit)
    start = np.floor(low).astype(int)
    width, height = (np.ceil(high).astype(int) - start + 1).tolist()
    ink = np.zeros((height, width), np.float32)
    for x1, y1, x2, y2 in boxes:
        ink += np.outer(
            _coverage(y1, y2, start[1], height), _coverage(x1, x2, start[0], width)
        ).astype(np.float32)
    if solid:
        weight = np.ones_like(ink)
    else:
        # Only the surround of the lines counts: what is written inside does not.
        side = 2 * round(margin) + 1
        weight = cv2.dilate((ink > 0).astype(np.float32), np.ones((side, side)))
    return ink, weight, -start.astype(float)


def _correlate(image: np.ndarray, ink: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted normalised correlation of dark image parts with ink."""
    image = image - np.float32(image.mean())
    n = float(weight.sum())
    pattern = weight * (ink - float((ink * weight).sum()) / n)
    top = cv2.matchTemplate(image, -pattern, cv2.TM_CCORR)
    if weight.all():
        h, w = weight.shape
        sums = cv2.integral2(image)
        total, squares = (
            (t[h:, w:] - t[:-h, w:] - t[h:, :-w] + t[:-h, :-w]) for t in sums
        )
    else:
        total = cv2.matchTemplate(image, weight, cv2.TM_CCORR)
        squares = cv2.matchTemplate(image * image, weight, cv2.TM_CCORR)
    spread = np.maximum(squares - total * total / n, 0) + n * NOISE_LEVEL**2
    score: np.ndarray = top / np.sqrt(spread * float((pattern * pattern).sum()))
    return score.astype(np.float32)


def _peak(scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Return x, y of the highest value, to a fraction of a pixel, and the value."""
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    shift = [0.0, 0.0]
    rows, columns = scores.shape
    for axis, (at, length) in enumerate(((x, columns), (y, rows))):
        if 0 < at < length - 1:
            line = scores[y, x - 1 : x + 2] if axis == 0 else scores[y - 1 : y + 2, x]
            before, middle, after = (float(v) for v in line)
            bend = before - 2 * middle + after
            if bend < 0:
                shift[axis] = 0.5 * (before - after) / bend
    return np.array([x + shift[0], y + shift[1]]), float(best)


def find_mark(
    image: np.ndarray,
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    window: tuple[float, float, float, float],
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best places of a mark inside a window of a page.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        float32 page at search scale, the form nearly upright.
    drawn : tuple of ndarray
        What to look for, from `draw_mark`.
    window : tuple of float
        x1, y1, x2, y2 in pixels where the reference point may lie.
    count : int
        At most so many places, best first, no two overlapping.

    Returns
    -------
    xy : ndarray of shape (n, 2)
        Places of the reference point in pixels.
    scores : ndarray of shape (n,)
        Normalised correlation, -1 to 1.
    """
    ink, weight, at = drawn
    height, width = image.shape
    x1, y1 = (max(0, int(np.floor(v))) for v in window[:2])
    x2, y2 = min(width - 1, int(window[2])), min(height - 1, int(window[3]))
    if x2 < x1 or y2 < y1:
        return np.empty((0, 2)), np.empty(0)
    left, top = x1 - int(at[0]), y1 - int(at[1])
    right = x2 - int(at[0]) + ink.shape[1]
    bottom = y2 - int(at[1]) + ink.shape[0]
    part = image[max(0, top) : bottom, max(0, left) : right]
    # A mark may touch the edge of a scan: beyond it the paper goes on.
    part = cv2.copyMakeBorder(
        part,
        max(0, -top),
        max(0, bottom - height),
        max(0, -left),
        max(0, right - width),
        cv2.BORDER_CONSTANT,
        value=float(np.percentile(part[::3, ::3], 80)) if part.size else 255.0,
    )
    scores = _correlate(part, ink, weight)
    offset = np.array([left, top]) + at
    radius = max(2, int(0.5 * min(ink.shape)))
    xy, values = [], []
    for _ in range(count):
        place, value = _peak(scores)
        if value < 0.2:
            break
        xy.append(place + offset)
        values.append(value)
        cx, cy = np.round(place).astype(int)
        scores[
            max(0, cy - radius) : cy + radius + 1, max(0, cx - radius) : cx + radius + 1
        ] = -1
    return np.array(xy).reshape(-1, 2), np.array(values)


def match_mark(
    image: np.ndarray,
    mark: Mark,
    *,
    xy: np.ndarray,
    jacobian: np.ndarray,
    scale: float,
    radius: float,
) -> tuple[np.ndarray, float]:
    """Match a mark near a place on a skew page, in a small window set upright.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        Page.
    mark : Mark
        What to look for.
    xy : ndarray of shape (2,)
        Expected place in page pixels.
    jacobian : ndarray of shape (2, 2)
        Page pixels per form unit at that place.
    scale : float
        Pixels per form unit of the upright window.
    radius : float
        How far to search, in form units.

    Returns
    -------
    xy : ndarray of shape (2,)
        Where it is in page pixels.
    score : float
        Normalised correlation, -1 to 1.
    """
    ink, weight, at = draw_mark(mark, (scale, scale), 30.0)
    score = -1.0
    # The second time around is centred on the first answer, for sub-pixels.
    for reach in (max(2, round(radius * scale)), 2):
        xy, score = _match_upright(image, ink, weight, at, xy, jacobian / scale, reach)
    return xy, score


def _match_upright(
    image: np.ndarray,
    ink: np.ndarray,
    weight: np.ndarray,
    at: np.ndarray,
    xy: np.ndarray,
    linear: np.ndarray,
    reach: int,
) -> tuple[np.ndarray, float]:
    """Match a drawn mark in a window of which `linear` leads to page pixels."""
    height, width = ink.shape[0] + 2 * reach, ink.shape[1] + 2 * reach
    origin = xy - linear @ (at + reach)
    window = cv2.warpAffine(
        image,
        np.column_stack([linear, origin]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=255.0,
    )
    place, score = _peak(_correlate(window.astype(np.float32), ink, weight))
    if min(place) < 0.5 or max(place) > 2 * reach - 0.5:
        score = 0.0  # still rising at the edge: the slope of something further off
    return origin + linear @ (place + at), score

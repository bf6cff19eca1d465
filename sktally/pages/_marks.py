"""Make of the anchors of a form marks that can be matched, and draw them.

Comes in: the anchors of a form. Goes out: marks, drawn at any scale. A square, a
corner and a patch are one mark; a frame is four, its corners, because a large
outline is too stiff a template for a skewed or bent page.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

from sktally.exceptions import FormError
from sktally.form import Anchor, TallyForm
from sktally.form._kept import kept

__all__ = ["NOISE_LEVEL", "DrawnMark", "Mark", "draw_mark", "form_marks", "mark_places"]

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


@dataclass(frozen=True, eq=False)
class DrawnMark:
    """Hold a mark drawn at one scale.

    Attributes
    ----------
    ink, weight : ndarray of shape (height, width)
        float32; ink 0 to 1, and what each pixel counts.
    at : ndarray of shape (2,)
        Pixel of the reference point, x and y.
    profile : tuple of ndarray, optional
        Ink along x and along y, of which the ink is the product.
    """

    ink: np.ndarray
    weight: np.ndarray
    at: np.ndarray
    profile: tuple[np.ndarray, np.ndarray] | None = None

    @cached_property
    def is_full(self) -> bool:
        """Whether all pixels count."""
        return bool(self.weight.all())

    @cached_property
    def pattern(self) -> tuple[np.ndarray, float, float]:
        """What to correlate light pages with, the power of it, the sum of weights."""
        n = float(self.weight.sum())
        pattern = self.weight * (float((self.ink * self.weight).sum()) / n - self.ink)
        return pattern, float((pattern * pattern).sum()), n


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


@kept
def form_marks(form: TallyForm) -> list[Mark]:
    """Return every mark of every anchor of a form.

    Raises
    ------
    FormError
        If the image of a patch cannot be read.
    """
    return [mark for i in range(len(form.anchors)) for mark in _anchor_marks(form, i)]


@kept
def mark_places(form: TallyForm) -> np.ndarray:
    """Return where the marks of a form are, in form units, ``(n_marks, 2)``."""
    places = np.array([mark.xy for mark in form_marks(form)], float)
    places.flags.writeable = False
    return places


def _coverage(low: float, high: float, start: int, length: int) -> np.ndarray:
    """Return how much of each pixel of a row the interval [low, high] covers."""
    left = np.arange(start, start + length) - 0.5
    return np.clip(np.minimum(high, left + 1) - np.maximum(low, left), 0, 1)


def draw_mark(mark: Mark, scale: tuple[float, float], reach: float) -> DrawnMark:
    """Draw a mark.

    `scale` is in pixels a form unit, per axis; nothing is drawn further than
    `reach` pixels from the reference point along an arm.
    """
    if mark.image is not None:
        w, h = (max(4, round(s * k)) for s, k in zip(mark.size, scale, strict=True))
        shrink = w * h < mark.image.size
        how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
        image = 255 - cv2.resize(mark.image, (w, h), interpolation=how)
        at = np.array([(w - 1) / 2, (h - 1) / 2])
        return DrawnMark(image, np.ones_like(image), at)
    return _draw_rectangles(mark.rectangles, mark.margin, scale, reach)


@lru_cache(maxsize=256)
def _draw_rectangles(
    rectangles: tuple[tuple[float, float, float, float], ...],
    surround: float,
    scale: tuple[float, float],
    reach: float,
) -> DrawnMark:
    """Draw a mark of rectangles; kept, because pages of one size come in heaps."""
    factors = np.array([scale[0], scale[1]] * 2)
    boxes = np.array(rectangles) * factors
    margin = max(surround * min(scale), 2.0)
    solid = len(boxes) == 1
    limit = np.inf if solid else reach
    low = np.maximum(boxes[:, :2].min(axis=0) - margin, -limit)
    high = np.minimum(boxes[:, 2:].max(axis=0) + margin, limit)
    start = np.floor(low).astype(int)
    width, height = (np.ceil(high).astype(int) - start + 1).tolist()
    ink = np.zeros((height, width), np.float32)
    profiles = [
        (
            _coverage(x1, x2, start[0], width).astype(np.float32),
            _coverage(y1, y2, start[1], height).astype(np.float32),
        )
        for x1, y1, x2, y2 in boxes
    ]
    for along_x, along_y in profiles:
        ink += np.outer(along_y, along_x)
    if solid:
        weight = np.ones_like(ink)
    else:
        # Only the surround of the lines counts: what is written inside does not.
        side = 2 * round(margin) + 1
        weight = cv2.dilate((ink > 0).astype(np.float32), np.ones((side, side)))
    profile = profiles[0] if solid else None
    return DrawnMark(ink, weight, -start.astype(float), profile)

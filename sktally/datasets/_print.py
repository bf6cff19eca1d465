"""The blank form: everything a `TallyForm` prints, drawn upright.

Comes in: a form and a scale. Goes out: uint8 darkness ``(height, width)``, 0 bare paper
and 255 black. Form unit x lies at pixel ``x * scale - 0.5``: the centre of the top left
pixel is 0, 0.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import cv2
import numpy as np

from sktally.datasets._boxes import guide_dot_places
from sktally.form import Anchor, PrintedMark, TallyField, TallyForm

__all__ = ["DOT_GRID", "print_form", "upright_matrix"]

_SHIFT = 4
DOT_GRID = (0.27, 0.18, 0.73, 0.82)  # guide dots, in widths and heights of the box
_DOT_LEVEL = 110


def upright_matrix(scale: float) -> np.ndarray:
    """Return the map from form units to pixels of the upright raster."""
    return np.array([[scale, 0, -0.5], [0, scale, -0.5], [0, 0, 1.0]])


def _cover(start: float, stop: float, n: int) -> tuple[int, np.ndarray]:
    """Return the first pixel and the part of each pixel that an interval covers."""
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(stop)), n)
    edges = np.arange(first, max(last, first) + 1)
    return first, np.diff(np.clip(edges, start, stop))


def fill_rectangle(
    canvas: np.ndarray, x: float, y: float, w: float, h: float, level: int = 255
) -> None:
    """Fill a rectangle given in pixel edges, by exact coverage of each pixel."""
    x0, across = _cover(x, x + w, canvas.shape[1])
    y0, down = _cover(y, y + h, canvas.shape[0])
    if not across.size or not down.size:
        return
    ink = np.rint(level * down[:, None] * across[None, :]).astype(np.uint8)
    part = canvas[y0 : y0 + len(down), x0 : x0 + len(across)]
    np.maximum(part, ink, out=part)


def _line(canvas: np.ndarray, ends: tuple[float, ...], width: float, s: float) -> None:
    x1, y1, x2, y2 = (v * s for v in ends)
    t = width * s
    if x1 == x2:
        fill_rectangle(canvas, x1 - t / 2, min(y1, y2), t, abs(y2 - y1))
    elif y1 == y2:
        fill_rectangle(canvas, min(x1, x2), y1 - t / 2, abs(x2 - x1), t)
    else:
        a, b = np.rint((np.array([[x1, y1], [x2, y2]]) - 0.5) * 16).astype(int).tolist()
        level = int(255 * min(t, 1))
        cv2.line(canvas, a, b, level, max(round(t), 1), cv2.LINE_AA, _SHIFT)


def outline(
    canvas: np.ndarray, rect: tuple[float, ...], width: float, s: float
) -> None:
    """Draw a rectangle whose lines are centred on its edges."""
    x, y, w, h = rect
    half = width / 2
    for ends in (
        (x - half, y, x + w + half, y),
        (x - half, y + h, x + w + half, y + h),
        (x, y - half, x, y + h + half),
        (x + w, y - half, x + w, y + h + half),
    ):
        _line(canvas, ends, width, s)


@lru_cache(maxsize=1)
def _cap_height() -> float:
    """Return the height of a capital letter at font scale 1, measured on one.

    OpenCV 4 and 5 draw different fonts by the same name, and getTextSize includes
    more than the letter.
    """
    canvas = np.zeros((400, 400), np.uint8)
    cv2.putText(canvas, "H", (50, 350), cv2.FONT_HERSHEY_SIMPLEX, 10.0, 255, 1)
    return float(canvas.any(axis=1).sum() / 10)


def _text(
    canvas: np.ndarray, x: float, y: float, cap: float, text: str, s: float
) -> None:
    """Write text; accents are dropped because Hershey fonts have none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    size = cap * s / _cap_height()
    origin = (round(x * s), round(y * s))
    width = max(round(cap * s / 9), 1)
    level = 255 if cap * s > 7 else 200
    cv2.putText(
        canvas, plain, origin, cv2.FONT_HERSHEY_SIMPLEX, size, level, width, cv2.LINE_AA
    )


def _mark(canvas: np.ndarray, mark: PrintedMark, s: float) -> None:
    for place in mark.places():
        if mark.kind == "line":
            _line(canvas, place, mark.thickness, s)
        elif mark.kind == "rect":
            outline(canvas, place, mark.thickness, s)
        elif mark.kind == "fill":
            x, y, w, h = (v * s for v in place)
            fill_rectangle(canvas, x, y, w, h)
        elif mark.kind == "circle":
            x, y, radius = (v * s for v in place)
            center = (round((x - 0.5) * 16), round((y - 0.5) * 16))
            t = mark.thickness * s
            cv2.circle(
                canvas,
                center,
                round(radius * 16),
                int(255 * min(t, 1)),
                max(round(t), 1),
                cv2.LINE_AA,
                _SHIFT,
            )
        else:
            _text(canvas, place[0], place[1], place[2], mark.text, s)


def _anchor(canvas: np.ndarray, anchor: Anchor, form: TallyForm, s: float) -> None:
    (x, y), (w, h) = anchor.center, anchor.size
    rect = (x - w / 2, y - h / 2, w, h)
    t = anchor.thickness or 0.0
    if anchor.kind == "square":
        fill_rectangle(canvas, rect[0] * s, rect[1] * s, w * s, h * s)
    elif anchor.kind == "frame":
        outline(canvas, rect, t, s)
    elif anchor.kind == "corner":
        right, low = "right" in str(anchor.opens), "bottom" in str(anchor.opens)
        left, top = x - w * right, y - h * low
        fill_rectangle(canvas, left * s, (y - t * low) * s, w * s, t * s)
        fill_rectangle(canvas, (x - t * right) * s, top * s, t * s, h * s)
    elif anchor.file is not None and form.beside(anchor.file).exists():
        _patch(canvas, str(form.beside(anchor.file)), rect, s)


def _patch(canvas: np.ndarray, path: str, rect: tuple[float, ...], s: float) -> None:
    """Print the picture of a patch anchor, clipped to the page."""
    picture = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    if picture is None:
        return
    x, y, w, h = (v * s for v in rect)
    move = np.array([[w / picture.shape[1], 0, 0], [0, h / picture.shape[0], 0]])
    move[:, 2] = (x - 0.5 + move[0, 0] / 2, y - 0.5 + move[1, 1] / 2)
    size = (canvas.shape[1], canvas.shape[0])
    np.maximum(canvas, cv2.warpAffine(255 - picture, move, size), out=canvas)


def _field(canvas: np.ndarray, field: TallyField, s: float, label: bool) -> None:
    for x, y, w, h in field.rectangles:
        if field.guide_dots:
            radius = 0.012 * h * s
            for px, py in guide_dot_places(DOT_GRID, 5):
                cx, cy = (x + px * w) * s, (y + py * h) * s
                fill_rectangle(
                    canvas, cx - radius, cy - radius, 2 * radius, 2 * radius, _DOT_LEVEL
                )
        if field.frame:
            outline(canvas, (x, y, w, h), field.frame, s)
    if label:
        x, y, _, h = field.rectangles[0]
        cap = 0.25 * h
        text = field.label or field.name
        start = max(x - (len(text) + 2) * cap, 0.03 * x)
        _text(canvas, start, y + 0.5 * (h + cap), cap, text, s)


def print_form(form: TallyForm, scale: float) -> np.ndarray:
    """Return the blank form as uint8 darkness, ``scale`` pixels a form unit.

    Fields are labelled where the form describes no printed text of its own.
    """
    shape = (round(form.page.height * scale), round(form.page.width * scale))
    canvas = np.zeros(shape, np.uint8)
    label = not any(mark.kind == "text" for mark in form.printed)
    for mark in form.printed:
        _mark(canvas, mark, scale)
    for field in form.fields:
        _field(canvas, field, scale, label)
    for anchor in form.anchors:
        _anchor(canvas, anchor, form, scale)
    return canvas

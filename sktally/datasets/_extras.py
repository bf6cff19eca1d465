"""What else is on a filled page: signatures, words, stains.

Comes in: the ink raster of a page. Goes out: the same with more on it, in place. Boxes
and anchors are kept clear, so that the truth of a page stays the truth.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally.datasets._strokes import Stroke, Writer, draw_strokes
from sktally.form import TallyForm

__all__ = ["draw_scribbles", "draw_stains"]


def _keep_clear(form: TallyForm) -> np.ndarray:
    """Return x1, y1, x2, y2 of all boxes and anchors with some room, form units."""
    boxes = form.box_array().reshape(-1, 4)
    boxes = boxes[~np.isnan(boxes[:, 0])]
    room = 0.5 * boxes[:, 3:4]
    zones = [np.hstack([boxes[:, :2] - room, boxes[:, :2] + boxes[:, 2:] + room])]
    for anchor in form.anchors:
        center, reach = np.array(anchor.center), 1.5 * np.array(anchor.size)
        zones.append(np.hstack([center - reach, center + reach])[None])
    return np.vstack(zones)


def _scribble(width: float, height: float, rng: np.random.Generator) -> np.ndarray:
    """Return pen positions of a signature: loops that run to the right."""
    n = int(rng.integers(5, 11))
    t = np.linspace(0, 2 * np.pi * n, 14 * n)
    swing = np.interp(t, np.linspace(0, t[-1], 8), rng.uniform(0.15, 1, 8))
    lean = rng.uniform(0.1, 0.6)
    y = 0.5 * height * swing * np.sin(t + 0.6 * np.sin(0.37 * t + rng.uniform(0, 6)))
    x = np.linspace(0, width, len(t)) + 0.4 * height * swing * np.cos(t) - lean * y
    return np.stack([x, y], axis=1)


def draw_scribbles(
    ink: np.ndarray,
    form: TallyForm,
    writer: Writer,
    scale: float,
    rng: np.random.Generator,
) -> None:
    """Draw up to four signatures where they touch neither box nor anchor."""
    zones = _keep_clear(form)
    height = float(np.median(zones[:, 3] - zones[:, 1])) * 0.4
    page = np.array([form.page.width, form.page.height])
    for _ in range(int(rng.integers(1, 5))):
        w, h = height * rng.uniform(1.5, 5), height * rng.uniform(0.5, 1.1)
        for _ in range(10):
            # People sign below what they state: mostly the lowest third.
            x = rng.uniform(0.05, 0.9) * page[0]
            y = (rng.uniform(0.7, 0.97) if rng.random() < 0.8 else rng.random()) * page[
                1
            ]
            low, high = (x - h, y - h), (x + w + h, y + h)
            apart = (zones[:, :2] > high).any(axis=1) | (zones[:, 2:] < low).any(axis=1)
            if apart.all() and x + w < page[0]:
                break
        else:
            continue
        points = _scribble(w, h, rng) + (x, y)
        n = len(points)
        pen = max(writer.pen * height, 1 / scale)
        stroke = Stroke(points, np.full(n, pen), np.full(n, 0.9))
        draw_strokes(ink, [stroke], np.array([[scale, 0, -0.5], [0, scale, -0.5]]))


def draw_stains(raster: np.ndarray, amount: float, rng: np.random.Generator) -> None:
    """Darken a page in place with blots and rings as of a cup, soft-edged."""
    height, width = raster.shape
    step = max(min(height, width) // 256, 1)
    layer = np.zeros((height // step + 1, width // step + 1), np.uint8)
    small = min(layer.shape)
    for _ in range(int(rng.integers(1, 4))):
        center = (int(rng.integers(layer.shape[1])), int(rng.integers(layer.shape[0])))
        axes = tuple(int(v) for v in rng.integers(small // 30 + 1, small // 6 + 2, 2))
        level = int(255 * amount * rng.uniform(0.08, 0.3))
        ring = int(small // 60 + 1) if rng.random() < 0.5 else -1
        cv2.ellipse(layer, center, axes, int(rng.integers(180)), 0, 360, level, ring)
    layer = cv2.GaussianBlur(layer, (0, 0), max(small / 120, 0.6))
    wide = cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
    np.copyto(raster, cv2.max(raster, cv2.addWeighted(raster, 0.9, wide, 1.0, 0)))

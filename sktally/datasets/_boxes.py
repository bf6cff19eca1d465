"""Printed boxes around a digit: frames, neighbours, guide dots, watermark.

Comes in: a random generator. Goes out: `BoxStyle` (how one form prints its boxes) and
`draw_box`, which draws the print around one box on a raster. Lengths in box heights.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["BoxStyle", "draw_box", "draw_box_style", "guide_dot_places"]

Ends = tuple[float, float, float, float]

_SHIFT = 4


@dataclass(frozen=True)
class BoxStyle:
    """How a form prints the boxes of a number.

    Attributes
    ----------
    aspect : float
        Width of a box over its height.
    gap : float
        Space between boxes; 0 where they share a line.
    outer, inner : float
        Width of the outer frame and of the lines between boxes; 0 for none.
    inner_part : float
        Part of the box height that the lines between boxes cover, from below.
    sides : tuple of bool
        Whether top, right, bottom and left lines are printed.
    darkness : float
        Darkness of the frame, 0 to 1.
    dots : float
        Darkness of seven-segment guide dots, 0 for none.
    dot_grid : tuple of float
        Left, top, right, bottom of the guide dots, in box widths and heights.
    dot_steps : int
        Dots along each segment.
    dot_size : float
        Radius of a dot.
    watermark : float
        Darkness of a printed background pattern.
    rule : float
        Distance of a table line above and below the boxes, 0 for none.
    """

    aspect: float
    gap: float
    outer: float
    inner: float
    inner_part: float
    sides: tuple[bool, bool, bool, bool]
    darkness: float
    dots: float
    dot_grid: tuple[float, float, float, float]
    dot_steps: int
    dot_size: float
    watermark: float
    rule: float


def draw_box_style(
    rng: np.random.Generator, *, frame: bool | None, guide_dots: bool | None
) -> BoxStyle:
    """Return a box style drawn at random; None leaves frame or dots to chance."""
    framed = rng.random() < 0.92 if frame is None else frame
    dotted = rng.random() < 0.4 if guide_dots is None else guide_dots
    outer = float(np.exp(rng.uniform(np.log(0.012), np.log(0.09)))) if framed else 0.0
    apart = framed and rng.random() < 0.45
    sides = (True, True, True, True)
    if framed and rng.random() < 0.12:  # combs and rows closed on some sides only
        sides = tuple(bool(v) for v in rng.random(4) < 0.6)  # type: ignore[assignment]
    left, top = rng.uniform(0.2, 0.34), rng.uniform(0.14, 0.26)
    return BoxStyle(
        aspect=float(np.clip(np.exp(rng.normal(-0.18, 0.25)), 0.5, 1.5)),
        gap=float(rng.uniform(0.05, 0.5)) if apart else 0.0,
        outer=outer,
        inner=outer * (1.0 if apart else float(rng.choice([1.0, 1.0, 0.6, 0.4]))),
        inner_part=1.0 if apart or rng.random() < 0.9 else float(rng.uniform(0.2, 0.6)),
        sides=sides,
        darkness=float(rng.uniform(0.35, 1.0)),
        dots=float(rng.uniform(0.1, 0.5)) if dotted else 0.0,
        dot_grid=(left, top, 1 - left, 1 - top),
        dot_steps=int(rng.choice([1, 3, 4, 5, 6, 8])),
        dot_size=float(rng.uniform(0.007, 0.017)),
        watermark=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.25 else 0.0,
        rule=float(rng.uniform(0.05, 0.6)) if rng.random() < 0.3 else 0.0,
    )


def guide_dot_places(
    grid: tuple[float, float, float, float], steps: int
) -> list[tuple[float, float]]:
    """Return the dots along the seven segments of a grid, ``steps`` a segment."""
    x0, y0, x1, y1 = grid
    middle = (y0 + y1) / 2
    ends = [(x0, y) for y in (y0, middle, y1)]
    segments = [(a, (x1, a[1])) for a in ends]
    for x in (x0, x1):
        segments += [((x, y0), (x, middle)), ((x, middle), (x, y1))]
    places = set()
    for (ax, ay), (bx, by) in segments:
        for i in range(steps + 1):
            t = i / steps
            places.add((round(ax + t * (bx - ax), 4), round(ay + t * (by - ay), 4)))
    return sorted(places)


def _lines(
    canvas: np.ndarray,
    ends: list[Ends],
    matrix: np.ndarray,
    width: float,
    level: float,
) -> None:
    """Draw lines x1, y1, x2, y2 given in box heights."""
    if not ends or width <= 0:
        return
    linear = matrix[:, :2]
    unit = np.sqrt(abs(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]))
    points = np.array(ends, dtype=float).reshape(-1, 2) @ linear.T + matrix[:, 2]
    pixels = np.rint(points * (1 << _SHIFT)).astype(np.int32).reshape(-1, 2, 2)
    thickness = max(int(round(width * unit)), 1)
    color = int(np.clip(255 * level, 0, 255))
    cv2.polylines(canvas, list(pixels), False, color, thickness, cv2.LINE_8, _SHIFT)


def _frame_lines(
    style: BoxStyle, left: bool, right: bool
) -> tuple[list[Ends], list[Ends]]:
    """Return outer and inner lines of a box and the near ends of its neighbours."""
    w, pitch = style.aspect, style.aspect + style.gap
    top, east, bottom, west = style.sides
    outer: list[Ends] = []
    inner: list[Ends] = []
    x0 = -pitch if left else 0.0
    x1 = pitch + w if right else w
    if style.gap:
        spans = [(0.0, w)]
        spans += [(-pitch, w - pitch)] if left else []
        spans += [(pitch, pitch + w)] if right else []
        verticals = [(x, True) for span in spans for x in span]
    else:
        spans = [(x0, x1)]
        verticals = [(0.0, not left), (w, not right)]
    for a, b in spans:
        if top:
            outer.append((a, 0.0, b, 0.0))
        if bottom:
            outer.append((a, 1.0, b, 1.0))
    for x, is_outer in verticals:
        if (x <= 0 and not west) or (x > 0 and not east):
            continue
        if is_outer:
            outer.append((x, 0.0, x, 1.0))
        else:
            inner.append((x, 1 - style.inner_part, x, 1.0))
    return outer, inner


def draw_box(
    canvas: np.ndarray,
    style: BoxStyle,
    matrix: np.ndarray,
    rng: np.random.Generator,
    *,
    left: bool,
    right: bool,
) -> None:
    """Draw the print around one box in place: 0 is bare paper, 255 black.

    Parameters
    ----------
    canvas : ndarray of shape (height, width)
        uint8, larger than needed; reduced afterwards.
    style : BoxStyle
        How the form prints boxes.
    matrix : ndarray of shape (2, 3)
        Affine map from box heights to canvas pixels.
    rng : numpy.random.Generator
        For the place of the watermark.
    left, right : bool
        Whether the number has a box on that side.
    """
    size = canvas.shape[0]
    if style.watermark and rng.random() < 0.8:
        color = int(255 * style.watermark * rng.uniform(0.5, 1))
        center = tuple(int(v) for v in rng.integers(-size // 2, 3 * size // 2, 2))
        axes = tuple(int(v) for v in rng.integers(size // 4, size, 2))
        width = int(rng.integers(size // 40 + 1, size // 5 + 2))
        cv2.ellipse(canvas, center, axes, int(rng.integers(180)), 0, 360, color, width)
    if style.dots:
        x_scale = style.aspect
        for x, y in guide_dot_places(style.dot_grid, style.dot_steps):
            px, py = matrix[:, :2] @ (x * x_scale, y) + matrix[:, 2]
            radius = max(round(style.dot_size * size / 1.3), 1)
            cv2.circle(canvas, (int(px), int(py)), radius, int(255 * style.dots), -1)
    outer, inner = _frame_lines(style, left, right)
    _lines(canvas, inner, matrix, style.inner, style.darkness)
    _lines(canvas, outer, matrix, style.outer, style.darkness)
    if style.rule:
        ends = [(-3.0, y, 3.0, y) for y in (-style.rule, 1 + style.rule)]
        _lines(canvas, ends, matrix, max(style.outer, 0.02), style.darkness)

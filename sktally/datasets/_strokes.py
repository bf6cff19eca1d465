"""Handwriting: a writer with habits draws symbols as pen strokes.

Comes in: a random generator. Goes out: `Writer` (one hand), `write_symbol` (strokes in
units of the box height) and `draw_strokes` (strokes as ink on a raster).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sktally.datasets._glyphs import BLOCK, BOX_FILLERS, HAND, Glyph

__all__ = [
    "STYLES",
    "Stroke",
    "Writer",
    "draw_strokes",
    "draw_writer",
    "follow_dots",
    "write_symbol",
]

STYLES = ("mixed", "handwritten", "seven-segment")


_SHIFT = 4  # fractional bits of pen positions handed to OpenCV
_CHUNK = 4  # pen positions drawn with one width
_SKIPPED = 0.3  # darkness below which the pen leaves hardly any ink


@dataclass(frozen=True)
class Writer:
    """One hand and one pen; lengths in box heights.

    Attributes
    ----------
    style : {"handwritten", "seven-segment"}
        Free hand, or blocks along printed guide dots.
    slant : float
        Tangent of the lean, positive to the right.
    width, height : float
        Width factor, and height of a digit.
    offset : tuple of float
        Mean displacement from the centre of the box.
    wander : float
        Standard deviation of place and size from digit to digit.
    pen : float
        Width of the line.
    swell : float
        Relative variation of the line's width and darkness along a stroke.
    ink : float
        Darkness of the ink, 0 to 1.
    shake : float
        Standard deviation of control points, in digit heights.
    tremor : float
        Amplitude of the wobble along a stroke, in digit heights.
    skip : float
        Probability that a piece of a stroke leaves hardly any ink.
    overshoot : float
        How far straight strokes run on, in digit heights.
    habits : dict of str to Glyph
        The form of each symbol that this writer prefers.
    """

    style: str
    slant: float
    width: float
    height: float
    offset: tuple[float, float]
    wander: float
    pen: float
    swell: float
    ink: float
    shake: float
    tremor: float
    skip: float
    overshoot: float
    habits: dict[str, Glyph]


@dataclass(frozen=True)
class Stroke:
    """One pen stroke on paper.

    Attributes
    ----------
    points : ndarray of shape (n_points, 2)
        Pen positions in box heights from the top left corner of the box.
    widths : ndarray of shape (n_points,)
        Width of the line in box heights.
    darkness : ndarray of shape (n_points,)
        0 (no ink) to 1.
    """

    points: np.ndarray
    widths: np.ndarray
    darkness: np.ndarray


def _pick(rng: np.random.Generator, options: tuple[Glyph, ...]) -> Glyph:
    return options[int(rng.integers(len(options)))]


def draw_writer(
    rng: np.random.Generator, style: str = "mixed", *, p_blocks: float = 0.3
) -> Writer:
    """Return a writer drawn at random; `p_blocks` of "mixed" ones write blocks.

    The ranges were set by eye on filled forms: digits fill a third of their box to
    all of it, ballpoint to felt-tip lines are 3 to 14 % of the box height wide.
    """
    if style == "mixed":
        style = "seven-segment" if rng.random() < p_blocks else "handwritten"
    block = style == "seven-segment"
    forms = BLOCK if block else HAND
    habits = {label: _pick(rng, options) for label, options in forms.items()}
    if block and rng.random() < 0.5:  # writers who follow the dots in part only
        for label in rng.choice(list("0123456789x"), int(rng.integers(1, 7))):
            habits[label] = _pick(rng, HAND[label])
    if rng.random() < 0.4:
        habits["x"] = _pick(rng, BOX_FILLERS)
    height = (
        rng.uniform(0.5, 0.85) if block else np.clip(rng.normal(0.64, 0.15), 0.3, 1)
    )
    careful = rng.random()
    return Writer(
        style=style,
        slant=float(rng.normal(0.02, 0.06) if block else rng.normal(0.12, 0.16)),
        width=float(np.exp(np.clip(rng.normal(0.0, 0.22), -0.45, 0.45))),
        height=float(height),
        offset=(float(rng.normal(0, 0.06)), float(rng.normal(0, 0.07))),
        wander=float(rng.uniform(0.01, 0.09)),
        pen=float(np.exp(rng.uniform(np.log(0.03), np.log(0.13)))),
        swell=float(0.45 * rng.random() ** 1.5),
        ink=float(np.clip(1.08 - 0.62 * rng.random() ** 1.6, 0.4, 1)),
        shake=float(0.008 + 0.04 * careful**1.5),
        tremor=float(0.015 * rng.random() ** 3),
        skip=float(0.1 * rng.random() ** 5),
        overshoot=float(max(rng.normal(0, 0.05), -0.03)),
        habits=habits,
    )


def follow_dots(
    writer: Writer, grid: tuple[float, float, float, float], aspect: float
) -> Writer:
    """Return the same hand writing from guide dot to guide dot.

    Parameters
    ----------
    writer : Writer
        Who writes blocks.
    grid : tuple of float
        Left, top, right, bottom of the dots, in widths and heights of the box.
    aspect : float
        Width of the box over its height.
    """
    x0, y0, x1, y1 = grid
    height = (y1 - y0) / min(1.0, max(aspect, 0.55) ** 0.5 * 1.1)
    width = (x1 - x0) * aspect / (0.6 * (y1 - y0))
    return replace(
        writer, height=height, width=width, offset=(0, 0), slant=0.4 * writer.slant
    )


def _choose_glyph(label: str, writer: Writer, rng: np.random.Generator) -> Glyph:
    if rng.random() < 0.88:
        return writer.habits[label]
    if label == "x" and rng.random() < 0.4:
        return _pick(rng, BOX_FILLERS)
    forms = BLOCK if writer.style == "seven-segment" else HAND
    return _pick(rng, forms[label])


def _bend(points: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Displace points by a smooth quadratic field; ends that met still meet."""
    x, y = points[:, 0], points[:, 1]
    terms = np.stack([x * x, x * y, y * y, x * y * y], axis=1)
    return points + terms @ coefficients


def _run_on(control: np.ndarray, length: float) -> np.ndarray:
    """Lengthen (or shorten) a stroke at its end by `length`."""
    step = control[-1] - control[-2]
    control = control.copy()
    control[-1] += step * (length / (np.hypot(*step) + 1e-6))
    return control


def write_symbol(
    label: str, writer: Writer, rng: np.random.Generator, *, aspect: float = 1.0
) -> list[Stroke]:
    """Return the pen strokes of one symbol in a box.

    Parameters
    ----------
    label : str
        A digit or ``"x"``; ``"_"`` gives no stroke.
    writer : Writer
        Whose hand.
    rng : numpy.random.Generator
        Source of the variation from digit to digit.
    aspect : float
        Width of the box over its height.

    Returns
    -------
    list of Stroke
        In box heights from the top left corner of the box.
    """
    if label == "_":
        return []
    glyph = _choose_glyph(label, writer, rng)
    strokes = _write_glyph(label, glyph, writer, rng, aspect)
    if rng.random() < 0.04:  # gone over a second time
        strokes += _write_glyph(
            label, glyph, replace(writer, wander=0.012), rng, aspect
        )
    return strokes


def _write_glyph(
    label: str, glyph: Glyph, writer: Writer, rng: np.random.Generator, aspect: float
) -> list[Stroke]:
    """Place a glyph in the box as this writer sizes, leans and shakes it."""
    wander = rng.normal(0, writer.wander, 5)
    if any(glyph is filler for filler in BOX_FILLERS):
        scale = np.array([aspect / 0.6, 1.0]) * (1 + 0.5 * wander[:2])
        lean = 0.0
    else:
        height = writer.height * min(1.0, max(aspect, 0.55) ** 0.5 * 1.1)
        wide = min(height * writer.width, 1.6 * aspect)
        scale = np.array([wide, height]) * np.exp(wander[:2])
        lean = writer.slant + 0.6 * wander[4]
        if label == "1":  # more would be the diagonal of a crossed box
            lean = float(np.clip(lean, -0.2, 0.32))
    center = np.array([aspect / 2, 0.5]) + 0.8 * wander[2:4]
    if lean or scale[1] < 1:
        center = center + np.array(writer.offset) * (1.3 - writer.height)
    bend = rng.normal(0, (1.5 if label == "x" else 3) * writer.shake, (4, 2))
    angle = rng.normal(0, 0.5 * writer.wander)
    cos, sin = np.cos(angle), np.sin(angle)
    place = np.array([[cos, sin], [-sin, cos]]) * scale
    place = np.array([[1, 0], [-lean, 1]]) @ place
    strokes = []
    for path in glyph.paths:
        control = path.control + rng.normal(0, writer.shake, path.control.shape)
        if len(control) <= 3:
            control = _run_on(control, writer.overshoot * rng.random() * 2)
        points = _bend(path.basis @ control, bend)
        strokes.append(_pen(points @ place + center, writer, rng))
    return strokes


def _pen(points: np.ndarray, writer: Writer, rng: np.random.Generator) -> Stroke:
    """Give a path the width, darkness and tremor of the writer's pen."""
    t = np.arange(len(points))
    a, b, c, d = rng.uniform(0, 2 * np.pi, 4)
    rate = rng.uniform(0.08, 0.4)
    if writer.tremor > 0.001:
        size = writer.tremor * writer.height
        points = points + size * np.stack(
            [np.sin(2.1 * t + a), np.sin(1.7 * t + b)], axis=1
        )
    wave = np.sin(rate * t + c)
    widths = writer.pen * (1 + 0.6 * writer.swell * wave)
    darkness = 1 - writer.swell * 0.5 * (1 + np.sin(rate * 1.7 * t + d))
    if writer.skip > 0.004:
        darkness = darkness * np.where(rng.random(len(points)) < writer.skip, 0.15, 1)
    return Stroke(points, widths, darkness)


def draw_strokes(canvas: np.ndarray, strokes: list[Stroke], matrix: np.ndarray) -> None:
    """Draw strokes in place as ink: 0 is bare paper, 255 full ink.

    Parameters
    ----------
    canvas : ndarray of shape (height, width)
        uint8. Drawn without antialiasing: make it larger than needed and reduce it.
    strokes : list of Stroke
        What `write_symbol` returned.
    matrix : ndarray of shape (2, 3)
        Affine map from box heights to canvas pixels.
    """
    linear = matrix[:, :2]
    unit = float(
        np.sqrt(abs(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]))
    )
    for stroke in strokes:
        pixels = (stroke.points @ linear.T + matrix[:, 2]) * (1 << _SHIFT)
        pixels = np.rint(pixels).astype(np.int32)
        widths = np.maximum(np.rint(stroke.widths * unit), 1).astype(int).tolist()
        levels = np.clip(stroke.darkness * 255, 0, 255).astype(int).tolist()
        for start, end in _pieces(stroke.darkness):
            level = levels[start]
            if level:
                piece = pixels[start : end + 1]
                cv2.polylines(
                    canvas, [piece], False, level, widths[start], cv2.LINE_8, _SHIFT
                )


def _pieces(darkness: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last pen position of the pieces drawn with one width.

    A piece ends where the pen begins or ceases to leave ink: were it drawn on, a
    skip would take a third of a digit, which nobody could read.
    """
    skipped = darkness < _SKIPPED
    pieces, start = [], 0
    for i in range(1, len(darkness)):
        last = i == len(darkness) - 1
        if last or i - start == _CHUNK or skipped[i] != skipped[start]:
            pieces.append((start, i))
            start = i
    return pieces

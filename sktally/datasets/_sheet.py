"""One synthetic page: filled in by a writer, laid down, and taken.

Comes in: a blank form as darkness. Goes out: its uint8 picture and where the paper lay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sktally.datasets._counts import write_boxes
from sktally.datasets._damage import Damage, draw_damage, expose
from sktally.datasets._extras import draw_scribbles, draw_stains
from sktally.datasets._legible import keep_legible
from sktally.datasets._print import DOT_GRID
from sktally.datasets._strokes import (
    Writer,
    draw_strokes,
    draw_writer,
    follow_dots,
    write_symbol,
)
from sktally.datasets._warp import Pose, draw_pose, warp_page
from sktally.form import TallyField, TallyForm

__all__ = ["Recipe", "draw_hand_and_damage", "fill_in", "take"]

_FINER = 3  # handwriting is drawn this much larger, then reduced
_FILLS_ZEROS = 0.85  # clerks who fill the bubble of 0 at a crossed or empty box
_SIXTEEN = 16  # parts of a pixel in which OpenCV is told of places
_SPILL = 0.6  # how far ink may leave its box, in box heights


@dataclass(frozen=True)
class Recipe:
    """What make_tally_pages was asked for; None in the last two: chance decides."""

    form: TallyForm
    scale: float
    style: str
    degrade: str | float
    sums_hold: float
    habits: tuple[float, float, float]
    turn: int | str
    scribbles: bool
    handling: dict[str, float | None]
    lens: dict[str, float | None]


def _write_field(
    ink: np.ndarray,
    boxes: str,
    field: TallyField,
    writer: Writer,
    scale: float,
    rng: np.random.Generator,
) -> None:
    """Write a box string into the boxes of a field, in place."""
    for char, (x, y, w, h) in zip(boxes, field.rectangles, strict=True):
        hand = writer
        if field.guide_dots and writer.style == "seven-segment":
            hand = follow_dots(writer, DOT_GRID, w / h)
        strokes = write_symbol(char, hand, rng, aspect=w / h)
        if not strokes:
            continue
        x0 = max(int((x - _SPILL * h) * scale), 0)
        y0 = max(int((y - _SPILL * h) * scale), 0)
        x1 = min(int((x + w + _SPILL * h) * scale) + 1, ink.shape[1])
        y1 = min(int((y + h + _SPILL * h) * scale) + 1, ink.shape[0])
        patch = np.zeros(((y1 - y0) * _FINER, (x1 - x0) * _FINER), np.uint8)
        unit = h * scale * _FINER
        left, top = (x * scale - x0) * _FINER, (y * scale - y0) * _FINER
        draw_strokes(patch, strokes, np.array([[unit, 0, left], [0, unit, top]]))
        small = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        part = ink[y0:y1, x0:x1]
        np.maximum(part, small, out=part)


def _fill_bubbles(
    ink: np.ndarray,
    boxes: list[str],
    form: TallyForm,
    scale: float,
    rng: np.random.Generator,
) -> None:
    """Fill the bubble of each digit, and for most clerks that of 0 where none is."""
    fills_zeros = rng.random() < _FILLS_ZEROS
    for field, string in zip(form.fields, boxes, strict=True):
        if field.bubbles is None:
            continue
        centers = field.bubbles.centers(field.rectangles)
        for char, places in zip(string, centers, strict=True):
            if char.isdigit() or fills_zeros:
                center = np.array(places[int(char) if char.isdigit() else 0])
                center += field.bubbles.radius * rng.normal(0, 0.08, 2)
                radius = field.bubbles.radius * rng.uniform(0.85, 1.1) * scale
                at = np.round((center * scale - 0.5) * _SIXTEEN).astype(int).tolist()
                size = round(radius * _SIXTEEN)
                cv2.circle(ink, at, size, 255, cv2.FILLED, cv2.LINE_AA, 4)


def draw_hand_and_damage(
    recipe: Recipe, rng: np.random.Generator
) -> tuple[Writer, Damage]:
    """Return the writer of a page and how it is taken.

    Blur is drawn for boxes of about 31 pixels, and made to suit those of the page.
    Blocks are rare where there are no guide dots.
    """
    form = recipe.form
    damage = draw_damage(rng, recipe.degrade)
    height = float(np.nanmedian(form.box_array()[..., 3])) * recipe.scale
    ratio = float(np.clip(height / 31, 0.3, 3))
    enlarged = max(1 / damage.detail - 1, 0) * 0.5
    damage = replace(
        damage,
        blur=float(np.hypot(damage.blur, enlarged)) * ratio * 0.8,
        motion=(damage.motion[0] * ratio, damage.motion[1] * ratio),
    )
    dotted = any(field.guide_dots for field in form.fields)
    writer = draw_writer(rng, recipe.style, p_blocks=0.6 if dotted else 0)
    writer, damage = keep_legible(writer, damage, height)
    given = {key: value for key, value in recipe.lens.items() if value is not None}
    return writer, replace(damage, **given)  # type: ignore[arg-type]


def fill_in(
    recipe: Recipe,
    blank: np.ndarray,
    counts: np.ndarray,
    writer: Writer,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[str]]:
    """Return the filled form as uint8 darkness, upright, and its box strings."""
    ink = np.zeros_like(blank)
    habit = str(rng.choice(["0", "x", "_"], p=recipe.habits))
    boxes = []
    for field, count in zip(recipe.form.fields, counts.tolist(), strict=True):
        boxes.append(write_boxes(count, len(field.rectangles), habit, rng))
        _write_field(ink, boxes[-1], field, writer, recipe.scale, rng)
    _fill_bubbles(ink, boxes, recipe.form, recipe.scale, rng.spawn(1)[0])
    if recipe.scribbles:
        draw_scribbles(ink, recipe.form, writer, recipe.scale, rng)
    # What print and ink let through multiplies.
    bare = 255 - cv2.convertScaleAbs(ink, alpha=writer.ink)
    return 255 - cv2.multiply(255 - blank, bare, scale=1 / 255), boxes


def take(
    recipe: Recipe, raster: np.ndarray, damage: Damage, rng: np.random.Generator
) -> tuple[np.ndarray, Pose]:
    """Lay the paper before the camera or on the scanner and expose it."""
    photo = damage.kind == "photo"
    severity = recipe.degrade if not isinstance(recipe.degrade, str) else 0.5
    if damage.kind == "none":
        severity = 0.0
    usual = {
        "skew": (2.4 if photo else 1.0) * severity,
        "perspective": 0.07 * severity * photo,
        "fold": 0.012 * severity * (photo and rng.random() < 0.3),
        "stains": severity * (rng.random() < 0.3),
    }
    amounts = {
        key: float(value if recipe.handling[key] is None else recipe.handling[key] or 0)
        for key, value in usual.items()
    }
    stains = amounts.pop("stains")
    turn = recipe.turn
    angle = int(rng.choice([0, 90, 180, 270])) if isinstance(turn, str) else turn
    pose = draw_pose(rng, raster.shape[:2], turn=angle, **amounts)
    if stains:
        draw_stains(raster, stains, rng)
    table = int(rng.integers(60, 200)) if photo else 0
    picture = warp_page(raster, pose, table)
    coverage = np.multiply(picture, np.float32(1 / 255), dtype=np.float32)
    return expose(coverage, damage, rng, near=False), pose

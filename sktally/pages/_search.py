"""Search a reduced page for the marks of a form and guess where the form lies.

Comes in: a page at search scale, a turn and a plan of how widely to look. Goes out:
coarse affine maps with the candidates that agree with each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.form._kept import kept
from sktally.pages._anchors import find_marks
from sktally.pages._fit import Guess, guess_affine, guess_at_once
from sktally.pages._marks import (
    DrawnMark,
    Mark,
    draw_mark,
    form_marks,
    mark_places,
)
from sktally.pages._registration import apply_homography, turn_page

__all__ = ["CANDIDATE", "NEAR", "PLANS", "Found", "Plan", "likely_turns", "search_page"]

# A candidate must correlate at least so well; matching in an upright window at a
# finer scale then decides.
CANDIDATE = 0.40
# Scales relative to the expected one, ratio of the two, degrees; in windows and all
# over the page. Pages differ in aspect by 3 % on one scanner, 25 % between phones.
_FILLED = (0.72, 1.3, 1.25, 14.0)
_LOOSE = (0.75, 1.35, 1.4, 30.0)
# How far a candidate may lie from where an affine map puts it, as a share of the
# longer side: a page held at an angle is no affine picture.
_AGREE = 0.07
_AGREE_LOOSELY = 0.12
# Pixels of the arms of a corner that are used: short arms stand skew.
_ARM = 14.0

_Window: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Plan:
    """Say how widely to search.

    Attributes
    ----------
    scales : tuple of float
        Sizes of the marks relative to the expected ones.
    angle : float
        Degrees by which the page is turned before the search.
    zoom : float or None
        Size of the form relative to the image when it is sought all over it; None
        to search each mark in its own window only.
    reach : float
        Share of its window in which a mark is sought.
    """

    scales: tuple[float, ...]
    angle: float = 0.0
    zoom: float | None = None
    reach: float = 1.0


# Where most marks of scans lie; what is found there must be beyond doubt.
NEAR = Plan((1.0,), reach=0.35)
# Cheapest first: most scans need the first alone.
PLANS = (
    Plan((1.0,)),
    Plan((0.87, 1.0, 1.15)),
    Plan((0.93, 1.07), angle=7.0),
    Plan((0.93, 1.07), angle=-7.0),
    Plan((0.9, 1.05), zoom=0.95),
    Plan((0.85, 1.0, 1.15), zoom=0.72),
    Plan((0.85, 1.0, 1.15), zoom=0.5),
)


@dataclass(frozen=True)
class Found:
    """Record what one search found.

    Attributes
    ----------
    guesses : iterator of Guess
        Coarse maps from form units to pixels as searched, best first; the first
        mostly does, so the others are sought only when asked for.
    candidates : list of (xy, scores)
        For each mark its candidates, in pixels as searched.
    back : ndarray of shape (3, 3)
        From pixels as searched to pixels of the image that was given.
    """

    guesses: Iterator[Guess]
    candidates: list[tuple[np.ndarray, np.ndarray]]
    back: np.ndarray


def likely_turns(form: TallyForm, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the turns of a page in pairs, the pair that suits its shape first."""
    upright = (shape[1] > shape[0]) == (form.page.width > form.page.height)
    pairs = [(0, 180), (90, 270)]
    return pairs if upright else pairs[::-1]


def search_page(image: np.ndarray, form: TallyForm, turn: int, plan: Plan) -> Found:
    """Search a reduced page, turned upright as `turn` says, for all marks of a form.

    Parameters
    ----------
    image : ndarray of shape (height, width)
        uint8 page at search scale.
    form : TallyForm
        Form.
    turn : {0, 90, 180, 270}
        Degrees counter-clockwise to turn the page by.
    plan : Plan
        How widely to search.

    Returns
    -------
    Found
    """
    image, back = turn_page(image, turn)
    if plan.angle:
        image, straight = _rotate(image, plan.angle)
        back = back @ straight
    candidates = _candidates(image, form, plan)
    windows = plan.zoom is None
    guesses = _guesses(
        mark_places(form),
        candidates,
        expected=_expected(form, image.shape, plan.zoom),
        tolerance=(_AGREE if windows else _AGREE_LOOSELY) * max(image.shape),
        limits=_FILLED if windows else _LOOSE,
    )
    return Found(guesses, candidates, back)


def _guesses(
    form_xy: np.ndarray, candidates: list[tuple[np.ndarray, np.ndarray]], **how: Any
) -> Iterator[Guess]:
    """Guess where the form lies, first as cheaply as can be."""
    first = guess_at_once(form_xy, candidates, **how)
    if first is not None:
        yield first
    for guess in guess_affine(form_xy, candidates, count=2, **how):
        if first is None or guess.chosen.any():  # else the first once more
            yield guess


def _expected(
    form: TallyForm, shape: tuple[int, ...], zoom: float | None
) -> np.ndarray:
    """Return the map of a form that fills an image, or lies in its middle."""
    height, width = shape[:2]
    sx, sy = width / form.page.width, height / form.page.height
    if zoom is not None or max(sx, sy) > 1.3 * min(sx, sy):
        sx = sy = min(sx, sy) * (zoom or 1.0)
    left = (width - sx * form.page.width) / 2 - 0.5
    top = (height - sy * form.page.height) / 2 - 0.5
    return np.array([[sx, 0, left], [0, sy, top], [0, 0, 1]])


def _rotate(image: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotate an image about its middle; also return the map back."""
    height, width = image.shape
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, angle, 1.0)
    turned = cv2.warpAffine(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return turned, np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))


def _candidates(
    image: np.ndarray, form: TallyForm, plan: Plan
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Search every mark in its window, or all over the page if zoomed."""
    count = 4 if plan.zoom is None else 8
    found = [(np.empty((0, 2)), np.empty(0))] * len(form_marks(form))
    for drawn, windows in _sought(form, image.shape, plan):
        sizes = [
            find_marks(image, one, windows=[*windows], count=count, least=CANDIDATE)
            for one in drawn
        ]
        for which, candidates in zip(
            windows.values(), zip(*sizes, strict=True), strict=True
        ):
            for i in which:
                found[i] = _merge(candidates, count)
    return found


@kept
def _sought(
    form: TallyForm, shape: tuple[int, ...], plan: Plan
) -> list[tuple[list[DrawnMark], dict[_Window, list[int]]]]:
    """Return what is sought in images of a shape: drawn marks, windows, which marks.

    Marks that look alike are searched together, in one window once.
    """
    expected = _expected(form, shape, plan.zoom)
    scale = np.array([expected[0, 0], expected[1, 1]])
    places = apply_homography(expected, mark_places(form))
    alike: dict[tuple, tuple[list[DrawnMark], dict[_Window, list[int]]]] = {}
    for i, (mark, at) in enumerate(zip(form_marks(form), places, strict=True)):
        far = plan.reach * _reach(form, mark) * scale
        window = (*(at - far).tolist(), *(at + far).tolist())
        if plan.zoom is not None:
            window = (0.0, 0.0, float(shape[1]), float(shape[0]))
        drawn = [
            draw_mark(mark, (float(scale[0] * s), float(scale[1] * s)), _ARM)
            for s in plan.scales
        ]
        key = tuple(pixels.tobytes() for d in drawn for pixels in (d.ink, d.weight))
        alike.setdefault(key, (drawn, {}))[1].setdefault(window, []).append(i)
    return list(alike.values())


def _reach(form: TallyForm, mark: Mark) -> float:
    """Return how far from its place a mark may lie, in form units."""
    default = 0.1 * max(form.page.width, form.page.height)
    return form.anchors[mark.anchor].search or default


def _merge(
    found: Sequence[tuple[np.ndarray, np.ndarray]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the places found of a mark in several sizes, the best first."""
    xy = np.concatenate([places for places, _ in found])
    scores = np.concatenate([values for _, values in found])
    if len(scores) < 2:
        return xy, scores
    kept: list[int] = []
    for i in np.argsort(-scores):
        if len(kept) < count:
            if all(np.linalg.norm(xy[i] - xy[k]) > 3 for k in kept):
                kept.append(int(i))
    return xy[kept], scores[kept]

"""Synthetic tally pages: any form, filled in by hand and photographed, truth known.

Comes in: a form. Goes out: uint8 pages, dark ink on light paper, with counts, box
strings and the exact place of every box.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.utils import Bunch

from sktally._validate import check_choice, check_range
from sktally.datasets._counts import draw_counts
from sktally.datasets._damage import check_degrade
from sktally.datasets._print import print_form, upright_matrix
from sktally.datasets._random import RandomState, as_generator
from sktally.datasets._sheet import Recipe, draw_hand_and_damage, fill_in, take
from sktally.datasets._strokes import STYLES
from sktally.datasets._warp import map_points
from sktally.exceptions import TallyError, TallyWarning
from sktally.form import TallyForm, load_form

__all__ = ["make_tally_pages"]

_MOST_PIXELS = 10**8
_LOW = 16.0  # pixels of a box that is high enough for a digit to be told


def _form_corners(form: TallyForm) -> np.ndarray:
    """Return corners of all boxes in form units, TL TR BR BL, NaN for padding."""
    x, y, w, h = np.moveaxis(form.box_array(), -1, 0)
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=-2)


def _check(n_pages: int, recipe: Recipe) -> None:
    check_range("n_pages", n_pages, 1, 10**6, integer=True)
    check_range("scale", recipe.scale, 0.01, 100)
    page = recipe.form.page
    shape = round(page.height * recipe.scale), round(page.width * recipe.scale)
    if min(shape) < 16 or shape[0] * shape[1] > _MOST_PIXELS:
        raise TallyError(
            f"scale: {recipe.scale:g} makes form {recipe.form.name!r} "
            f"{shape[1]} x {shape[0]} pixels; expected at least 16 a side and at most "
            f"{_MOST_PIXELS} in all. Give pixels per form unit: the page is "
            f"{page.width:g} x {page.height:g} units"
        )
    height = float(np.nanmedian(recipe.form.box_array()[..., 3]))
    if height * recipe.scale < _LOW:
        fine = 1754 / max(page.width, page.height)
        warnings.warn(
            f"scale: {recipe.scale:g} makes boxes of form {recipe.form.name!r} "
            f"{height * recipe.scale:.0f} pixels high, too small to be read. Give "
            f"pixels per form unit: {fine:.3g} for A4 at 150 dpi",
            TallyWarning,
            stacklevel=3,
        )
    check_choice("style", recipe.style, STYLES)
    check_choice("turn", recipe.turn, (0, 90, 180, 270, "random"))
    check_degrade(recipe.degrade)
    check_range("sums_hold", recipe.sums_hold, 0, 1)
    check_range("p_crossed + p_blank", sum(recipe.habits[1:]), 0, 1)
    highest = {"skew": 20, "perspective": 0.3, "fold": 0.05, "blur": 50, "quality": 95}
    for name, value in {**recipe.handling, **recipe.lens}.items():
        if value is not None:
            most, whole = highest.get(name, 1), name == "quality"
            check_range(name, value, 0, most, integer=whole)


def make_tally_pages(
    n_pages: int = 10,
    *,
    form: str | TallyForm = "example",
    scale: float = 1.0,
    style: str = "mixed",
    degrade: str | float = "scan",
    sums_hold: float = 0.9,
    p_crossed: float = 0.3,
    p_blank: float = 0.2,
    turn: int | str = 0,
    scribbles: bool = True,
    skew: float | None = None,
    perspective: float | None = None,
    fold: float | None = None,
    stains: float | None = None,
    shadow: float | None = None,
    blur: float | None = None,
    quality: int | None = None,
    random_state: RandomState = None,
) -> Bunch:
    """Make filled tally pages of any form, with their truth.

    Each page is printed from the description of the form, filled in by one synthetic
    writer with plausible counts, and then scanned or photographed. The truth is what
    the writer wrote: where a clerk's sum is wrong, the wrong sum. Bubbles are filled as
    the boxes are.

    Parameters
    ----------
    n_pages : int, default=10
        Number of pages.
    form : str, path or TallyForm, default="example"
        Any form; see `load_form`.
    scale : float, default=1.0
        Pixels per form unit: 1 for a form in pixels, 5.9 for one in millimetres at
        150 dpi.
    style : {"mixed", "handwritten", "seven-segment"}, default="mixed"
        Free hand or blocks along guide dots; "mixed" draws it for each page, blocks
        mostly where the form prints guide dots.
    degrade : {"none", "scan", "photo", "fax", "mixed"} or float, default="scan"
        How the page was taken: perfect, flatbed, telephone, one bit a pixel, or a
        mixture; or the severity of a mixture, from 0 to 1. A photo may show the table
        around the paper.
    sums_hold : float, default=0.9
        Probability that the total of a sum rule is written as the sum of its parts
        as written; else it holds a slip.
    p_crossed, p_blank : float, default=0.3 and 0.2
        Shares of writers who cross, or leave empty, boxes before the first digit; the
        others write zeros. One number in twenty departs from its writer's habit.
    turn : {0, 90, 180, 270, "random"}, default=0
        Degrees counter-clockwise by which the page has to be turned to be upright.
    scribbles : bool, default=True
        Whether signatures are drawn, away from boxes and anchors.
    skew : float, optional
        Standard deviation of the skew in degrees. As all that follow: by default
        drawn to suit `degrade`.
    perspective : float, optional
        Largest inset of a corner of the paper, as a share of the side; up to 0.3.
    fold : float, optional
        Displacement at a crease, as a share of the page height; up to 0.05.
    stains : float, optional
        Darkness of stains, 0 to 1.
    shadow : float, optional
        Darkness of cast shadows, 0 to 1.
    blur : float, optional
        Standard deviation of the blur in page pixels.
    quality : int, optional
        JPEG quality, 1 to 95; 0 for no compression.
    random_state : int, RandomState, Generator or None, default=None
        Source of chance; an int gives the same pages every time.

    Returns
    -------
    Bunch
        pages : list of ndarray of shape (height, width)
            uint8, dark ink on light paper.
        boxes : ndarray of shape (n_pages, n_fields)
            object; what is in the boxes of each field, such as ``"x23"``: digits,
            ``x`` crossed, ``_`` empty, most significant first.
        counts : ndarray of shape (n_pages, n_fields)
            int64; the value of `boxes`.
        quads : ndarray of shape (n_pages, n_fields, n_places, 4, 2)
            float64; corners of every box in page pixels, top left, top right, bottom
            right, bottom left of the form; the centre of the top left pixel is 0, 0.
            NaN where a field has no such place (padding on the left).
        homographies : ndarray of shape (n_pages, 3, 3)
            float64; form units to page pixels. Exact but for folds.
        turns : ndarray of shape (n_pages,)
            int64; the turn of each page in degrees.
        form : TallyForm
            The form.

    Raises
    ------
    TallyError
        If an argument is out of its range.
    FormError
        If there is no such form.

    Warns
    -----
    TallyWarning
        If boxes are so small that nobody could read them.

    See Also
    --------
    make_digit_cells : Single cells, with more variety of boxes and damage.

    Notes
    -----
    The same `random_state` gives the same pages on the same versions of NumPy and
    OpenCV.

    Examples
    --------
    >>> from sktally.datasets import make_tally_pages
    >>> sheets = make_tally_pages(2, random_state=0)
    >>> sheets.pages[0].shape, sheets.counts.shape, sheets.quads.shape
    ((1100, 850), (2, 6), (2, 6, 3, 4, 2))
    >>> [int(b.replace("x", "0").replace("_", "0")) for b in sheets.boxes[0]] == list(
    ...     sheets.counts[0]
    ... )
    True
    """
    check_range("p_crossed", p_crossed, 0, 1)
    check_range("p_blank", p_blank, 0, 1)
    recipe = Recipe(
        form=load_form(form),
        scale=scale,
        style=style,
        degrade=degrade,
        sums_hold=sums_hold,
        habits=(1 - p_crossed - p_blank, p_crossed, p_blank),
        turn=turn,
        scribbles=scribbles,
        handling={
            "skew": skew,
            "perspective": perspective,
            "fold": fold,
            "stains": stains,
        },
        lens={"shadow": shadow, "blur": blur, "quality": quality},
    )
    _check(n_pages, recipe)
    return _make(n_pages, recipe, as_generator(random_state))


def _make(n_pages: int, recipe: Recipe, rng: np.random.Generator) -> Bunch:
    form, scale = recipe.form, recipe.scale
    blank = print_form(form, scale)
    corners = _form_corners(form) * scale - 0.5
    pages, turns = [], []
    boxes = np.empty((n_pages, form.n_fields), dtype=object)
    counts = np.empty((n_pages, form.n_fields), np.int64)
    quads = np.empty((n_pages, *corners.shape))
    homographies = np.empty((n_pages, 3, 3))
    # One stream a page: page i is the same however many pages follow it.
    for i, page_rng in enumerate(rng.spawn(n_pages)):
        counts[i] = draw_counts(form, page_rng, recipe.sums_hold)
        writer, damage = draw_hand_and_damage(recipe, page_rng)
        raster, boxes[i] = fill_in(recipe, blank, counts[i], writer, page_rng)
        page, pose = take(recipe, raster, damage, page_rng)
        pages.append(page)
        turns.append(pose.turn)
        quads[i] = map_points(corners, pose)
        matrix = pose.matrix @ upright_matrix(scale)
        homographies[i] = matrix / matrix[2, 2]
    return Bunch(
        pages=pages,
        boxes=boxes,
        counts=counts,
        quads=quads,
        homographies=homographies,
        turns=np.array(turns, np.int64),
        form=form,
    )

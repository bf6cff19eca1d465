"""Synthetic cells: single digits in their boxes, as a cropper cuts them off a page.

Comes in: nothing, or digit images such as MNIST. Goes out: uint8 cells, dark ink on
light paper, with the box and a margin around it, and their truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.utils import Bunch

from sktally._validate import check_choice, check_range
from sktally.datasets._boxes import BoxStyle, draw_box, draw_box_style
from sktally.datasets._damage import Damage, check_degrade, draw_damage, expose
from sktally.datasets._glyphs import CLASSES
from sktally.datasets._legible import keep_legible
from sktally.datasets._random import RandomState, as_generator
from sktally.datasets._strokes import (
    STYLES,
    Writer,
    draw_strokes,
    draw_writer,
    follow_dots,
    write_symbol,
)
from sktally.exceptions import TallyError

__all__ = ["make_digit_cells"]


@dataclass(frozen=True)
class CellPage:
    """What the cells of one page share."""

    writer: Writer
    box: BoxStyle
    damage: Damage
    shift: np.ndarray
    skew: np.ndarray
    wobble: float


def draw_cell_page(
    rng: np.random.Generator,
    *,
    style: str,
    frame: bool | None,
    guide_dots: bool | None,
    degrade: str | float,
) -> CellPage:
    """Return hand, boxes, light and registration error of one page."""
    writer = draw_writer(rng, style)
    if guide_dots is None and writer.style == "seven-segment":
        guide_dots = bool(rng.random() < 0.75)
    box = draw_box_style(rng, frame=frame, guide_dots=guide_dots)
    if writer.style == "seven-segment" and box.dots and rng.random() < 0.8:
        writer = follow_dots(writer, box.dot_grid, box.aspect)
    damage = draw_damage(rng, degrade)
    # At the default margin a box is cell_size / 1.3 high; drawn for cells of 40.
    writer, damage = keep_legible(writer, damage, 31 * min(damage.detail, 1.0))
    error = 0.35 if damage.kind == "none" else 1.0
    return CellPage(
        writer=writer,
        box=box,
        damage=damage,
        shift=rng.normal(0, 0.025, 2) * error,
        skew=rng.normal(0, 0.02, (2, 2)) * error,
        wobble=float(rng.uniform(0.2, 1.2)) * error,
    )


def cell_matrix(
    page: CellPage, rng: np.random.Generator, size: int, margin: float
) -> np.ndarray:
    """Return the map from box heights to pixels of a cell cut slightly wrong."""
    side = size / (1 + 2 * margin)
    skew = page.skew + rng.normal(0, 0.012 * page.wobble, (2, 2))
    linear = (np.eye(2) + skew) @ np.diag([side / page.box.aspect, side])
    shift = page.shift + rng.normal(0, 0.02 * page.wobble, 2)
    center = np.array([page.box.aspect / 2, 0.5])
    offset = size * (0.5 + shift) - linear @ center
    return np.hstack([linear, offset[:, None]])


def _write_neighbour(
    ink: np.ndarray,
    page: CellPage,
    matrix: np.ndarray,
    rng: np.random.Generator,
    side: int,
) -> None:
    """Write into the next box: an end of it may reach into this cell."""
    label = "0123456789xx"[int(rng.integers(12))]
    strokes = write_symbol(label, page.writer, rng, aspect=page.box.aspect)
    moved = matrix.copy()
    step = side * (page.box.aspect + page.box.gap - 0.1 * rng.random())
    moved[:, 2] += matrix[:, 0] * step
    draw_strokes(ink, strokes, moved)


def draw_specks(canvas: np.ndarray, rng: np.random.Generator, chance: float) -> None:
    """Draw pen dots and dirt, the way empty boxes are rarely quite empty."""
    if rng.random() > chance:
        return
    size = canvas.shape[0]
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.integers(0, size, 2).tolist()
        radius = int(rng.integers(1, max(size // 50, 2) + 1))
        cv2.circle(canvas, (x, y), radius, int(rng.integers(60, 256)), -1)


def surround(
    ink: np.ndarray,
    page: CellPage,
    matrix: np.ndarray,
    rng: np.random.Generator,
    cell_size: int,
) -> np.ndarray:
    """Print the box around the ink of a digit, add its neighbours, take the picture."""
    printed = np.zeros_like(ink)
    left, right = bool(rng.random() < 0.7), bool(rng.random() < 0.7)
    draw_box(printed, page.box, matrix, rng, left=left, right=right)
    for side, there in ((-1, left), (1, right)):
        if there and rng.random() < 0.35:
            _write_neighbour(ink, page, matrix, rng, side)
    return _finish(printed, ink, page, rng, cell_size)


def _finish(
    printed: np.ndarray,
    ink: np.ndarray,
    page: CellPage,
    rng: np.random.Generator,
    cell_size: int,
) -> np.ndarray:
    """Reduce print and ink to the detail of the original, expose, resize."""
    detail = max(int(cell_size * page.damage.detail * rng.uniform(0.92, 1.08)), 9)
    if page.damage.kind == "none":
        detail = cell_size
    detail = min(detail, printed.shape[0])
    small = (detail, detail)
    p = cv2.resize(printed, small, interpolation=cv2.INTER_AREA)
    q = cv2.resize(ink, small, interpolation=cv2.INTER_AREA)
    bare = 1 - np.multiply(p, np.float32(1 / 255), dtype=np.float32)
    bare *= 1 - np.multiply(q, np.float32(page.writer.ink / 255), dtype=np.float32)
    pixels = expose(1 - bare, page.damage, rng, near=True)
    if detail == cell_size:
        return pixels
    how = cv2.INTER_AREA if detail > cell_size else cv2.INTER_CUBIC
    if detail < cell_size and rng.random() < 0.5:
        how = cv2.INTER_LINEAR
    return np.maximum(cv2.resize(pixels, (cell_size, cell_size), interpolation=how), 1)


def oversampling(cell_size: int) -> int:
    """Return by how much cells are drawn larger than they come out."""
    return 4 if cell_size <= 48 else 2


def _draw_labels(
    rng: np.random.Generator,
    n: int,
    classes: str,
    balanced: bool,
    weights: dict[str, float] | None,
) -> np.ndarray:
    if weights is not None:
        p = np.array([float(weights.get(c, 0)) for c in classes])
        return rng.choice(list(classes), n, p=p / p.sum())
    if not balanced:
        return rng.choice(list(classes), n)
    labels = np.resize(np.array(list(classes)), n)
    rng.shuffle(labels)
    return labels


def _check(
    n_samples: int,
    classes: str,
    cell_size: int,
    n_writers: int | None,
    style: str,
    degrade: str | float,
    margin: float,
    class_weights: dict[str, float] | None,
) -> None:
    check_range("n_samples", n_samples, 1, 10**8, integer=True)
    check_range("cell_size", cell_size, 12, 256, integer=True)
    if n_writers is not None:
        check_range("n_writers", n_writers, 1, 10**8, integer=True)
    check_choice("style", style, STYLES)
    check_degrade(degrade)
    check_range("margin", margin, 0, 1)
    if not classes or set(classes) - set(CLASSES) or len(set(classes)) < len(classes):
        raise TallyError(
            f"classes: expected different characters out of {CLASSES!r}, got "
            f"{classes!r}; x is crossed through, _ is empty"
        )
    for label, weight in (class_weights or {}).items():
        if label not in classes:
            raise TallyError(
                f"class_weights: {label!r} is not one of classes {classes!r}"
            )
        check_range(f"class_weights[{label!r}]", weight, 0, 1e9)
    if class_weights is not None and not sum(class_weights.values()):
        raise TallyError("class_weights: expected one weight above 0, got none")


def make_digit_cells(
    n_samples: int = 1000,
    *,
    classes: str = CLASSES,
    cell_size: int = 40,
    n_writers: int | None = None,
    style: str = "mixed",
    frame: bool | None = None,
    guide_dots: bool | None = None,
    degrade: str | float = "mixed",
    margin: float = 0.15,
    balanced: bool = True,
    class_weights: dict[str, float] | None = None,
    random_state: RandomState = None,
) -> Bunch:
    """Make cells with handwritten digits, fillers and empty boxes, and their labels.

    A cell is what `TallyCropper` cuts: one box with a margin around it, squashed to a
    square, slightly misplaced, with the frame, ends of the next boxes and sometimes
    their ink in view. All cells of a writer share hand, pen, form and light, so
    split by `writer`, never by cell.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of cells.
    classes : str, default all twelve
        Labels to draw: digits, ``x`` crossed through or filler, ``_`` empty.
    cell_size : int, default=40
        Side of a cell in pixels, 12 to 256.
    n_writers : int, optional
        Number of writers, at most; by default one for twelve cells.
    style : {"mixed", "handwritten", "seven-segment"}, default="mixed"
        Free hand, blocks as along guide dots, or three in ten writers of blocks.
    frame : bool, optional
        Whether box frames are printed; by default by chance, mostly.
    guide_dots : bool, optional
        Whether seven-segment guide dots are printed; by default by chance.
    degrade : {"none", "scan", "photo", "fax", "mixed"} or float, default="mixed"
        How pages were taken: perfect, flatbed, telephone, one bit a pixel, or any of
        the three; or the severity of a mixture, 0 to 1.
    margin : float, default=0.15
        Margin on each side, as a share of the box.
    balanced : bool, default=True
        Whether classes come equally often, to within one cell; else by chance.
    class_weights : dict of str to float, optional
        Relative frequency of each class, in place of `balanced`; 0 for those left
        out.
    random_state : int, RandomState, Generator or None, default=None
        Source of chance; an int gives the same cells every time.

    Returns
    -------
    Bunch
        images : ndarray of shape (n_samples, cell_size, cell_size)
            uint8, dark ink on light paper, 1 to 255: a cell of 0 alone would mean
            absent.
        target : ndarray of shape (n_samples,)
            str labels.
        writer : ndarray of shape (n_samples,)
            int64; who wrote it: the group of a grouped split. Ascending.

    Raises
    ------
    TallyError
        If an argument is out of its range.

    See Also
    --------
    embed_digits : The same cells with digits of your own.
    make_tally_pages : Whole pages.

    Notes
    -----
    Each digit has five to nine forms (1 with and without base, crossed 7, open and
    closed 4, looped 2, ...), held as control points of pen strokes. A writer prefers
    one form of each, and has slant, width, size, pen, ink, shake and tremor; single
    digits scatter about these. Strokes are drawn four times larger, reduced to the
    resolution of the page, damaged there and enlarged.
    The same `random_state` gives the same cells on the same versions of NumPy and
    OpenCV.

    Examples
    --------
    >>> from sktally.datasets import make_digit_cells
    >>> cells = make_digit_cells(24, random_state=0)
    >>> cells.images.shape, cells.images.dtype
    ((24, 40, 40), dtype('uint8'))
    >>> "".join(sorted(cells.target))
    '00112233445566778899__xx'
    """
    _check(
        n_samples, classes, cell_size, n_writers, style, degrade, margin, class_weights
    )
    rng = as_generator(random_state)
    n_writers = max(n_samples // 12, 1) if n_writers is None else n_writers
    target = _draw_labels(rng, n_samples, classes, balanced, class_weights)
    writer = np.sort(rng.integers(0, n_writers, n_samples))
    images = np.empty((n_samples, cell_size, cell_size), np.uint8)
    size = cell_size * oversampling(cell_size)
    page = None
    for i, label in enumerate(target.tolist()):
        if page is None or writer[i] != writer[i - 1]:
            page = draw_cell_page(
                rng, style=style, frame=frame, guide_dots=guide_dots, degrade=degrade
            )
        matrix = cell_matrix(page, rng, size, margin)
        ink = np.zeros((size, size), np.uint8)
        draw_specks(ink, rng, 0.25 if label == "_" else 0.02)
        strokes = write_symbol(label, page.writer, rng, aspect=page.box.aspect)
        draw_strokes(ink, strokes, matrix)
        images[i] = surround(ink, page, matrix, rng, cell_size)
    return Bunch(images=images, target=target, writer=writer)

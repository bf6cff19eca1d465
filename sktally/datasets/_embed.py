"""Turn digit images such as MNIST into tally-like cells.

Comes in: bright ink on black, one digit an image. Goes out: the same handwriting as
dark ink in synthetic boxes, uint8 ``(n_samples, cell_size, cell_size)``.
"""

from __future__ import annotations

import cv2
import numpy as np

from sktally._validate import check_range
from sktally.datasets._cells import (
    CellPage,
    cell_matrix,
    draw_cell_page,
    draw_specks,
    oversampling,
    surround,
)
from sktally.datasets._damage import check_degrade
from sktally.datasets._random import RandomState, as_generator
from sktally.datasets._strokes import Stroke, draw_strokes
from sktally.exceptions import TallyError

__all__ = ["embed_digits"]


def _check_images(images: object) -> np.ndarray:
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 3 or 0 in array.shape:
        raise TallyError(
            "images: expected uint8 (n_samples, height, width), bright ink on black, "
            f"got {array.dtype} {array.shape}; reshape flat images and scale floats "
            "with (255 * images).round().astype('uint8')"
        )
    border = np.concatenate([array[:, 0], array[:, -1]], axis=1)
    if np.median(border) > 127:
        raise TallyError(
            "images: expected bright ink on black (as MNIST), got light borders; "
            "invert with 255 - images"
        )
    return array


def _check_column(name: str, values: object, n: int) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.shape != (n,):
        raise TallyError(
            f"{name}: expected one value for each of {n} images, got shape "
            f"{array.shape}"
        )
    return array


def _ink_extent(image: np.ndarray) -> tuple[float, float, float, float]:
    """Return x, y, width, height of the ink, half a pixel of blur left aside."""
    mask = image > max(60, int(image.max()) // 3)
    if not mask.any():
        return 0.0, 0.0, float(image.shape[1]), float(image.shape[0])
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = float(xs[0]), float(ys[0])
    return x, y, float(xs[-1]) + 1 - x, float(ys[-1]) + 1 - y


def _paste_matrix(
    image: np.ndarray, page: CellPage, rng: np.random.Generator
) -> np.ndarray:
    """Return the map from image pixels to box heights: a digit as the writer sizes it.

    Only part of the writer's slant and width is used: the image has its own.
    """
    x, y, w, h = _ink_extent(image)
    writer = page.writer
    wander = rng.normal(0, writer.wander, 5)
    height = writer.height * min(1.0, max(page.box.aspect, 0.55) ** 0.5 * 1.1)
    scale = height / max(h, 0.6 * w)
    widen = float(
        np.exp(np.clip(0.5 * np.log(writer.width) + 0.5 * wander[4], -0.4, 0.4))
    )
    lean = float(np.clip(0.35 * writer.slant, -0.12, 0.12))
    sx, sy = scale * widen * np.exp(wander[0]), scale * np.exp(wander[1])
    linear = np.array([[sx, -lean * sy], [0, sy]])
    center = np.array([page.box.aspect / 2, 0.5]) + 0.8 * wander[2:4]
    center += np.array(writer.offset) * (1.3 - writer.height)
    middle = np.array([x + (w - 1) / 2, y + (h - 1) / 2])
    return np.hstack([linear, (center - linear @ middle)[:, None]])


def _pen_table(page: CellPage) -> np.ndarray:
    """Return grey levels that thin or thicken smooth strokes: a softened cut."""
    position = np.interp(page.writer.pen, [0.03, 0.1], [165, 45])
    levels = (np.arange(256) - position) * (255 / 70) + 128
    return np.clip(levels, 0, 255).astype(np.uint8)


def _crossbar(
    label: str, image: np.ndarray, habit: float, rng: np.random.Generator
) -> list[Stroke]:
    """Return the bar that many writers outside the Americas draw through a 7."""
    if label != "7" or habit > 0.35:
        return []
    x, y, w, h = _ink_extent(image)
    row = y + h * rng.uniform(0.48, 0.6)
    stem = np.flatnonzero(image[min(int(row), image.shape[0] - 1)] > 80)
    middle = float(stem.mean()) if len(stem) else x + w / 2
    reach = w * rng.uniform(0.25, 0.42)
    points = np.empty((6, 2))
    points[:, 0] = np.linspace(middle - reach, middle + reach, 6)
    points[:, 1] = np.linspace(row + rng.normal(0, 0.03 * h), row, 6)
    return [Stroke(points, np.full(6, 0.1 * h), np.full(6, 1.0))]


def embed_digits(
    images: object,
    labels: object = None,
    *,
    cell_size: int = 40,
    groups: object = None,
    frame: bool | None = None,
    guide_dots: bool | None = None,
    degrade: str | float = "mixed",
    margin: float = 0.15,
    random_state: RandomState = None,
) -> np.ndarray:
    """Paste existing digit images as dark ink into synthetic boxes.

    Digits of MNIST and its like become cells as `make_digit_cells` makes them: sized,
    placed and inked as one synthetic writer would, in printed boxes, and damaged.

    Parameters
    ----------
    images : array-like of shape (n_samples, height, width)
        uint8, BRIGHT ink on black, as `load_mnist` returns them; any size.
    labels : array-like of shape (n_samples,), optional
        Digits, str or int. With them, the sevens of one writer in three are crossed,
        as is usual outside the Americas; the labels of the cells are the same.
    cell_size : int, default=40
        Side of a cell in pixels, 12 to 256.
    groups : array-like of shape (n_samples,), optional
        Writer of each image. Images of a group share pen, form and light; by default
        groups of about eight are drawn by chance.
    frame, guide_dots : bool, optional
        Whether frames and seven-segment guide dots are printed; by default by chance.
    degrade : {"none", "scan", "photo", "fax", "mixed"} or float, default="mixed"
        As in `make_digit_cells`.
    margin : float, default=0.15
        Margin on each side, as a share of the box.
    random_state : int, RandomState, Generator or None, default=None
        Source of chance; an int gives the same cells every time.

    Returns
    -------
    ndarray of shape (n_samples, cell_size, cell_size)
        uint8, dark ink on light paper, 1 to 255, in the order of `images`.

    Raises
    ------
    TallyError
        If images are not uint8 or not bright on black, or lengths differ.

    See Also
    --------
    load_mnist : Digits to embed.
    make_digit_cells : Cells with synthetic handwriting, fillers and empty boxes.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.datasets import embed_digits
    >>> one = np.zeros((1, 28, 28), np.uint8)
    >>> one[0, 4:24, 12:15] = 255
    >>> cells = embed_digits(one, ["1"], random_state=0)
    >>> cells.shape, cells.dtype
    ((1, 40, 40), dtype('uint8'))
    """
    digits = _check_images(images)
    n = len(digits)
    names = _check_column("labels", labels, n)
    group = _check_column("groups", groups, n)
    check_range("cell_size", cell_size, 12, 256, integer=True)
    check_range("margin", margin, 0, 1)
    check_degrade(degrade)
    rng = as_generator(random_state)
    if group is None:
        group = rng.integers(0, max(n // 8, 1), n)
    cells = np.empty((n, cell_size, cell_size), np.uint8)
    size = cell_size * oversampling(cell_size)
    page, last, habit = None, None, 1.0
    for i in np.argsort(group, kind="stable").tolist():
        if page is None or group[i] != last:
            last, habit = group[i], rng.random()
            page = draw_cell_page(
                rng,
                style="handwritten",
                frame=frame,
                guide_dots=guide_dots,
                degrade=degrade,
            )
        matrix = cell_matrix(page, rng, size, margin)
        label = "" if names is None else str(names[i])
        ink = _paste(digits[i], label, habit, page, matrix, size, rng)
        draw_specks(ink, rng, 0.02)
        cells[i] = surround(ink, page, matrix, rng, cell_size)
    return cells


def _paste(
    image: np.ndarray,
    label: str,
    habit: float,
    page: CellPage,
    matrix: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the ink of an image where the writer of this page would have put it."""
    whole = matrix @ np.vstack([_paste_matrix(image, page, rng), [0, 0, 1]])
    ink = cv2.warpAffine(image, whole, (size, size), flags=cv2.INTER_LINEAR)
    draw_strokes(ink, _crossbar(label, image, habit, rng), whole)
    return cv2.LUT(ink, _pen_table(page))

"""Draw many small images on one pair of axes, whose unit is one tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally.inspection._axes import axes_of

__all__ = [
    "QUIET",
    "as_grey",
    "as_shown",
    "bare",
    "draw_cell",
    "draw_signed",
    "draw_tile",
    "mosaic",
    "shortened",
    "spelled",
    "strength",
    "tile_axes",
]

#: Text that explains and should not shout.
QUIET = {"fontsize": 8, "color": "0.35"}


def tile_axes(ax: Any, width: float, height: float) -> Any:
    """Return bare axes for ``width x height`` tiles; y grows downwards, from 0.

    New axes, if there are none, are of one size for tiles of any number, in limits.
    """
    inch = min(0.62, 11 / width)
    ax = axes_of(ax, figsize=(max(width * inch, 3), max(height * inch, 1)))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def bare(ax: Any, width: float, height: float) -> None:
    """Set limits in tiles, the middle of the first at 0, without frame and ticks."""
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def draw_tile(
    ax: Any,
    image: npt.NDArray[Any],
    x: float,
    y: float,
    width: float = 0.94,
    height: float = 0.94,
    **how: Any,
) -> tuple[float, float, float, float]:
    """Draw an image around a point, as large as fits into a width and a height.

    Return its left, right, bottom and top. Limits of the axes stay.
    """
    tall = image.shape[0] / image.shape[1]
    half_x = min(width, height / tall) / 2
    half_y = half_x * tall
    extent = (x - half_x, x + half_x, y + half_y, y - half_y)
    settings = {"cmap": "gray", "vmin": 0, "vmax": 1, "zorder": 2, **how}
    limits = ax.axis()
    ax.imshow(image, extent=extent, interpolation="nearest", **settings)
    ax.axis(limits)
    return extent


def draw_cell(
    ax: Any, ink: npt.NDArray[Any], x: float, y: float, side: float = 0.92
) -> None:
    """Draw a cell of `as_grey` around a point, dark on white, with an edge."""
    left, right, bottom, top = draw_tile(ax, ink, x, y, side, side, cmap="gray_r")
    across, down = [left, right, right, left], [top, top, bottom, bottom]
    ax.fill(across, down, fill=False, edgecolor="0.8", linewidth=0.7, zorder=3)


def draw_signed(
    ax: Any, image: npt.NDArray[Any], x: float, y: float, most: float
) -> tuple[float, float, float, float]:
    """Draw a map: orange above 0, white at 0, purple below, darkest at `most`."""
    colors = {"cmap": "PuOr_r", "vmin": -most, "vmax": most}
    return draw_tile(ax, image, x, y, 0.92, 0.92, **colors)


def mosaic(images: npt.NDArray[np.float64], n_columns: int) -> npt.NDArray[np.float64]:
    """Return one image of several, white between them and where there is none."""
    n_rows = -(-len(images) // n_columns)
    space = max(1, round(0.06 * images.shape[1]))
    sides = ((0, space), (0, space), *[(0, 0)] * (images.ndim - 3))
    full = np.ones((n_rows * n_columns, *images.shape[1:]))
    full[: len(images)] = images
    full = np.pad(full, ((0, 0), *sides), constant_values=1)
    height, width = full.shape[1:3]
    grid = full.reshape(n_rows, n_columns, *full.shape[1:]).swapaxes(1, 2)
    grid = grid.reshape(n_rows * height, n_columns * width, *full.shape[3:])
    return np.asarray(grid[:-space, :-space])


def as_shown(images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return images from 0, black, to 1, white; the bright ink of floats made dark."""
    values = images.astype(np.float64)
    if images.dtype == np.uint8:
        return np.asarray(values / 255)
    low, high = min(values.min(), 0.0), values.max()
    return np.asarray(1 - (values - low) / ((high - low) or 1.0))


def as_grey(cell: npt.NDArray[Any], background: float) -> npt.NDArray[np.float64]:
    """Return a cell ``(h, w)`` as ink 0 to 1, whichever way its ink goes."""
    flat = cell.mean(axis=2) if cell.ndim == 3 else cell
    ink = np.abs(np.asarray(flat, np.float64) - background)
    return np.asarray(ink / max(float(ink.max()), 1e-12))


def strength(maps: npt.NDArray[Any]) -> float:
    """Return the largest absolute value, or 1 where all are 0."""
    return float(np.abs(maps).max()) or 1.0


def spelled(label: str) -> str:
    """Return what is written for a label; an underscore would look like a dash."""
    return "empty" if label == "_" else label


def shortened(text: object, most: int) -> str:
    """Return a text that is not longer, its middle left out."""
    words = str(text)
    if len(words) <= most:
        return words
    tail = (most - 1) // 2
    return f"{words[: most - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{words[-tail:]}"

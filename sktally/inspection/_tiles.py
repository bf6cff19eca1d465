"""Draw many small images on one pair of axes, whose unit is one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_shown", "bare", "draw_tile", "mosaic", "shortened", "spelled"]


def as_shown(images: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return images from 0, black, to 1, white; the bright ink of floats made dark."""
    values = images.astype(np.float64)
    if images.dtype == np.uint8:
        return np.asarray(values / 255)
    low, high = min(values.min(), 0.0), values.max()
    return np.asarray(1 - (values - low) / ((high - low) or 1.0))


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


def draw_tile(
    ax: Any,
    image: npt.NDArray[np.float64],
    x: float,
    y: float,
    width: float = 0.94,
    height: float = 0.94,
) -> None:
    """Draw an image around a point, as large as fits into a width and a height."""
    tall = image.shape[0] / image.shape[1]
    half_x = min(width, height / tall) / 2
    half_y = half_x * tall
    extent = (x - half_x, x + half_x, y + half_y, y - half_y)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, extent=extent, zorder=2)


def bare(ax: Any, width: float, height: float) -> None:
    """Set limits in cells, the first at the top left, without frame and ticks."""
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def spelled(label: str) -> str:
    """Return what is written for a label; an underscore would look like a dash."""
    return "empty" if label == "_" else label


def shortened(text: str, most: int) -> str:
    """Return a text that is not longer, its middle left out."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{text[-tail:]}"

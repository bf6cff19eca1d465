"""Draw many small images on one axes, each in a place of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally.inspection._axes import axes_of

__all__ = [
    "QUIET",
    "as_grey",
    "draw_cell",
    "draw_signed",
    "draw_tile",
    "strength",
    "tile_axes",
    "trim",
]

#: Text that explains and should not shout.
QUIET = {"fontsize": 8, "color": "0.35"}


def tile_axes(ax: Any, width: float, height: float) -> Any:
    """Return bare axes for ``width x height`` tiles; y grows downwards, from 0.

    New axes, if there are none, are of one size for tiles of any number, in limits.
    """
    inch = min(0.62, 11 / width)
    ax = axes_of(ax, figsize=(max(width * inch, 3), max(height * inch, 1)))
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def draw_tile(
    ax: Any, image: npt.NDArray[Any], x: float, y: float, side: float = 0.92, **how: Any
) -> None:
    """Draw an image, its longer side `side` long, in the middle of the place (x, y)."""
    height, width = image.shape[:2]
    long = max(height, width)
    across, down = side * width / long, side * height / long
    left, top = x + (1 - across) / 2, y + (1 - down) / 2
    limits = ax.get_xlim(), ax.get_ylim()
    settings = {"interpolation": "nearest", "aspect": "equal", **how}
    ax.imshow(image, extent=(left, left + across, top + down, top), **settings)
    ax.set_xlim(*limits[0])
    ax.set_ylim(*limits[1])


def draw_cell(
    ax: Any, ink: npt.NDArray[Any], x: float, y: float, side: float = 0.92
) -> None:
    """Draw a cell of `as_grey`, dark on white, with an edge."""
    draw_tile(ax, ink, x, y, side, cmap="gray_r", vmin=0, vmax=1)
    left, right, bottom, top = ax.images[-1].get_extent()
    across, down = [left, right, right, left], [top, top, bottom, bottom]
    ax.fill(across, down, fill=False, edgecolor="0.8", linewidth=0.7)


def draw_signed(
    ax: Any, image: npt.NDArray[Any], x: float, y: float, most: float
) -> None:
    """Draw a map: orange above 0, white at 0, purple below, darkest at `most`."""
    draw_tile(ax, image, x, y, cmap="PuOr_r", vmin=-most, vmax=most)


def as_grey(cell: npt.NDArray[Any], background: float) -> npt.NDArray[np.float64]:
    """Return a cell ``(h, w)`` as ink 0 to 1, whichever way its ink goes."""
    flat = cell.mean(axis=2) if cell.ndim == 3 else cell
    ink = np.abs(np.asarray(flat, np.float64) - background)
    return np.asarray(ink / max(float(ink.max()), 1e-12))


def strength(maps: npt.NDArray[Any]) -> float:
    """Return the largest absolute value, or 1 where all are 0."""
    return float(np.abs(maps).max()) or 1.0


def trim(text: object, most: int = 14) -> str:
    """Return a label that is not too long to be drawn."""
    words = str(text)
    return (
        words if len(words) <= most else words[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )

"""Say what shape cells take, and how fine a page must be, for the boxes of a form."""

from __future__ import annotations

import numpy as np

from sktally.form import TallyForm
from sktally.form._kept import kept

__all__ = ["box_step", "cell_shape"]


def cell_shape(form: TallyForm, cell_size: int) -> tuple[int, int]:
    """Return height and width of cells as large as a square of `cell_size`."""
    width, height = np.moveaxis(form.box_array()[..., 2:], -1, 0)
    aspect = np.exp(np.nanmean(np.log(height / width)))
    stretch = float(np.sqrt(np.clip(aspect, 1 / 3, 3)))
    return max(1, round(cell_size * stretch)), max(1, round(cell_size / stretch))


@kept
def box_step(form: TallyForm, shape: tuple[int, int]) -> float:
    """Return the median of form units per cell pixel, over all sides of boxes."""
    boxes = form.box_array().reshape(-1, 4)
    sides = boxes[np.isfinite(boxes[:, 0])][:, 3:1:-1]
    return float(np.median(sides / shape))

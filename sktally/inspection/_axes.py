"""Where displays draw: on axes or figures that are given, or on new ones."""

from __future__ import annotations

from typing import Any

from sktally.exceptions import TallyError
from sktally.totals._axes import axes_of, pyplot

__all__ = ["axes_of", "figure_of", "legend_above"]


def figure_of(figure: Any, **options: Any) -> Any:
    """Return a figure to draw on, a new one of these `options` if there is none."""
    if figure is not None:
        if not hasattr(figure, "suptitle"):
            raise TallyError(
                "figure: expected a matplotlib Figure or SubFigure, such as "
                f"plt.figure(), got {type(figure).__name__}"
            )
        return figure
    return pyplot().figure(layout="constrained", **options)


def legend_above(ax: Any) -> None:
    """Put the legend above the axes, where it hides nothing."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    ax.legend(fontsize="small", frameon=False, **place)

"""Where pictures are drawn; matplotlib is imported here, and not before."""

from __future__ import annotations

from typing import Any

from sktally.exceptions import TallyError

__all__ = ["axes_of", "pyplot"]


def pyplot() -> Any:
    """Return matplotlib.pyplot, or say how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise TallyError(
            "drawing needs matplotlib, which is not installed; pip install "
            "'sktally[plot]'"
        ) from None
    return plt


def axes_of(ax: Any, **options: Any) -> Any:
    """Return axes to draw on; if there are none, of a new figure of these `options`."""
    if ax is not None:
        if not hasattr(ax, "get_xlim"):
            raise TallyError(
                "ax: expected one matplotlib Axes, such as plt.subplots()[1], got "
                f"{type(ax).__name__}"
            )
        return ax
    return pyplot().subplots(layout="constrained", **options)[1]

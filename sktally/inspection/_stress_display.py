"""`StressDisplay`: a network that stays sure while it is wrong, made visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError
from sktally.inspection._axes import pyplot
from sktally.inspection._stress import answers_to_all, curves_of

__all__ = ["StressDisplay"]

# Okabe & Ito's palette: told apart by colour-blind eyes too.
_ACCURACY, _CONFIDENCE = "#0072B2", "#D55E00"
_COLUMNS = 2


class StressDisplay:
    """Accuracy and confidence against each change, with what it does to an image.

    Parameters
    ----------
    curves : DataFrame
        As `stress_curves` returns it.
    images : dict of str to list of ndarray, optional
        By change, one image changed by each amount.
    readings : dict of str to list of str, optional
        What was read on each.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes ``(n_changes,)``
        Where they were drawn.
    figure_ : matplotlib.figure.Figure
        What they are part of.

    See Also
    --------
    stress_curves : Makes the table, and says what the changes are.
    """

    def __init__(
        self,
        curves: pd.DataFrame,
        images: dict[str, list[npt.NDArray[Any]]] | None = None,
        readings: dict[str, list[str]] | None = None,
    ) -> None:
        self.curves = curves
        self.images = images
        self.readings = readings

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        changes: Any = None,
        random_state: Any = 0,
        axes: Any = None,
    ) -> StressDisplay:
        """Change images ever more, have them read, and draw what comes of it.

        Parameters
        ----------
        estimator, X, y, changes, random_state
            As in `stress_curves`. The first image of `X` is the one that is shown.
        axes : sequence of matplotlib.axes.Axes, optional
            Where to draw, one for each change; a new figure by default.

        Returns
        -------
        StressDisplay

        Raises
        ------
        TallyError
            As `stress_curves` does; if there are fewer axes than changes; or if
            matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from sktally import load_model, make_digit_cells
        >>> from sktally.inspection import StressDisplay
        >>> made = make_digit_cells(20, classes="0123456789", random_state=0)
        >>> shown = StressDisplay.from_estimator(
        ...     load_model("default"), made.images, made.target,
        ...     changes={"blur": [0, 2, 4]}, axes=[Figure().subplots()],
        ... )
        >>> shown.curves["amount"].tolist()
        [0, 2, 4]
        """
        answers = list(answers_to_all(estimator, X, y, changes, random_state))
        names = dict.fromkeys(one.change for one in answers)
        images = {n: [one.first for one in answers if one.change == n] for n in names}
        texts = {n: [one.reading for one in answers if one.change == n] for n in names}
        return cls(curves_of(answers), images, texts).plot(axes=axes)

    def plot(self, *, axes: Any = None) -> StressDisplay:
        """Draw the curves.

        Parameters
        ----------
        axes : sequence of matplotlib.axes.Axes, optional
            Where to draw, one for each change; a new figure by default.

        Returns
        -------
        StressDisplay

        Notes
        -----
        Where confidence is above accuracy, the gap is shaded: nothing bears it out. The
        band is the interval of the accuracy. Amounts stand at equal distances.
        """
        names = list(dict.fromkeys(self.curves["change"]))
        axes = self._axes(axes, len(names))
        for i, (ax, name) in enumerate(zip(axes, names, strict=False)):
            self._draw(ax, name)
            if i == 0:
                ax.legend(loc="lower left", fontsize=8)
        self.axes_, self.figure_ = np.array(axes[: len(names)]), axes[0].figure
        return self

    @staticmethod
    def _axes(axes: Any, n: int) -> Sequence[Any]:
        if axes is not None:
            listed = list(np.ravel(np.asarray(axes, dtype=object)))
            if len(listed) < n:
                raise TallyError(
                    f"axes: expected {n}, one for each change, got {len(listed)}"
                )
            return listed
        columns = min(n, _COLUMNS)
        rows = -(-n // columns)
        size = (5.2 * columns, 3.1 * rows)
        _, grid = pyplot().subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained"
        )
        for ax in grid.ravel()[n:]:
            ax.remove()
        return list(grid.ravel()[:n])

    def _draw(self, ax: Any, name: str) -> None:
        rows = self.curves[self.curves["change"] == name]
        at = np.arange(len(rows))
        low, high, right, sure = (
            rows[column].to_numpy(np.float64)
            for column in ("accuracy_lower", "accuracy_upper", "accuracy", "confidence")
        )
        ax.fill_between(at, low, high, color=_ACCURACY, alpha=0.15, lw=0)
        over = sure > right
        ax.fill_between(
            at, right, sure, where=over, interpolate=True, color=_CONFIDENCE, alpha=0.12
        )
        ax.plot(at, sure, color=_CONFIDENCE, marker="s", ms=4, label="mean confidence")
        ax.plot(at, right, color=_ACCURACY, marker="o", ms=4, label="accuracy")
        if (rows["read"] < 1).any():
            style = {"color": "0.4", "ls": ":", "label": "share read"}
            ax.plot(at, rows["read"], **style)
        ax.set_xticks(at, [f"{amount:g}" for amount in rows["amount"]])
        ax.set_xlim(-0.5, len(rows) - 0.5)
        ax.set_ylim(0, 1.03)
        ax.set_xlabel(f"{name} ({rows['unit'].iloc[0]})")
        ax.grid(axis="y", alpha=0.3)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        if self.images is not None:
            texts = (self.readings or {}).get(name, [""] * len(rows))
            _draw_images(ax, self.images[name], texts)


def _draw_images(ax: Any, images: list[npt.NDArray[Any]], texts: list[str]) -> None:
    """Draw an image over each amount, above the curves, and what was read on it."""
    low, high = float(images[0].min()), float(images[0].max())
    dark_ink = float(np.median(images[0])) > (low + high) / 2
    share = 1 / len(images)
    ax.set_title(" ", y=1.4, fontsize=6.5)  # makes room in the layout
    for i, (image, text) in enumerate(zip(images, texts, strict=True)):
        place = ax.inset_axes((share * (i + 0.04), 1.04, share * 0.92, 0.3))
        shown = np.clip((image - low) / ((high - low) or 1), 0, 1)
        place.imshow(shown, cmap="gray" if dark_ink else "gray_r", vmin=0, vmax=1)
        place.set_anchor("S")
        place.set_axis_off()
        style = {"ha": "center", "va": "bottom", "fontsize": 6.5, "color": "0.25"}
        ax.text(share * (i + 0.5), 1.36, text, transform=ax.transAxes, **style)

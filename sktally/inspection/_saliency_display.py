"""`SaliencyDisplay`: cells, and over them what spoke for the class read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.inspection._network import cells_for, network_in
from sktally.inspection._saliency import METHODS, saliency, target_codes
from sktally.inspection._tiles import (
    QUIET,
    as_grey,
    draw_cell,
    draw_signed,
    shortened,
    strength,
    tile_axes,
)

__all__ = ["SaliencyDisplay"]


class SaliencyDisplay:
    """Cells in a row, and beneath each a map of what spoke for its class.

    Parameters
    ----------
    cells : ndarray ``(n, height, width)`` or ``(n, height, width, 3)``
        Cells as the network is given them.
    maps : dict of str to ndarray ``(n, height, width)``
        By method, as `saliency` returns them.
    labels : sequence of ``n``
        The class that each map explains.
    proba : ndarray ``(n,)``
        Its probability.
    background : float, default=0
        Value of pixels without ink.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    saliency : Makes the maps, and says what they mean.
    """

    def __init__(
        self,
        cells: npt.NDArray[Any],
        maps: dict[str, npt.NDArray[np.float32]],
        labels: Sequence[Any],
        proba: npt.NDArray[Any],
        background: float = 0.0,
    ) -> None:
        self.cells = cells
        self.maps = maps
        self.labels = labels
        self.proba = proba
        self.background = background

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        method: str | Sequence[str] = "occlusion",
        target: Any = None,
        ax: Any = None,
        **options: Any,
    ) -> SaliencyDisplay:
        """Explain cells to a person.

        Parameters
        ----------
        estimator : CNNClassifier, Pipeline or VoteCountAggregator
            Fitted; of the others, the `CNNClassifier` inside.
        X : array-like ``(n, height, width)`` or ``(n, height, width, 3)``
            Cells as the network is given them, 1 to 40.
        method : str or sequence of str, default="occlusion"
            One or several methods of `saliency`, a row of maps for each; "all" for
            all but Grad-CAM, which networks with fully connected layers defeat.
        target : label or array-like ``(n,)``, optional
            The class to explain, or one for each cell; by default the most probable.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.
        **options
            Of `saliency`, such as ``stride=1``; ``baseline`` goes to the methods that
            have one.

        Returns
        -------
        SaliencyDisplay

        Raises
        ------
        TallyError
            If there is no network, an option is wrong, there are too many cells, or
            captum or matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from sktally import load_model, make_digit_cells
        >>> from sktally.inspection import SaliencyDisplay
        >>> pipeline = load_model("default")
        >>> cells = pipeline[:-1].transform(make_digit_cells(3, random_state=0).images)
        >>> shown = SaliencyDisplay.from_estimator(
        ...     pipeline, cells, stride=4, ax=Figure().subplots()
        ... )
        >>> shown.maps["occlusion"].shape
        (3, 28, 28)
        """
        classifier = network_in(estimator)
        cells = cells_for(classifier, X)
        check_range("number of cells in X", len(cells), 1, 40, integer=True)
        if isinstance(method, str):
            methods: Sequence[str] = METHODS[:-1] if method == "all" else [method]
        else:
            methods = list(method) if np.iterable(method) else []
        if not methods:
            raise TallyError(
                f"method: expected at least one of {', '.join(METHODS)}, or 'all', got "
                f"{method!r}"
            )
        codes = target_codes(classifier, cells, target)
        labels = classifier.classes_[codes]
        maps = {}
        for name in methods:
            some = dict(options)
            if name == "grad-cam" and len(methods) > 1:
                some.pop("baseline", None)
            maps[name] = saliency(classifier, cells, method=name, target=labels, **some)
        proba = classifier.net_.probabilities(cells)[np.arange(len(cells)), codes]
        display = cls(cells, maps, labels.tolist(), proba, classifier.pixel_offset_)
        return display.plot(ax=ax)

    def plot(self, *, ax: Any = None) -> SaliencyDisplay:
        """Draw cells and maps.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        SaliencyDisplay

        Notes
        -----
        Orange speaks for the class and purple against it. Each map has a scale of its
        own, darkest from its strongest hundredth of pixels on. A thin line is the
        outline of the ink.
        """
        n = len(self.cells)
        rows = 1 + len(self.maps)
        ax = tile_axes(ax, n + 1.5, rows + 0.55)
        for row, name in enumerate(["cell", *self.maps]):
            words = name.replace("-", "\n", 1) if name != "grad-cam" else name
            ax.text(1.42, row + 1.02, words, va="center", ha="right", **QUIET)
        for i, (cell, label) in enumerate(zip(self.cells, self.labels, strict=True)):
            x = 2 + i
            text = f"{shortened(label, 8)}  {self.proba[i]:.3f}"
            ax.text(x, 0.3, text, ha="center", va="center", fontsize=8)
            ink = as_grey(cell, self.background)
            draw_cell(ax, ink, x, 1.02)
            for row, maps in enumerate(self.maps.values(), 1):
                most = float(np.quantile(np.abs(maps[i]), 0.99)) or strength(maps[i])
                extent = draw_signed(ax, maps[i], x, row + 1.02, most)
                _outline(ax, ink, extent)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _outline(
    ax: Any, ink: npt.NDArray[np.float64], extent: tuple[float, float, float, float]
) -> None:
    """Draw where ink begins, over a tile."""
    if ink.max() - ink.min() < 0.5 or min(ink.shape) < 2:
        return
    limits = ax.axis()
    lines = {"colors": "0.25", "linewidths": 0.6, "zorder": 3}
    ax.contour(ink, [0.5], extent=extent, origin="upper", **lines)
    ax.axis(limits)

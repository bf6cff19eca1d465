"""`FiltersDisplay`: the weights of a convolution, as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range
from sktally.inspection._network import layer_of, network_in
from sktally.inspection._tiles import QUIET, draw_signed, strength, tile_axes

__all__ = ["FiltersDisplay"]


class FiltersDisplay:
    """The filters of a convolution.

    Parameters
    ----------
    filters : ndarray of float32 ``(n_filters, n_inputs, height, width)``
        Weights, each filter with a part for each map of the layer before (each channel
        of the image, for the first layer).
    layer : str
        Name of the layer.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    FeatureMapsDisplay : What the filters make of a cell.

    Notes
    -----
    Of grey images, the first layer has one part a filter, and they are drawn as a
    block, row by row. All others are drawn as a table: a row for each filter and a
    column for each map that it sees.
    """

    def __init__(self, filters: npt.NDArray[np.float32], layer: str) -> None:
        self.filters = filters
        self.layer = layer

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        layer: int | str = 0,
        max_filters: int = 64,
        max_inputs: int = 16,
        ax: Any = None,
    ) -> FiltersDisplay:
        """Draw the filters of a fitted network.

        Parameters
        ----------
        estimator : CNNClassifier, Pipeline or VoteCountAggregator
            Fitted; of the others, the `CNNClassifier` inside.
        layer : int or str, default=0
            Which convolution, by number (-1 for the last) or by name.
        max_filters, max_inputs : int, default=64, 16
            The first so many filters are drawn, and what these do with the first so
            many maps of the layer before; of a table, no more filters than maps.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        FiltersDisplay

        Raises
        ------
        TallyError
            If there is no network or no such layer, or matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from sktally import load_model
        >>> from sktally.inspection import FiltersDisplay
        >>> ax = Figure().subplots()
        >>> FiltersDisplay.from_estimator(load_model("default"), ax=ax).filters.shape
        (24, 1, 3, 3)
        """
        classifier = network_in(estimator)
        name = layer_of(classifier, layer).name
        weight = classifier.net_.module_.get_submodule(name).weight
        filters = weight.detach().float().cpu().numpy().copy()
        display = cls(filters, name)
        return display.plot(max_filters=max_filters, max_inputs=max_inputs, ax=ax)

    def plot(
        self, *, max_filters: int = 64, max_inputs: int = 16, ax: Any = None
    ) -> FiltersDisplay:
        """Draw the filters.

        Parameters
        ----------
        max_filters, max_inputs, ax
            As in `from_estimator`.

        Returns
        -------
        FiltersDisplay
        """
        check_range("max_filters", max_filters, 1, 1024, integer=True)
        check_range("max_inputs", max_inputs, 1, 1024, integer=True)
        n_filters, n_inputs = self.filters.shape[:2]
        shown = self.filters[:max_filters, :max_inputs]
        if n_inputs == 1:
            columns = min(16, len(shown))
            tiles = [(i % columns, i // columns, x[0]) for i, x in enumerate(shown)]
        else:
            shown = shown[:max_inputs]
            columns = shown.shape[1]
            tiles = [
                (j, i, x) for i, row in enumerate(shown) for j, x in enumerate(row)
            ]
        rows = max(y for _, y, _ in tiles) + 1
        ax = tile_axes(ax, columns, rows + 0.5)
        most = strength(shown)
        for x, y, tile in tiles:
            draw_signed(ax, tile, x + 0.5, y + 1, most)
        self._title(ax, len(shown), n_filters, shown.shape[1], n_inputs, most)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _title(
        self, ax: Any, n: int, of: int, inputs: int, of_inputs: int, most: float
    ) -> None:
        text = f"{self.layer}: {_some(n, of)} filters"
        if of_inputs > 1:
            text += f" (rows), on {_some(inputs, of_inputs)} maps (columns)"
        height, width = self.filters.shape[2:]
        text += f", {height} x {width}; orange is above 0, darkest {most:.2g}"
        ax.text(0.04, 0.3, text, va="center", **QUIET)


def _some(n: int, of: int) -> str:
    return f"{n}" if n == of else f"{n} of {of}"

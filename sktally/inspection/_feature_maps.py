"""`FeatureMapsDisplay`: what each layer of a network answers to one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.inspection._network import (
    cells_for,
    conv_layers,
    evidence,
    network_in,
    to_tensor,
)
from sktally.inspection._tiles import (
    QUIET,
    as_grey,
    draw_cell,
    draw_signed,
    shortened,
    strength,
    tile_axes,
)

__all__ = ["FeatureMapsDisplay"]


class FeatureMapsDisplay:
    """The feature maps that a cell calls up, layer by layer.

    Parameters
    ----------
    cell : ndarray ``(height, width)`` or ``(height, width, 3)``
        The cell.
    maps : dict of str to ndarray ``(n_maps, height, width)``
        By layer, what its filters answer, before the activation: above 0 where the
        cell looks like the filter. Norms are part of a layer.
    proba : ndarray ``(n_classes,)``
        What the network makes of it all.
    classes : ndarray ``(n_classes,)``
        Labels, in order of `proba`.
    background : float
        Value of pixels without ink.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    FiltersDisplay : The filters themselves.
    SaliencyDisplay : Which pixels decided.
    """

    def __init__(
        self,
        cell: npt.NDArray[Any],
        maps: dict[str, npt.NDArray[np.float32]],
        proba: npt.NDArray[np.float32],
        classes: npt.NDArray[Any],
        background: float = 0.0,
    ) -> None:
        self.cell = cell
        self.maps = maps
        self.proba = proba
        self.classes = classes
        self.background = background

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        cell: Any,
        *,
        max_maps: int = 12,
        max_layers: int = 8,
        ax: Any = None,
    ) -> FeatureMapsDisplay:
        """Show a cell to a fitted network and draw what each convolution answers.

        Parameters
        ----------
        estimator : CNNClassifier, Pipeline or VoteCountAggregator
            Fitted; of the others, the `CNNClassifier` inside.
        cell : array-like ``(height, width)`` or ``(height, width, 3)``
            One cell as the network is given it: behind other steps of a Pipeline, one
            of those that ``pipeline[:-1].transform`` returns.
        max_maps : int, default=12
            Draw no more maps of a layer: those with the strongest answers, first those.
        max_layers : int, default=8
            Draw no more layers, evenly spaced from the first to the last.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        FeatureMapsDisplay

        Raises
        ------
        TallyError
            If there is no network, `cell` is not one cell of its size, or matplotlib is
            not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from sktally import load_model, make_digit_cells
        >>> from sktally.inspection import FeatureMapsDisplay
        >>> pipeline = load_model("default")
        >>> cells = pipeline[:-1].transform(make_digit_cells(1, random_state=0).images)
        >>> ax = Figure().subplots()
        >>> shown = FeatureMapsDisplay.from_estimator(pipeline, cells[0], ax=ax)
        >>> {name: maps.shape for name, maps in shown.maps.items()}
        {'conv1': (24, 28, 28), 'conv2': (64, 14, 14), 'conv3': (112, 7, 7)}
        """
        classifier = network_in(estimator)
        image = _one_cell(classifier, cell)
        maps = _answers(classifier, image)
        proba = classifier.net_.probabilities(image)[0]
        background = classifier.pixel_offset_
        display = cls(image[0], maps, proba, classifier.classes_, background)
        return display.plot(max_maps=max_maps, max_layers=max_layers, ax=ax)

    def plot(
        self, *, max_maps: int = 12, max_layers: int = 8, ax: Any = None
    ) -> FeatureMapsDisplay:
        """Draw the cell, a row of maps for each layer, and the probabilities.

        Parameters
        ----------
        max_maps, max_layers, ax
            As in `from_estimator`.

        Returns
        -------
        FeatureMapsDisplay

        Notes
        -----
        Colours are those of each layer: orange as strong as its strongest answer, white
        for none, purple for the opposite of what a filter looks for, which an
        activation such as ReLU takes out.
        """
        check_range("max_maps", max_maps, 1, 64, integer=True)
        check_range("max_layers", max_layers, 1, 64, integer=True)
        names = list(self.maps)
        if len(names) > max_layers:
            at = np.linspace(0, len(names) - 1, max_layers).round().astype(int)
            names = [names[i] for i in at]
        columns = max(min(max_maps, len(self.maps[name])) for name in names)
        rows = 1.5 * len(names)
        wide = 2.6 + columns + 1.9
        ax = tile_axes(ax, wide, max(rows, 3))
        middle = max(rows, 3) / 2
        ink = as_grey(self.cell, self.background)
        ax.text(0.15, middle - 1.1, "cell", va="bottom", **QUIET)
        draw_cell(ax, ink, 1.1, middle, side=1.9)
        for i, name in enumerate(names):
            self._draw_layer(ax, name, 2.4, 1.5 * i, max_maps)
        self._draw_classes(ax, 2.4 + columns + 0.3, max(rows, 3))
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_layer(
        self, ax: Any, name: str, x: float, y: float, max_maps: int
    ) -> None:
        maps = self.maps[name]
        first = np.argsort(-maps.max(axis=(1, 2)), kind="stable")[:max_maps]
        n, height, width = maps.shape
        text = f"{name}: {len(first)} strongest of {n} maps of {height} x {width}"
        ax.text(x + 0.04, y + 0.42, text, va="bottom", **QUIET)
        most = strength(maps[first])
        for j, k in enumerate(first):
            draw_signed(ax, maps[k], x + j + 0.5, y + 1, most)

    def _draw_classes(self, ax: Any, x: float, height: float) -> None:
        order = np.argsort(-self.proba, kind="stable")[:5]
        ax.text(x, height / 2 - 1.15, "reading", va="bottom", **QUIET)
        for i, k in enumerate(order):
            y = height / 2 - 0.8 + 0.45 * i
            share = float(self.proba[k])
            ax.text(
                x + 0.25, y, shortened(self.classes[k], 6), va="center", ha="center"
            )
            ax.barh(y, share, height=0.3, left=x + 0.6, color="0.8" if i else "#d95f02")
            ax.text(x + 0.68, y, f"{share:.3f}", va="center", fontsize=8)


def _one_cell(classifier: Any, cell: Any) -> npt.NDArray[Any]:
    """Return one image ``(1, height, width, ...)`` or raise."""
    array = np.asarray(cell)
    shape = classifier.image_shape_
    if array.shape != shape:
        if array.shape[1:] == shape:
            hint = "; choose one, such as cells[0]"
        else:
            hint = "; give it as the network is given it, see pipeline[:-1].transform"
        raise TallyError(
            f"cell: expected one cell of shape {shape}, got {array.shape}{hint}"
        )
    return cells_for(classifier, array[None])


def _answers(
    classifier: Any, image: npt.NDArray[Any]
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the maps of every convolution that the image passes."""
    import torch

    module = classifier.net_.module_
    seen: dict[str, npt.NDArray[np.float32]] = {}

    def keep(name: str) -> Any:
        def hook(_part: Any, _given: Any, answer: Any) -> None:
            seen[name] = answer[0].detach().float().cpu().numpy().copy()

        return hook

    hooks = [
        module.get_submodule(layer.last).register_forward_hook(keep(layer.name))
        for layer in conv_layers(classifier)
    ]
    try:
        # with gradients, as without them quick blocks pass the hooks by
        with evidence(classifier) as log_odds:
            x = to_tensor(classifier, image)
            log_odds(x, torch.zeros(1, dtype=torch.int64, device=x.device))
    finally:
        for hook in hooks:
            hook.remove()
    return seen

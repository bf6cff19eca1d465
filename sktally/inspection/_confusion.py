"""ConfusionCropsDisplay: a confusion matrix that shows the cells it counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.inspection._axes import axes_of
from sktally.inspection._read_cells import ReadCells, in_order
from sktally.inspection._tiles import as_shown, bare, draw_tile, mosaic, spelled

__all__ = ["ConfusionCropsDisplay"]


class ConfusionCropsDisplay:
    """Confusion matrix with examples of the cells that were taken for something else.

    A number says that ones are read as sevens; the cells say why: a stroke, a frame, a
    label that is wrong.

    Parameters
    ----------
    read : ReadCells
        What to draw, its truth known at least in part.

    Attributes
    ----------
    confusion_matrix_ : ndarray of int, shape (n_labels, n_labels)
        Rows are what is written, columns what was read.
    labels_ : list of str
        Labels of rows and columns: all that occur.
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.

    See Also
    --------
    MisreadDisplay : The misread cells one by one, with their pages.
    sklearn.metrics.ConfusionMatrixDisplay : Without cells.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sktally import make_digit_cells
    >>> from sktally.inspection import ConfusionCropsDisplay
    >>> made = make_digit_cells(9, classes="17", random_state=0)
    >>> display = ConfusionCropsDisplay.from_predictions(
    ...     made.images, made.target, ["1"] * 9, ax=Figure().subplots()
    ... )
    >>> display.confusion_matrix_
    array([[5, 0],
           [4, 0]])
    """

    def __init__(self, read: ReadCells) -> None:
        self.read = read

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, n_examples: int = 4, ax: Any = None
    ) -> ConfusionCropsDisplay:
        """Read pages or cells, and compare with what is written.

        Parameters
        ----------
        estimator : Pipeline or classifier
            A fitted reader of pages, or classifier of cells.
        X : list of pages, or array-like of cells
            What it reads.
        y : array-like
            What is written, see `ReadCells.from_estimator`.
        n_examples, ax
            As in `plot`.

        Returns
        -------
        ConfusionCropsDisplay
        """
        read = ReadCells.from_estimator(estimator, X, y)
        return cls(read).plot(n_examples=n_examples, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        cells: npt.ArrayLike,
        truth: npt.ArrayLike,
        predicted: npt.ArrayLike,
        *,
        proba: npt.ArrayLike | None = None,
        n_examples: int = 4,
        ax: Any = None,
    ) -> ConfusionCropsDisplay:
        """Compare what was read with what is written.

        Parameters
        ----------
        cells : array-like of shape (n, height, width) or (n, height, width, 3)
            At least one.
        truth, predicted : array-like of shape (n,)
            Labels written and read.
        proba : array-like of shape (n,), optional
            Probability of the label read; the surest examples are drawn.
        n_examples, ax
            As in `plot`.

        Returns
        -------
        ConfusionCropsDisplay
        """
        read = ReadCells.from_predictions(cells, predicted, truth=truth, proba=proba)
        return cls(read).plot(n_examples=n_examples, ax=ax)

    def plot(self, *, n_examples: int = 4, ax: Any = None) -> ConfusionCropsDisplay:
        """Draw the matrix.

        Parameters
        ----------
        n_examples : int, default=4
            Cells drawn for each pair of labels, at most 25; the surest first where
            probabilities are known.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        ConfusionCropsDisplay

        Raises
        ------
        TallyError
            If no truth is known, or `n_examples` is out of range.
        """
        check_range("n_examples", n_examples, 1, 25, integer=True)
        if not self.read.known.any():
            raise TallyError(
                "truth: expected what is written in one cell at least, got none; give y"
            )
        read = self.read.part(self.read.known)
        self.labels_ = in_order(np.append(read.truth, read.predicted))
        self.confusion_matrix_ = _confusion(read, self.labels_)
        n = len(self.labels_)
        ax = axes_of(ax, figsize=(max(0.72 * n + 1, 4), max(0.72 * n + 1, 4)))
        self._shade(ax)
        self._show_examples(ax, read, n_examples)
        bare(ax, n, n)
        names = [spelled(label) for label in self.labels_]
        ax.set_xticks(range(n), names)
        ax.set_yticks(range(n), names)
        ax.set(xlabel="read", ylabel="written")
        ax.set_title(self._title(), fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _show_examples(self, ax: Any, read: ReadCells, n_examples: int) -> None:
        read = read.part(read.misread)
        if not len(read.images):
            return
        images, surest = as_shown(read.images), np.argsort(-read.proba, kind="stable")
        for i, j in np.argwhere(self.confusion_matrix_):
            if i != j:
                written, taken_for = self.labels_[i], self.labels_[j]
                pair = (read.truth == written) & (read.predicted == taken_for)
                chosen = surest[pair[surest]][:n_examples]
                n_columns = int(np.ceil(np.sqrt(len(chosen))))
                draw_tile(ax, mosaic(images[chosen], n_columns), j, i - 0.1, 0.9, 0.7)

    def _shade(self, ax: Any) -> None:
        """Write the counts, on the share of what is written that was read so."""
        counts = self.confusion_matrix_
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        right = np.eye(len(counts), dtype=bool)
        shown = np.where(counts == 0, np.nan, np.where(right, 0.5 * shares, 0.0))
        ax.imshow(shown, cmap="Blues", vmin=0, vmax=1, zorder=0)
        for i, j in np.argwhere(counts):
            diagonal = i == j
            ax.text(
                *(j, i + (0 if diagonal else 0.47)),
                f"{counts[i, j]:,}",
                ha="center",
                va="center" if diagonal else "bottom",
                fontsize="medium" if diagonal else "small",
                color="black" if diagonal else "tab:red",
                zorder=3,
            )
        for line in np.arange(len(counts) + 1) - 0.5:
            ax.axhline(line, color="lightgrey", lw=0.6, zorder=1)
            ax.axvline(line, color="lightgrey", lw=0.6, zorder=1)

    def _title(self) -> str:
        n, right = self.confusion_matrix_.sum(), self.confusion_matrix_.trace()
        return f"{right:,} of {n:,} cells read as they are"


def _confusion(read: ReadCells, labels: list[str]) -> npt.NDArray[np.int64]:
    """Count the pairs; scikit-learn's function warns where all labels are the same."""
    number = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for pair in zip(read.truth, read.predicted, strict=True):
        counts[number[pair[0]], number[pair[1]]] += 1
    return counts

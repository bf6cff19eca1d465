"""MisreadDisplay: every misread cell with its page, and how sure the reader was."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError
from sktally.inspection._axes import figure_of
from sktally.inspection._read_cells import ReadCells
from sktally.inspection._tiles import (
    as_shown,
    bare,
    draw_tile,
    shortened,
    spelled,
)

__all__ = ["MisreadDisplay"]

_SIDE = 1.45  # inches of a cell with what is written below it


class MisreadDisplay:
    """Gallery of cells that were read as something else than is written in them.

    Mistakes of which the reader is sure come first: no threshold finds them, and many
    turn out to be labels that are wrong.

    Parameters
    ----------
    read : ReadCells
        What was read, its truth known at least in part.

    Attributes
    ----------
    table_ : DataFrame
        A row for each misread cell, in the order drawn: ``truth``, ``predicted``,
        ``proba`` of what was read, ``truth_proba`` of what is written, and ``page``,
        ``field``, ``place`` where they are known. Those that found no room are in it.
    axes_ : ndarray of matplotlib.axes.Axes
        One for each cell drawn; none where nothing was misread.
    figure_ : matplotlib.figure.Figure
        Where it was drawn.

    See Also
    --------
    ConfusionCropsDisplay : The same by pairs of labels.
    sktally.tables.show_page : All that a store knows of a page.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sktally import make_digit_cells
    >>> from sktally.inspection import MisreadDisplay
    >>> made = make_digit_cells(9, classes="17", random_state=0)
    >>> gallery = MisreadDisplay.from_predictions(
    ...     made.images, made.target, ["1"] * 9, figure=Figure()
    ... )
    >>> len(gallery.table_), gallery.axes_[0].texts[0].get_text()
    (4, '7 read as 1')
    """

    def __init__(self, read: ReadCells) -> None:
        self.read = read

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        order: str = "sure",
        n_cells: int = 24,
        figure: Any = None,
    ) -> MisreadDisplay:
        """Read pages or cells, and draw what was misread.

        Parameters
        ----------
        estimator : Pipeline or classifier
            A fitted reader of pages, or classifier of cells.
        X : list of pages, or array-like of cells
            What it reads.
        y : array-like
            What is written, see `ReadCells.from_estimator`.
        order, n_cells, figure
            As in `plot`.

        Returns
        -------
        MisreadDisplay
        """
        read = ReadCells.from_estimator(estimator, X, y)
        return cls(read).plot(order=order, n_cells=n_cells, figure=figure)

    @classmethod
    def from_predictions(
        cls,
        cells: npt.ArrayLike,
        truth: npt.ArrayLike,
        predicted: npt.ArrayLike,
        *,
        proba: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        where: pd.DataFrame | None = None,
        order: str = "sure",
        n_cells: int = 24,
        figure: Any = None,
    ) -> MisreadDisplay:
        """Draw what was misread.

        Parameters
        ----------
        cells : array-like of shape (n, height, width) or (n, height, width, 3)
            At least one.
        truth, predicted : array-like of shape (n,)
            Labels written and read.
        proba : array-like of shape (n,) or (n, n_classes), optional
            Probabilities of the labels read, or of all `classes`.
        classes : array-like of shape (n_classes,), optional
            Labels that the columns of `proba` stand for.
        where : DataFrame of n rows, optional
            With columns ``page``, ``field`` and ``place``.
        order, n_cells, figure
            As in `plot`.

        Returns
        -------
        MisreadDisplay
        """
        read = ReadCells.from_predictions(
            cells, predicted, truth=truth, proba=proba, classes=classes, where=where
        )
        return cls(read).plot(order=order, n_cells=n_cells, figure=figure)

    def plot(
        self, *, order: str = "sure", n_cells: int = 24, figure: Any = None
    ) -> MisreadDisplay:
        """Draw the gallery.

        Where nothing was misread, the figure says so.

        Parameters
        ----------
        order : {"sure", "given"}, default="sure"
            Surest mistakes first, or in the order of the cells.
        n_cells : int, default=24
            Cells drawn, at most.
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; a new one by default.

        Returns
        -------
        MisreadDisplay

        Raises
        ------
        TallyError
            If no truth is known, or an option is out of range.
        """
        check_choice("order", order, ("sure", "given"))
        check_range("n_cells", n_cells, 1, 500, integer=True)
        n_known = int(self.read.known.sum())
        if not n_known:
            raise TallyError(
                "truth: expected what is written in one cell at least, got none; give y"
            )
        wrong = self.read.part(self.read.misread)
        if order == "sure":
            wrong = wrong.part(np.argsort(-wrong.proba, kind="stable"))
        self.table_ = _table(wrong)
        shown = min(len(self.table_), n_cells)
        n_columns = min(shown, 6) or 1
        n_rows = -(-shown // n_columns)
        size = (max(_SIDE * n_columns, 4.5), _SIDE * 1.25 * n_rows + 0.5)
        figure = figure_of(figure, figsize=size)
        title = f"{len(wrong.predicted):,} of {n_known:,} cells misread"
        if shown < len(wrong.predicted):
            title += f", {shown} shown"
        if shown and order == "sure" and not np.isnan(wrong.proba).all():
            title += ", surest first"
        figure.suptitle(title, fontsize="medium")
        self.figure_, self.axes_ = figure, np.empty(0, dtype=object)
        if shown:
            axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
            self._draw(axes, wrong, shown)
        return self

    def _draw(self, axes: npt.NDArray[Any], wrong: ReadCells, shown: int) -> None:
        images = as_shown(wrong.images[:shown])
        for ax in axes[shown:]:
            ax.set_axis_off()
        rows = [self.table_.iloc[i] for i in range(shown)]
        for ax, image, row in zip(axes[:shown], images, rows, strict=True):
            draw_tile(ax, image, 0, 0, 1, 1)
            bare(ax, 1, 1)
            ax.set(xticks=[], yticks=[], ylim=(1.05, -0.5))
            text = {"ha": "center", "va": "top", "fontsize": "small"}
            heading = f"{spelled(row.truth)} read as {spelled(row.predicted)}"
            ax.text(0, 0.53, heading, weight="bold", **text)
            ax.text(0, 0.7, _told(row), **{**text, "fontsize": "x-small"})
        self.axes_ = axes[:shown]


def _table(wrong: ReadCells) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "truth": wrong.truth,
            "predicted": wrong.predicted,
            "proba": wrong.proba,
            "truth_proba": wrong.truth_proba,
        }
    )
    return table if wrong.where is None else table.join(wrong.where)


def _told(row: pd.Series) -> str:
    """Return what stands below a cell: probabilities, page, field and place."""
    lines = []
    if not np.isnan(row.proba):
        lines.append(f"{spelled(row.predicted)}: {row.proba:.2f}")
        if not np.isnan(row.truth_proba):
            lines[0] += f"   {spelled(row.truth)}: {row.truth_proba:.2f}"
    if "page" in row:
        lines.append(shortened(str(row.page), 22))
        lines.append(shortened(f"{row.field}, {row.place}", 22))
    return "\n".join(lines)

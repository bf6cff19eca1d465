"""CellsDisplay: a contact sheet of cells, by label or by doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError
from sktally.inspection._axes import axes_of
from sktally.inspection._read_cells import ReadCells, in_order
from sktally.inspection._tiles import as_shown, bare, draw_tile, spelled

__all__ = ["CellsDisplay"]


class CellsDisplay:
    """Contact sheet of cells: a row for each label, or those in doubt first.

    Rows of one label show at a glance what does not belong there. In the order of doubt
    the cells that a person should look at come first.

    Parameters
    ----------
    read : ReadCells
        What to draw.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn.
    figure_ : matplotlib.figure.Figure
        What that is part of.
    shown_ : ndarray of int
        Which cells were drawn, in the order in which they stand.

    See Also
    --------
    MisreadDisplay : Cells that were misread, where the truth is known.
    sktally.digits.select_queries : Which cells teach most.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sktally import make_digit_cells
    >>> from sktally.inspection import CellsDisplay
    >>> made = make_digit_cells(50, random_state=0)
    >>> ax = Figure().subplots()
    >>> sheet = CellsDisplay.from_predictions(made.images, made.target, ax=ax)
    >>> [text.get_text() for text in sheet.ax_.get_yticklabels()][:2]
    ['0 (5)', '1 (5)']
    """

    def __init__(self, read: ReadCells) -> None:
        self.read = read

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        order: str = "label",
        n_columns: int = 12,
        n_rows: int | None = None,
        ax: Any = None,
    ) -> CellsDisplay:
        """Read pages or cells, and draw them.

        Parameters
        ----------
        estimator : Pipeline or classifier
            A fitted reader of pages, or classifier of cells.
        X : list of pages, or array-like of cells
            What it reads.
        order, n_columns, n_rows, ax
            As in `plot`.

        Returns
        -------
        CellsDisplay
        """
        read = ReadCells.from_estimator(estimator, X)
        return cls(read).plot(order=order, n_columns=n_columns, n_rows=n_rows, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        cells: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        proba: npt.ArrayLike | None = None,
        order: str = "label",
        n_columns: int = 12,
        n_rows: int | None = None,
        ax: Any = None,
    ) -> CellsDisplay:
        """Draw cells with their labels, read or written.

        Parameters
        ----------
        cells : array-like of shape (n, height, width) or (n, height, width, 3)
            At least one.
        labels : array-like of shape (n,)
            Label of each.
        proba : array-like of shape (n,), optional
            Probability of that label.
        order, n_columns, n_rows, ax
            As in `plot`.

        Returns
        -------
        CellsDisplay
        """
        read = ReadCells.from_predictions(cells, labels, proba=proba)
        return cls(read).plot(order=order, n_columns=n_columns, n_rows=n_rows, ax=ax)

    def plot(
        self,
        *,
        order: str = "label",
        n_columns: int = 12,
        n_rows: int | None = None,
        ax: Any = None,
    ) -> CellsDisplay:
        """Draw the contact sheet.

        Parameters
        ----------
        order : {"label", "doubt"}, default="label"
            A row for each label, named with how many cells have it; or all cells
            together, each with its label and probability. The least sure come first,
            where probabilities are known.
        n_columns : int, default=12
            Cells in a row.
        n_rows : int, optional
            Rows at most: of each label, by default 1, or of cells in doubt, by
            default 5.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes by default.

        Returns
        -------
        CellsDisplay

        Raises
        ------
        TallyError
            If an option is out of range, or doubt is asked for without probabilities.
        """
        check_choice("order", order, ("label", "doubt"))
        check_range("n_columns", n_columns, 1, 200, integer=True)
        if n_rows is not None:
            check_range("n_rows", n_rows, 1, 200, integer=True)
        if order == "doubt" and np.isnan(self.read.proba).all():
            raise TallyError(
                "order: expected probabilities for 'doubt', got none; give proba, or a "
                "classifier with predict_proba"
            )
        by_label = order == "label"
        parts = _by_label(self.read) if by_label else [_by_doubt(self.read)]
        most = n_columns * (n_rows or (1 if by_label else 5))
        rows = [
            part[start : min(start + n_columns, most)]
            for part in parts
            for start in range(0, min(len(part), most), n_columns)
        ]
        self.shown_ = np.concatenate(rows)
        self._draw(rows, ax, 1.0 if by_label else 1.4)  # room for what stands below
        if by_label:
            self._name_rows(rows, parts)
        else:
            self._write_below(rows)
        return self

    def _draw(self, rows: list[npt.NDArray[np.intp]], ax: Any, step: float) -> None:
        n_columns, height = max(map(len, rows)), step * len(rows)
        size = (max(0.55 * n_columns + 1, 4), 0.55 * height + 0.5)
        self.ax_ = axes_of(ax, figsize=size)
        self.figure_ = self.ax_.figure
        self.ax_.set(xticks=[], yticks=[])
        images = as_shown(self.read.images[self.shown_])
        at = [(j, i * step) for i, row in enumerate(rows) for j in range(len(row))]
        for image, place in zip(images, at, strict=True):
            draw_tile(self.ax_, image, *place)
        bare(self.ax_, n_columns, height)

    def _name_rows(
        self, rows: list[npt.NDArray[np.intp]], parts: list[npt.NDArray[np.intp]]
    ) -> None:
        names = {
            part[0]: f"{spelled(self.read.predicted[part[0]])} ({len(part):,})"
            for part in parts
        }
        firsts = [i for i, row in enumerate(rows) if row[0] in names]
        self.ax_.set_yticks(firsts, list(names.values()))

    def _write_below(self, rows: list[npt.NDArray[np.intp]]) -> None:
        n = len(self.read.images)
        shown = f"{len(self.shown_)} of {n:,}" if len(self.shown_) < n else f"{n:,}"
        title = f"{shown} cells, least sure first" if n > 1 else "1 cell"
        self.ax_.set_title(title, fontsize="medium")
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                proba = self.read.proba[cell]
                text = spelled(self.read.predicted[cell])
                text += "" if np.isnan(proba) else f"  {proba:.2f}"
                below = {"ha": "center", "va": "top", "fontsize": "x-small"}
                self.ax_.text(j, 1.4 * i + 0.52, text, **below)


def _by_doubt(read: ReadCells) -> npt.NDArray[np.intp]:
    return np.argsort(read.proba, kind="stable")  # NaN last


def _by_label(read: ReadCells) -> list[npt.NDArray[np.intp]]:
    doubt = _by_doubt(read)
    return [doubt[read.predicted[doubt] == name] for name in in_order(read.predicted)]

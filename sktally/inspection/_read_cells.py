"""Cells one after the other, with what was read in each, what is there, and where.

Comes in: a reader and pages, a classifier and cells, or what these predicted. Goes out:
`ReadCells`, which contact sheets, confusion matrices and galleries draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.cells._as_pages import as_pages
from sktally.exceptions import TallyError
from sktally.inspection._inside import unwrapped
from sktally.tables._rows import check_reader
from sktally.votes import CLASSES
from sktally.votes._cells import as_features, check_cells
from sktally.votes._decode import string_to_labels
from sktally.votes._targets import check_targets

__all__ = ["ReadCells", "in_order"]

_PLACES = ("units", "tens", "hundreds", "thousands")


@dataclass(frozen=True, eq=False)
class ReadCells:
    """Cells with what was read in them, and what is known of them.

    Made once by `from_estimator` or `from_predictions`, and drawn by several displays.

    Parameters
    ----------
    images : ndarray of shape (n, height, width) or (n, height, width, 3)
        uint8 are shown as they are, floats with their bright ink dark on white.
    predicted : ndarray of object, shape (n,)
        Labels read, as text.
    proba : ndarray of float64, shape (n,)
        Probability of that label; NaN where none is known.
    truth : ndarray of object, shape (n,)
        Labels written, as text; None where they are not known.
    truth_proba : ndarray of float64, shape (n,)
        Probability that the label written was given.
    where : DataFrame of n rows, or None
        Columns ``page``, ``field`` and ``place``.

    See Also
    --------
    CellsDisplay : Draws a contact sheet.
    ConfusionCropsDisplay : Draws which labels are taken for which.
    MisreadDisplay : Draws those that were misread.

    Examples
    --------
    >>> from sktally import load_reader, make_tally_pages
    >>> from sktally.inspection import ReadCells
    >>> made = make_tally_pages(2, form="example", random_state=0)
    >>> read = ReadCells.from_estimator(load_reader("example"), made.pages, made.boxes)
    >>> len(read.images), int(read.misread.sum())
    (36, 1)
    >>> read.where.loc[1].to_list()
    ['X[0]', '01', 'tens']
    """

    images: npt.NDArray[Any]
    predicted: npt.NDArray[np.object_]
    proba: npt.NDArray[np.float64]
    truth: npt.NDArray[np.object_]
    truth_proba: npt.NDArray[np.float64]
    where: pd.DataFrame | None = None

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether it is known what is written in each cell."""
        return np.array([label is not None for label in self.truth], dtype=bool)

    @property
    def misread(self) -> npt.NDArray[np.bool_]:
        """Whether each cell was read as something else than is written in it."""
        return np.asarray(self.known & (self.truth != self.predicted), dtype=bool)

    @classmethod
    def from_predictions(
        cls,
        cells: npt.ArrayLike,
        predicted: npt.ArrayLike,
        *,
        truth: npt.ArrayLike | None = None,
        proba: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        where: pd.DataFrame | None = None,
    ) -> ReadCells:
        """Take cells and what was read in them.

        Parameters
        ----------
        cells : array-like of shape (n, height, width) or (n, height, width, 3)
            At least one.
        predicted : array-like of shape (n,)
            Labels read.
        truth : array-like of shape (n,), optional
            Labels written; None or NaN where they are not known.
        proba : array-like of shape (n,) or (n, n_classes), optional
            Probabilities of the labels read, or of all `classes`.
        classes : array-like of shape (n_classes,), optional
            Labels that the columns of `proba` stand for.
        where : DataFrame of n rows, optional
            With columns ``page``, ``field`` and ``place``.

        Returns
        -------
        ReadCells

        Raises
        ------
        TallyError
            If there are no cells, or shapes differ.
        """
        images = _check_images(cells)
        n = len(images)
        read = _labels("predicted", predicted, n)
        written = np.full(n, None, object)
        if truth is not None:
            written = _labels("truth", truth, n)
        if None in read.tolist():
            raise TallyError(
                "predicted: expected a label for each cell, got None or NaN"
            )
        of_read, of_written = _probabilities(proba, classes, read, written)
        return cls(images, read, of_read, written, of_written, _check_where(where, n))

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None) -> ReadCells:
        """Read pages or cells.

        Parameters
        ----------
        estimator : Pipeline or classifier
            A fitted reader of pages, such as `load_reader` gives, or a fitted
            classifier of cells.
        X : list of pages, or array-like of cells
            What it reads. Pages that cannot be read are left out, with a warning.
        y : array-like, optional
            Of pages: box strings or counts, shape (n_tallies, n_fields). Of cells:
            their labels. Where a count does not say how its leading zero was written,
            any way to write it is right.

        Returns
        -------
        ReadCells
            Of pages the crops are shown as they were cut, before they were cleaned.

        Raises
        ------
        TallyError
            If no page could be read, there are no cells, or shapes differ.
        """
        estimator = unwrapped(estimator)
        if hasattr(estimator, "steps") and hasattr(estimator[0], "crop"):
            return _read_pages(estimator, X, y)
        if not hasattr(estimator, "predict"):
            raise TallyError(
                "estimator: expected a fitted reader or classifier of cells, got "
                f"{type(estimator).__name__}; make a reader with load_reader(form)"
            )
        images = _check_images(X)
        features = as_features(estimator, images) if images.ndim == 3 else images
        proba = classes = None
        if hasattr(estimator, "predict_proba"):
            proba, classes = estimator.predict_proba(features), estimator.classes_
        read = estimator.predict(features)
        return cls.from_predictions(images, read, truth=y, proba=proba, classes=classes)

    def part(self, index: npt.NDArray[Any]) -> ReadCells:
        """Return some of the cells, in the order of `index`.

        Parameters
        ----------
        index : ndarray of bool or int
            Which.

        Returns
        -------
        ReadCells
        """
        where = self.where
        if where is not None:
            where = where.loc[index].reset_index(drop=True)
        return ReadCells(
            self.images[index],
            self.predicted[index],
            self.proba[index],
            self.truth[index],
            self.truth_proba[index],
            where,
        )


def in_order(labels: npt.ArrayLike) -> list[str]:
    """Return each label once: digits, crossed, empty, then others by name."""
    order = {name: i for i, name in enumerate(CLASSES)}
    return sorted(set(np.asarray(labels)), key=lambda x: (order.get(x, 99), x))


def _read_pages(reader: Any, X: Any, y: Any) -> ReadCells:
    check_reader(reader)
    pages = as_pages(X, "pages")
    crops = reader[0].transform(pages)
    cells = crops
    for _, step in reader.steps[1:-1]:
        cells = step.transform(cells)
    absent = check_cells(cells)[1]
    if absent.all():
        raise TallyError(
            f"pages: expected at least one that can be read, got {len(pages)} of which "
            "none can be: the warning says why"
        )
    read = reader[-1].predict_tallies(cells)
    labels = np.full(absent.shape, -1)
    for i, j in np.argwhere(read.boxes != ""):
        labels[i, j, ~absent[i, j]] = string_to_labels(read.boxes[i, j])
    shown = labels >= 0
    codes = labels[shown]
    proba = read.digit_proba[shown].astype(np.float64)
    sets = np.zeros(proba.shape, dtype=bool)
    if y is not None:
        sets = check_targets(y, absent=absent).label_sets[shown]
    each = np.arange(len(codes))
    # of labels that may all be right, the one read, or else the plainest
    truth = np.where(sets[each, codes], codes, sets.argmax(axis=1))
    names = np.array(CLASSES, dtype=object)
    written = names[truth]
    written[~sets.any(axis=1)] = None
    return ReadCells(
        crops[shown],
        names[codes],
        proba[each, codes],
        written,
        proba[each, truth],
        _where(pages, reader[0].form_.field_names, shown),
    )


def _where(
    pages: list, fields: list[str], shown: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    names = [
        Path(page).name if isinstance(page, str | PathLike) else f"X[{i}]"
        for i, page in enumerate(pages)
    ]
    n_places = shown.shape[2]
    places = [*_PLACES, *(f"10^{power}" for power in range(4, n_places))][:n_places]
    at = np.argwhere(shown)
    rows = [(names[i], fields[j], places[n_places - 1 - k]) for i, j, k in at]
    return pd.DataFrame(rows, columns=["page", "field", "place"])


def _check_images(cells: Any) -> npt.NDArray[Any]:
    try:
        images = np.asarray(cells)
    except ValueError:
        images = np.empty(0)
    color = images.ndim == 4 and images.shape[3] == 3
    if not (images.ndim == 3 or color) or 0 in images.shape:
        raise TallyError(
            "cells: expected one or more of one size, shape (n, height, width) or (n, "
            f"height, width, 3), got shape {images.shape}; cells of tallies, "
            "(n_tallies, n_fields, n_places, height, width), are read by "
            "from_estimator(reader, pages), or give those there are, cells[present]"
        )
    if images.dtype.kind not in "uifb" or not np.isfinite(images).all():
        raise TallyError(
            f"cells: expected finite numbers, got {images.dtype} with others; leave "
            "out absent cells, which are NaN"
        )
    return images


def _labels(name: str, labels: Any, n: int) -> npt.NDArray[np.object_]:
    values = np.asarray(labels, dtype=object)
    if values.shape != (n,):
        raise TallyError(
            f"{name}: expected a label for each cell, shape ({n},), got {values.shape}"
        )
    return np.array([_text(value) for value in values], dtype=object)


def _text(label: Any) -> str | None:
    """Return a label as text; 3.0 is 3: numbers beside missing ones become floats."""
    if pd.isna(label):
        return None
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return str(int(label))
    return str(label)


def _probabilities(
    proba: Any,
    classes: Any,
    read: npt.NDArray[np.object_],
    written: npt.NDArray[np.object_],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the probability of the label read, and that of the label written."""
    none = np.full(len(read), np.nan)
    if proba is None:
        return none, none
    table = np.asarray(proba, dtype=np.float64)
    names = [] if classes is None else [_text(name) for name in np.asarray(classes)]
    if table.shape != (len(read),) and table.shape != (len(read), len(names)):
        raise TallyError(
            f"proba: expected one for each cell, shape ({len(read)},), or one for each "
            f"of classes, shape ({len(read)}, {len(names)}), got {table.shape}; give "
            "classes=classifier.classes_ with what predict_proba returns"
        )
    if ((table < 0) | (table > 1)).any():
        raise TallyError(
            f"proba: expected probabilities in [0, 1], got {np.nanmin(table):.4g} to "
            f"{np.nanmax(table):.4g}"
        )
    if table.ndim == 1:
        return table, np.where(read == written, table, np.nan)
    column = {name: i for i, name in enumerate(names)}
    found = []
    for labels in (read, written):
        at = np.array([column.get(label, -1) for label in labels])
        found.append(np.where(at < 0, np.nan, table[np.arange(len(at)), at]))
    return found[0], found[1]


def _check_where(where: pd.DataFrame | None, n: int) -> pd.DataFrame | None:
    if where is None:
        return None
    columns = ["page", "field", "place"]
    if not isinstance(where, pd.DataFrame) or not set(columns) <= set(where):
        raise TallyError(f"where: expected a DataFrame with columns {columns}")
    if len(where) != n:
        raise TallyError(f"where: expected {n} rows, one a cell, got {len(where)}")
    return where[columns].reset_index(drop=True)

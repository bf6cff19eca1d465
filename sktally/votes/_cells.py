"""Between 5-D cells of tallies and a classifier of single cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import BaseEnsemble
from sklearn.utils import get_tags

from sktally.exceptions import TallyError
from sktally.votes._decode import CLASSES

__all__ = [
    "as_features",
    "check_cells",
    "class_columns",
    "has_proba",
    "read_cells",
    "takes_images",
]


def check_cells(X: object) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Check the cells of tallies and find the absent ones.

    Parameters
    ----------
    X : array-like of shape (n_tallies, n_fields, n_places, height, width)
        Floats, where an absent cell is NaN all over; or uint8, where it is 0 all
        over.

    Returns
    -------
    cells : ndarray, as given
    absent : ndarray of bool, shape (n_tallies, n_fields, n_places)

    Raises
    ------
    TallyError
        If it is of another rank or dtype, is empty, or a cell is NaN or infinite in
        part.
    """
    if hasattr(X, "toarray"):
        raise TallyError(f"X: expected dense cells {_SHAPE}, got a sparse array")
    try:
        cells = np.asarray(X)
    except ValueError as error:  # NumPy's answer to ragged lists
        raise TallyError(f"X: expected cells {_SHAPE}, got a ragged list") from error
    if cells.dtype.kind == "c":
        raise TallyError(f"X: Complex data not supported, got dtype {cells.dtype}")
    if cells.ndim != 5 or 0 in cells.shape:
        raise TallyError(
            f"X: expected cells {_SHAPE}, none of them 0, got shape {cells.shape}; "
            "put TallyCropper and CellNormalizer before this step of the pipeline, or "
            "use the digit classifier alone for cells that belong to no tally"
        )
    if cells.dtype.kind != "f" and cells.dtype != np.uint8:
        raise TallyError(
            f"X: expected float cells from CellNormalizer or uint8 cells from "
            f"TallyCropper, got dtype {cells.dtype}"
        )
    flat = cells.reshape(*cells.shape[:3], -1)
    if cells.dtype == np.uint8:
        return cells, np.asarray(~flat.any(axis=-1))
    absent = np.isnan(flat[..., 0])
    if not np.isfinite(flat[~absent]).all() or not np.isnan(flat[absent]).all():
        finite = np.isfinite(flat).all(axis=-1) | np.isnan(flat).all(axis=-1)
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise TallyError(
            f"X: expected finite cells, NaN all over only where a cell is absent; cell "
            f"{where} (tally, field, place) holds NaN or infinity among other values"
        )
    return cells, absent


_SHAPE = "(n_tallies, n_fields, n_places, height, width)"


def takes_images(classifier: Any) -> bool:
    """Tell whether a classifier takes cells as images ``(n_cells, h, w)``.

    Its tags say so, or those of the estimator inside a search or a calibration, or
    of the first step of a pipeline, whose own tags are silent about it. Ensembles
    take 2-D input whatever they are made of.
    """
    if get_tags(classifier).input_tags.three_d_array:
        return True
    if isinstance(classifier, BaseEnsemble):
        return False
    inner = getattr(classifier, "estimator", None)
    if inner is None and getattr(classifier, "steps", None):
        inner = classifier.steps[0][1]
    return hasattr(inner, "fit") and takes_images(inner)


def has_proba(aggregator: Any) -> bool:
    """Tell whether an aggregator's classifier, fitted or not, has `predict_proba`."""
    classifier = getattr(aggregator, "classifier_", aggregator.classifier)
    return hasattr(classifier, "predict_proba")


def as_features(classifier: Any, cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return cells ``(n_cells, height, width)`` in the rank that a classifier takes."""
    return cells if takes_images(classifier) else cells.reshape(len(cells), -1)


def class_columns(classes: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the place in `CLASSES` of each class of a classifier.

    Parameters
    ----------
    classes : array-like
        Characters of `CLASSES`, or integers 0 to 11 in the same order.

    Returns
    -------
    columns : ndarray of int

    Raises
    ------
    TallyError
        If there is another class.

    Examples
    --------
    >>> class_columns(["0", "7", "_"])
    array([ 0,  7, 11])
    """
    columns = []
    for value in np.asarray(classes).tolist():
        if isinstance(value, str) and value in CLASSES:
            columns.append(CLASSES.index(value))
        elif isinstance(value, int | float) and value in range(len(CLASSES)):
            columns.append(int(value))
        else:
            raise TallyError(
                f"classifier: expected classes '0'..'9', 'x', '_' or integers 0..11 in "
                f"that order, got class {value!r}; fit it on such labels"
            )
    return np.array(columns, dtype=np.intp)


def read_cells(
    classifier: Any, cells: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32] | None]:
    """Ask a fitted classifier once for the class of every cell.

    Parameters
    ----------
    classifier : fitted classifier
        With `predict_proba`, or with `predict` alone.
    cells : ndarray of shape (n_cells, height, width)
        Present cells; may be none.

    Returns
    -------
    labels : ndarray of int8, shape (n_cells,)
    proba : ndarray of float32, shape (n_cells, 12), or None
        None without `predict_proba`: there is no honest probability to give.
    """
    knows_proba = hasattr(classifier, "predict_proba")
    if len(cells) == 0:
        empty = np.zeros((0, len(CLASSES)), dtype=np.float32)
        return np.zeros(0, dtype=np.int8), empty if knows_proba else None
    features = as_features(classifier, cells)
    if not knows_proba:
        return class_columns(classifier.predict(features)).astype(np.int8), None
    columns = class_columns(classifier.classes_)
    proba = np.zeros((len(cells), len(CLASSES)), dtype=np.float32)
    proba[:, columns] = classifier.predict_proba(features)
    return columns[proba[:, columns].argmax(axis=1)].astype(np.int8), proba

"""y of tallies, box strings or counts, checked and laid out cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import issparse

from sktally._validate import as_labels
from sktally.exceptions import TallyError
from sktally.votes._decode import (
    CLASSES,
    boxes_to_counts,
    counts_to_label_sets,
    string_to_labels,
)

__all__ = [
    "TallyTargets",
    "as_object_table",
    "check_given",
    "check_tally_groups",
    "check_tally_weights",
    "check_targets",
    "parse_value",
    "target_counts",
]


@dataclass(frozen=True)
class TallyTargets:
    """What y says of every cell.

    Attributes
    ----------
    labels : ndarray of int8, shape (n_tallies, n_fields, n_places)
        Index into `CLASSES`; -1 where y does not name one class.
    label_sets : ndarray of bool, shape (n_tallies, n_fields, n_places, 12)
        Classes that y allows: one where `labels` names it, three at the leading
        zeros of a count, none where y says nothing.
    """

    labels: npt.NDArray[np.int8]
    label_sets: npt.NDArray[np.bool_]


def check_given(y: object) -> None:
    """Raise unless there is a y; says so before anything is said of X."""
    if y is None:
        # the first words are those that scikit-learn's own checks look for
        raise TallyError(
            "requires y to be passed, but the target y is None; give box strings or "
            "counts of shape (n_tallies, n_fields)"
        )


def check_targets(y: object, *, absent: npt.NDArray[np.bool_]) -> TallyTargets:
    """Lay `y` out cell by cell.

    Parameters
    ----------
    y : array-like of shape (n_tallies, n_fields)
        Box strings or counts, freely mixed; "", None, NaN and -1 are missing.
    absent : ndarray of bool, shape (n_tallies, n_fields, n_places)
        Cells that X lacks. A place absent from every tally that was read at all is
        padding: the field has no such box.

    Returns
    -------
    TallyTargets

    Raises
    ------
    TallyError
        If `y` is ragged or of another shape, or an element is no box string, no
        count, or longer than its field.
    """
    n_tallies, n_fields, n_places = absent.shape
    read = ~absent.all(axis=(1, 2))
    n_boxes = (~absent[read]).any(axis=0).sum(axis=1) if read.any() else [n_places]
    n_boxes = np.broadcast_to(n_boxes, n_fields)
    values = as_object_table(y)
    if values.shape != (n_tallies, n_fields):
        raise TallyError(
            f"y: expected shape (n_tallies, n_fields) = ({n_tallies}, {n_fields}) as "
            f"in X, got {values.shape}; give one row per page and one column per field"
        )
    labels = np.full((n_tallies, n_fields, n_places), -1, dtype=np.int8)
    label_sets = np.zeros((*labels.shape, len(CLASSES)), dtype=bool)
    for (row, column), value in np.ndenumerate(values):
        name, room = f"y[{row}, {column}]", int(n_boxes[column])
        value = parse_value(value, name)
        if value is None or room == 0:
            continue
        if isinstance(value, str):
            _check_room(len(value), room, name, value)
            indices = string_to_labels(value, name)
            labels[row, column, n_places - len(indices) :] = indices
        else:
            _check_room(len(str(value)), room, name, value)
            sets = counts_to_label_sets([value], room)[0]
            label_sets[row, column, n_places - room :] = sets
    single = label_sets.sum(axis=-1) == 1
    labels[single] = label_sets.argmax(axis=-1)[single]
    named = labels >= 0
    label_sets[named] = np.eye(len(CLASSES), dtype=bool)[labels[named]]
    return TallyTargets(labels, label_sets)


def target_counts(y: object, *, blank_right: str = "missing") -> npt.NDArray[np.int64]:
    """Return the counts that `y` stands for, -1 where it is missing.

    Parameters
    ----------
    y : array-like of shape (n_tallies, n_fields)
        Box strings or counts.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit.

    Returns
    -------
    counts : ndarray of int64, shape (n_tallies, n_fields)
        Ready for `count_accuracy_score` and for tables of the truth.

    Examples
    --------
    >>> target_counts([["x23", 7], [None, float("nan")]])
    array([[23,  7],
           [-1, -1]])
    """
    values = as_object_table(y)
    counts = np.full(values.shape, -1, dtype=np.int64)
    boxes = np.full(values.shape, "", dtype=object)
    for place, value in np.ndenumerate(values):
        value = parse_value(value, f"y[{place[0]}, {place[1]}]")
        if isinstance(value, str):
            boxes[place] = value
        elif value is not None:
            counts[place] = value
    from_boxes = boxes_to_counts(boxes, blank_right=blank_right)[0]
    return np.where(boxes != "", from_boxes, counts)


def as_object_table(y: object) -> npt.NDArray[np.object_]:
    """Return `y` as a 2-D array of Python objects, or raise TallyError."""
    if issparse(y):
        raise TallyError(
            "y: expected a dense array of box strings or counts, got a sparse "
            f"{type(y).__name__}, in which 0 and missing are alike; pass y.toarray()"
        )
    if isinstance(y, pd.DataFrame | pd.Series):
        return _two_d(y.to_numpy(dtype=object))
    try:
        values = np.asarray(y)
        if values.dtype.kind in "USO" or values.dtype.kind in "fiub":
            values = np.asarray(y, dtype=object)
    except ValueError as error:  # NumPy's answer to ragged lists
        raise TallyError(_RAGGED) from error
    return _two_d(values)


_RAGGED = (
    "y: expected rows of equal length, got a ragged list; give one entry per field in "
    "every row, None where a tally lacks a field"
)


def _two_d(values: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    if values.dtype != object:
        raise TallyError(f"y: expected box strings or counts, got dtype {values.dtype}")
    if values.ndim != 2:
        raise TallyError(
            "y: expected 2 dimensions (n_tallies, n_fields), got shape "
            f"{values.shape}; for a single field use a column, y.reshape(-1, 1)"
        )
    return values


def parse_value(value: object, name: str) -> str | int | None:
    """Return a box string, a count, or None for a missing one."""
    if isinstance(value, str):
        return str(value) or None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise TallyError(
            f"{name}: expected a box string such as 'x23' or a count, got {value!r} "
            f"of type {type(value).__name__}"
        )
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        if not float(value).is_integer():
            raise TallyError(
                f"{name}: expected a whole number, got {value!r}; a missing count is "
                "-1, None or NaN"
            )
    if value < -1:
        raise TallyError(
            f"{name}: expected a count of 0 or more, or -1 for missing, got {value!r}"
        )
    return None if value == -1 else int(value)


def _check_room(length: int, room: int, name: str, value: object) -> None:
    if length > room:
        raise TallyError(
            f"{name} = {value!r}: expected at most {room} characters, one per box of "
            f"the field, got {length}; is this the form of the labels?"
        )


def check_tally_weights(
    sample_weight: npt.ArrayLike, n_tallies: int
) -> npt.NDArray[np.float64]:
    """Return the weight of each tally as floats, or raise TallyError."""
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_tallies,) or not weights.min() >= 0 or weights.sum() <= 0:
        raise TallyError(
            f"sample_weight: expected one weight per tally, shape ({n_tallies},), 0 or "
            f"more and not all 0, got shape {weights.shape}"
        )
    return weights


def check_tally_groups(groups: npt.ArrayLike, n_tallies: int) -> npt.NDArray[np.intp]:
    """Return the number of the group of each tally, or raise TallyError."""
    names = as_labels(groups)
    codes = pd.factorize(names)[0] if names.ndim == 1 else np.array([-1])
    if len(codes) != n_tallies or (codes < 0).any():
        raise TallyError(
            f"groups: expected one group per tally, shape ({n_tallies},), none missing "
            f"(None or NaN), got shape {names.shape} with {(codes < 0).sum()} missing"
        )
    return codes

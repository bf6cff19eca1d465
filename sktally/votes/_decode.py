"""Box strings, class labels and counts: pure functions from one to the other.

A *box string* holds one character per box, hundreds first: ``0``-``9``, ``x`` for a
box that was crossed through or filled, ``_`` for a box left empty. A *label* is the
index of that character in `CLASSES`, -1 where there is no box. A *count* is an
integer, -1 where none can be read.

Notes
-----
Left of the first digit both ``x`` and ``_`` are zero, as clerks write ``x23``, ``_23``
and ``023`` for the same count. To the right of a digit, be it a written zero, they are
not zero by themselves, and the status is "ambiguous" always:

- a crossed box holds ink that somebody put there on purpose, so it counts as zero
  (``x2x`` is 20) whatever the rule;
- an empty box may be a digit never written, so the form's `blank_right` rule says
  what the count is: ``"missing"`` (-1), ``"zero"`` (``32_`` is 320) or ``"shift"``
  (``32_`` is 32: the number was written from the left; an empty box between two
  digits, as in ``3_2``, is not explained by that and gives -1).

A field without any digit is 0: ``xxx`` with status "ok", but "ambiguous" as soon as
the units box is empty, because nobody vouched for that zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sktally._validate import check_choice
from sktally.exceptions import TallyError

__all__ = [
    "BLANK_RIGHT",
    "CLASSES",
    "boxes_to_counts",
    "counts_to_label_sets",
    "labels_to_boxes",
    "labels_to_counts",
]

#: Classes of boxes, in the order of columns of probabilities: digits, ``x`` crossed
#: out or filled, ``_`` empty.
CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "x", "_")
#: What an empty box to the right of a digit may mean, as in ``32_``: no count, 320, 32.
BLANK_RIGHT = ("missing", "zero", "shift")

_CHARACTERS = "".join(CLASSES)
_CROSSED, _EMPTY = 10, 11
_MAX_PLACES = 18  # ten to the 18 still fits into int64


def boxes_to_counts(
    boxes: npt.ArrayLike, *, blank_right: str = "missing"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Read box strings as counts.

    Parameters
    ----------
    boxes : array-like of str, any shape
        One string per field; ``""`` or None where nothing was read.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit, see the form.

    Returns
    -------
    counts : ndarray of int64, shape of `boxes`
        -1 where there is no count.
    status : ndarray of str, shape of `boxes`
        "ok", "ambiguous" or "unread".

    Raises
    ------
    TallyError
        If a string holds other characters than ``0123456789x_``.

    Examples
    --------
    >>> counts, status = boxes_to_counts(["x23", "_32", "007", "x2x", "32_", ""])
    >>> counts
    array([23, 32,  7, 20, -1, -1])
    >>> [str(s) for s in status]
    ['ok', 'ok', 'ok', 'ambiguous', 'ambiguous', 'unread']
    >>> int(boxes_to_counts("32_", blank_right="shift")[0])
    32
    """
    strings = np.asarray(boxes, dtype=object)
    flat = strings.ravel()
    parts = [string_to_labels(text) for text in flat]
    width = max((len(part) for part in parts), default=0)
    labels = np.full((len(flat), max(width, 1)), -1, dtype=np.int8)
    for row, part in zip(labels, parts, strict=True):
        if part:
            row[-len(part) :] = part
    counts, status = labels_to_counts(labels, blank_right=blank_right)
    return counts.reshape(strings.shape), status.reshape(strings.shape)


def string_to_labels(text: object, name: str = "boxes") -> list[int]:
    """Return the label of each character of a box string, or raise TallyError.

    None counts as the empty string.

    Examples
    --------
    >>> string_to_labels("x7_")
    [10, 7, 11]
    """
    if text is None:
        return []
    if not isinstance(text, str):
        raise TallyError(
            f"{name}: expected box strings such as 'x23', got {text!r} of type "
            f"{type(text).__name__}"
        )
    labels = [_CHARACTERS.find(character) for character in text]
    if -1 in labels:
        bad = text[labels.index(-1)]
        remedy = "write '' or None for a field without label"
        if bad == "X":
            remedy = "only a lower-case 'x' is a crossed box"
        raise TallyError(
            f"{name}: expected one of {_CHARACTERS!r} per box ('x' crossed, '_' empty)"
            f", got {bad!r} in {text!r}; {remedy}"
        )
    return labels


def labels_to_boxes(labels: npt.ArrayLike) -> npt.NDArray[np.object_]:
    """Write class labels as box strings.

    Parameters
    ----------
    labels : array-like of int, shape (..., n_places)
        Index into `CLASSES`, hundreds first, -1 for a place that does not exist.

    Returns
    -------
    boxes : ndarray of object, shape (...)
        Strings; ``""`` where a field has no place at all.

    Examples
    --------
    >>> labels_to_boxes([[10, 2, 3], [-1, 0, 7], [-1, -1, -1]])
    array(['x23', '07', ''], dtype=object)
    """
    indices = np.asarray(labels, dtype=np.intp)
    characters = np.array([*CLASSES, ""], dtype=object)[indices]  # -1 is the last
    boxes = np.empty(indices.shape[:-1], dtype=object)
    boxes[...] = ""
    for place in range(indices.shape[-1]):
        boxes = boxes + characters[..., place]
    return np.asarray(boxes, dtype=object)


def labels_to_counts(
    labels: npt.ArrayLike, *, blank_right: str = "missing"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Read class labels as counts.

    Parameters
    ----------
    labels : array-like of int, shape (..., n_places)
        Index into `CLASSES`, hundreds first, -1 for a place that does not exist.
        A -1 to the right of an existing place makes the field unread.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit, see the form.

    Returns
    -------
    counts : ndarray of int64, shape (...)
        -1 where there is no count.
    status : ndarray of str, shape (...)
        "ok", "ambiguous" or "unread".

    Examples
    --------
    >>> counts, status = labels_to_counts([[3, 2, 11]], blank_right="zero")
    >>> int(counts[0]), str(status[0])
    (320, 'ambiguous')
    """
    check_choice("blank_right", blank_right, BLANK_RIGHT)
    labels = np.asarray(labels, dtype=np.int64)
    n_places = labels.shape[-1]
    if n_places > _MAX_PLACES:
        raise TallyError(
            f"labels: expected at most {_MAX_PLACES} places, got {n_places}; longer "
            "numbers do not fit into int64"
        )
    digit = (labels >= 0) & (labels < _CROSSED)
    empty = labels == _EMPTY
    after_digit = np.logical_or.accumulate(digit, axis=-1)
    hole = np.logical_or.accumulate(labels >= 0, axis=-1) & (labels < 0)
    unread = ~(labels >= 0).any(axis=-1) | hole.any(axis=-1)
    ambiguous = ((labels >= _CROSSED) & after_digit).any(axis=-1)
    ambiguous |= ~digit.any(axis=-1) & (labels[..., -1] == _EMPTY)

    powers = 10 ** np.arange(n_places - 1, -1, -1, dtype=np.int64)
    counts = (np.where(digit, labels, 0) * powers).sum(axis=-1)
    blank = empty & after_digit
    if blank_right == "missing":
        counts = np.where(blank.any(axis=-1), -1, counts)
    elif blank_right == "shift":
        trailing = np.logical_and.accumulate(blank[..., ::-1], axis=-1)
        inside = blank.sum(axis=-1) > trailing.sum(axis=-1)
        counts = np.where(inside, -1, counts // 10 ** trailing.sum(axis=-1))
    counts = np.where(unread, -1, counts).astype(np.int64)
    status = np.where(ambiguous, "ambiguous", "ok")
    return counts, np.where(unread, "unread", status)


def counts_to_label_sets(
    counts: Sequence[int] | npt.NDArray[np.int64], n_places: int
) -> npt.NDArray[np.bool_]:
    """Return the classes that each box of a known count may hold.

    A count does not say whether its leading zeros were written, crossed or left
    empty, so those places may hold ``0``, ``x`` or ``_``. All other places hold their
    digit.

    Parameters
    ----------
    counts : array-like of int, shape (n_counts,)
        Zero or more, below ten to the `n_places`.
    n_places : int
        Number of boxes.

    Returns
    -------
    label_sets : ndarray of bool, shape (n_counts, n_places, 12)
        In the order of `CLASSES`.

    Raises
    ------
    TallyError
        If a count is negative or has more digits than there are boxes.

    Examples
    --------
    >>> sets = counts_to_label_sets([7], 2)
    >>> ["".join(CLASSES[c] for c in np.flatnonzero(row)) for row in sets[0]]
    ['0x_', '7']
    """
    numbers = np.asarray(counts, dtype=np.int64)
    bad = (numbers < 0) | (numbers >= 10 ** min(n_places, _MAX_PLACES))
    if bad.any():
        raise TallyError(
            f"counts: expected 0 to {'9' * n_places} ({n_places} boxes), got "
            f"{numbers[bad][0]}; drop missing counts before"
        )
    powers = 10 ** np.arange(n_places - 1, -1, -1, dtype=np.int64)
    digits = numbers[:, None] // powers % 10
    label_sets = np.eye(len(CLASSES), dtype=bool)[digits]
    label_sets[numbers[:, None] < powers] = np.eye(len(CLASSES), dtype=bool)[
        [0, _CROSSED, _EMPTY]
    ].any(axis=0)
    return label_sets

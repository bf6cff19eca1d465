"""What one pass over the cells of some tallies gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.votes._bubbles import bubble_strings, weigh_by_bubbles
from sktally.votes._confidence import count_confidence, tally_quality
from sktally.votes._decode import CLASSES, labels_to_boxes, labels_to_counts

__all__ = ["TallyPrediction", "fold_cells"]

# How often a box of a field that fits badly was cut where another thing, or a part of
# the digit, stands: then any class is as good (benchmarks/misfits.py).
_ASTRAY = 0.2


@dataclass(frozen=True)
class TallyPrediction:
    """Counts of tallies with all that is known of them.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_tallies, n_fields)
        -1 where there is no count.
    boxes : ndarray of object, shape (n_tallies, n_fields)
        Box strings such as ``"x23"``; ``""`` where nothing was read.
    status : ndarray of str, shape (n_tallies, n_fields)
        "ok"; "ambiguous" for an empty or crossed box to the right of a digit, an empty
        units box without any digit, or a box and its bubbles that say different
        digits; "misfit" for a field whose printed frames fit badly, if that was told;
        "unread" for an absent field or page.
    confidence : ndarray of float64, shape (n_tallies, n_fields)
        Mean probability of the labels read, weighted by place as in the paper, see
        `sktally.votes.count_confidence`. NaN where nothing was read, and everywhere
        for a classifier without `predict_proba`. It is no probability that the count
        is right.
    tally_quality : ndarray of float64, shape (n_tallies,)
        Mean confidence of the fields read, NaN where there is none.
    high_quality : ndarray of bool, shape (n_tallies,)
        Quality above the cut of the aggregator.
    digit_proba : ndarray of float32, shape (n_tallies, n_fields, n_places, 12)
        Probability of each class of `sktally.votes.CLASSES`; NaN for absent cells,
        and everywhere for a classifier without `predict_proba`.
    handwriting : ndarray of object, shape (n_tallies, n_fields)
        Box strings by the boxes alone. They differ from `boxes` only where bubbles
        were heeded.
    bubbles : ndarray of object, shape (n_tallies, n_fields)
        Box strings by the bubbles alone, ``"_"`` where none is plainly filled; ``""``
        where they were not heeded or the form has none.

    Examples
    --------
    >>> from sktally import load_reader, make_tally_pages
    >>> made = make_tally_pages(2, form="example", random_state=0)
    >>> reader = load_reader("example")
    >>> read = reader[-1].predict_tallies(reader[:-1].transform(made.pages))
    >>> read.counts.shape, read.tally_quality.shape
    ((2, 6), (2,))
    """

    counts: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.object_]
    status: npt.NDArray[np.str_]
    confidence: npt.NDArray[np.float64]
    tally_quality: npt.NDArray[np.float64]
    high_quality: npt.NDArray[np.bool_]
    digit_proba: npt.NDArray[np.float32]
    handwriting: npt.NDArray[np.object_]
    bubbles: npt.NDArray[np.object_]


def fold_cells(
    labels: npt.NDArray[np.int8],
    proba: npt.NDArray[np.float32] | None,
    present: npt.NDArray[np.bool_],
    *,
    blank_right: str,
    high_quality: float,
    bubbles: npt.NDArray[np.float32] | None = None,
    misfit: npt.ArrayLike | None = None,
) -> TallyPrediction:
    """Fold the answers for single cells back into tallies.

    Parameters
    ----------
    labels : ndarray of int, shape (n_cells,)
        Index into `CLASSES` of each present cell.
    proba : ndarray of shape (n_cells, 12), or None
        Probabilities of the same cells.
    present : ndarray of bool, shape (n_tallies, n_fields, n_places)
        Where those cells stand.
    blank_right : {"missing", "zero", "shift"}
        Value of an empty box to the right of a digit.
    high_quality : float
        Tally quality above which a tally is of high quality.
    bubbles : ndarray of shape (n_tallies, n_fields, n_places, 10), optional
        Probabilities of digits by bubbles, to be heeded; needs `proba`.
    misfit : array-like of bool, shape (n_tallies, n_fields), optional
        Fields that may have been cut beside their boxes.

    Returns
    -------
    TallyPrediction

    Raises
    ------
    TallyError
        If `misfit` is no such array.
    """
    all_labels = np.full(present.shape, -1, dtype=np.int8)
    all_labels[present] = labels
    handwriting = labels_to_boxes(all_labels)
    said, differ = np.full(handwriting.shape, "", object), None
    if bubbles is not None and proba is not None:
        said = bubble_strings(bubbles, present)
        labels, proba, apart = weigh_by_bubbles(labels, proba, bubbles[present])
        all_labels[present] = labels
        differ = np.zeros(present.shape, bool)
        differ[present] = apart
    digit_proba = np.full((*present.shape, len(CLASSES)), np.nan, dtype=np.float32)
    place_proba = np.full(present.shape, np.nan)
    if proba is not None:
        digit_proba[present] = proba
        place_proba[present] = proba[np.arange(len(labels)), labels]
    counts, status = labels_to_counts(all_labels, blank_right=blank_right)
    boxes = labels_to_boxes(all_labels)
    confidence = count_confidence(place_proba)
    unread = status == "unread"
    if differ is not None:
        status[differ.any(axis=-1) & ~unread] = "ambiguous"
    if misfit is not None:
        astray = _check_misfit(misfit, status.shape)
        status[astray & ~unread] = "misfit"
        digit_proba[astray] = _less_sure(digit_proba[astray])
        # a mean of such probabilities becomes what their mean is
        confidence[astray] = _less_sure(confidence[astray])
    handwriting[unread] = said[unread] = boxes[unread] = ""
    confidence[unread] = np.nan
    quality = tally_quality(confidence)
    return TallyPrediction(
        counts=counts,
        boxes=boxes,
        status=status,
        confidence=confidence,
        tally_quality=quality,
        high_quality=quality > high_quality,
        digit_proba=digit_proba,
        handwriting=handwriting,
        bubbles=said,
    )


def _less_sure(proba: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return probabilities of boxes that may be of something else."""
    return (1 - _ASTRAY) * proba + _ASTRAY / len(CLASSES)


def _check_misfit(
    misfit: npt.ArrayLike, shape: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """Return which fields fit badly, or raise."""
    found = np.asarray(misfit)
    if found.dtype != bool or found.shape != shape:
        raise TallyError(
            f"misfit: expected True or False for each field, shape {shape}, "
            f"(n_tallies, n_fields), got {found.dtype}, shape {found.shape}"
        )
    return found

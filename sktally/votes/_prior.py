"""Weigh what cells look like by how often each class stands at their place.

Comes in: what y says of cells, and the probabilities of cells. Goes out: ratios of
classes by place, and probabilities that heed them. A classifier of single cells knows
how frequent a class is, not that an 8 in the hundreds of a small polling station is
almost surely something else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import NotFittedError

from sktally.exceptions import TallyError
from sktally.votes._decode import CLASSES

__all__ = ["check_ratios", "place_ratios", "weigh_by_place"]

# Observations, and as many expected ones, that are added to each class and place.
_ADDED = 1.0


def place_ratios(
    label_sets: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return how frequent each class is at each place, relative to all places.

    Parameters
    ----------
    label_sets : ndarray of bool, shape (n_tallies, n_fields, n_places, n_classes)
        Classes that each cell may be; a cell that may be one of several counts in
        equal parts, one without any not at all.
    present : ndarray of bool, shape (n_tallies, n_fields, n_places)
        Cells that are there.

    Returns
    -------
    ratios : ndarray of shape (n_places, n_classes)
        Above 0; 1 for a class that was never seen.

    Notes
    -----
    One is added to the observed and to the expected number, so that a few cells move
    little: the shrinkage of relative risks in Clayton and Kaldor (1987), with a fixed
    prior.

    Examples
    --------
    >>> sets = np.eye(2, dtype=bool)[[[[0, 1]] * 6]]  # a 0, then a 1, in six fields
    >>> place_ratios(sets, np.ones((1, 6, 2), bool)).round(2)
    array([[1.75, 0.25],
           [0.25, 1.75]])
    """
    parts = label_sets / np.maximum(label_sets.sum(axis=-1, keepdims=True), 1)
    seen = (parts * present[..., None]).sum(axis=(0, 1))
    share = seen.sum(axis=0) / max(seen.sum(), 1)
    expected = seen.sum(axis=1, keepdims=True) * share
    return np.asarray((seen + _ADDED) / (expected + _ADDED))


def check_ratios(ratios: Any) -> npt.NDArray[np.float64]:
    """Return ratios that were saved, or raise TallyError if they are none."""
    found = np.asarray(ratios, dtype=np.float64)
    if found.ndim == 2 and found.shape[1] == len(CLASSES):
        if (np.isfinite(found) & (found > 0)).all():
            return found
    raise TallyError(
        f"place_ratios_: expected numbers above 0 of shape (n_places, {len(CLASSES)}), "
        f"got shape {found.shape}; the model file is damaged, save it again"
    )


def weigh_by_place(
    proba: npt.NDArray[Any] | None,
    present: npt.NDArray[np.bool_],
    ratios: npt.NDArray[np.float64] | None,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return classes and probabilities of cells that heed where the cells stand.

    Parameters
    ----------
    proba : ndarray of shape (n_cells, n_classes) or None
        Probabilities of the present cells, None where the classifier gives none.
    present : ndarray of bool, shape (n_tallies, n_fields, n_places)
        Where those cells stand.
    ratios : ndarray of shape (n_places, n_classes) or None
        From `place_ratios`, None where it was not fitted. Of fewer places than
        `present` has, they are the last.

    Returns
    -------
    labels : ndarray of int8, shape (n_cells,)
        Most probable classes.
    proba : ndarray of float32, shape (n_cells, n_classes)
        Rows sum to 1.

    Raises
    ------
    TallyError
        Without probabilities.
    NotFittedError
        Without ratios.

    Examples
    --------
    >>> proba = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> ratios = np.array([[1.5, 0.5], [0.5, 1.5]])
    >>> labels, proba = weigh_by_place(proba, np.ones((1, 1, 2), bool), ratios)
    >>> labels, proba
    (array([0, 1], dtype=int8), array([[0.75, 0.25],
           [0.25, 0.75]], dtype=float32))
    """
    if proba is None:
        raise TallyError(
            "place_prior: expected a classifier with predict_proba, got one without; "
            "wrap it in sklearn.calibration.CalibratedClassifierCV, or leave "
            "place_prior=False"
        )
    if ratios is None:
        raise NotFittedError(
            "place_prior=True needs counts to learn from: call fit with X and y (a "
            "frozen classifier stays as it is), or leave place_prior=False"
        )
    place = np.nonzero(present)[2] - present.shape[2]  # -1 is the last
    known = place >= -len(ratios)
    weighed = proba.astype(np.float64)
    weighed[known] *= ratios[place[known]]
    weighed /= weighed.sum(axis=1, keepdims=True)
    return weighed.argmax(axis=1).astype(np.int8), weighed.astype(np.float32)

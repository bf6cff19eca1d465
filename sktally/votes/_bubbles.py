"""Weigh what boxes look like by what the bubbles beside them say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally.votes._decode import CLASSES

__all__ = ["bubble_strings", "weigh_by_bubbles"]

# The digit of each class: crossed and empty boxes go with the bubble of 0.
_DIGIT = np.array([*range(10), 0, 0])
# Below this probability a digit is ruled out; above that one, a bubble is plainly
# filled.
_RULED_OUT, _PLAIN = 0.05, 0.5
# How often a classifier may be sure of a box and wrong, whatever it says itself: plain
# bubbles err less (benchmarks/bubbles.py).
_MISREAD = 0.01


def weigh_by_bubbles(
    labels: npt.NDArray[np.int8],
    proba: npt.NDArray[Any],
    bubbles: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return classes and probabilities of cells that heed their bubbles.

    Parameters
    ----------
    labels : ndarray of int8, shape (n_cells,)
        Classes by the boxes alone.
    proba : ndarray of shape (n_cells, 12)
        Probabilities by the boxes alone.
    bubbles : ndarray of shape (n_cells, 10)
        Probabilities of digits by the bubbles alone.

    Returns
    -------
    labels : ndarray of int8, shape (n_cells,)
        Most probable classes.
    proba : ndarray of float32, shape (n_cells, 12)
        Rows sum to 1.
    differ : ndarray of bool, shape (n_cells,)
        Where box and bubbles each rule out what the other says.

    Examples
    --------
    A 4 that might be a 9, and the bubble of 9.

    >>> proba = np.zeros((1, 12))
    >>> proba[0, [4, 9]] = 0.8, 0.2
    >>> bubbles = np.full((1, 10), 0.001)
    >>> bubbles[0, 9] = 0.991
    >>> labels, proba, differ = weigh_by_bubbles(np.array([4], "i1"), proba, bubbles)
    >>> labels, proba[0, 9].round(3), differ
    (array([9], dtype=int8), np.float32(0.996), array([False]))
    """
    rows = np.arange(len(labels))
    said = bubbles.argmax(axis=1)
    plain = bubbles[rows, said] > _PLAIN
    box_against = np.where(_DIGIT == said[:, None], proba, 0).sum(axis=1) < _RULED_OUT
    bubbles_against = bubbles[rows, _DIGIT[labels]] < _RULED_OUT
    weighed = proba.astype(np.float64)
    weighed[plain] = (1 - _MISREAD) * weighed[plain] + _MISREAD / len(CLASSES)
    weighed *= bubbles[:, _DIGIT]
    weighed /= np.maximum(weighed.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return (
        weighed.argmax(axis=1).astype(np.int8),
        weighed.astype(np.float32),
        plain & box_against & bubbles_against,
    )


def bubble_strings(
    bubbles: npt.NDArray[Any], present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.object_]:
    """Return what bubbles say as box strings, ``_`` where none is plainly filled.

    Parameters
    ----------
    bubbles : ndarray of shape (n_tallies, n_fields, n_places, 10)
        Probabilities of digits.
    present : ndarray of bool, shape (n_tallies, n_fields, n_places)
        Where there are boxes.

    Returns
    -------
    boxes : ndarray of object, shape (n_tallies, n_fields)

    Examples
    --------
    >>> bubbles = np.eye(10)[[[[2, 7]]]]
    >>> bubble_strings(bubbles, np.ones((1, 1, 2), bool))
    array([['27']], dtype=object)
    """
    characters = np.array(CLASSES[:10], dtype=object)[bubbles.argmax(axis=-1)]
    characters = np.where(bubbles.max(axis=-1) > _PLAIN, characters, "_")
    characters = np.where(present, characters, "")
    return np.asarray(characters.sum(axis=-1), dtype=object)

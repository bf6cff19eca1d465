"""Confidence in a count and quality of a tally, as the paper defines them.

These figures are kept because users replicate them. They are means: one bad digit
hides among good ones, and a mean of 0.95 is no probability that the count is right.

References
----------
M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural Networks for
the Analysis of Social Science Data". Political Analysis 30(1), 113-131.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range

__all__ = ["HIGH_QUALITY", "count_confidence", "place_weights", "tally_quality"]

#: Tallies of a larger quality are of high quality: "larger than 0.9", Torres and
#: Cantú (2022).
HIGH_QUALITY = 0.9
_PAPER_WEIGHTS = (0.5, 0.35, 0.15)  # hundreds, tens, units


def place_weights(n_places: int) -> npt.NDArray[np.float64]:
    """Return the weight of each place in the confidence of a count.

    Three places have the weights of Torres and Cantú, 0.5, 0.35 and 0.15. Any other
    number of places has rank-sum weights ``n, n - 1, ..., 1`` divided by their sum,
    the rule nearest to the paper's (it gives 0.5, 0.33, 0.17 for three).

    Parameters
    ----------
    n_places : int
        Number of boxes of the field, 1 or more.

    Returns
    -------
    weights : ndarray of shape (n_places,)
        Largest place first; they sum to 1.

    Examples
    --------
    >>> place_weights(3)
    array([0.5 , 0.35, 0.15])
    >>> place_weights(4)
    array([0.4, 0.3, 0.2, 0.1])
    """
    check_range("n_places", n_places, 1, 18, integer=True)
    if n_places == len(_PAPER_WEIGHTS):
        return np.array(_PAPER_WEIGHTS)
    ranks = np.arange(n_places, 0, -1, dtype=np.float64)
    return np.asarray(ranks / ranks.sum())


def count_confidence(place_proba: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Average the probabilities of the labels read in a field, weighted by place.

    Parameters
    ----------
    place_proba : array-like of shape (..., n_places)
        Probability in [0, 1] of the label that was read at each place, hundreds
        first; NaN for a place that does not exist. A field with fewer places has the
        weights of its own number.

    Returns
    -------
    confidence : ndarray of shape (...)
        NaN for a field without places.

    Examples
    --------
    >>> count_confidence([[1.0, 1.0, 0.4], [np.nan, 0.9, 0.6]]).round(3)
    array([0.91, 0.8 ])
    """
    proba = np.asarray(place_proba, dtype=np.float64)
    present = ~np.isnan(proba)
    n_present = present.sum(axis=-1)
    rank = np.maximum(np.cumsum(present, axis=-1) - 1, 0)
    table = np.zeros((proba.shape[-1] + 1, proba.shape[-1]))
    for n_places in range(1, len(table)):
        table[n_places, :n_places] = place_weights(n_places)
    weights = np.where(present, table[n_present[..., None], rank], 0.0)
    confidence = (weights * np.where(present, proba, 0.0)).sum(axis=-1)
    return np.asarray(np.where(n_present > 0, confidence, np.nan))


def tally_quality(confidence: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Average the confidence of the fields of each tally.

    Parameters
    ----------
    confidence : array-like of shape (n_tallies, n_fields)
        See `count_confidence`; NaN, for a field not read, is left out.

    Returns
    -------
    quality : ndarray of shape (n_tallies,)
        NaN for a tally without any field read. Torres and Cantú call a tally of high
        quality when this is larger than `HIGH_QUALITY`, 0.9.

    Examples
    --------
    >>> tally_quality([[1.0, 0.8], [np.nan, np.nan]])
    array([0.9, nan])
    """
    values = np.asarray(confidence, dtype=np.float64)
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    quality = total / np.maximum(known.sum(axis=1), 1)
    return np.asarray(np.where(known.any(axis=1), quality, np.nan))

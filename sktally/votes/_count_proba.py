"""How probable counts are, from the probabilities of their boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.votes._decode import CLASSES
from sktally.votes._posterior import count_posterior

__all__ = ["check_digit_proba", "count_proba"]

_TOLERANCE = 0.01  # of sums of probabilities, as `count_posterior` has it


def count_proba(
    digit_proba: npt.ArrayLike, counts: npt.ArrayLike, *, blank_right: str = "missing"
) -> npt.NDArray[np.float64]:
    """Return the probability of each count, given the boxes of its field alone.

    Parameters
    ----------
    digit_proba : array-like of shape (n_tallies, n_fields, n_places, 12)
        Probabilities of the classes, calibrated if they are to be believed.
    counts : array-like of int, shape (n_tallies, n_fields)
        What was read; -1 for no count.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit.

    Returns
    -------
    proba : ndarray of shape (n_tallies, n_fields)
        NaN for fields that were not read.

    Notes
    -----
    A count is as probable as all ways to write it are together: ``x7``, ``_7`` and
    ``07`` are one.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.votes import count_proba
    >>> proba = np.zeros((1, 1, 2, 12))
    >>> proba[0, 0, 0, [10, 11]] = 0.5
    >>> proba[0, 0, 1, [3, 8]] = 0.9, 0.1
    >>> count_proba(proba, [[3]])
    array([[0.9]])
    """
    proba = check_digit_proba(digit_proba)
    read = np.asarray(counts)
    if read.dtype.kind not in "iu":
        raise TallyError(
            f"counts: expected whole numbers, -1 for no count, got {read.dtype}; of a "
            "table, take counts.fillna(-1).astype('int64')"
        )
    if read.shape != proba.shape[:2]:
        raise TallyError(
            f"counts: expected shape {proba.shape[:2]}, (n_tallies, n_fields), got "
            f"{read.shape}"
        )
    found = np.full(read.shape, np.nan)
    for i, j in zip(*np.nonzero(~np.isnan(proba[:, :, -1, 0])), strict=True):
        posterior = count_posterior(proba[i, j], blank_right=blank_right)
        found[i, j] = posterior.of(int(read[i, j]))
    return found


def check_digit_proba(X: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return probabilities ``(n_tallies, n_fields, n_places, 12)``, or raise."""
    try:
        proba = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TallyError(
            f"digit_proba: expected an array of numbers ({error})"
        ) from None
    if proba.ndim != 4 or proba.shape[3] != len(CLASSES) or not proba.shape[2]:
        raise TallyError(
            "digit_proba: expected shape (n_tallies, n_fields, n_places, "
            f"{len(CLASSES)}), as predict_tallies(X).digit_proba, got {proba.shape}"
        )
    if ((proba < 0) | (proba > 1)).any():
        raise TallyError("digit_proba: expected probabilities, got some outside [0, 1]")
    sums = proba.sum(axis=-1)
    odd = ~(np.abs(sums - 1) < _TOLERANCE) & ~np.isnan(proba).all(axis=-1)
    if odd.any():
        raise TallyError(
            "digit_proba: expected probabilities that sum to 1 in each box, or NaN in "
            f"all of an absent one, got a sum of {sums[odd][0]:.3g} in one of "
            f"{odd.sum()} boxes"
        )
    return proba

"""How many votes a count that was read is expected to be off by.

Comes in: what boxes may stand for, and what was read. Goes out: votes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.votes import CountPosterior, count_posterior

__all__ = ["count_error", "expected_errors"]


def count_error(posterior: CountPosterior, count: int) -> float:
    """Return by how many votes one count is expected to be off.

    Parameters
    ----------
    posterior : CountPosterior
        What the count may be, from `count_posterior` or `read_jointly`.
    count : int
        What was read; -1 for no count, which adds nothing to a total.

    Returns
    -------
    float
        Mean of ``|truth - count|``, given that the boxes stand for a count; NaN if they
        cannot.

    See Also
    --------
    expected_errors : The same for all fields of many tallies.

    Examples
    --------
    A 41 that may be a 47:

    >>> import numpy as np
    >>> from sktally.totals import count_error
    >>> from sktally.votes import CountPosterior
    >>> count_error(CountPosterior(np.array([41, 47]), np.array([0.75, 0.25])), 41)
    1.5
    """
    whole = posterior.proba.sum()
    if not whole > 0:
        return float("nan")
    off = np.abs(posterior.counts - max(int(count), 0))
    return float(off @ posterior.proba / whole)


def expected_errors(
    digit_proba: npt.ArrayLike, counts: npt.ArrayLike, *, blank_right: str = "missing"
) -> npt.NDArray[np.float64]:
    """Return by how many votes each count is expected to be off.

    Parameters
    ----------
    digit_proba : array-like of shape (n_tallies, n_fields, n_places, 12)
        Probabilities of the classes, calibrated if they are to be believed.
    counts : array-like of int, shape (n_tallies, n_fields)
        What was read; -1 for no count, which adds nothing to a total.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit.

    Returns
    -------
    ndarray of shape (n_tallies, n_fields)
        In votes; NaN for fields that were not read.

    Raises
    ------
    TallyError
        If shapes do not fit or these are no probabilities.

    See Also
    --------
    review_order : Which pages people should look at first.
    sktally.votes.count_proba : Probability that each count is right.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.totals import expected_errors
    >>> proba = np.zeros((1, 1, 2, 12))
    >>> proba[0, 0, 0, [2, 7]] = 0.9, 0.1
    >>> proba[0, 0, 1, [3, 8]] = 0.5
    >>> expected_errors(proba, [[23]])
    array([[7.5]])
    """
    proba = np.asarray(digit_proba, dtype=np.float64)
    read = np.asarray(counts)
    if proba.ndim != 4 or read.shape != proba.shape[:2]:
        raise TallyError(
            "digit_proba: expected shape (n_tallies, n_fields, n_places, 12), and "
            f"(n_tallies, n_fields) of counts, got {proba.shape} and {read.shape}"
        )
    if read.dtype.kind not in "iu":
        raise TallyError(
            f"counts: expected integers, -1 for no count, got {read.dtype} numbers"
        )
    found = np.full(read.shape, np.nan)
    for i, j in zip(*np.nonzero(~np.isnan(proba[:, :, -1, 0])), strict=True):
        posterior = count_posterior(proba[i, j], blank_right=blank_right)
        found[i, j] = count_error(posterior, int(read[i, j]))
    return found

"""From the probabilities of a field's boxes to those of its counts.

Comes in: for each place of a field, how probable each class is. Goes out: every count
that the boxes may stand for, with its probability. Boxes are taken as independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sktally._validate import check_choice
from sktally.exceptions import TallyError
from sktally.votes._decode import BLANK_RIGHT, CLASSES

__all__ = ["CountPosterior", "count_posterior"]

_CROSSED, _EMPTY = 10, 11
_MAX_PLACES = 18
# What is less probable than this, of the most probable, is left out at every place:
# floats of 32 bits, in which classifiers answer, know no better.
FLOOR = 1e-12
_DIGITS = np.arange(10)


@dataclass(frozen=True)
class CountPosterior:
    """Counts that a field may hold, with their probabilities.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_counts,)
        Ascending, 0 or more.
    proba : ndarray of float64, shape (n_counts,)
        Above 0; with `missing` they sum to 1.
    missing : float
        Probability that the boxes stand for no count, as ``32_`` does by the rule
        ``blank_right="missing"``.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.votes import CountPosterior
    >>> CountPosterior(np.array([41, 47]), np.array([0.75, 0.25])).top(1)
    [(41, 0.75)]
    """

    counts: npt.NDArray[np.int64]
    proba: npt.NDArray[np.float64]
    missing: float = 0.0

    def of(self, count: int) -> float:
        """Return the probability of one count; of none, for -1."""
        if count < 0:
            return self.missing
        at = int(np.searchsorted(self.counts, count))
        found = at < len(self.counts) and self.counts[at] == count
        return float(self.proba[at]) if found else 0.0

    def top(self, k: int) -> list[tuple[int, float]]:
        """Return the `k` most probable counts, -1 for none, and their probabilities."""
        counts, proba = self.counts, self.proba
        if self.missing > 0:
            counts, proba = np.r_[-1, counts], np.r_[self.missing, proba]
        if k == 1:  # as below, but much quicker
            best = [int(proba.argmax())]
        else:
            best = np.argsort(-proba, kind="stable")[:k].tolist()
        return [(int(counts[i]), float(proba[i])) for i in best]


def count_posterior(
    digit_proba: npt.ArrayLike, *, blank_right: str = "missing"
) -> CountPosterior:
    """Return the probabilities of the counts of one field.

    Parameters
    ----------
    digit_proba : array-like of shape (n_places, 12)
        Probabilities of `CLASSES`, hundreds first. Rows of NaN, for places that do not
        exist, may stand before all others.
    blank_right : {"missing", "zero", "shift"}, default="missing"
        Value of an empty box to the right of a digit, see `labels_to_counts`.

    Returns
    -------
    CountPosterior

    Raises
    ------
    TallyError
        If there is no place, or if what comes in is no array of probabilities.

    See Also
    --------
    labels_to_counts : The same rule for labels that are certain.

    Notes
    -----
    Counts below 1e-12 of the most probable are left out, and the rest sums to 1.

    Examples
    --------
    A crossed box, a sure 4, and a 1 that may be a 7:

    >>> import numpy as np
    >>> from sktally.votes import count_posterior
    >>> proba = np.zeros((3, 12))
    >>> proba[0, 10] = proba[1, 4] = 1
    >>> proba[2, [1, 7]] = 0.75, 0.25
    >>> posterior = count_posterior(proba)
    >>> posterior.counts, posterior.proba
    (array([41, 47]), array([0.75, 0.25]))
    """
    check_choice("blank_right", blank_right, BLANK_RIGHT)
    no_digit, missing = 1.0, 0.0
    # digits, and crossed boxes behind them, which are zeros; 0 stands first always
    counts, proba = np.zeros(1, np.int64), np.zeros(1)
    ended = (counts, proba)  # by "shift": digits, then empty boxes, which end a number
    for row in _checked(digit_proba):
        after, empty = row[:10].copy(), row[_EMPTY]
        after[0] += row[_CROSSED] + (empty if blank_right == "zero" else 0.0)
        if blank_right == "missing":
            missing += proba.sum() * empty
        elif blank_right == "shift":
            missing += ended[1].sum() * (1 - empty)
            ended = _merged((ended[0], ended[1] * empty), (counts, proba * empty))
        counts = (10 * counts[:, None] + _DIGITS).ravel()
        proba = (proba[:, None] * after).ravel()
        proba[:10] += no_digit * row[:10]
        counts, proba = _pruned(counts, proba)
        no_digit *= row[_CROSSED] + empty
    proba[0] += no_digit
    if blank_right == "shift":
        counts, proba = _merged(ended, (counts, proba))
    kept = proba > FLOOR * proba.max()
    counts, proba = counts[kept], proba[kept]
    whole = proba.sum() + missing
    return CountPosterior(counts, proba / whole, float(missing / whole))


def _pruned(counts: npt.NDArray, proba: npt.NDArray) -> tuple:
    """Leave out what is next to 0, but for the count that is 0."""
    kept = proba > FLOOR * proba.max()
    kept[0] = True
    return counts[kept], proba[kept]


def _merged(one: tuple, other: tuple) -> tuple:
    """Add two tables of counts and probabilities."""
    counts, where = np.unique(np.r_[one[0], other[0]], return_inverse=True)
    return counts, np.bincount(where, np.r_[one[1], other[1]], len(counts))


def _checked(digit_proba: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the rows of the places that exist, each with a sum of 1."""
    proba = np.asarray(digit_proba, dtype=np.float64)
    if proba.ndim != 2 or proba.shape[1] != len(CLASSES):
        raise TallyError(
            f"digit_proba: expected shape (n_places, {len(CLASSES)}), got "
            f"{proba.shape}; pass one field, as digit_proba[i, j]"
        )
    first = int(np.isnan(proba).all(axis=1).cumprod().sum())
    proba = proba[first:]
    if not 1 <= len(proba) <= _MAX_PLACES:
        raise TallyError(
            f"digit_proba: expected 1 to {_MAX_PLACES} places, got {len(proba)}; a "
            "field that was not read has no posterior"
        )
    sums = proba.sum(axis=1, keepdims=True)
    if not ((proba >= 0).all() and (np.abs(sums - 1) < 0.01).all()):
        raise TallyError(
            "digit_proba: expected probabilities of 0 or more that sum to 1 at each "
            f"place, got sums {sums.ravel().round(3).tolist()}"
        )
    return proba / sums

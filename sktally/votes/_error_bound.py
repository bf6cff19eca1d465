"""The test behind a reading contract.

Comes in: how many counts were accepted, on how many pages, and how many of those pages
hold a wrong one. Goes out: the p-value of "more than `max_error` of them are wrong",
and the largest share of wrong ones that the numbers leave possible.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom

from sktally._validate import check_range
from sktally.exceptions import TallyError

__all__ = [
    "accepted_at",
    "allowed_bad",
    "check_shares",
    "contract_size",
    "error_bound",
    "error_p_value",
    "estimated_cluster",
    "needed_pages",
]

_LEAST = 1e-9  # errors below take more counts than integers count


def contract_size(
    max_error: float, confidence_level: float = 0.95, *, n_wrong: int = 0
) -> int:
    """Return how many independent counts it takes to prove an error rate.

    Parameters
    ----------
    max_error : float
        Share of wrong counts that is not to be exceeded, above 0 and below 1.
    confidence_level : float, default=0.95
        From 0.5 to below 1.
    n_wrong : int, default=0
        Wrong ones among them.

    Returns
    -------
    n : int
        Fewer could not prove it.

    Raises
    ------
    TallyError
        If an argument is out of its range.

    See Also
    --------
    ReadingContract : Where the counts of a page may go wrong together it takes more.

    Notes
    -----
    The exact binomial test. Without any wrong, ``(1 - max_error) ** n`` must fall to
    ``1 - confidence_level``, at 95 % about ``3 / max_error`` counts, the rule of three.

    Examples
    --------
    >>> from sktally.votes import contract_size
    >>> contract_size(0.005), contract_size(0.005, n_wrong=1), contract_size(0.001)
    (598, 947, 2995)
    """
    check_shares(max_error, confidence_level)
    check_range("n_wrong", n_wrong, 0, 10**9, integer=True)
    low, high = n_wrong, max(2 * n_wrong, 1)
    while binom.cdf(n_wrong, high, max_error) > 1 - confidence_level:
        low, high = high, 2 * high
    while high - low > 1:  # proves at high, not at low
        middle = (low + high) // 2
        proven = binom.cdf(n_wrong, middle, max_error) <= 1 - confidence_level
        low, high = (low, middle) if proven else (middle, high)
    return high


def check_shares(max_error: float, confidence_level: float) -> None:
    """Raise unless both are numbers that a contract can be of."""
    check_range("max_error", max_error, 0, 1)
    check_range("confidence_level", confidence_level, 0.5, 1)
    if 0 < max_error < _LEAST:
        raise TallyError(
            f"max_error: expected {_LEAST:g} or more, got {max_error}; no election has "
            "as many counts as it would take"
        )
    if not (0 < max_error < 1 and confidence_level < 1):
        raise TallyError(
            "max_error and confidence_level: expected above 0 and below 1, got "
            f"{max_error} and {confidence_level}; no sample proves what is certain"
        )


def accepted_at(
    scores: npt.NDArray[np.float64],
    wrong: npt.NDArray[np.bool_],
    page: npt.NDArray[np.intp],
    thresholds: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """Return what is accepted at each threshold, in five rows.

    Accepted counts; wrong ones among them; pages with any accepted; pages with any
    wrong one; accepted counts of the fullest page. Scores that are NaN never are.

    Examples
    --------
    >>> scores, wrong = np.array([0.9, 0.8, 0.9]), np.array([False, True, False])
    >>> accepted_at(scores, wrong, np.array([0, 0, 1]), np.array([0.9, 0.8]))
    array([[2, 3],
           [0, 1],
           [2, 2],
           [0, 1],
           [1, 2]])
    """
    order = np.lexsort((-scores, page))  # the best of each page first, NaN last
    order = order[~np.isnan(scores[order])]
    scores, wrong, page = scores[order], wrong[order], page[order]
    rank = np.arange(len(page)) - np.searchsorted(page, page)
    best = np.full(rank.max(initial=0) + 1, -np.inf)  # of those of each rank
    np.maximum.at(best, rank, scores)
    first_wrong = np.unique(page[wrong], return_index=True)[1]
    rows = scores, scores[wrong], scores[rank == 0], scores[wrong][first_wrong], best
    return np.array(
        [len(row) - np.searchsorted(np.sort(row), thresholds) for row in rows]
    )


def error_p_value(
    bad: npt.ArrayLike,
    pages: npt.ArrayLike,
    accepted: npt.ArrayLike,
    together: npt.ArrayLike,
    max_error: float,
) -> npt.NDArray[np.float64]:
    """Return the p-value of: more than `max_error` of accepted counts are wrong.

    Parameters
    ----------
    bad : array-like of int
        Pages with a wrong accepted count.
    pages : array-like of int
        Pages with an accepted count, 1 or more.
    accepted : array-like of int
        Accepted counts.
    together : array-like of float
        How many wrong ones a bad page holds at most, on average.
    max_error : float

    Returns
    -------
    p_value : ndarray of float64

    Notes
    -----
    Let page i of N, which has a_i accepted counts, be bad with probability q_i, and
    hold `together` wrong counts or fewer on average if it is. If more than `max_error`
    of the accepted are wrong in expectation, then ``together * sum(q_i) > max_error *
    sum(a_i)``: the mean of the q_i is above ``q = max_error * sum(a_i) / (together *
    N)``. Pages are independent, so the number of bad ones is a sum of independent
    Bernoulli variables, and the chance of k or fewer is at most that of a binomial
    variable of N draws and probability q, whichever way the q_i differ, if k is 0 or
    at most ``N * q - 1`` [1]_. That chance is the p-value; else it is 1.

    References
    ----------
    .. [1] W. Hoeffding (1956). "On the distribution of the number of successes in
       independent trials". Annals of Mathematical Statistics 27(3), 713-721.
    """
    k, n = np.asarray(bad), np.asarray(pages)
    expected = max_error * np.asarray(accepted) / np.asarray(together)
    p_value = binom.cdf(k, n, np.minimum(expected / n, 1.0))
    return np.where((k == 0) | (k <= expected - 1), p_value, 1.0)


def allowed_bad(
    pages: npt.ArrayLike,
    accepted: npt.ArrayLike,
    together: npt.ArrayLike,
    max_error: float,
    level: float,
) -> npt.NDArray[np.int64]:
    """Return the most bad pages whose p-value is `level` or less; -1 for none at all.

    Parameters are those of `error_p_value`.
    """
    n = np.asarray(pages)
    expected = max_error * np.asarray(accepted) / np.asarray(together)
    most = np.asarray(binom.ppf(level, n, np.minimum(expected / n, 1.0)))
    most = np.minimum(most, np.maximum(np.floor(expected - 1), 0))
    too_many = error_p_value(most, n, accepted, together, max_error) > level
    return np.asarray(most - too_many, dtype=np.int64)


def error_bound(
    bad: npt.ArrayLike,
    pages: npt.ArrayLike,
    accepted: npt.ArrayLike,
    together: npt.ArrayLike,
    confidence_level: float,
) -> npt.NDArray[np.float64]:
    """Return the largest error rate not refuted at a confidence level.

    Parameters
    ----------
    bad, pages, accepted, together : array-like
        As in `error_p_value`.
    confidence_level : float

    Returns
    -------
    bound : ndarray of float64
        At most 1. With `together` 1 and a count a page, that of Clopper and Pearson.
    """
    k, n = np.asarray(bad), np.asarray(pages)
    each = np.asarray(together) / np.asarray(accepted)
    share = np.where(
        k < n, beta.ppf(confidence_level, k + 1, np.maximum(n - k, 1)), 1.0
    )
    least = np.where(k == 0, 0.0, (k + 1) * each)  # where the p-value is no longer 1
    return np.minimum(np.maximum(share * n * each, least), 1.0)


def estimated_cluster(
    wrong: npt.ArrayLike, bad: npt.ArrayLike, most: int, confidence_level: float
) -> npt.NDArray[np.float64]:
    """Return how many counts go wrong together, estimated, with a little to spare.

    Parameters
    ----------
    wrong, bad : array-like of int
        Wrong counts seen, and pages that hold any.
    most : int
        Counts of the fullest page.
    confidence_level : float
        Of the test that rests on it.

    Notes
    -----
    A few pages wrong as a whole are added to those seen, as a share of the bad pages
    that such a test must have a chance to see, ``log(1 / (1 - confidence_level))``. The
    shares are about the least with which, by enumeration, a test at 95 % or 99 %
    passes hardly oftener than stated.

    Examples
    --------
    >>> estimated_cluster([0, 10, 100], [0, 8, 80], 3, 0.95).round(2)
    array([3.  , 1.41, 1.27])
    """
    unseen = -math.log1p(-confidence_level) * min(most / 11, 0.6)
    return np.asarray((np.asarray(wrong) + unseen * most) / (np.asarray(bad) + unseen))


def needed_pages(
    per_page: float, together: float, max_error: float, confidence_level: float
) -> int:
    """Return how many pages without a wrong accepted count would prove the contract."""
    share = min(max_error * per_page / together, 1.0)
    if share == 1.0:
        return 1
    return math.ceil(math.log(1 - confidence_level) / math.log1p(-share))

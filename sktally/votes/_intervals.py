"""Intervals for accuracies, where the counts of one page go wrong together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from sktally._validate import check_range
from sktally.exceptions import TallyError

__all__ = ["AccuracyInterval", "accuracy_interval"]


class AccuracyInterval(NamedTuple):
    """An accuracy with its interval.

    Parameters
    ----------
    estimate : float
        Share of successes.
    low, high : float
        Ends of the interval.

    Examples
    --------
    >>> from sktally.votes import accuracy_interval
    >>> estimate, low, high = accuracy_interval([True] * 9 + [False])
    >>> low < estimate < high
    True
    """

    estimate: float
    low: float
    high: float


def accuracy_interval(
    correct: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> AccuracyInterval:
    """Return a share of successes with a Wilson interval that respects groups.

    Counts of one page share one hand and one photograph, so they succeed and fail
    together, and an interval that takes them for independent is too narrow.

    Parameters
    ----------
    correct : array-like of bool, shape (n,)
        Successes.
    groups : array-like of shape (n,), optional
        Page of each. Without it all are taken for independent.
    confidence_level : float, default=0.95
        Coverage of the interval.

    Returns
    -------
    AccuracyInterval
        ``(estimate, low, high)``.

    Notes
    -----
    The Wilson interval at the effective sample size ``n / deff``, where the design
    effect `deff` compares the variance of the share between groups (ratio estimator)
    with that of independent draws, and is at least 1 [1]_. Where everything or nothing
    is right, or there is one group, the data cannot tell, and the effective size is
    the number of groups. Unlike a bootstrap it does not shrink to a point there.

    References
    ----------
    .. [1] N. Dean and M. Pagano (2015). "Evaluating confidence interval methods for
       binomial proportions in clustered surveys". Journal of Survey Statistics and
       Methodology 3(4), 484-503.

    Examples
    --------
    >>> [round(value, 3) for value in accuracy_interval([1] * 98 + [0] * 2)]
    [0.98, 0.93, 0.994]
    """
    values = np.asarray(correct, dtype=np.float64).ravel()
    if len(values) == 0:
        raise TallyError("correct: expected one value or more, got none")
    check_range("confidence_level", confidence_level, 0, 1)
    share = float(values.mean())
    size = float(len(values))
    if groups is not None:
        size = _effective_size(values, np.asarray(groups).ravel())
    z = float(norm.ppf(0.5 + confidence_level / 2))
    center = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size)
    half *= np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    low, high = max(center - half, 0.0), min(center + half, 1.0)
    return AccuracyInterval(share, float(min(low, share)), float(max(high, share)))


def _effective_size(values: npt.NDArray[np.float64], groups: npt.NDArray[Any]) -> float:
    if groups.shape != values.shape:
        raise TallyError(
            f"groups: expected one per value, shape {values.shape}, got {groups.shape}"
        )
    names, index = np.unique(groups, return_inverse=True)
    share, n_groups = values.mean(), len(names)
    if share in (0.0, 1.0) or n_groups == 1:
        return float(n_groups)
    residual = np.bincount(index, weights=values - share)
    between = n_groups / (n_groups - 1) * (residual**2).sum()
    independent = len(values) * share * (1 - share)
    return len(values) / max(float(between / independent), 1.0)

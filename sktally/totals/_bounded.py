"""An interval for the mean of bounded values that holds for every sample size.

Comes in: values drawn at random without replacement, in the order drawn, and the range
that none can leave. Goes out: an interval for the mean of all. Nothing is assumed of
how values are spread, so none needs to have been seen far off.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["bounded_mean"]

_STEPS = 4000
_CAUTION = 0.75  # of what a bet may lose at most; as in the paper


def bounded_mean(
    values: npt.NDArray[np.float64],
    low: float,
    high: float,
    n_frame: int,
    confidence_level: float,
) -> tuple[float, float]:
    """Return an interval for the mean of `n_frame` values by betting.

    Two gamblers bet on each value that it is above, or below, what a supposed mean
    makes it; whoever multiplies the money by ``2 / (1 - confidence_level)`` has refuted
    it.

    Parameters
    ----------
    values : ndarray of shape (n,)
        In the order drawn.
    low, high : float
        What all values lie between.
    n_frame : int
        Number of all values.
    confidence_level : float
        Coverage, at least.

    References
    ----------
    I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by
    betting, JRSS B 86 (2024), 1-27; section 5, without replacement.

    Examples
    --------
    >>> low, high = bounded_mean(np.zeros(200), -1.0, 1.0, 1000, 0.95)
    >>> bool(-0.05 < low < 0 < high < 0.05)
    True
    """
    if not high > low:
        return float(low), float(low)
    scaled = (values - low) / (high - low)
    means = np.linspace(0, 1, _STEPS + 1)
    n, limit = len(scaled), np.log(2 / (1 - confidence_level))
    log_up, log_down = np.zeros_like(means), np.zeros_like(means)
    kept = np.ones(len(means), bool)
    total, squares = 0.0, 0.25
    for i, value in enumerate(scaled):
        left = (n_frame * means - total) / (n_frame - i)  # mean of what is not drawn
        kept &= (left >= -1e-12) & (left <= 1 + 1e-12)
        left = np.clip(left, 1e-12, 1 - 1e-12)
        bet = np.sqrt(2 * limit / (n * squares / (i + 1)))
        log_up += np.log1p(np.minimum(bet, _CAUTION / left) * (value - left))
        log_down += np.log1p(-np.minimum(bet, _CAUTION / (1 - left)) * (value - left))
        kept &= np.maximum(log_up, log_down) < limit
        total += value
        squares += (value - (0.5 + total) / (i + 2)) ** 2
    rest = n_frame - n
    kept &= (n_frame * means >= total - 1 - 1e-9) & (
        n_frame * means <= total + rest + 1 + 1e-9
    )
    inside = means[kept] if kept.any() else np.array([total / n])
    step = 1 / _STEPS
    ends = np.clip([inside[0] - step, inside[-1] + step], 0, 1)
    first, last = low + ends * (high - low)
    return float(first), float(last)

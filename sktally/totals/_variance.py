"""How far an estimate from a random draw may be off.

Comes in: a value for each sheet drawn, and the probabilities of the draw. Goes out:
variances of weighted sums, their degrees of freedom, and what errors that the audit
may have missed add to them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from sktally.totals._audit import AuditDraw

__all__ = ["Design", "unseen"]

Floats = npt.NDArray[np.float64]


class Design:
    """Weights and variances of a draw.

    Parameters
    ----------
    audit : AuditDraw
        The draw.

    Notes
    -----
    The variance is, in each stratum, ``sum(c (u - mean)^2)`` with ``u = value /
    probability``, ``c = (1 - probability) m / (m - 1)`` for the m sheets not drawn for
    certain, and a mean weighted by c (Hájek 1964; Deville 1999). For simple and
    stratified draws that is the textbook formula with the finite-population
    correction; for unequal probabilities the usual approximation, which needs no
    joint probabilities.
    """

    def __init__(self, audit: AuditDraw) -> None:
        chance = audit.sheets["probability"].to_numpy(float)
        self.weight = 1 / chance
        self.code, names = pd.factorize(audit.sheets["stratum"])
        self.n_strata = len(names)
        self.drawn = np.bincount(self.code[chance < 1], minlength=self.n_strata)
        drawn = self.drawn[self.code]
        self.c = (1 - chance) * drawn / np.maximum(drawn - 1, 1)
        # the share of the frame that was not drawn
        self.rest = 1 - len(chance) / audit.n_frame
        self.per_sheet = audit.n_frame / len(chance)

    def total(self, values: Floats) -> Floats:
        """Return the estimated totals of values, sheets along the first axis."""
        return self.weight @ values

    def products(self, u: Floats, v: Floats) -> Floats:
        """Return the covariance of two estimated totals, a part for each stratum."""
        by_u, by_v = u * self.weight, v * self.weight
        parts = self.c * (by_u - self._mean(by_u)) * (by_v - self._mean(by_v))
        return np.bincount(self.code, parts, self.n_strata).astype(np.float64)

    def _mean(self, expanded: Floats) -> Floats:
        """Return the mean of each sheet's stratum."""
        sums = np.bincount(self.code, self.c * expanded, self.n_strata)
        sizes = np.bincount(self.code, self.c, self.n_strata)
        return (sums / np.where(sizes > 0, sizes, 1))[self.code]

    def quantile(
        self, parts: Floats, confidence_level: float, at_most: int, used: int
    ) -> float:
        """Return by how many standard errors an interval reaches.

        The degrees of freedom are Satterthwaite's from the strata's shares of the
        variance, less those used up by what was fitted, and no more than `at_most`.
        """
        free = np.maximum(self.drawn - 1, 1)
        total = parts.sum()
        if total > 0:
            degrees = total**2 / np.sum(parts**2 / free)
        else:
            degrees = float(free.sum())
        degrees = max(min(degrees, at_most) - used, 1.0)
        return float(stdtrit(degrees, (1 + confidence_level) / 2))


def unseen(values: Floats, design: Design, n_sheets: int) -> float:
    """Return the variance for misreadings so rare that the audit may have missed them.

    Few sheets are misread and few of those far off, so that an audit may find none of
    the worst. As though one audited sheet more had been misread: as many sheets as it
    stands for, those whose machine counts are the most unusual ones, count as misread
    by all they differ from the mean. It vanishes as the audit grows.

    Parameters
    ----------
    values : ndarray of shape (n_sheets,)
        What the machine read, on the sheets of the frame that count.
    design : Design
        The draw.
    n_sheets : int
        Number of sheets that count.

    Examples
    --------
    >>> from sktally import draw_audit
    >>> design = Design(draw_audit(range(100), 50, random_state=0))
    >>> unseen(np.array([-10.0, *[0.0] * 98, 10.0]), design, 100)  # 0.5 * 2 * 200
    200.0
    """
    if not design.rest > 0:
        return 0.0
    number = min(int(np.ceil(design.per_sheet - 1e-9)), n_sheets)
    squares = (values - values.mean()) ** 2
    worst = np.partition(squares, n_sheets - number)[n_sheets - number :]
    return float(design.rest * design.per_sheet * worst.sum())

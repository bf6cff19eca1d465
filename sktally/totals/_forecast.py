"""How many sheets people will have to read, by trying draws and errors.

Comes in: a contest as reported, and how often and by how much the machine may err.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sktally.datasets._random import RandomState, as_generator
from sktally.totals._contest import Contest, to_floats
from sktally.totals._evidence import Evidence
from sktally.totals._martingale import log_wealth, sequential_risk, sheets_needed

__all__ = ["ExpectedSheets", "expected_sheets"]

Ints = npt.NDArray[np.int64]


class ExpectedSheets(NamedTuple):
    """Sheets that people will have to read.

    Parameters
    ----------
    mean, median : float
        Over trials.
    high : float
        Enough in nine of ten trials.

    Examples
    --------
    >>> from sktally.totals import ExpectedSheets
    >>> ExpectedSheets(mean=52.1, median=50, high=71).high
    71
    """

    mean: float
    median: float
    high: float


def expected_sheets(
    evidence: Evidence,
    *,
    limit: float,
    error: tuple[float, int],
    n_trials: int,
    random_state: RandomState,
) -> ExpectedSheets:
    """Return how many sheets are read until the risk is within the limit.

    Parameters
    ----------
    evidence : Evidence
        The contest and its draw.
    limit : float
        Of the risk.
    error : (float, int)
        Share of the sheets with an error, and its votes on each margin, of either sign.
    n_trials : int
    random_state : int, RandomState, Generator or None

    Returns
    -------
    ExpectedSheets
    """
    rng = as_generator(random_state)
    contest, pool, before = evidence.contest, evidence.order, evidence.before
    worst, usual = contest.worst[pool], _by_unread(contest)[pool]
    rate, votes = error
    found = []
    for _ in range(n_trials):
        with np.errstate(divide="ignore"):
            order = np.argsort(rng.exponential(size=len(pool)) / worst)
        wrong = rng.choice(
            [-votes, 0, votes], len(pool), p=[rate / 2, 1 - rate, rate / 2]
        )
        over = np.minimum(usual + wrong[:, None], contest.most[pool])
        wealth = log_wealth(
            over[order], contest.margins, worst[order], bet=evidence.bet, before=before
        )
        found.append(sheets_needed(sequential_risk(wealth), limit))
    median, high = np.quantile(found, [0.5, 0.9])
    return ExpectedSheets(float(np.mean(found)), float(median), float(high))


def _by_unread(contest: Contest) -> Ints:
    """Return what counts that were not read, as none, overstate each margin by.

    They are taken to be what the voters of other sheets would make them.
    """
    counts = to_floats(contest.counts)
    known = ~np.isnan(counts)
    voters = np.maximum((known * contest.registered[:, None]).sum(axis=0), 1)
    rate = np.nansum(counts, axis=0) / voters
    missing = np.where(known, 0, contest.registered[:, None] * rate)
    lead = missing[:, contest.winners] - missing[:, contest.losers]
    return np.rint(-lead).astype(np.int64)

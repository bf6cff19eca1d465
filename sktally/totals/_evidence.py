"""What sheets read by people say of a contest, in the order of the draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.totals._contest import Contest, to_floats
from sktally.totals._martingale import log_wealth, sequential_risk

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """Sheets read so far.

    Parameters
    ----------
    contest : Contest
    order : ndarray of int, shape (n_sheets,)
        Rows of its sheets in the order of the draw.
    lost : ndarray of int
        Rows that are not in the draw, and taken for the worst.
    bet : float
        Share of the wealth at stake.
    written : dict of int to ndarray of shape (n_candidates,)
        Counts as people read them, by row, NaN where they could not.
    """

    contest: Contest
    order: npt.NDArray[np.int64]
    lost: npt.NDArray[np.int64]
    bet: float
    written: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def n_read(self) -> int:
        """Sheets read before the first in the order that was not."""
        read = [row in self.written for row in self.order]
        return len(read) if all(read) else read.index(False)

    @property
    def before(self) -> npt.NDArray[np.int64]:
        """Votes that lost sheets overstate each margin by, at worst."""
        blank = np.full((len(self.lost), self.contest.counts.shape[1]), np.nan)
        return self.contest.overstated(self.lost, blank).sum(axis=0)

    def risks(self, *, all_right: bool = False) -> npt.NDArray[np.float64]:
        """Return the risk before the first sheet read and after each.

        With `all_right` go on to the last sheet, as if no other had an error.
        """
        at = self.order[: self.n_read]
        shape = (len(at), self.contest.counts.shape[1])
        written = np.array([self.written[row] for row in at]).reshape(shape)
        over = self.contest.overstated(at, written)
        if all_right:
            rest = len(self.order) - len(at)
            over = np.vstack([over, np.zeros((rest, over.shape[1]), np.int64)])
        wealth = log_wealth(
            over,
            self.contest.margins,
            self.contest.worst[self.order],
            bet=self.bet,
            before=self.before,
        )
        return sequential_risk(wealth)

    def totals(self) -> pd.Series:
        """Return the votes of each candidate, by hand where a sheet was read."""
        counts = to_floats(self.contest.counts)
        for row, written in self.written.items():
            counts[row] = written
        votes = np.nansum(counts, axis=0).astype(np.int64)
        return pd.Series(votes, self.contest.counts.columns)

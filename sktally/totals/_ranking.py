"""Who leads, how surely, and what is in doubt against the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError
from sktally.totals._groups import named
from sktally.totals._result import VoteTotals, high_end, low_end

__all__ = ["Ranking", "ranking"]


@dataclass(frozen=True)
class Ranking:
    """Who leads, how surely, and what is in doubt against the margin.

    Parameters
    ----------
    leader, runner_up : str
        Parties with the most and second most votes read; of equals the first.
    margin : float
        Votes between them, as counted.
    margin_lower, margin_upper : float
        Interval of the margin, as far as misreading goes.
    doubt_read : float
        Votes of the margin that misreading leaves in doubt: margin less
        `margin_lower`, 0 at least.
    doubt_unread : float
        Votes that what was not read could add to the runner-up.
    leads : float
        Share of the draws in which the leader is ahead of all others.
    stands : bool
        Whether the leader stays ahead of every other party at the lower end of the
        interval of their margin, and with all that was not read given to that party.
    proba : DataFrame
        Probability of each rank (columns, from 1) of each party (rows), as far as
        misreading goes; parties with equal votes share their ranks.
    n_draws : int
        Draws that all this rests on.
    confidence_level : float
        Coverage of the interval.
    group : str
        Which group, in words; empty for all.

    See Also
    --------
    ranking : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktally import vote_totals
    >>> from sktally.totals import ranking
    >>> table = pd.DataFrame({"file": ["a", "a", "b", "b"], "page": 1})
    >>> table["field"], table["count"] = ["paslon_1", "paslon_2"] * 2, [30, 20, 1, 2]
    >>> proba = np.zeros((2, 3, 3, 12))
    >>> proba[..., 0] = 1
    >>> fields = ["paslon_1", "paslon_2"]
    >>> found = ranking(
    ...     vote_totals(
    ...         table, fields=fields, form="indonesia-2024", digit_proba=proba
    ...     )
    ... )
    >>> found.leader, found.margin
    ('paslon_1', 9.0)
    """

    leader: str
    runner_up: str
    margin: float
    margin_lower: float
    margin_upper: float
    doubt_read: float
    doubt_unread: float
    leads: float
    stands: bool
    proba: pd.DataFrame
    n_draws: int
    confidence_level: float
    group: str = ""

    def __str__(self) -> str:
        share = f"{100 * self.leads:.1f} % of {self.n_draws:,} draws"
        if self.leads == 1:
            share = f"all {self.n_draws:,} draws"
        place = f"{self.group}: " if self.group else ""
        end = (
            "the lead stands even if all of them go to the others"
            if self.stands
            else "the lead could fall"
        )
        return (
            f"{place}{self.leader} leads {self.runner_up} by {self.margin:,.0f} votes "
            f"as counted ({self.margin_lower:,.0f} to {self.margin_upper:,.0f} with "
            f"{100 * self.confidence_level:g} %), in {share}; in doubt are "
            f"{self.doubt_read:,.0f} votes that were read and "
            f"{self.doubt_unread:,.0f} that were not: {end}"
        )


def ranking(totals: VoteTotals, group: Any = None) -> Ranking:
    """Say who leads, how surely, and what is in doubt against the margin.

    Parameters
    ----------
    totals : VoteTotals
        With draws, and two parties or more.
    group : object, optional
        Value of the column that totals are grouped by, or one for each of several
        columns; all groups together by default.

    Returns
    -------
    Ranking
        Reads as a sentence when printed.

    Raises
    ------
    TallyError
        If there are no draws, fewer than two parties, or no such group.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktally import vote_totals
    >>> from sktally.totals import ranking
    >>> table = pd.DataFrame({"file": ["a", "a", "a", "b", "b", "b"], "page": 1})
    >>> table["field"] = ["paslon_1", "paslon_2", "paslon_3"] * 2
    >>> table["count"] = [3, 150, 40, 120, 20, None, ]
    >>> proba = np.zeros((2, 3, 3, 12))
    >>> for i, count in enumerate([3, 150, 40, 120, 20, 0]):
    ...     for place, digit in enumerate(f"{count:03d}"):
    ...         proba[i // 3, i % 3, place, int(digit)] = 1
    >>> found = vote_totals(
    ...     table, form="indonesia-2024", digit_proba=proba, random_state=0
    ... )
    >>> print(ranking(found))
    paslon_2 leads paslon_1 by 47 votes as counted (47 to 47 with 95 %), in all 1,000
    draws; in doubt are 0 votes that were read and 0 that were not: the lead could fall
    """
    if totals.draws is None:
        raise TallyError(
            "ranking: expected totals with draws; pass form and digit_proba to "
            "vote_totals, or a store"
        )
    if len(totals.fields) < 2:
        raise TallyError(f"ranking: expected two parties, got {totals.fields[0]}")
    some, name = _chosen(totals.groups, group)
    votes = totals.totals[some].sum(axis=0)
    room = totals.room[some].sum(axis=0)
    draws = totals.draws[:, some].sum(axis=1)
    order = np.argsort(-votes, kind="stable")
    first, second = int(order[0]), int(order[1])
    ahead = draws[:, [first]] - np.delete(draws, first, axis=1)
    low, high = (
        low_end(ahead, totals.confidence_level),
        high_end(ahead, totals.confidence_level),
    )
    stands = bool((low > np.delete(room, first)).all())
    at = second - (second > first)
    margin = float(votes[first] - votes[second])
    return Ranking(
        leader=totals.fields[first],
        runner_up=totals.fields[second],
        margin=margin,
        margin_lower=float(low[at]),
        margin_upper=float(high[at]),
        doubt_read=max(margin - float(low[at]), 0.0),
        doubt_unread=float(room[second]),
        leads=float((ahead > 0).all(axis=1).mean()),
        stands=stands,
        proba=_ranks(draws, totals.fields),
        n_draws=len(draws),
        confidence_level=totals.confidence_level,
        group=name,
    )


def _chosen(groups: pd.DataFrame, group: Any) -> tuple[npt.NDArray[np.int64], str]:
    """Return the numbers of the groups meant, and what they are called."""
    if group is None:
        return np.arange(len(groups)), ""
    columns = list(groups)
    single = isinstance(group, str) or not isinstance(group, Sequence)
    values = [group] if single else list(group)
    if len(values) == len(columns):
        same = [groups[c].eq(v).fillna(False) for c, v in zip(columns, values)]  # noqa: B905
        some = np.flatnonzero(np.all(same, axis=0))
        if columns and len(some):
            return some, named(groups, int(some[0]))
    few = "; ".join(named(groups, i) for i in range(min(len(groups), 5)))
    raise TallyError(f"group: expected one such as {few or 'None'}, got {group!r}")


def _ranks(draws: npt.NDArray[np.float64], fields: list[str]) -> pd.DataFrame:
    """Return the probability of each rank; equals share theirs."""
    above = (draws[:, None, :] > draws[:, :, None]).sum(axis=2)
    equal = (draws[:, None, :] == draws[:, :, None]).sum(axis=2)
    ranks = np.arange(len(fields))
    on = (ranks >= above[..., None]) & (ranks < (above + equal)[..., None])
    proba = (on / equal[..., None]).mean(axis=0)
    return pd.DataFrame(proba, index=pd.Index(fields, name="field"), columns=ranks + 1)

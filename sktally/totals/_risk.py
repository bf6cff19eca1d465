"""Which sheets to transcribe by hand, until misreading cannot have made the winner.

Comes in: what a machine read off each sheet, and how many voters each can hold. Goes
out: sheets to be read by people, in an order that a seed fixes, and after each of them
the risk of stopping there with a wrong outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.totals._contest import make_contest
from sktally.totals._evidence import Evidence
from sktally.totals._forecast import ExpectedSheets, expected_sheets
from sktally.totals._martingale import sheets_needed
from sktally.totals._names import listed
from sktally.totals._order import draw_order
from sktally.totals._readings import checked_readings, rows_of

__all__ = ["TranscriptionRiskPlan"]

_NO_AUDIT = (
    "This compares the counts with the sheets as written. It does not audit ballots: "
    "what was written wrongly stays wrong."
)


class TranscriptionRiskPlan(BaseEstimator):
    """Limit the risk that errors of transcription change who won.

    Sheets are drawn and read by people, who should not see what the machine read,
    until the outcome is beyond doubt or every sheet is read. If the counts as read by
    people would make other winners than those reported, the probability of stopping
    before all sheets are read is at most `risk_limit`, whatever the errors.

    It does not audit ballots. It compares the counts with the sheets as written: votes
    that were miscounted, or sheets that were forged, go unnoticed.

    Parameters
    ----------
    seed : str or int
        Fixes the order of the draw. To be made in public, by dice say, after the counts
        were published; who knows it before can hide errors.
    risk_limit : float, default=0.05
        In (0, 1).
    n_winners : int, default=1
        Candidates who win: those with the most votes.
    votes_per_voter : int, default=1
        Candidates that a voter may vote for, each once.
    bet : float, default=0.9
        What is at stake with each sheet, in (0, 1]. With 1 the fewest sheets are read
        if no error is found, and a sheet wrong by as much as can be means to read
        nearly all. `benchmarks/risk.py` prints what it changes.

    Attributes
    ----------
    winners_ : list
        Reported winners, unread counts taken for none.
    margins_ : DataFrame
        Columns ``winner``, ``loser`` and ``votes``, the reported margin of each pair.
    worst_ : Series
        For each sheet the share of a margin that it can overstate at most.
    order_ : Index
        Sheets in the order of the draw.
    n_drawn_, n_read_ : int
        Sheets drawn, and those read by people before the first that was not: these
        count.
    risks_ : ndarray of shape (n_read + 1,)
        Risk before the first sheet and after each.
    risk_ : float
        The last of these: p-value of "the outcome is wrong".
    done_ : bool
        Whether the risk is within the limit, or every sheet was read.
    conclusion_ : str
        "read more", "outcome holds", or "all sheets read": then the outcome is that of
        `totals_`.
    totals_ : Series
        Votes of each candidate, by hand where a sheet was read.

    Notes
    -----
    *Batches.* A sheet is a batch of ballots. The error of a sheet for a winner and a
    loser is by how much it overstates the lead, as a share of the reported margin; it
    is at most ``(winner - loser + bound) / margin``. Sheets are drawn without
    replacement, with probability in proportion to the largest such bound over all
    pairs [1]_ [2]_.

    *Risk.* Each pair is tested by itself, as an assertion [4]_, by a bet on the taint,
    the error as a share of its bound, against what it must be in the mean among the
    sheets left if the winner did not win [5]_ [6]_. With ``bet=1`` and replacement
    that would be the Kaplan-Markov test [1]_; less is Kaplan-Wald's, or the inflator
    of [3]_. A tie counts as a wrong outcome. If every sheet is read, the risk of a
    right outcome is 0.

    *Unread and lost sheets.* A count that the machine did not read is reported as none,
    and its sheet can hide as many votes as it has voters. A sheet, or a part of one,
    that people cannot find or read is taken for the worst that it can hold.

    *The order* follows from the seed, the names of the sheets and `worst_`, see
    ``sktally.totals._order``; anybody can repeat it.

    References
    ----------
    .. [1] P. B. Stark (2009). "Efficient post-election audits of multiple contests:
       2009 California tests" (MACRO). Conference on Empirical Legal Studies.
    .. [2] P. B. Stark (2009). "Risk-limiting postelection audits: conservative P-values
       from common probability inequalities". IEEE Transactions on Information
       Forensics and Security 4(4), 1005-1014.
    .. [3] P. B. Stark (2010). "Super-simple simultaneous single-ballot risk-limiting
       audits". EVT/WOTE.
    .. [4] P. B. Stark (2020). "Sets of half-average nulls generate risk-limiting
       audits: SHANGRLA". Financial Cryptography and Data Security.
    .. [5] P. B. Stark (2023). "ALPHA: audit that learns from previously hand-audited
       ballots". Annals of Applied Statistics 17(1), 641-679.
    .. [6] I. Waudby-Smith and A. Ramdas (2024). "Estimating means of bounded random
       variables by betting". Journal of the Royal Statistical Society B 86(1), 1-27.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktally.totals import TranscriptionRiskPlan
    >>> stations = [f"station {i}" for i in range(400)]
    >>> ours = np.random.default_rng(0).integers(80, 160, 400)
    >>> counts = pd.DataFrame({"Ayu": ours, "Budi": 200 - ours}, index=stations)
    >>> voters = pd.Series(300, index=stations)
    >>> plan = TranscriptionRiskPlan(seed="2 6 4 1 5 3").fit(counts, voters)
    >>> plan.winners_, plan.margins_["votes"].tolist()
    (['Ayu'], [17194])
    >>> sheets = plan.draw(plan.sheets_to_go())
    >>> len(sheets), sheets[0]
    (24, 'station 327')
    >>> plan.update(counts.loc[sheets])  # as people read them: no error here
    TranscriptionRiskPlan(seed='2 6 4 1 5 3')
    >>> plan.conclusion_, plan.risk_ < 0.05
    ('outcome holds', True)
    """

    def __init__(
        self,
        seed: str | int,
        *,
        risk_limit: float = 0.05,
        n_winners: int = 1,
        votes_per_voter: int = 1,
        bet: float = 0.9,
    ) -> None:
        self.seed = seed
        self.risk_limit = risk_limit
        self.n_winners = n_winners
        self.votes_per_voter = votes_per_voter
        self.bet = bet

    def fit(
        self, counts: Any, registered: Any, *, lost: Iterable[object] = ()
    ) -> TranscriptionRiskPlan:
        """Take in what was reported and lay down the order of the draw.

        Parameters
        ----------
        counts : DataFrame or array-like of shape (n_sheets, n_candidates)
            What the machine read, sheets as index; missing where it did not.
        registered : Series or array-like of shape (n_sheets,)
            The list of all sheets with their registered voters, or whatever bounds the
            votes on them. Sheets that are not in `counts` were not read.
        lost : iterable of sheets, optional
            Known to be beyond reach of people: they are not drawn, but taken for the
            worst that they can hold.

        Returns
        -------
        TranscriptionRiskPlan

        Raises
        ------
        TallyError
            If a sheet or candidate stands there twice, counts are no whole numbers,
            voters are missing or below the votes, fewer than two candidates, or the
            outcome is a tie.
        """
        self._check_params()
        contest = make_contest(
            counts,
            registered,
            n_winners=self.n_winners,
            votes_per_voter=self.votes_per_voter,
        )
        sheets, names = contest.counts.index, contest.counts.columns
        gone = rows_of(lost, sheets)
        order = draw_order(sheets, contest.worst, self.seed)
        order = order[~np.isin(order, gone)]
        self._evidence = Evidence(contest, order, gone, self.bet)
        self.winners_ = list(names[np.unique(contest.winners)])
        self.margins_ = contest.margin_table()
        self.worst_ = pd.Series(contest.worst, sheets, name="worst")
        self.order_ = sheets[order]
        self.n_drawn_ = 0
        return self._judge()

    def draw(self, n: int = 1) -> pd.Index:
        """Draw the next sheets.

        Parameters
        ----------
        n : int, default=1
            Sheets to draw; fewer if fewer are left.

        Returns
        -------
        Index
            The sheets, in the order of the draw.
        """
        check_is_fitted(self)
        check_range("n", n, 0, 10**9, integer=True)
        start = self.n_drawn_
        self.n_drawn_ = min(start + int(n), len(self.order_))
        return self.order_[start : self.n_drawn_]

    def update(self, readings: Any) -> TranscriptionRiskPlan:
        """Take in what people read off sheets that were drawn.

        Parameters
        ----------
        readings : DataFrame
            Sheets as index, a column for each candidate; missing where a count cannot
            be read, all over where the sheet is gone.

        Returns
        -------
        TranscriptionRiskPlan

        Raises
        ------
        TallyError
            If a sheet was not drawn, was read before or stands there twice, or if its
            votes are above its bound.
        """
        check_is_fitted(self)
        drawn = self.order_[: self.n_drawn_]
        known = self._evidence.written
        known |= checked_readings(readings, self._evidence.contest, drawn, known)
        return self._judge()

    def sheets_to_go(self) -> int:
        """Return how many more sheets to read if none has any further error.

        Returns
        -------
        int
            0 when done; sheets drawn but not read are among them.
        """
        check_is_fitted(self)
        if self.done_:
            return 0
        risks = self._evidence.risks(all_right=True)
        return sheets_needed(risks, self.risk_limit) - self.n_read_

    def expected_sheets(
        self,
        *,
        error_rate: float = 0.0,
        error_votes: int = 10,
        n_trials: int = 200,
        random_state: Any = None,
    ) -> ExpectedSheets:
        """Return how many sheets people will read in all if the outcome is right.

        Parameters
        ----------
        error_rate : float, default=0
            Share of the sheets on which the machine erred.
        error_votes : int, default=10
            By how many votes it erred on each margin, for or against the winner.
        n_trials : int, default=200
            Draws and errors to try.
        random_state : int, RandomState, Generator or None, default=None
            Makes them.

        Returns
        -------
        ExpectedSheets

        Notes
        -----
        Counts not read are taken to be what the voters of other sheets would make them.
        """
        check_is_fitted(self)
        check_range("error_rate", error_rate, 0, 1)
        check_range("error_votes", error_votes, 0, 10**9, integer=True)
        check_range("n_trials", n_trials, 1, 10**6, integer=True)
        return expected_sheets(
            self._evidence,
            limit=self.risk_limit,
            error=(error_rate, int(error_votes)),
            n_trials=int(n_trials),
            random_state=random_state,
        )

    def summary(self) -> str:
        """Say in a few lines where the plan stands, and what it does not say.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        close = self.margins_.loc[[self.margins_["votes"].idxmin()]]
        [(winner, loser, votes)] = close.itertuples(index=False)
        lines = [
            f"reported to win: {listed(self.winners_, 5)}",
            f"smallest margin: {votes} votes, {winner} before {loser}",
            f"read by people: {self.n_read_} of {len(self.order_)} sheets",
            f"risk of a wrong outcome by transcription: {self.risk_:.4f}, "
            f"limit {self.risk_limit:g}",
            f"conclusion: {self.conclusion_}",
            f"sheets to go if no error is found: {self.sheets_to_go()}",
        ]
        return "\n".join([*lines, _NO_AUDIT])

    def _check_params(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, str | int):
            raise TallyError(f"seed: expected text or an integer, got {self.seed!r}")
        for name in ("risk_limit", "bet"):
            check_range(name, getattr(self, name), 0, 1)
        if self.risk_limit in (0, 1) or self.bet == 0:
            raise TallyError(
                "TranscriptionRiskPlan: expected a risk_limit above 0 and below 1, and "
                f"a bet above 0, got {self.risk_limit!r} and {self.bet!r}"
            )

    def _judge(self) -> TranscriptionRiskPlan:
        """Set what follows from the sheets read so far."""
        self.n_read_ = self._evidence.n_read
        self.risks_ = self._evidence.risks()
        self.risk_ = float(self.risks_[-1])
        held = self.risk_ <= self.risk_limit
        self.done_ = held or self.n_read_ == len(self.order_)
        self.conclusion_ = "read more"
        if self.done_:
            self.conclusion_ = "outcome holds" if held else "all sheets read"
        self.totals_ = self._evidence.totals()
        return self

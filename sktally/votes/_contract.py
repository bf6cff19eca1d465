"""ReadingContract: which counts may be accepted so that few of them are wrong.

Comes in: scores of counts of checked pages, and which were right. Goes out: a threshold
above which at most the agreed share of counts is wrong, or the news that these pages
cannot prove it.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import poisson
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError, TallyWarning
from sktally.votes._error_bound import (
    accepted_at,
    allowed_bad,
    check_shares,
    error_bound,
    error_p_value,
    estimated_cluster,
    needed_pages,
)
from sktally.votes._intervals import accuracy_interval
from sktally.votes._pages import PagedCounts, paged_counts

__all__ = ["ReadingContract"]

_CLUSTERING = ("estimated", "worst", "independent")


class ReadingContract(BaseEstimator):
    """Accept counts such that at most an agreed share of them is wrong.

    Checked pages, on which neither the network nor its calibration was fitted, show how
    far down the scores one may go. What is below goes to people. Pages to come must be
    like those checked, see `ShiftMonitor`.

    Parameters
    ----------
    max_error : float, default=0.005
        Share of wrong counts among those accepted that is not to be exceeded.
    confidence_level : float, default=0.95
        How often, over draws of checked pages, the contract holds: at least so.
    clustering : {"estimated", "worst", "independent"} or float, default="estimated"
        How many counts go wrong together on a page that holds a wrong one, on average.
        "estimated" takes it from all checked counts, accepted or not. "worst" assumes
        nothing: all that are accepted. "independent" takes each count for a page of its
        own, which is for one count a page, or where you know.
    n_thresholds : int, default=500
        Thresholds tried, at most; more make the read rate finer and cost nothing else.

    Attributes
    ----------
    threshold_ : float
        Scores from here on are accepted; infinite if nothing can be.
    read_rate_ : AccuracyInterval
        Share of the checked counts that is accepted, with its 95 % interval by page.
        Counts without a score are not.
    error_bound_ : float
        At most so many of the accepted are wrong, at this confidence; NaN if none are.
    clustering_ : float
        Wrong counts on a page that holds any, as assumed.
    curve_ : DataFrame
        A row for each threshold, from strict to lax: `threshold`, `read_rate`,
        `accepted` counts, `wrong` ones among them, `pages` with any accepted and
        `bad_pages` with any wrong one, `error`, `error_bound`, `p_value`, and `held`,
        whether the test came so far and the contract is proven.
    n_pages_, n_counts_ : int
        Checked ones.

    See Also
    --------
    contract_size : How many counts a contract takes.
    VoteCountAggregator.predict_count_proba : Scores to give it.
    ShiftMonitor : Tells pages that are unlike those checked.

    Notes
    -----
    *The test.* Learn then Test [1]_ by fixed sequence: from a strict threshold on
    down, each is tested for an error rate above `max_error`, until one is not refuted.
    No correction is due, for none is tested after the first that stands. Thresholds are
    quantiles of the scores. The first is where a pass is the likeliest, were the scores
    the probabilities of being right; if they are outside [0, 1], the strictest that can
    pass. Which counts were right has no say in it, but for `c` below if it is
    estimated.

    *Pages.* Counts of one page go wrong together: one hand, one photograph. The test
    therefore counts bad pages, those with a wrong accepted count. If these hold `c`
    wrong ones on average, at most, then an error rate above `max_error` means that of N
    pages with A accepted counts more than ``max_error * A / c`` are bad in expectation,
    and the binomial tail of so few bad ones is a p-value, whichever pages are prone to
    be bad [2]_. No more is assumed than independent pages and `c`.

    *What c costs.* With "worst", `c` is the number of accepted counts of the fullest
    page, and nothing is assumed; but then a contract of 0.5 % takes 598 pages without
    a bad one, however many counts they hold, and no test that is valid for pages that
    go wrong as a whole can do with fewer. "estimated" takes ``(wrong + k m) / (bad +
    k)`` over all checked counts, with `m` counts on the fullest page: what was seen,
    and k pages wrong as a whole that were not, where ``k = min(m / 11, 0.6) * log(1 /
    (1 - confidence_level))``. With that k, a test at 95 % or 99 % passes hardly
    oftener than stated, by enumeration of all that can be seen, be pages wrong as a
    whole rare or common; with fewer it would (`benchmarks/contract_limits.py`). It
    assumes that accepted counts cluster no more than all do. Without any wrong it is
    the worst. "independent" is the bound of Clopper and Pearson on counts.

    *Why one beginning.* Sharing the error level among several beginnings guards
    against a sure error at the strict end, but takes a third more counts for two; in
    simulation it read less, with such errors and without (same script).

    *What is guaranteed* is the share of wrong ones expected among what is accepted,
    given the scores of the checked pages: in the long run of such pages, not in every
    batch.

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan and L. Lei (2021).
       "Learn then Test: Calibrating predictive algorithms to achieve risk control".
       arXiv:2110.01052.
    .. [2] W. Hoeffding (1956). "On the distribution of the number of successes in
       independent trials". Annals of Mathematical Statistics 27(3), 713-721.

    Examples
    --------
    Of 1000 pages of three counts, those that a reader is unsure of are wrong at times:

    >>> import numpy as np
    >>> from sktally.votes import ReadingContract
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.beta(20, 1, size=(1000, 3))
    >>> correct = scores > rng.uniform(0, 0.95, size=scores.shape)
    >>> contract = ReadingContract(max_error=0.01).fit(scores, correct)
    >>> contract.accept([[0.99, 0.4, np.nan]])
    array([[ True, False, False]])
    >>> bool(contract.error_bound_ <= 0.01), round(contract.read_rate_.estimate, 2)
    (True, 0.87)
    """

    def __init__(
        self,
        max_error: float = 0.005,
        confidence_level: float = 0.95,
        *,
        clustering: str | float = "estimated",
        n_thresholds: int = 500,
    ) -> None:
        self.max_error = max_error
        self.confidence_level = confidence_level
        self.clustering = clustering
        self.n_thresholds = n_thresholds

    def fit(
        self,
        scores: npt.ArrayLike,
        correct: npt.ArrayLike,
        *,
        groups: npt.ArrayLike | None = None,
    ) -> ReadingContract:
        """Find the lowest threshold at which the contract is proven.

        Parameters
        ----------
        scores : array-like of shape (n,) or (n_tallies, n_fields)
            The larger, the surer, such as `predict_count_proba`; NaN where a count was
            not read, which is never accepted.
        correct : array-like of the same shape
            1 where the count was read as it is, 0 where not, NaN where that is not
            known.
        groups : array-like, optional
            Page of each, one for each row of a table or of the same shape. Rows of a
            table are pages without it.

        Returns
        -------
        ReadingContract
            With a `TallyWarning` if too many counts are wrong to accept any.

        Raises
        ------
        TallyError
            If these pages could not prove the contract even if every count were right;
            the message says how many could. If an argument is of another shape or
            range.
        """
        self._check_params()
        alone = self.clustering == "independent"
        how = "or say clustering='independent', as for one count a page"
        counts = paged_counts(
            correct, groups, {"scores": scores}, need_pages=None if alone else how
        )
        self.n_pages_, page = counts.n_pages, counts.page
        if alone:
            counts = counts._replace(page=np.arange(len(counts.correct)))
        if np.isnan(counts.values[0]).all():
            raise TallyError("scores: expected some that are not NaN, got none")
        self.n_counts_ = len(counts.correct)
        curve, together = self._curve(counts)
        first = self._first(curve, together, counts.values[0])
        passed = curve["p_value"].to_numpy()[first:] <= 1 - self.confidence_level
        curve["held"] = np.r_[np.zeros(first, bool), np.logical_and.accumulate(passed)]
        self.curve_ = curve
        held = np.flatnonzero(curve["held"])
        self.threshold_, self.error_bound_ = np.inf, np.nan
        if len(held):
            self.threshold_ = float(curve["threshold"].iloc[held[-1]])
            self.error_bound_ = float(curve["error_bound"].iloc[held[-1]])
        else:
            self._warn(curve.iloc[first])
        self.read_rate_ = accuracy_interval(self.accept(counts.values[0]), groups=page)
        return self

    def accept(self, scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which counts are accepted.

        Parameters
        ----------
        scores : array-like of any shape
            As in `fit`; NaN is not accepted.

        Returns
        -------
        accepted : ndarray of bool, of the same shape
        """
        check_is_fitted(self)
        return np.asarray(np.asarray(scores, dtype=np.float64) >= self.threshold_)

    def _check_params(self) -> None:
        check_shares(self.max_error, self.confidence_level)
        check_range("n_thresholds", self.n_thresholds, 1, 10**6, integer=True)
        if isinstance(self.clustering, str):
            check_choice("clustering", self.clustering, _CLUSTERING)
        else:
            check_range("clustering", self.clustering, 1, 10**9)

    def _curve(
        self, counts: PagedCounts
    ) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
        """Return what happens at each threshold, and how many go wrong together."""
        said = counts.values[0]
        read = said[~np.isnan(said)]
        shares = 1 - np.arange(1, self.n_thresholds + 1) / self.n_thresholds
        thresholds = np.unique(np.quantile(read, shares, method="inverted_cdf"))[::-1]
        found = accepted_at(said, ~counts.correct, counts.page, thresholds)
        accepted, n_wrong, pages, bad, fullest = found
        together = self._together(counts, fullest)
        how = (bad, pages, accepted, together)
        columns = {
            "threshold": thresholds,
            "read_rate": accepted / len(said),
            "accepted": accepted,
            "wrong": n_wrong,
            "pages": pages,
            "bad_pages": bad,
            "error": n_wrong / accepted,
            "error_bound": error_bound(*how, self.confidence_level),
            "p_value": error_p_value(*how, self.max_error),
        }
        return pd.DataFrame(columns), together

    def _together(
        self, counts: PagedCounts, fullest: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return the wrong counts of a bad page at each threshold; sets clustering_."""
        on_page = np.bincount(counts.page[~np.isnan(counts.values[0])])
        self.clustering_ = float(on_page.max())
        if self.clustering == "worst":
            return fullest.astype(np.float64)
        if self.clustering == "estimated":
            wrong = ~counts.correct & ~np.isnan(counts.values[0])
            bad = len(np.unique(counts.page[wrong]))
            seen = (wrong.sum(), bad, int(on_page.max()))
            self.clustering_ = float(estimated_cluster(*seen, self.confidence_level))
        elif self.clustering != "independent":
            self.clustering_ = float(self.clustering)
        return np.full(len(fullest), self.clustering_)

    def _first(
        self,
        curve: pd.DataFrame,
        together: npt.NDArray[np.float64],
        scores: npt.NDArray[np.float64],
    ) -> int:
        """Return the row where testing begins, or raise if none could pass."""
        pages, accepted = curve["pages"].to_numpy(), curve["accepted"].to_numpy()
        how = (pages, accepted, together)
        allowed = allowed_bad(*how, self.max_error, 1 - self.confidence_level)
        if (allowed >= 0).any():
            said = np.sort(scores[~np.isnan(scores)])[::-1]
            unsure = 1 - said if said[-1] >= 0 and said[0] <= 1 else 0 * said
            bad = unsure.cumsum()[accepted - 1] / together
            chance = np.where(allowed < 0, -1.0, poisson.cdf(allowed, bad))
            return int(np.argmax(chance))
        per_page = float(accepted[-1] / pages[-1])
        needed = needed_pages(
            per_page, together[-1], self.max_error, self.confidence_level
        )
        raise TallyError(
            f"ReadingContract: that at most {self.max_error:.4g} of the accepted are "
            f"wrong cannot be proven at confidence {self.confidence_level:g} on "
            f"{pages[-1]} pages with {accepted[-1]} counts, even if none is wrong: it "
            f"takes {needed} such pages, or {np.ceil(needed * per_page):.0f} counts "
            f"(wrong ones come {together[-1]:.3g} at a time on a page, see "
            "clustering). Check more pages, or allow more"
        )

    def _warn(self, row: pd.Series) -> None:
        warnings.warn(
            f"ReadingContract: nothing is accepted: of {row['accepted']:.0f} counts "
            f"of highest scores {row['wrong']:.0f} are wrong, and that is too many to "
            f"prove that at most {self.max_error:.4g} are: up to "
            f"{row['error_bound']:.4g} may be. Check more pages, or allow more",
            TallyWarning,
            stacklevel=3,
        )

"""ShiftMonitor: warn where pages are unlike those that the reader was checked on.

Comes in: probabilities of boxes of checked pages, later those of others. Goes out: how
far the two differ in how sure the reader is and in which digits it reads, and a warning
where that is more than pages differ among each other.
"""

from __future__ import annotations

import warnings
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktally._validate import check_range
from sktally.exceptions import TallyError, TallyWarning
from sktally.votes._count_proba import check_digit_proba
from sktally.votes._decode import CLASSES

__all__ = ["Shift", "ShiftMonitor"]

#: Bins of the highest probability of a box: networks differ in how near to 1 they are.
_EDGES = 1 - np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 1e-4])
_MIN_PAGES = 5


class Shift(NamedTuple):
    """How far pages differ from those remembered, in one respect.

    Parameters
    ----------
    what : str
        "scores", the highest probability of each box, or "digits", the classes read.
    amount : float
        In [0, 1]. Of scores the largest difference of their cumulative shares
        (Kolmogorov-Smirnov), of digits half the sum of the differences of their shares
        (total variation): so many boxes would have to change.
    p_value : float
        How often pages drawn from both differ at least so much.
    found : bool
        Whether it is to be taken seriously.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.votes import ShiftMonitor
    >>> sure = np.random.default_rng(0).dirichlet([0.02] * 12, (60, 3, 3))
    >>> monitor = ShiftMonitor(random_state=0).fit(sure[:40])
    >>> [(shift.what, shift.found) for shift in monitor.check(sure[40:])]
    [('scores', False), ('digits', False)]
    """

    what: str
    amount: float
    p_value: float
    found: bool


class ShiftMonitor(BaseEstimator):
    """Warn where pages are unlike those that the reader was checked on.

    A calibrator or a contract holds for pages like those it was fitted on. Fuzzier
    scans, another form or another country show in how sure the reader is, and in which
    digits it reads. Pages alone are compared, nothing need be known of the truth.

    Parameters
    ----------
    level : float, default=0.01
        Probability of a false alarm, for a batch of pages like those remembered.
    tolerance : float, default=0.05
        Differences smaller than this are not told, however certain they are: in many
        pages everything is certain.
    n_permutations : int, default=999
        Draws of pages of the test.
    max_pages : int, default=2000
        Of more pages, as many drawn at random are compared.
    random_state : int, RandomState instance or None, default=None
        Draws pages.

    Attributes
    ----------
    scores_ : ndarray of int, shape (n_pages, n_bins)
        Of each page remembered the histogram of the highest probability of its boxes.
    digits_ : ndarray of int, shape (n_pages, 12)
        How often each class of `CLASSES` was the most probable.

    See Also
    --------
    ReadingContract : Holds for pages like those checked.

    Notes
    -----
    The statistics are that of Kolmogorov and Smirnov on the binned scores, and
    chi-square on the classes. Boxes of one page share a hand and a photograph, so the
    tables of neither apply: p-values come from permutations of whole pages between the
    two sets, exact if all pages are drawn alike. Each of the two tests has half the
    `level`. Other parties are strong elsewhere, so that digits may differ where
    nothing is wrong: such a warning says to look, not to stop.

    References
    ----------
    S. Rabanser, S. Günnemann and Z. C. Lipton (2019). "Failing loudly: An empirical
    study of methods for detecting dataset shift". NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.votes import ShiftMonitor
    >>> rng = np.random.default_rng(0)
    >>> sure, doubtful = (rng.dirichlet([a] * 12, (60, 3, 3)) for a in (0.02, 0.05))
    >>> monitor = ShiftMonitor(random_state=0).fit(sure[:40])
    >>> scores, digits = monitor.check(sure[40:])
    >>> scores.found, digits.found
    (False, False)
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     scores, digits = monitor.check(doubtful)
    >>> scores.found, digits.found, len(told)
    (True, False, 1)
    """

    def __init__(
        self,
        *,
        level: float = 0.01,
        tolerance: float = 0.05,
        n_permutations: int = 999,
        max_pages: int = 2000,
        random_state: Any = None,
    ) -> None:
        self.level = level
        self.tolerance = tolerance
        self.n_permutations = n_permutations
        self.max_pages = max_pages
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: Any = None) -> ShiftMonitor:
        """Remember pages.

        Parameters
        ----------
        X : array-like of shape (n_tallies, n_fields, n_places, 12)
            Probabilities of the classes, ``predict_digit_proba``, of the pages that the
            calibrator or the contract was fitted on; NaN for absent boxes.
        y : None
            Not looked at.

        Returns
        -------
        ShiftMonitor

        Raises
        ------
        TallyError
            If X is something else, or fewer than 5 pages were read.
        """
        self.scores_, self.digits_ = _histograms(X)
        return self

    def check(self, X: npt.ArrayLike) -> tuple[Shift, Shift]:
        """Compare pages with those remembered, and warn where they are unlike them.

        Parameters
        ----------
        X : array-like of shape (n_tallies, n_fields, n_places, 12)
            Probabilities of the classes of pages to come, by the same reader.

        Returns
        -------
        scores, digits : Shift
            With a `TallyWarning` that says which are found, and by how much.

        Raises
        ------
        TallyError
            If X is something else, fewer than 5 pages were read, or `level` is so low
            that these pages or `n_permutations` could show nothing.
        """
        check_is_fitted(self)
        check_range("level", self.level, 0, 1)
        check_range("tolerance", self.tolerance, 0, 1)
        check_range("n_permutations", self.n_permutations, 19, 10**7, integer=True)
        check_range("max_pages", self.max_pages, _MIN_PAGES, 10**9, integer=True)
        rng = check_random_state(self.random_state)
        tables = [np.hstack([self.scores_, self.digits_]), np.hstack(_histograms(X))]
        sizes = [len(table) for table in tables]
        self._check_power(*sizes)
        old, new = (self._some(table, rng) for table in tables)
        pages = np.vstack([old, new])
        kept = pages[:, : len(_EDGES) + 1], pages[:, len(_EDGES) + 1 :]
        is_new = np.arange(len(pages)) >= len(old)
        draws = np.array(
            [is_new, *(rng.permutation(is_new) for _ in range(self.n_permutations))]
        )
        shifts = []
        measures = (("scores", _ks, _ks), ("digits", _chi_square, _total_variation))
        for table, (what, statistic, amount) in zip(kept, measures, strict=True):
            first, second = ~draws @ table, draws @ table
            values = statistic(first, second)
            p_value = float((values >= values[0] - 1e-12).mean())
            size = float(amount(first[:1], second[:1])[0])
            found = p_value <= self.level / 2 and size >= self.tolerance
            shifts.append(Shift(what, size, p_value, bool(found)))
        if any(shift.found for shift in shifts):
            self._warn(shifts, sizes)
        return shifts[0], shifts[1]

    def _check_power(self, *sizes: int) -> None:
        """Raise where no difference, however large, could be found."""
        n, m = (min(size, self.max_pages) for size in sizes)
        # of pages in equal numbers the two sets may be exchanged
        least = max((1 + (n == m)) / comb(n + m, n), 1 / (self.n_permutations + 1))
        if least > self.level / 2:
            raise TallyError(
                f"ShiftMonitor: no p-value of {self.n_permutations} permutations of "
                f"{n} and {m} pages is below {least:.2g}, and level={self.level:g} "
                f"takes {self.level / 2:g}: no shift could be found; raise "
                "n_permutations or level, or compare more pages"
            )

    def _some(
        self, table: npt.NDArray[np.int64], rng: np.random.RandomState
    ) -> npt.NDArray[np.int64]:
        if len(table) <= self.max_pages:
            return table
        return np.asarray(table[rng.permutation(len(table))[: self.max_pages]])

    def _warn(self, shifts: list[Shift], sizes: list[int]) -> None:
        names = {"scores": "how sure the reader is", "digits": "the digits it reads"}
        told = " and ".join(
            f"{names[shift.what]} (by {shift.amount:.3f}, p = {shift.p_value:.3g})"
            for shift in shifts
            if shift.found
        )
        warnings.warn(
            f"these {sizes[1]} pages differ from the {sizes[0]} remembered in {told}; "
            "probabilities and contracts may not hold for them: look at some pages, "
            "check a sample by hand, and fit anew",
            TallyWarning,
            stacklevel=3,
        )


def _histograms(
    X: npt.ArrayLike,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return histograms of the highest probabilities and of the classes by page."""
    proba = check_digit_proba(X)
    page = np.nonzero(~np.isnan(proba[..., 0]))[0]
    boxes = proba[~np.isnan(proba[..., 0])]
    names, page = np.unique(page, return_inverse=True)
    if len(names) < _MIN_PAGES:
        raise TallyError(
            f"ShiftMonitor: expected at least {_MIN_PAGES} pages that were read, got "
            f"{len(names)}; compare whole batches"
        )
    tables = []
    bins = np.digitize(boxes.max(axis=1), _EDGES)
    for of_box, n in ((bins, len(_EDGES) + 1), (boxes.argmax(axis=1), len(CLASSES))):
        table = np.zeros((len(names), n), dtype=np.int64)
        np.add.at(table, (page, of_box), 1)
        tables.append(table)
    return tables[0], tables[1]


def _shares(table: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(table / np.maximum(table.sum(axis=1, keepdims=True), 1))


def _ks(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    apart = (_shares(first) - _shares(second)).cumsum(axis=1)
    return np.asarray(np.abs(apart).max(axis=1))


def _total_variation(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    return np.asarray(np.abs(_shares(first) - _shares(second)).sum(axis=1) / 2)


def _chi_square(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return Pearson's statistic of each pair of rows."""
    apart = _shares(first) - _shares(second)
    terms = apart**2 / np.maximum(first + second, 1)
    return np.asarray(terms.sum(axis=1) * first.sum(axis=1) * second.sum(axis=1))

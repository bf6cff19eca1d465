"""How far probabilities of counts or boxes are true, with intervals by page.

Comes in: what was right, and the probability that it was said to have. Goes out: Brier
score, log loss and calibration error with intervals, differences of two readers on the
same pages, and the points of a reliability diagram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_random_state

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.votes._intervals import accuracy_interval
from sktally.votes._pages import PagedCounts, paged_counts

__all__ = ["calibration_difference", "calibration_scores", "reliability_curve"]

_MEASURES = ("brier", "log_loss", "ece")
#: No probability is taken for surer than this: one wrong count that was said to be
#: certain would cost an infinite log loss.
_FLOOR = 1e-6
_AT_ONCE = 10**7  # times that a page is drawn, held in memory


def calibration_scores(
    correct: npt.ArrayLike,
    proba: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    by: npt.ArrayLike | None = None,
    n_bins: int = 10,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> pd.DataFrame:
    """Score probabilities of being right, with intervals that respect pages.

    Parameters
    ----------
    correct : array-like of shape (n,) or (n_tallies, n_fields)
        1 where the count, or the box, was read as it is, 0 where not, NaN where that is
        not known.
    proba : array-like of the same shape
        The probability of that, in [0, 1]; NaN, for what was not read, is left out.
    groups : array-like, optional
        Page of each, one for each row of a table or of the same shape. Without it rows
        are pages, and in a flat array each its own.
    by : array-like that broadcasts to the same shape, optional
        What to break the scores down by, such as the field or the place of each; not
        named "all".
    n_bins : int, default=10
        Bins of the calibration error, with as many probabilities in each; equal ones
        are never parted.
    confidence_level : float, default=0.95
        Coverage of the intervals.
    n_resamples : int, default=1000
        Draws of pages, with replacement.
    random_state : int, RandomState instance or None, default=None
        Draws the pages.

    Returns
    -------
    DataFrame
        A row for all, named "all", then one for each value of `by`. Columns `n`,
        `accuracy`, `mean_proba`, and `brier`, `log_loss`, `ece`, each with its `_low`
        and `_high`.

    Raises
    ------
    TallyError
        If shapes differ, a probability is outside [0, 1], or nothing is left.

    See Also
    --------
    calibration_difference : Two readers on the same pages.
    reliability_curve : What to draw.

    Notes
    -----
    Intervals are percentiles of a bootstrap of pages; of one page they are NaN. The
    expected calibration error is never 0, and larger with more bins: by chance alone
    shares differ from probabilities. Compare it between readers, on the same pages. In
    the log loss no probability is taken for nearer to 0 or 1 than 1e-6.

    References
    ----------
    A. Kumar, P. Liang and T. Ma (2019). "Verified uncertainty calibration". NeurIPS,
    for bins of equal mass.

    Examples
    --------
    >>> from sktally.votes import calibration_scores
    >>> correct = [[1, 1], [1, 0], [1, 1], [1, 1]]
    >>> proba = [[0.9, 0.9], [0.8, 0.4], [0.9, 0.9], [0.9, 0.7]]
    >>> sides = ["left", "right"]
    >>> scores = calibration_scores(correct, proba, by=sides, random_state=0)
    >>> scores[["n", "accuracy", "brier"]].round(3)
           n  accuracy  brier
    all    8     0.875  0.042
    left   4     1.000  0.017
    right  4     0.750  0.068
    """
    counts = _read(correct, groups, proba=proba)
    rng = check_random_state(random_state)
    parts: dict[Any, npt.NDArray[np.bool_]] = {
        "all": np.ones(len(counts.correct), dtype=bool)
    }
    if by is not None:
        try:
            names = np.broadcast_to(np.asarray(by), np.shape(correct)).ravel()
        except ValueError:
            raise TallyError(
                f"by: expected one for each of correct, shape {np.shape(correct)}, got "
                f"{np.shape(by)}"
            ) from None
        names = names[counts.kept]
        if pd.isna(names).any() or "all" in names.tolist():
            raise TallyError(
                "by: expected a name for each, none missing and none 'all', which is "
                "the name of the row for all; rename these"
            )
        parts |= {name: names == name for name in np.unique(names).tolist()}
    rows = {}
    for name, part in parts.items():
        right, said = counts.correct[part], counts.values[0][part]
        page = np.unique(counts.page[part], return_inverse=True)[1]
        sums = _page_sums(right, said, page, n_bins)
        drawn = _bootstrap([sums], n_resamples, rng)[0]
        row = {"n": len(right), "accuracy": right.mean(), "mean_proba": said.mean()}
        whole = _measures(sums.sum(axis=0))
        rows[name] = row | _with_intervals(whole, drawn, confidence_level)
    return pd.DataFrame.from_dict(rows, orient="index")


def calibration_difference(
    correct: npt.ArrayLike,
    proba: npt.ArrayLike,
    other: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    n_bins: int = 10,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> pd.DataFrame:
    """Compare two sets of probabilities of the same counts, paired by page.

    Parameters
    ----------
    correct : array-like of shape (n,) or (n_tallies, n_fields)
        1, 0, or NaN where that is not known.
    proba, other : array-like of the same shape
        Probabilities of being right; what is NaN in either is left out.
    groups : array-like, optional
        Page of each, as in `calibration_scores`.
    n_bins : int, default=10
        Bins of the calibration error.
    confidence_level : float, default=0.95
        Coverage of the intervals.
    n_resamples : int, default=1000
        Draws of pages, with replacement; the same for both.
    random_state : int, RandomState instance or None, default=None
        Draws the pages.

    Returns
    -------
    DataFrame
        Rows `brier`, `log_loss`, `ece`; columns `proba`, `other`, `difference`, below 0
        where `proba` is better, and its `low` and `high`.

    Raises
    ------
    TallyError
        If shapes differ, a probability is outside [0, 1], or nothing is left.

    See Also
    --------
    calibration_scores : Each by itself.

    Examples
    --------
    >>> from sktally.votes import calibration_difference
    >>> correct = [[1, 1], [1, 0], [1, 1], [1, 1]]
    >>> proba = [[0.9, 0.9], [0.8, 0.4], [0.9, 0.9], [0.9, 0.7]]
    >>> surer = [[1.0, 1.0], [1.0, 0.9], [1.0, 1.0], [1.0, 0.9]]
    >>> found = calibration_difference(correct, proba, surer, random_state=0)
    >>> round(float(found.difference["brier"]), 3)
    -0.06
    """
    counts = _read(correct, groups, proba=proba, other=other)
    rng = check_random_state(random_state)
    sums = [
        _page_sums(counts.correct, said, counts.page, n_bins) for said in counts.values
    ]
    first, second = (_measures(table.sum(axis=0)) for table in sums)
    drawn = _bootstrap(sums, n_resamples, rng)
    low, high = _ends(drawn[0] - drawn[1], confidence_level)
    columns = {
        "proba": first,
        "other": second,
        "difference": first - second,
        "low": low,
        "high": high,
    }
    return pd.DataFrame(columns, index=list(_MEASURES))


def reliability_curve(
    correct: npt.ArrayLike,
    proba: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    n_bins: int = 10,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """Return what share was right where a probability was said.

    Parameters
    ----------
    correct : array-like of shape (n,) or (n_tallies, n_fields)
        1, 0, or NaN where that is not known.
    proba : array-like of the same shape
        Probabilities of being right; NaN is left out.
    groups : array-like, optional
        Page of each, as in `calibration_scores`.
    n_bins : int, default=10
        Bins, with as many probabilities in each; equal ones are never parted.
    confidence_level : float, default=0.95
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        A row for each bin, from low to high: `mean_proba`, `accuracy`, its `low` and
        `high` by `accuracy_interval`, and `n`.

    Raises
    ------
    TallyError
        If shapes differ, a probability is outside [0, 1], or nothing is left.

    Examples
    --------
    >>> from sktally.votes import reliability_curve
    >>> curve = reliability_curve([0, 1, 1, 1], [0.4, 0.6, 0.9, 0.9], n_bins=2)
    >>> curve[["mean_proba", "accuracy", "n"]]
       mean_proba  accuracy  n
    0         0.5       0.5  2
    1         0.9       1.0  2
    """
    counts = _read(correct, groups, proba=proba)
    said = counts.values[0]
    bins = _bins(said, n_bins)
    rows = []
    for number in range(bins.max() + 1):
        part = bins == number
        how = {"groups": counts.page[part], "confidence_level": confidence_level}
        share = accuracy_interval(counts.correct[part], **how)
        rows.append((said[part].mean(), *share, int(part.sum())))
    return pd.DataFrame(rows, columns=["mean_proba", "accuracy", "low", "high", "n"])


def _read(
    correct: npt.ArrayLike, groups: npt.ArrayLike | None, **proba: npt.ArrayLike
) -> PagedCounts:
    """Return what was read and is known, or say what is wrong with it."""
    counts = paged_counts(correct, groups, proba)
    for name, said in zip(proba, counts.values, strict=True):
        if ((said < 0) | (said > 1)).any():
            raise TallyError(
                f"{name}: expected probabilities in [0, 1], got {np.nanmin(said)} to "
                f"{np.nanmax(said)}"
            )
    read = ~np.isnan(np.column_stack(counts.values)).any(axis=1)
    if not read.any():
        raise TallyError("proba: expected at least one that is not NaN, got none")
    page = np.unique(counts.page[read], return_inverse=True)[1]
    values = tuple(said[read] for said in counts.values)
    return PagedCounts(counts.correct[read], values, page, counts.kept[read])


def _bins(said: npt.NDArray[np.float64], n_bins: int) -> npt.NDArray[np.intp]:
    """Return the bin of each, none of them empty."""
    check_range("n_bins", n_bins, 1, 10_000, integer=True)
    edges = np.quantile(said, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    bins = np.searchsorted(np.unique(edges), said)
    return np.asarray(np.unique(bins, return_inverse=True)[1])


def _page_sums(
    right: npt.NDArray[np.bool_],
    said: npt.NDArray[np.float64],
    page: npt.NDArray[np.intp],
    n_bins: int,
) -> npt.NDArray[np.float64]:
    """Return sums of each page: number, Brier, log loss, excess of right by bin."""
    bins = _bins(said, n_bins)
    excess = right - said
    clipped = np.clip(np.where(right, said, 1 - said), _FLOOR, 1 - _FLOOR)
    sums = np.zeros((page.max() + 1, 3 + bins.max() + 1))
    for column, part in enumerate((np.ones(len(said)), excess**2, -np.log(clipped))):
        sums[:, column] = np.bincount(page, part)
    np.add.at(sums, (page, 3 + bins), excess)
    return sums


def _measures(totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Brier score, log loss and calibration error of sums ``(..., columns)``."""
    ece = np.abs(totals[..., 3:]).sum(axis=-1)
    losses = np.stack([totals[..., 1], totals[..., 2], ece], axis=-1)
    return np.asarray(losses / totals[..., :1])


def _bootstrap(
    tables: list[npt.NDArray[np.float64]], n: int, rng: np.random.RandomState
) -> list[npt.NDArray[np.float64]]:
    """Return the measures of each table ``(n, 3)``, all of the same draws of pages."""
    check_range("n_resamples", n, 1, 10**7, integer=True)
    n_pages = len(tables[0])
    if n_pages == 1:  # which says nothing of others
        return [np.full((n, len(_MEASURES)), np.nan) for _ in tables]
    at_once = max(_AT_ONCE // n_pages, 1)
    drawn: list[list[Any]] = [[] for _ in tables]
    for start in range(0, n, at_once):
        size = min(at_once, n - start)
        times = rng.multinomial(n_pages, np.full(n_pages, 1 / n_pages), size=size)
        for found, table in zip(drawn, tables, strict=True):
            found.append(_measures(times.astype(np.float64) @ table))
    return [np.concatenate(found) for found in drawn]


def _ends(drawn: npt.NDArray[np.float64], level: float) -> npt.NDArray[np.float64]:
    check_range("confidence_level", level, 0, 1)
    return np.asarray(np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0))


def _with_intervals(
    values: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64], level: float
) -> dict[str, float]:
    low, high = _ends(drawn, level)
    columns: dict[str, float] = {}
    for i, name in enumerate(_MEASURES):
        columns |= {name: values[i], f"{name}_low": low[i], f"{name}_high": high[i]}
    return columns

"""Which pages people should look at first, and when they may stop.

Comes in: counts with the probability that each is right. Goes out: pages in the order
of the wrong votes that a second of work is expected to mend, and what is left after
each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.tables import Store, file_copies, join_stations
from sktally.totals._axes import axes_of
from sktally.totals._fields import doubts
from sktally.totals._groups import warn
from sktally.totals._names import sheet_keys
from sktally.totals._review_store import undecided
from sktally.votes import SumSlips

__all__ = ["ReviewPlan", "review_order"]


@dataclass(frozen=True)
class ReviewPlan:
    """Pages in the order in which to look at them.

    Parameters
    ----------
    pages : DataFrame
        A row for each page, first things first: its name, ``fields``, ``votes`` and
        ``counts`` (expected wrong ones on it, votes weighted), ``seconds`` it takes,
        and ``votes_per_hour``, its value.
    curve : DataFrame
        What work brings: after ``pages`` pages, none at first, and ``seconds``, the
        ``votes_left`` and ``counts_left`` that are expected to be wrong still.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally import review_order
    >>> table = pd.DataFrame({"file": ["1.jpg", "2.jpg"], "page": 1, "field": "votes"})
    >>> table["count"], table["proba"] = [40, 101], [0.99, 0.9]
    >>> table["expected_error"] = [0.1, 12.0]
    >>> plan = review_order(table)
    >>> plan.pages["file"].tolist(), plan.stop_after(votes_left=1)
    (['2.jpg', '1.jpg'], 1)
    """

    pages: pd.DataFrame
    curve: pd.DataFrame

    def stop_after(
        self,
        *,
        votes_left: float | None = None,
        margin: float | None = None,
        share: float = 0.05,
        votes_per_hour: float | None = None,
    ) -> int:
        """Return after how many pages to stop, by one rule.

        Parameters
        ----------
        votes_left : float, optional
            Stop when no more votes are expected to be wrong.
        margin : float, optional
            Stop when no more than `share` of this margin, in votes, is.
        share : float, default=0.05
            From 0 to 1.
        votes_per_hour : float, optional
            Stop when an hour of work is worth less.

        Returns
        -------
        int
            Pages to look at, from the first on.

        Raises
        ------
        TallyError
            If not exactly one rule is given, or a number is out of range.
        """
        rules = {
            "votes_left": votes_left,
            "margin": margin,
            "votes_per_hour": votes_per_hour,
        }
        given = {name: value for name, value in rules.items() if value is not None}
        if len(given) != 1:
            raise TallyError(
                f"stop_after: expected one of {', '.join(rules)}, got "
                f"{', '.join(given) or 'none'}"
            )
        [(name, value)] = given.items()
        check_range(name, value, 0, np.inf)
        if name == "votes_per_hour":
            return int((self.pages["votes_per_hour"] >= value).sum())
        if name == "margin":
            check_range("share", share, 0, 1)
            value = share * value
        return int((self.curve["votes_left"] <= value).to_numpy().argmax())

    def plot(self, *, ax: Any = None) -> Any:
        """Draw what work brings.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; a new one by default.

        Returns
        -------
        matplotlib Axes
            Hours to the right, expected wrong votes up.
        """
        ax = axes_of(ax)
        ax.plot(self.curve["seconds"] / 3600, self.curve["votes_left"])
        ax.set(
            xlabel="hours of review",
            ylabel="votes expected to be wrong",
            ylim=(0, None),
        )
        return ax


def review_order(
    source: pd.DataFrame | str | Path | Store,
    *,
    stations: str | Path | pd.DataFrame | None = None,
    station_by: str = "stem",
    registered: str | None = None,
    weights: Mapping[str, float] | None = None,
    page_seconds: float = 10.0,
    field_seconds: float = 4.0,
    calibrator: Any = None,
    slips: SumSlips | None = None,
) -> ReviewPlan:
    """Order pages by the wrong votes that a second of looking at them should mend.

    Parameters
    ----------
    source : DataFrame, str, path or Store
        A store, of which final counts are taken, with their probabilities given the
        whole sheet; fields that people have corrected or entered are left out. Or a
        table with a row for each page and field, as `read_tallies` gives: ``file`` and
        ``page``, or else ``sheet``, which name the page, ``field``, ``count`` (missing
        where not read) and ``proba``, the probability that the count is right, from
        `count_proba`. With ``expected_error``, from `expected_errors`, votes are known
        better than by `proba`.
    stations : str, path or DataFrame, optional
        As of `sktally.tables.join_stations`.
    station_by : str, default="stem"
        Where a page says which station it is of: `by` of `join_stations`.
    registered : str, optional
        Column of the registered voters of each page; where it is missing, the mean of
        the others is taken. A count of a store that is above it is as good as not read.
    weights : mapping of str to float, optional
        What a vote of each field is worth; fields not named are worth nothing. For the
        outcome name those who are close: ``{"second": 1, "third": 1}``. By default all
        votes are worth the same.
    page_seconds, field_seconds : float, default=10 and 4
        Work for a page, and for each of its fields in addition. The defaults are a
        guess: take the time of your people.
    calibrator : DigitCalibrator, optional
        Fitted; of a store: makes its probabilities what they are worth.
    slips : SumSlips, optional
        Of a store: how often sums are off as written; a guess by default.

    Returns
    -------
    ReviewPlan

    Raises
    ------
    TallyError
        If a column is missing, a field of a page stands there twice, a count has no
        probability, numbers are out of range, or people have decided all of a store.

    See Also
    --------
    TranscriptionRiskPlan : When the outcome, not the totals, is to be safe.

    Notes
    -----
    *Value.* A page is worth the sum of its expected errors, each the mean of
    ``|truth - count|``; whoever looks at it is taken to set it all right. Pages in the
    order of value over seconds leave the fewest wrong votes over all the time that
    people work, among all orders [1]_.

    *Without expected errors* a count that is wrong is taken for any other count of its
    field, so that it is off by their mean difference. A count that was not read adds
    nothing to a total, and all its votes are missing: as many for each registered voter
    as on other pages, or all voters if the field was read on no page.

    These pages are no random sample: do not estimate error rates from them.

    References
    ----------
    .. [1] W. E. Smith (1956). "Various optimizers for single-stage production". Naval
       Research Logistics Quarterly 3, 59-66.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally.totals import review_order
    >>> table = pd.DataFrame(
    ...     {
    ...         "file": ["1.jpg", "2.jpg", "3.jpg"],
    ...         "page": 1,
    ...         "field": "votes",
    ...         "count": pd.array([101, 40, None], "Int64"),
    ...         "proba": [0.9, 0.99, None],
    ...         "expected_error": [12.0, 0.1, None],
    ...     }
    ... )
    >>> plan = review_order(table)
    >>> plan.pages[["file", "votes", "seconds"]]
        file  votes  seconds
    0  3.jpg   70.5     14.0
    1  1.jpg   12.0     14.0
    2  2.jpg    0.1     14.0
    >>> plan.curve
       pages  seconds  votes_left  counts_left
    0      0      0.0        82.6         1.11
    1      1     14.0        12.1         0.11
    2      2     28.0         0.1         0.01
    3      3     42.0         0.0         0.00
    >>> plan.stop_after(votes_left=1)
    2
    """
    check_range("page_seconds", page_seconds, 0, 1e6)
    check_range("field_seconds", field_seconds, 0, 1e6)
    if not page_seconds + field_seconds > 0:
        raise TallyError("page_seconds, field_seconds: expected one above 0, got 0, 0")
    table = _table(source, calibrator, slips)
    if stations is not None:
        copies = None if isinstance(source, pd.DataFrame) else file_copies(source)
        table, report = join_stations(table, stations, by=station_by, copies=copies)
        if report.unmatched:
            warn(report.text.splitlines()[0])
    if registered and registered in table and not isinstance(source, pd.DataFrame):
        table = _possible(table, registered)
    names = sheet_keys(table)
    rows = doubts(table, names, registered, weights)
    groups = rows.groupby(names, sort=False, dropna=False)
    pages = groups.agg(fields=("field", "size"), votes=("votes", "sum"))
    pages["counts"] = groups["counts"].sum()
    pages["seconds"] = page_seconds + field_seconds * pages["fields"]
    pages["votes_per_hour"] = 3600 * pages["votes"] / pages["seconds"]
    pages = pages.sort_values("votes_per_hour", ascending=False, kind="stable")
    return ReviewPlan(pages.reset_index(), _curve(pages))


def _table(
    source: pd.DataFrame | str | Path | Store, calibrator: Any, slips: SumSlips | None
) -> pd.DataFrame:
    if isinstance(source, str | Path | Store):
        return undecided(source, calibrator=calibrator, slips=slips)
    if not isinstance(source, pd.DataFrame):
        raise TallyError(
            "source: expected a store, or a table of `read_tallies` with the "
            f"probability of each count, got {type(source).__name__}"
        )
    if calibrator is not None or slips is not None:
        raise TallyError(
            "calibrator, slips: are of stores; a table has its probabilities already, "
            "in `proba` and `expected_error`"
        )
    return source


def _possible(table: pd.DataFrame, registered: str) -> pd.DataFrame:
    """Leave counts missing that no station can have: they are misread."""
    over = table["count"] > pd.to_numeric(table[registered], errors="coerce")
    table.loc[over.fillna(False), ["count", "proba", "expected_error"]] = pd.NA
    return table


def _curve(pages: pd.DataFrame) -> pd.DataFrame:
    """Return what is left after each page, exactly nothing after the last."""
    curve = {"pages": np.arange(len(pages) + 1)}
    curve["seconds"] = np.append(0.0, pages["seconds"].cumsum())
    for name in ("votes", "counts"):
        left = pages[name].to_numpy()[::-1].cumsum()[::-1]
        curve[f"{name}_left"] = np.append(left, 0.0)
    return pd.DataFrame(curve)

"""Totals by group with what is in doubt of them, and the figures made from both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.totals._room import Room

__all__ = ["VoteTotals", "figures", "high_end", "low_end"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VoteTotals:
    """Totals of parties by group, and the draws that their intervals come from.

    Parameters
    ----------
    table : DataFrame
        See `vote_totals`.
    fields : list of str
        The parties.
    groups : DataFrame
        A row for each group, the columns it is made by; none for all sheets as one.
    totals : ndarray of float64, shape (n_groups, n_fields)
        Votes read.
    draws : ndarray of float64, shape (n_draws, n_groups, n_fields), or None
        Votes that may stand on the sheets read, as probable as drawn; None without
        probabilities.
    room : ndarray of float64, shape (n_groups, n_fields)
        Votes that what was not read could add to each party.
    over : DataFrame
        Sheets with more votes than registered voters: ``file``, ``page``, ``votes``
        and ``registered``.
    confidence_level : float
        Coverage of the intervals in `table`.
    composition : DataFrame or None
        How sheets of high quality differ from those left out, where only they were
        taken: ``what``, ``high_quality``, ``others`` and ``difference``.

    See Also
    --------
    vote_totals : Makes them.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally import vote_totals
    >>> table = pd.DataFrame({"file": ["a", "a", "b", "b"], "page": 1})
    >>> table["field"], table["count"] = ["01", "02"] * 2, [30, 20, 15, 15]
    >>> found = vote_totals(table, fields=["01", "02"], form="example")
    >>> found.totals.tolist(), found.draws is None  # no probabilities, no draws
    ([[45.0, 35.0]], True)
    """

    table: pd.DataFrame
    fields: list[str]
    groups: pd.DataFrame
    totals: npt.NDArray[np.float64]
    draws: npt.NDArray[np.float64] | None
    room: npt.NDArray[np.float64]
    over: pd.DataFrame
    confidence_level: float
    composition: pd.DataFrame | None = None


def figures(
    totals: Floats,
    draws: Floats | None,
    room: Room,
    read: Floats,
    confidence_level: float,
) -> dict[str, Floats]:
    """Return the columns of the table of totals, each (n_groups, n_fields).

    Parameters
    ----------
    totals : ndarray of shape (n_groups, n_fields)
        Votes read.
    draws : ndarray of shape (n_draws, n_groups, n_fields) or None
        Votes that may stand on what was read.
    room : Room
        Votes that may stand on what was not.
    read : ndarray of shape (n_groups, n_fields)
        Sheets of which the field was read.
    confidence_level : float
        Coverage.
    """
    none = np.full(totals.shape, np.nan)
    some = totals[None] if draws is None else draws
    whole = some.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = totals / totals.sum(axis=1, keepdims=True)
        shares = some / whole
        lowest_share = low_end(some / (whole + room.others), confidence_level)
        highest_share = high_end(
            (some + room.own) / (whole + room.own), confidence_level
        )
    doubt = {
        "expected": some.mean(axis=0),
        "lower": low_end(some, confidence_level),
        "upper": high_end(some, confidence_level),
        "share_lower": low_end(shares, confidence_level),
        "share_upper": high_end(shares, confidence_level),
    }
    known = (read > 0) & (draws is not None)
    doubt = {name: np.where(known, values, none) for name, values in doubt.items()}
    return {
        "total": totals,
        **{name: doubt[name] for name in ("expected", "lower", "upper")},
        "share": np.where(read > 0, share, none),
        **{name: doubt[name] for name in ("share_lower", "share_upper")},
        "lowest": low_end(some, confidence_level),
        "highest": high_end(some, confidence_level) + room.own,
        "share_lowest": lowest_share,
        "share_highest": highest_share,
    }


def low_end(draws: Floats, confidence_level: float) -> Floats:
    """Return the lower end of an interval, a draw itself."""
    return np.quantile(draws, (1 - confidence_level) / 2, axis=0, method="lower")


def high_end(draws: Floats, confidence_level: float) -> Floats:
    """Return the upper end of an interval, a draw itself."""
    return np.quantile(draws, (1 + confidence_level) / 2, axis=0, method="higher")

"""A contest as reported: its counts by sheet, the voters, and its margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.totals._names import listed

__all__ = ["Contest", "make_contest", "to_floats", "whole_counts"]

Ints = npt.NDArray[np.int64]

_MOST = 1e12  # votes of a sheet; sums stay exact


@dataclass(frozen=True)
class Contest:
    """What was reported, sheet by sheet.

    Parameters
    ----------
    counts : DataFrame
        Votes of each sheet and candidate; missing where not read.
    registered : ndarray of int, shape (n_sheets,)
        Voters of each sheet at most.
    winners, losers : ndarray of int, shape (n_pairs,)
        Columns of each pair of a winner and a loser.
    margins : ndarray of int, shape (n_pairs,)
        Votes by which the winner leads, unread counts taken for none; above 0.
    votes_per_voter : int
        Candidates that a voter may vote for.
    """

    counts: pd.DataFrame
    registered: Ints
    winners: Ints
    losers: Ints
    margins: Ints
    votes_per_voter: int

    @property
    def most(self) -> Ints:
        """Votes by which each sheet can overstate each margin, (n_sheets, n_pairs)."""
        led = self._led(self.counts.fillna(0).to_numpy(np.int64))
        return led + self.registered[:, None]

    @property
    def worst(self) -> npt.NDArray[np.float64]:
        """The largest of these, as a share of its margin, (n_sheets,)."""
        return np.asarray((self.most / self.margins).max(axis=1))

    def overstated(self, at: Ints, written: npt.NDArray[np.float64]) -> Ints:
        """Return by how many votes sheets overstated each margin, at worst.

        Parameters
        ----------
        at : ndarray of int, shape (n,)
            Rows of the sheets.
        written : ndarray of shape (n, n_candidates)
            Counts as people read them, NaN where they could not.

        Returns
        -------
        ndarray of int, shape (n, n_pairs)
            What could not be read is nothing for a winner, and for a loser all that
            the voters left over.
        """
        registered = self.registered[at][:, None]
        low = np.nan_to_num(written).astype(np.int64)
        spare = self.votes_per_voter * registered - low.sum(axis=1, keepdims=True)
        high = np.where(np.isnan(written), np.minimum(spare, registered), low)
        reported = self._led(self.counts.iloc[at].fillna(0).to_numpy(np.int64))
        return reported - (low[:, self.winners] - high[:, self.losers])

    def margin_table(self) -> pd.DataFrame:
        """Return winner, loser and votes of each margin."""
        names = self.counts.columns
        pairs = {"winner": names[self.winners], "loser": names[self.losers]}
        return pd.DataFrame({**pairs, "votes": self.margins})

    def check(self, sheets: pd.Index, written: npt.NDArray[np.float64]) -> None:
        """Raise if more votes are on a sheet than its voters allow."""
        registered = self.registered[self.counts.index.get_indexer(sheets)]
        check_registered(sheets, written, registered, self.votes_per_voter)

    def _led(self, counts: Ints) -> Ints:
        return counts[:, self.winners] - counts[:, self.losers]


def make_contest(
    counts: Any, registered: Any, *, n_winners: int, votes_per_voter: int
) -> Contest:
    """Check what was reported and find its winners and margins."""
    check_range("n_winners", n_winners, 1, 10**6, integer=True)
    check_range("votes_per_voter", votes_per_voter, 1, 10**6, integer=True)
    table = whole_counts(counts, "counts")
    limits = _limits(registered, table.index)
    unknown = table.index.difference(limits.index, sort=False)
    if len(unknown):
        raise TallyError(
            f"registered: expected one for every sheet, got none for "
            f"{listed(unknown)}; add their registered voters"
        )
    table = table.reindex(limits.index)
    if not 1 <= n_winners < table.shape[1]:
        raise TallyError(
            f"n_winners: expected fewer winners than the {table.shape[1]} candidates, "
            f"got {n_winners}"
        )
    most = limits.to_numpy(np.int64)
    check_registered(table.index, to_floats(table), most, votes_per_voter)
    totals = table.sum().to_numpy(np.int64)
    ranks = np.argsort(-totals, kind="stable")
    first, last = ranks[:n_winners], ranks[n_winners:]
    if totals[first[-1]] == totals[last[0]]:
        tied = table.columns[totals == totals[last[0]]]
        raise TallyError(
            f"counts: expected a margin between winners and losers, got a tie of "
            f"{listed(tied)} with {totals[last[0]]} votes each; transcribe all sheets "
            "by hand"
        )
    winners, losers = (part.ravel() for part in np.meshgrid(first, last))
    margins = totals[winners] - totals[losers]
    return Contest(table, most, winners, losers, margins, votes_per_voter)


def whole_counts(counts: Any, name: str) -> pd.DataFrame:
    """Return counts by sheet and candidate as nullable integers or raise."""
    try:
        table = pd.DataFrame(counts)
    except ValueError as error:
        raise TallyError(f"{name}: expected a table, got {error}") from None
    if table.shape[1] < 2 or not len(table):
        raise TallyError(
            f"{name}: expected a row for each sheet and two candidates or more, got "
            f"shape {table.shape}"
        )
    for what, labels in (("sheet", table.index), ("candidate", table.columns)):
        names = labels.astype(str)
        if names.has_duplicates:
            raise TallyError(
                f"{name}: expected each {what} once, got twice: "
                f"{listed(names[names.duplicated()].unique())}"
            )
    return _whole(table, name)


def _whole(table: pd.DataFrame, name: str) -> pd.DataFrame:
    try:
        values = table.astype("Float64").to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise TallyError(
            f"{name}: expected whole numbers, got {error}; write what was not read as "
            "a missing value"
        ) from None
    known = ~np.isnan(values)
    bad = known & ((np.nan_to_num(values) % 1 != 0) | (values < 0))
    bad |= values > _MOST
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise TallyError(
            f"{name}: expected whole numbers of 0 or more, got {values[i, j]:g} for "
            f"sheet {table.index[i]!r}, {table.columns[j]!r}; write what was not read "
            "as a missing value"
        )
    filled = pd.DataFrame(values, table.index, table.columns)
    return filled.astype("Int64")


def _limits(registered: Any, sheets: pd.Index) -> pd.Series:
    """Return the voters of each sheet of a list that may be longer than `sheets`."""
    shape = np.shape(registered)
    if not isinstance(registered, pd.Series) and shape != (len(sheets),):
        raise TallyError(
            f"registered: expected one for each of {len(sheets)} sheets, got shape "
            f"{shape}; give a Series with the names of the sheets as its index"
        )
    named = (
        registered
        if isinstance(registered, pd.Series)
        else pd.Series(registered, sheets)
    )
    names = named.index.astype(str)
    if names.has_duplicates:
        raise TallyError(
            "registered: expected each sheet once, got twice: "
            f"{listed(names[names.duplicated()].unique())}"
        )
    whole = _whole(named.to_frame("voters"), "registered")["voters"]
    if whole.isna().any():
        raise TallyError(
            "registered: expected a number of voters for every sheet, got none for "
            f"{listed(whole.index[whole.isna()])}; take the most that its boxes hold"
        )
    return whole


def check_registered(
    sheets: pd.Index,
    counts: npt.NDArray[np.float64],
    registered: Ints,
    votes_per_voter: int,
) -> None:
    """Raise if a sheet holds more votes than its voters can cast."""
    known = np.nan_to_num(counts)
    over = known.sum(axis=1) > votes_per_voter * registered
    over |= known.max(axis=1, initial=0) > registered
    if over.any():
        i = int(over.argmax())
        raise TallyError(
            f"registered: sheet {sheets[i]!r} holds {known[i].sum():g} votes, expected "
            f"at most {votes_per_voter} for each of {registered[i]} voters"
            f"{f' (and {over.sum() - 1} more sheets)' if over.sum() > 1 else ''}; if "
            "that is written there, voters are not as listed: plan anew with another "
            "seed, and as voters the most that boxes can hold; if misread, leave it "
            "missing"
        )


def to_floats(counts: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return counts with NaN where they are missing."""
    return counts.to_numpy(float, na_value=np.nan)

"""Which sheet belongs to which group, and which sheets are missing.

Comes in: sheets, and a table of stations. Goes out: for every sheet its group, its
registered voters and its weight, and the same for stations of which there is no sheet.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError, TallyWarning
from sktally.tables._station_list import read_stations
from sktally.tables._stations import match_stations

__all__ = ["Grouped", "group_sheets", "named", "warn"]

_STATION_BY = ("stem", "code")
_HOW_STATIONS = (
    ". Where a page names its station says `station_by` (`--station-by`); `by` is what "
    "to group by, such as district"
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grouped:
    """Sheets, and after them stations without a sheet, by group.

    Parameters
    ----------
    names : DataFrame
        A row for each group, a column for each that it is made by.
    group : ndarray of int, shape (n_sheets + n_missing,)
        Row of `names` of each.
    registered : ndarray of float64, shape (n_sheets + n_missing,)
        Voters who could have voted there; NaN where that is not known.
    weights : ndarray of float64, shape (n_sheets + n_missing,)
        How often each counts.
    rows : DataFrame
        All that is known of each.
    """

    names: pd.DataFrame
    group: npt.NDArray[np.int64]
    registered: Floats
    weights: Floats
    rows: pd.DataFrame


def group_sheets(
    pages: pd.DataFrame,
    *,
    by: Sequence[str],
    stations: str | Path | pd.DataFrame | None,
    station_by: str,
    registered: str | None,
    weights: str | None,
    copies: Mapping[str, Sequence[str]] | None = None,
) -> Grouped:
    """Join sheets to stations and group both."""
    rows = pages
    if stations is not None:
        rows = _with_stations(pages, stations, station_by, copies)
    needed = {"by": by, "registered": [registered], "weights": [weights]}
    for argument, columns in needed.items():
        for column in columns:
            if column is not None and column not in rows:
                raise TallyError(
                    f"{argument}: no column {column!r} in the table or its stations; "
                    f"columns are {', '.join(map(str, rows))}"
                    + _HOW_STATIONS
                    * (argument == "by" and column in _STATION_BY)
                )
    if len(set(by)) < len(by):
        raise TallyError(f"by: expected each column once, got {', '.join(by)}")
    if by:
        numbers = _numbered(rows, by)
        first = np.unique(numbers, return_index=True)[1]
        names = rows[list(by)].iloc[first].reset_index(drop=True)
        lost = rows[list(by)].isna().any(axis=1)
        if lost.any():
            warn(
                f"{int(lost.sum())} of {len(rows)} sheets have no "
                f"{' or no '.join(by)}: they are a group of their own"
            )
    else:
        numbers, names = np.zeros(len(rows), np.int64), pd.DataFrame(index=range(1))
    return Grouped(
        names,
        numbers,
        _numbers(rows, registered, "registered", np.nan),
        _checked_weights(_numbers(rows, weights, "weights", 1.0), numbers, names),
        rows,
    )


def _with_stations(
    pages: pd.DataFrame,
    stations: str | Path | pd.DataFrame,
    station_by: str,
    copies: Mapping[str, Sequence[str]] | None,
) -> pd.DataFrame:
    """Add the columns of each sheet's station, and rows of stations without one."""
    listed = read_stations(stations)
    names = ["file", "page"]
    found, report = match_stations(
        pages[names], listed, pages, by=station_by, copies=copies
    )
    if report.unmatched:
        warn(report.text.splitlines()[0])
    if report.double:
        warn(
            "votes of these may count twice, leave sheets out of the table: "
            f"{report.text.splitlines()[int(bool(report.unmatched))]}"
        )
    missing = listed[listed["station"].isin(report.missing)]
    joined = pages.merge(found, on=names, how="left")
    return pd.concat([joined, missing], ignore_index=True) if len(missing) else joined


def _numbered(rows: pd.DataFrame, by: Sequence[str]) -> npt.NDArray[np.int64]:
    found = rows.groupby(list(by), dropna=False, observed=True).ngroup()
    return np.asarray(found, dtype=np.int64)


def _numbers(
    rows: pd.DataFrame, column: str | None, argument: str, default: float
) -> Floats:
    if column is None:
        return np.full(len(rows), default)
    numbers = pd.to_numeric(rows[column], errors="coerce").astype("Float64")
    wrong = (rows[column].notna() & numbers.isna()) | (numbers < 0)
    wrong |= numbers == float("inf")
    wrong = wrong.fillna(False).astype(bool)
    if wrong.any():
        value = rows[column][wrong].iloc[0]
        raise TallyError(
            f"{argument}: {column}: expected numbers of 0 or more, got {value}"
        )
    return np.asarray(numbers.to_numpy(np.float64, na_value=np.nan), np.float64)


def _checked_weights(
    weights: Floats, group: npt.NDArray[np.int64], names: pd.DataFrame
) -> Floats:
    if np.isnan(weights).any():
        raise TallyError(
            f"weights: expected one for every sheet, got none for "
            f"{int(np.isnan(weights).sum())} of {len(weights)}"
        )
    whole = np.bincount(group, weights, minlength=len(names))
    if (whole == 0).any() and len(weights):
        raise TallyError(
            "weights: expected some above 0 in every group, got only 0 in "
            f"{named(names, int((whole == 0).argmax())) or 'all sheets'}"
        )
    return weights


def named(names: pd.DataFrame, i: int) -> str:
    """Name a group in words: "district N"."""
    return ", ".join(f"{column} {names[column].iat[i]}" for column in names)


def warn(text: str) -> None:
    """Warn whoever called `vote_totals`, or near it."""
    warnings.warn(text, TallyWarning, stacklevel=5)

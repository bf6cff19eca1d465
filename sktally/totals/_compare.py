"""Read against official: shares of parties, and sheet by sheet.

Comes in: sheets as read, and official results. Goes out: what the paper's Figure 4 and
its figure of single tallies show, as tables.

References
----------
M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural Networks for the
Analysis of Social Science Data". Political Analysis 30(1), 113-131.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from sktally.datasets._random import RandomState
from sktally.exceptions import TallyError
from sktally.tables import Store
from sktally.totals._per_tally import TallyComparison, summary
from sktally.totals._result import VoteTotals
from sktally.totals._shares import vote_totals
from sktally.totals._sheets import open_sheets
from sktally.votes import HIGH_QUALITY

__all__ = ["compare_shares", "compare_tallies"]

_SHOWN = ["total", "share", "share_lower", "share_upper", "n_read"]


def compare_shares(
    source: pd.DataFrame | str | Path | Store,
    official: pd.DataFrame | None = None,
    *,
    cut: float = HIGH_QUALITY,
    by: str | Sequence[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Put shares side by side: of all sheets, of those of high quality, official.

    This is Figure 4 of the paper [1]_, with intervals. Sheets of high quality are no
    random sample of all: a warning says how they differ.

    Parameters
    ----------
    source : DataFrame, str, path or Store
        As of `vote_totals`.
    official : DataFrame, optional
        Columns `by`, ``field`` and ``official``, votes; perhaps ``official_total``, the
        votes of a group that shares are of, where not all parties are listed.
    cut : float, default=0.9
        Tally quality above which a sheet is of high quality.
    by : str or list of str, optional
        As of `vote_totals`.
    **options : object
        As of `vote_totals`.

    Returns
    -------
    DataFrame
        Columns ``sheets`` ("all", "high quality" or "official"), `by`, ``field``,
        ``total``, ``share``, ``share_lower``, ``share_upper`` and ``n_read``.

    Raises
    ------
    TallyError
        If no sheet is of high quality, official results do not fit the totals read, or
        an official total is smaller than the sum of its parts.

    Warns
    -----
    TallyWarning
        As `vote_totals`; and how sheets of high quality differ from the others.

    See Also
    --------
    compare_tallies : The same sheet by sheet.
    sktally.inspection.VoteShareDisplay : Draws it.

    References
    ----------
    .. [1] M. Torres and F. Cantú (2022). "Learning to See: Convolutional Neural
       Networks for the Analysis of Social Science Data". Political Analysis 30(1),
       113-131.

    Examples
    --------
    >>> import warnings
    >>> import pandas as pd
    >>> from sktally.totals import compare_shares
    >>> table = pd.DataFrame({"file": ["a", "a", "b", "b"], "page": 1})
    >>> table["field"], table["count"] = ["x", "y"] * 2, [60, 40, 70, 30]
    >>> table["tally_quality"] = [0.95, 0.95, 0.7, 0.7]
    >>> official = pd.DataFrame({"field": ["x", "y"], "official": [130, 70]})
    >>> with warnings.catch_warnings(action="ignore"):
    ...     found = compare_shares(table, official)
    >>> found.pivot(index="field", columns="sheets", values="share")
    sheets   all  high quality  official
    field
    x       0.65           0.6      0.65
    y       0.35           0.4      0.35
    """
    by = [by] if isinstance(by, str) else list(by or ())
    every = vote_totals(source, by=by, **options)
    high = vote_totals(source, by=by, min_quality=cut, **options)
    tables = [("all", every.table), ("high quality", high.table)]
    if official is not None:
        tables.append(("official", _official(official, every, by)))
    parts = []
    for name, table in tables:
        part = table.reindex(columns=[*by, "field", *_SHOWN])
        part.insert(0, "sheets", name)
        # missing throughout in one of them, which has no say in the type
        parts.append(part.astype(dict.fromkeys(_SHOWN, "Float64")))
    return pd.concat(parts, ignore_index=True).astype({"n_read": "Int64"})


def _official(
    official: pd.DataFrame, totals: VoteTotals, by: list[str]
) -> pd.DataFrame:
    """Return official results as a table of totals, after looking at them."""
    official = checked_official(official, [*by, "field"], totals.fields)
    table = official[official["field"].isin(totals.fields)]
    table = totals.table[[*by, "field"]].merge(table, on=[*by, "field"], how="left")
    if table["official"].isna().any():
        row = table[table["official"].isna()].iloc[0]
        raise TallyError(
            "official: expected votes of every group and party that was read, got none "
            f"of {', '.join(str(row[name]) for name in [*by, 'field'])}"
        )
    groups = table.groupby(by, dropna=False) if by else table.groupby(lambda _: 0)
    parts = groups["official"].transform("sum")
    whole = parts
    if "official_total" in table:
        whole = _votes(table, "official_total").fillna(parts)
        if (whole < parts).any():
            row = table[whole < parts].iloc[0]
            place = ", ".join(f"{name} {row[name]}" for name in by)
            raise TallyError(
                f"official_total: {place or 'all'}: expected no less than the sum of "
                f"its parts, {parts[whole < parts].iloc[0]:g}, got "
                f"{row['official_total']}"
            )
    return table.assign(total=table["official"], share=table["official"] / whole)


def checked_official(
    official: pd.DataFrame, keys: Sequence[str], fields: Iterable[str]
) -> pd.DataFrame:
    """Return a table of votes of parties, each once, as numbers, or raise."""
    absent = [name for name in (*keys, "official") if name not in official]
    if absent:
        raise TallyError(
            f"official: expected columns {', '.join(keys)} and official, got none "
            f"named {', '.join(absent)}"
        )
    if not official["field"].isin(list(fields)).any():
        raise TallyError(
            f"official: expected votes of {', '.join(fields)}, got those of "
            f"{', '.join(map(str, pd.unique(official['field'])[:5]))}"
        )
    twice = official.duplicated(list(keys))
    if twice.any():
        row = official[twice].iloc[0]
        raise TallyError(
            "official: expected one row for each of them, got more of "
            f"{', '.join(str(row[name]) for name in keys)}"
        )
    return official.assign(official=_votes(official, "official"))


def _votes(table: pd.DataFrame, column: str) -> pd.Series:
    """Return a column of votes as numbers, missing where there are none."""
    votes = pd.to_numeric(table[column], errors="coerce").astype("Float64")
    wrong = (votes.isna() & table[column].notna()) | (votes < 0)
    wrong = (wrong | (votes > 1e15)).fillna(False).astype(bool)
    if wrong.any():
        raise TallyError(
            f"{column}: expected votes, numbers of 0 or more, got "
            f"{table[column][wrong].iloc[0]!r}"
        )
    whole = bool((votes.dropna() % 1 == 0).all())
    return votes.astype("Int64") if whole else votes


def compare_tallies(
    source: pd.DataFrame | str | Path | Store,
    official: pd.DataFrame,
    *,
    fields: Iterable[str] | None = None,
    counts: str | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    random_state: RandomState = None,
) -> TallyComparison:
    """Compare the counts of each sheet with the official ones.

    Parameters
    ----------
    source : DataFrame, str, path or Store
        As of `vote_totals`.
    official : DataFrame
        Columns ``file``, ``page`` or ``station``, or several of them, that tell sheets
        apart, ``field`` and ``official``, votes. Files without a folder are compared
        by their names alone.
    fields : iterable of str, optional
        Parties to compare; by default all that `official` has.
    counts : str, optional
        Column of counts: "final" by default, or "count" where there is none.
    level : float, default=0.95
        Coverage of the intervals.
    n_resamples : int, default=2000
        Resamples of sheets, from which they are made.
    random_state : int, RandomState, Generator or None, default=None
        Decides the resamples.

    Returns
    -------
    TallyComparison

    Raises
    ------
    TallyError
        If official counts are no counts, or belong to no sheet that was read or to
        several.

    See Also
    --------
    compare_shares : Of whole groups.
    sktally.inspection.PerTallyDisplay : Draws it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally.totals import compare_tallies
    >>> table = pd.DataFrame({"file": ["a.png", "b.png", "c.png"], "page": 1})
    >>> table["field"], table["count"] = "x", [60, 11, 31]
    >>> official = table.rename(columns={"count": "official"}).drop(columns="page")
    >>> official["official"] = [60, 17, 31]
    >>> found = compare_tallies(table, official, random_state=0)
    >>> found.tallies["error"].tolist()
    [0, -6, 0]
    >>> found.of("mean absolute error").estimate
    2.0
    """
    with open_sheets(source, counts=counts) as sheets:
        columns = sheets.columns_of(
            [f for f in sheets.fields if f in set(official.get("field", ()))]
            if fields is None
            else fields
        )
        pages = sheets.pages.drop(columns="official", errors="ignore")
        names = [sheets.fields[j] for j in columns]
        values = sheets.counts[:, columns]
    keys = [k for k in ("file", "page", "station") if k in official and k in pages]
    if "file" in keys and not official["file"].astype(str).str.contains(r"[/\\]").any():
        pages = pages.assign(file=[Path(str(file)).name for file in pages["file"]])
    official = checked_official(official, [*(keys or ["file"]), "field"], names)
    read = pages.loc[np.repeat(pages.index, len(names))].reset_index(drop=True)
    read["sheet"] = np.repeat(np.arange(len(pages)), len(names))
    read["field"], read["count"] = names * len(pages), values.ravel()
    told = official[[*keys, "field", "official"]].dropna(subset="official")
    table = _joined(read[read["count"] >= 0], told, keys)
    table["official"] = table["official"].to_numpy()
    table["error"] = table["count"] - table["official"]
    return TallyComparison(table, summary(table, level, n_resamples, random_state))


def _joined(read: pd.DataFrame, told: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return counts beside the official ones of the same sheet, one for one."""
    for key in keys:
        if is_numeric_dtype(read[key]) != is_numeric_dtype(told[key]):
            raise TallyError(
                f"official: expected {key} as in the table, {read[key].dtype}, got "
                f"{told[key].dtype}"
            )
    table = read.merge(told, on=[*keys, "field"])
    if not len(table):
        raise TallyError(
            f"official: expected counts of sheets that were read, by "
            f"{', '.join(keys)}, got none of theirs"
        )
    twice = table.duplicated([*keys, "field"]).to_numpy()
    if twice.any():
        row = table[twice].iloc[0]
        raise TallyError(
            "official: expected columns that tell sheets apart, got several sheets of "
            f"{', '.join(f'{key} {row[key]}' for key in keys)}; add file (with its "
            "folder) and page"
        )
    return table

"""Totals and shares of parties for a report, and what was warned of on the way.

Comes in: a store. Goes out: what `vote_totals` and `ranking` say of it, or why not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sktally.exceptions import TallyError, TallyWarning
from sktally.tables import Run, Store, store_parts
from sktally.tables._origin import form_of
from sktally.totals import Ranking, VoteTotals, ranking, vote_totals

__all__ = ["Totals", "find_totals"]

_SHOWN = 200  # rows by group
_COLUMNS = ["file", "page", "field", "boxes", "final"]


@dataclass(frozen=True)
class Totals:
    """Totals of all sheets.

    Parameters
    ----------
    table : DataFrame or None
        A row for each party, see `vote_totals`; None if there are none.
    rank : Ranking or None
        Who leads.
    by : list of str
        Columns of groups.
    groups : DataFrame or None
        The first rows of the totals by group.
    n_rows : int
        All of these.
    level : float
        Coverage of the intervals.
    warned : list of str
        What was warned of.
    problem : str
        Why there are no totals; empty if there are.
    """

    table: pd.DataFrame | None = None
    rank: Ranking | None = None
    by: list[str] = field(default_factory=list)
    groups: pd.DataFrame | None = None
    n_rows: int = 0
    level: float = 0.95
    warned: list[str] = field(default_factory=list)
    problem: str = ""


def find_totals(
    store: Store,
    run: Run,
    *,
    by: Sequence[str] = (),
    fields: Sequence[str] | None = None,
    stations: str | Path | pd.DataFrame | None = None,
    station_by: str = "stem",
    registered: str | None = None,
    calibrator: Any = None,
    intervals: bool = True,
) -> Totals:
    """Return totals of all sheets and, if asked for, by columns of their stations.

    Without intervals they are those of the table, whose probabilities are not known.
    """
    source: Store | pd.DataFrame = store
    how: dict[str, Any] = {
        "run": run.id if intervals else None,
        "fields": fields,
        "stations": stations,
        "station_by": station_by,
        "registered": registered,
        "calibrator": calibrator,
        "random_state": 0,
    }
    if not intervals:
        parts = [part[_COLUMNS] for part in store_parts(store, run)]
        source, how["form"] = pd.concat(parts, ignore_index=True), form_of(run)
        how["n_draws"] = 0
    found: VoteTotals
    groups: pd.DataFrame | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TallyWarning)
        try:
            found = vote_totals(source, **how)
        except TallyError as error:
            if fields is not None or stations is not None or registered is not None:
                raise  # the user's slip, to be mended
            return Totals(problem=str(error))
        if by:
            groups = vote_totals(source, by=list(by), **how).table
    rank = None
    if found.draws is not None and len(found.fields) > 1:
        rank = ranking(found)
    return Totals(
        found.table,
        rank,
        list(by),
        None if groups is None else groups.head(_SHOWN),
        0 if groups is None else len(groups),
        found.confidence_level,
        list(dict.fromkeys(str(warning.message) for warning in caught)),
    )

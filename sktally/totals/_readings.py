"""Readings of drawn sheets by people, checked against what was drawn."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError
from sktally.totals._contest import Contest, to_floats, whole_counts
from sktally.totals._names import listed

__all__ = ["checked_readings", "rows_of"]


def checked_readings(
    readings: Any, contest: Contest, drawn: pd.Index, known: Container[int]
) -> dict[int, npt.NDArray[np.float64]]:
    """Return counts by row of the contest, NaN where missing, or say what is wrong.

    Parameters
    ----------
    readings : DataFrame
        Sheets as index, candidates as columns.
    contest : Contest
    drawn : Index
        Sheets that may be read.
    known : container of int
        Rows that were read before.
    """
    names = contest.counts.columns
    table = whole_counts(readings, "readings")
    if set(table.columns) != set(names):
        raise TallyError(
            f"readings: expected the columns {listed(names)}, got "
            f"{listed(table.columns)}"
        )
    strange = table.index.difference(drawn, sort=False)
    if len(strange):
        raise TallyError(
            f"readings: expected sheets that were drawn, got {listed(strange)}; draw "
            "more, and read all that are drawn"
        )
    rows = contest.counts.index.get_indexer(table.index)
    again = table.index[[row in known for row in rows]]
    if len(again):
        raise TallyError(
            f"readings: {listed(again)} were read before; to correct a reading, fit "
            "anew, draw as many, and update with all readings"
        )
    written = to_floats(table[names])
    contest.check(table.index, written)
    return dict(zip(rows.tolist(), written, strict=True))


def rows_of(lost: Iterable[object], sheets: pd.Index) -> npt.NDArray[np.int64]:
    """Return the rows of lost sheets, each once, or say which are unknown."""
    if isinstance(lost, str):
        raise TallyError(f"lost: expected a list of sheets, got {lost!r}")
    names = list(dict.fromkeys(lost))
    strange = [name for name in names if name not in sheets]
    if strange:
        raise TallyError(
            f"lost: expected sheets that have voters, got {listed(strange)}"
        )
    return np.array([sheets.get_loc(name) for name in names], np.int64)

"""Quality by batch: by a column of the stations, by folder, or in order of reading.

Comes in: the sheets of a run. Goes out: a row for each batch, most doubtful first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import pandas as pd

from sktally.exceptions import TallyError
from sktally.report._pages import Pages

__all__ = ["Batches", "batch_names", "find_batches"]

_BLOCKS = 10  # batches of pages in order of reading, at most
_FEWEST = 20  # pages in each of them
_SHOWN = 200


@dataclass(frozen=True)
class Batches:
    """Sheets by batch.

    Parameters
    ----------
    what : str
        What batches are: "folder", a column of stations, "order of reading", "day".
    table : DataFrame
        The first of them, those with most sheets unread or in doubt first: ``batch``,
        ``n``, ``read``, ``unsure`` (sheets), ``trouble`` (share of sheets that were
        not read, or are in doubt), ``doubt`` (counts expected wrong, a sheet) and
        ``quality`` (mean).
    n : int
        All of them.
    """

    what: str
    table: pd.DataFrame
    n: int


def batch_names(
    pages: Pages, by: Sequence[str], joined: pd.DataFrame | None
) -> tuple[str, pd.Series]:
    """Return what batches are, and the batch of each sheet.

    Parameters
    ----------
    pages : Pages
        The sheets.
    by : sequence of str
        Columns of `joined`, "folder" or "day"; nothing for what fits.
    joined : DataFrame or None
        The columns of each sheet's station.
    """
    table = pages.table
    if by and joined is not None and set(by) <= set(joined):
        parts = joined[list(by)].astype("string").fillna("none")
        return ", ".join(by), parts.agg(", ".join, axis=1)
    if list(by) == ["day"]:
        return "day of reading", table["read_at"].str[:10]
    near = len(pages.folder)
    folders = table["file"].map(lambda file: str(PurePath(file[near:]).parent))
    if list(by) == ["folder"] or (not by and folders.nunique() > 1):
        return "folder", folders
    if by:
        columns = [] if joined is None else [str(name) for name in joined]
        known = ", ".join(["folder", "day", *columns])
        raise TallyError(
            f"by: expected columns of the stations, or one of folder and day, got "
            f"{', '.join(by)}; there are {known}"
        )
    return "order of reading", _blocks(len(table), table.index)


def _blocks(n: int, index: pd.Index) -> pd.Series:
    """Return blocks of sheets as "1 to 50", nearly equal."""
    edges = (
        np.linspace(0, n, min(_BLOCKS, max(n // _FEWEST, 1)) + 1).round().astype(int)
    )
    names = [f"{a + 1:,} to {b:,}" for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return pd.Series(np.repeat(np.array(names, object), np.diff(edges)), index)


def find_batches(pages: Pages, what: str, names: pd.Series) -> Batches:
    """Return the batches, those in most trouble first."""
    rows = pd.DataFrame(
        {
            "batch": names,
            "n": 1,
            "read": pages.read.astype(int),
            "unsure": pages.unsure.astype(int),
            "doubt": pages.table["doubt"].where(pages.read),
            "quality": pages.table["quality"],
        }
    )
    grouped = rows.groupby("batch", sort=False)
    table = grouped[["n", "read", "unsure"]].sum()
    table[["doubt", "quality"]] = grouped[["doubt", "quality"]].mean()
    table["trouble"] = 1 - (table["read"] - table["unsure"]) / table["n"]
    table = table.reset_index()
    n = len(table)
    if what != "order of reading" and what != "day of reading":
        order = ["trouble", "doubt"]
        table = table.sort_values(order, ascending=False, kind="stable")
    return Batches(what, table.head(_SHOWN).reset_index(drop=True), n)

"""A row for each sheet of a run: whether it was read, and how much of it is in doubt.

Comes in: a store. Goes out: one table that counts, batches and worst pages are made of.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

import pandas as pd

from sktally.tables import Run, Store
from sktally.tables._files import name_now
from sktally.tables._final import final_count
from sktally.tables._values import edits_of

__all__ = ["FieldCounts", "Pages", "field_counts", "gather_pages"]

#: What is asked of each sheet. A count that people decided is in doubt no more; one
#: that was not read for sure counts as one, others by what confidence leaves.
_ASK = f"""
    SELECT p.id, {name_now("p")} AS file, p.number AS page, p.status, p.message,
        p.tally_quality AS quality, p.read_at,
        SUM(f.status != 'ok') AS unsure,
        SUM(CASE
            WHEN EXISTS (
                SELECT 1 FROM edits e WHERE e.sha256 = p.sha256 AND e.number = p.number
                AND e.field = f.field AND e.purpose IN ('correction', 'entry')
            ) THEN 0
            WHEN f.status = 'ok' THEN 1 - f.confidence
            ELSE 1
        END) AS doubt
    FROM pages p JOIN fields f ON f.page = p.id
    WHERE p.run = ? AND p.sha256 IN (SELECT sha256 FROM files)
    GROUP BY p.id ORDER BY p.id
"""
_EDGES = (0.99, 0.95, 0.9, 0.8, 0.5, 0)  # of confidence


@dataclass(frozen=True)
class Pages:
    """The sheets of a run.

    Parameters
    ----------
    table : DataFrame
        A row for each sheet, in the order in which they were read and then those that
        could not be opened: ``id`` (missing of these), ``file``, ``page``, ``status``,
        ``message``, ``quality``, ``read_at``, ``unsure``, the counts not read for
        sure, and ``doubt``, the counts expected to be wrong.
    n_replaced : int
        Pages whose file has other bytes now; they are left out.
    n_by_hand : int
        Sheets that were not read, and of which people have decided a count.
    """

    table: pd.DataFrame
    n_replaced: int
    n_by_hand: int = 0

    @property
    def folder(self) -> str:
        """The folder that all files lie in, perhaps within others; "" if none is."""
        folders = {str(PurePath(file).parent) for file in self.table["file"].unique()}
        try:
            return os.path.commonpath(folders).rstrip("/") + "/"
        except ValueError:  # none, or some named in full and others not
            return ""

    @property
    def read(self) -> pd.Series:
        """Whether a sheet was read."""
        return self.table["status"] == "ok"

    @property
    def unsure(self) -> pd.Series:
        """Whether a sheet was read and some count on it is in doubt."""
        return self.read & (self.table["unsure"] > 0)


@dataclass(frozen=True)
class FieldCounts:
    """The counts on the sheets that were read.

    Parameters
    ----------
    table : DataFrame
        A row for each field: ``field``, ``ok``, ``ambiguous``, ``misfit``,
        ``failed`` and ``confidence``, the mean of those that are ok.
    bands : list of (str, int)
        Counts that are ok, by confidence, the surest first.
    """

    table: pd.DataFrame
    bands: list[tuple[str, int]]


def gather_pages(store: Store, run: Run) -> Pages:
    """Return the sheets of a run."""
    names = ["id", "file", "page", "status", "message", "quality", "read_at"]
    table = pd.DataFrame(store.ask(_ASK, run.id), columns=[*names, "unsure", "doubt"])
    ask = (
        "SELECT NULL, file, number, 'unopened', message, NULL, tried_at, 0, 0 "
        "FROM unreadable WHERE run = ? ORDER BY file, number"
    )
    lost = pd.DataFrame(store.ask(ask, run.id), columns=list(table))
    kinds = {"id": "Int64", "page": "int64", "unsure": "int64"}
    kinds |= dict.fromkeys(("quality", "doubt"), "float64")
    whole = pd.concat([part.astype(kinds) for part in (table, lost)], ignore_index=True)
    ask = (
        "SELECT COUNT(*) FROM pages WHERE run = ? AND sha256 NOT IN "
        "(SELECT sha256 FROM files)"
    )
    return Pages(whole, store.ask(ask, run.id)[0][0], _by_hand(store, run))


def _by_hand(store: Store, run: Run) -> int:
    """Return how many sheets that were not read have a final count all the same."""
    some = (
        "WHERE (sha256, number) IN (SELECT sha256, number FROM pages WHERE run = ? "
        "AND status != 'ok' AND sha256 IN (SELECT sha256 FROM files))"
    )
    counted = {
        (sha256, number)
        for (sha256, number, _), said in edits_of(store, some, run.id).items()
        if final_count(None, None, said)[0] is not None
    }
    return len(counted)


def field_counts(store: Store, run: Run) -> FieldCounts:
    """Return how the counts of a run were read, field by field."""
    some = (
        "FROM pages p JOIN fields f ON f.page = p.id WHERE p.run = ? "
        "AND p.status = 'ok' AND p.sha256 IN (SELECT sha256 FROM files)"
    )
    ask = (
        "SELECT f.field, SUM(f.status = 'ok'), SUM(f.status = 'ambiguous'), "
        "SUM(f.status = 'misfit'), SUM(f.status NOT IN ('ok', 'ambiguous', 'misfit')), "
        f"AVG(CASE WHEN f.status = 'ok' THEN f.confidence END) {some} "
        "GROUP BY f.field ORDER BY MIN(f.place)"
    )
    names = ["field", "ok", "ambiguous", "misfit", "failed", "confidence"]
    table = pd.DataFrame(store.ask(ask, run.id), columns=names)
    cases = " ".join(f"WHEN f.confidence >= {edge} THEN {edge}" for edge in _EDGES)
    ask = f"SELECT CASE {cases} END, COUNT(*) {some} AND f.status = 'ok' GROUP BY 1"
    counted = dict(store.ask(ask, run.id))
    highest = ["1", *(f"{edge:g}" for edge in _EDGES)]
    bands = [
        (f"{edge:g} to {top}", int(counted.get(edge, 0)))
        for edge, top in zip(_EDGES, highest, strict=False)
    ]
    return FieldCounts(table, bands)

"""What people said of counts, where they disagree, and pages that are there twice.

Comes in: a store. Goes out: numbers, and the first rows of lists that may be long.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from sktally.tables import Run, Store, disagreements
from sktally.tables._files import name_now

__all__ = ["People", "find_people"]

_SHOWN = 50


@dataclass(frozen=True)
class People:
    """Edits, disagreements and copies.

    Parameters
    ----------
    edits : DataFrame
        A row for each purpose: ``purpose``, ``n``, ``fields``, ``sheets``, ``persons``.
    disagreements : DataFrame
        The first of them, as `sktally.tables.disagreements` returns them.
    n_disagreements : int
        All of them.
    copies : list of (str, list of str)
        Pages that lie in several files: the one read, and the others.
    n_copies : int
        Files that are copies.
    """

    edits: pd.DataFrame
    disagreements: pd.DataFrame
    n_disagreements: int
    copies: list[tuple[str, list[str]]]
    n_copies: int


def find_people(store: Store, run: Run) -> People:
    """Return what people said of the pages of a run, and which are copies."""
    of_run = (
        "EXISTS (SELECT 1 FROM pages p WHERE p.run = ? AND p.sha256 = e.sha256 "
        "AND p.number = e.number)"
    )
    ask = (
        "SELECT purpose, COUNT(*), COUNT(DISTINCT sha256 || number || ' ' || field), "
        "COUNT(DISTINCT sha256 || number), COUNT(DISTINCT who) "
        f"FROM edits e WHERE {of_run} GROUP BY purpose ORDER BY purpose"
    )
    names = ["purpose", "n", "fields", "sheets", "persons"]
    edits = pd.DataFrame(store.ask(ask, run.id), columns=names)
    split = disagreements(store, run)
    of_run = "sha256 IN (SELECT sha256 FROM pages WHERE run = ?)"
    twice = (
        f"SELECT sha256 FROM files WHERE {of_run} GROUP BY sha256 HAVING COUNT(*) > 1"
    )
    ask = f"SELECT COUNT(*) - COUNT(DISTINCT sha256) FROM files WHERE {of_run}"
    n_copies = store.ask(ask, run.id)[0][0]
    copies = []
    ask = f"{twice} ORDER BY MIN(file) LIMIT {_SHOWN}"
    for (sha256,) in store.ask(ask, run.id):
        name = f"SELECT {name_now('p')} FROM pages p WHERE run = ? AND sha256 = ?"
        read = store.ask(name, run.id, sha256)[0][0]
        lying = "SELECT file FROM files WHERE sha256 = ? ORDER BY file"
        files = [file for (file,) in store.ask(lying, sha256)]
        if read in files:
            files.remove(read)
        copies.append((read, files[:_SHOWN]))
    return People(edits, split.head(_SHOWN), len(split), copies, n_copies)

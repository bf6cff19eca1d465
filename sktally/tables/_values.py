"""From a store to a table: as read, reconciled and final values, side by side.

The final count of a field is, in this order:

1. what the last correction says;
2. where people entered it a second time, the value that more of the readings agree on
   than on any other, two at least: the machine's and the last one of each person; if
   there is none, it is missing, and the field is a disagreement;
3. the reconciled count, if there is one;
4. the count as read.

What an audit read never changes it: audits measure how good the final values are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sktally.exceptions import StoreError
from sktally.tables._records import Run
from sktally.tables._store import Store

__all__ = [
    *("STORE_COLUMNS", "Edit", "disagreements", "edits_of", "store_table", "typed"),
]

STORE_COLUMNS = (
    *("file", "page", "field", "boxes", "count", "reconciled", "final"),
    *("confidence", "tally_quality", "status", "message", "sha256"),
)
_DTYPES = {
    "page": "int64",
    "count": "Int64",
    "reconciled": "Int64",
    "final": "Int64",
    "confidence": "Float64",
    "tally_quality": "Float64",
}
_AT_ONCE = 5000  # rows fetched together


@dataclass(frozen=True)
class Edit:
    """What one person says of one field."""

    purpose: str
    who: str
    count: int | None


def edits_of(store: Store) -> dict[tuple[str, int, str], list[Edit]]:
    """Return the edits of each image, page number and field, oldest first."""
    found: dict[tuple[str, int, str], list[Edit]] = {}
    ask = "SELECT sha256, number, field, purpose, who, count FROM edits ORDER BY id"
    for sha256, number, name, *rest in store.ask(ask):
        found.setdefault((sha256, number, name), []).append(Edit(*rest))
    return found


def final_count(
    as_read: int | None, reconciled: int | None, edits: list[Edit]
) -> tuple[int | None, bool]:
    """Return the final count, and whether second entries disagree about it.

    Examples
    --------
    >>> final_count(12, None, [Edit("entry", "ana", 12)])
    (12, False)
    >>> final_count(12, None, [Edit("entry", "ana", 72)])
    (None, True)
    >>> third = [Edit("entry", "ana", 72), Edit("entry", "ben", 72)]
    >>> final_count(12, None, third)
    (72, False)
    >>> final_count(12, None, [*third, Edit("correction", "eva", 13)])
    (13, False)
    >>> final_count(12, None, [Edit("audit", "ana", 13)])
    (12, False)
    """
    corrections = [edit.count for edit in edits if edit.purpose == "correction"]
    if corrections:
        return corrections[-1], False
    entries = {edit.who: edit.count for edit in edits if edit.purpose == "entry"}
    if not entries:
        return as_read if reconciled is None else reconciled, False
    votes = Counter([as_read, *entries.values()]).most_common(2)
    (count, n), others = votes[0], votes[1:]
    if n < 2 or any(n == m for _, m in others):
        return None, True
    return count, False


def store_table(
    store: Store, run: Run | None = None, *, replaced: bool = False
) -> pd.DataFrame:
    """Return all that a run has read, a row for each page and field.

    Parameters
    ----------
    store : Store
        An open store.
    run : Run, optional
        By default the one last read in.
    replaced : bool, default=False
        Whether to return pages too whose file has other bytes now, and of which no
        copy was seen: what came in their place would count beside them.

    Returns
    -------
    DataFrame
        Columns `STORE_COLUMNS`: as `read_tallies` gives them, ``count`` as read,
        ``reconciled`` (missing until something reconciles it) and ``final`` (by the
        rule in this module), and ``sha256`` of the file. Pages in the order in which
        they were read; files that could not be opened come last, without ``sha256``.

    Raises
    ------
    StoreError
        If nothing was read into the store.

    See Also
    --------
    write_table : Writes it as CSV, Parquet or for Stata.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> folder = tempfile.TemporaryDirectory()
    >>> scan, path = Path(folder.name, "scan.png"), folder.name + "/votes.sqlite"
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> _ = read_to_store(load_reader("example"), [scan], path)
    >>> from sktally.tables import Store, store_table
    >>> with Store(path) as store:
    ...     table = store_table(store)
    >>> len(table), bool((table["final"] == table["count"]).all())
    (6, True)
    >>> folder.cleanup()
    """
    run = run or store.run()
    rows = list(_rows(store, run, replaced))
    table = pd.DataFrame(rows, columns=list(STORE_COLUMNS))
    return typed(store, table, _DTYPES)


def _rows(store: Store, run: Run, replaced: bool) -> Iterator[tuple[Any, ...]]:
    edits = edits_of(store)
    last = 0
    ask = (
        "SELECT p.id, p.file, p.number, f.field, f.boxes, f.count, f.confidence, "
        "p.tally_quality, f.status, f.message, p.sha256 "
        "FROM pages p JOIN fields f ON f.page = p.id "
        "WHERE p.run = ? AND p.id > ? AND p.id <= ? "
        + ("" if replaced else "AND p.sha256 IN (SELECT sha256 FROM files) ")
        + "ORDER BY p.id, f.place"
    )
    end = store.ask("SELECT MAX(id) FROM pages WHERE run = ?", run.id)[0][0] or 0
    while last < end:
        for row in store.ask(ask, run.id, last, last + _AT_ONCE):
            _, file, number, name, boxes, count, *rest, sha256 = row
            said = edits.get((sha256, number, name), [])
            final = final_count(count, None, said)[0]
            yield file, number, name, boxes, count, None, final, *rest, sha256
        last += _AT_ONCE
    ask = "SELECT file, number, message FROM unreadable WHERE run = ? ORDER BY 1, 2"
    for file, number, message in store.ask(ask, run.id):
        for name in run.fields:
            nothing = (None,) * 6
            yield file, number, name, *nothing, "failed", message, None


def disagreements(store: Store, run: Run | None = None) -> pd.DataFrame:
    """Return the fields whose readings disagree, for a third person to enter.

    Parameters
    ----------
    store : Store
        An open store.
    run : Run, optional
        By default the one last read in.

    Returns
    -------
    DataFrame
        Columns ``file``, ``page``, ``field``, ``count`` as read and ``entries`` ("ana:
        72, ben: 12").

    See Also
    --------
    import_edits : Adds entries.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> from sktally.tables import Store, disagreements, import_edits
    >>> folder = tempfile.TemporaryDirectory()
    >>> scan, path = Path(folder.name, "scan.png"), folder.name + "/votes.sqlite"
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> _ = read_to_store(load_reader("example"), [scan], path)
    >>> entry = {"file": [str(scan)], "field": ["01"], "who": ["ana"], "count": ["999"]}
    >>> with Store(path) as store:
    ...     _ = import_edits(store, pd.DataFrame(entry), purpose="entry")
    ...     disagreements(store)["entries"].tolist()
    ['ana: 999']
    >>> folder.cleanup()
    """
    run = run or store.run()
    found = []
    ask = (
        "SELECT p.file, f.count FROM pages p JOIN fields f ON f.page = p.id "
        "WHERE p.run = ? AND p.sha256 = ? AND p.number = ? AND f.field = ?"
    )
    for (sha256, number, name), edits in edits_of(store).items():
        for file, count in store.ask(ask, run.id, sha256, number, name):
            if final_count(count, None, edits)[1]:
                entries = {e.who: e.count for e in edits if e.purpose == "entry"}
                text = ", ".join(
                    f"{who}: {'missing' if n is None else n}"
                    for who, n in entries.items()
                )
                found.append((file, number, name, count, text))
    names = ["file", "page", "field", "count", "entries"]
    table = pd.DataFrame(found, columns=names)
    table = typed(store, table, {"page": "int64", "count": "Int64"})
    return table.sort_values(names[:3], ignore_index=True)


def typed(store: Store, table: pd.DataFrame, dtypes: dict[str, str]) -> pd.DataFrame:
    """Give the columns of a table their types, which SQLite does not insist on."""
    try:
        with np.errstate(invalid="ignore"):
            return table.astype(dtypes)
    except (ValueError, TypeError, OverflowError) as error:
        raise StoreError(
            f"{store.path}: expected whole numbers as counts and pages, got something "
            f"else ({error!s:.200}): the store was damaged or altered; go back to an "
            "untouched copy"
        ) from None

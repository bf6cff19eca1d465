"""From a store to a table: as read, reconciled and final values, side by side.

The rule of the final count is in `sktally.tables._final`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sktally.tables._files import name_now
from sktally.tables._final import Edit, final_count, last_of_each, settled
from sktally.tables._records import Run
from sktally.tables._sheets import JOINED, shown_reconciliation
from sktally.tables._store import Store, chosen_run, opened
from sktally.tables._typed import ask_typed

__all__ = ["STORE_COLUMNS", "disagreements", "edits_of", "store_parts", "store_table"]

#: Columns of `store_table`.
STORE_COLUMNS = (
    *("file", "page", "field", "boxes", "count", "reconciled", "final"),
    *("confidence", "reconciled_proba", "tally_quality", "status", "message"),
    "sha256",
)
_DTYPES = {
    "page": "int64",
    "count": "Int64",
    "reconciled": "Int64",
    "final": "Int64",
    "confidence": "Float64",
    "reconciled_proba": "Float64",
    "tally_quality": "Float64",
}
_AT_ONCE = 20_000  # rows of a part


def edits_of(
    store: Store, where: str = "", *values: Any
) -> dict[tuple[str, int, str], list[Edit]]:
    """Return the edits of each image, page number and field, oldest first."""
    found: dict[tuple[str, int, str], list[Edit]] = {}
    ask = (
        "SELECT sha256, number, field, file, purpose, who, count FROM edits "
        f"{where} ORDER BY id"
    )
    for sha256, number, name, _, *rest in ask_typed(store, ask, *values):
        found.setdefault((sha256, number, name), []).append(Edit(*rest))
    return found


def store_table(
    store: Store | str | Path, run: Run | int | None = None, *, replaced: bool = False
) -> pd.DataFrame:
    """Return all that a run has read, a row for each page and field.

    Parameters
    ----------
    store : Store, str or path
        An open store, or the path of one.
    run : Run or int, optional
        By default the one last read in.
    replaced : bool, default=False
        Whether to return pages too whose file has other bytes now, and of which no
        copy was seen: what came in their place would count beside them.

    Returns
    -------
    DataFrame
        Columns `STORE_COLUMNS`: as `read_tallies` gives them, ``count`` as read,
        ``reconciled`` with its probability given the sheet, ``reconciled_proba``
        (missing until `reconcile_store` is called), ``final`` (by the rule in
        docs/stores.md), and ``sha256`` of the file. Pages in the order in which they
        were read; files that could not be opened come last, without ``sha256``.

    Raises
    ------
    StoreError
        If nothing was read into the store.

    See Also
    --------
    store_parts : The same part by part, where it is too much for the memory.
    sums_table : Sums that do not hold, and who is likelier to have erred.
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
    >>> from sktally.tables import store_table
    >>> table = store_table(path)
    >>> len(table), bool((table["final"] == table["count"]).all())
    (6, True)
    >>> folder.cleanup()
    """
    with opened(store) as source:
        rows = [row for part in _parts(source, run, replaced) for row in part]
    return _frame(rows)


def store_parts(
    store: Store, run: Run | int | None = None, *, replaced: bool = False
) -> Iterator[pd.DataFrame]:
    """Yield what `store_table` returns in parts of some thousand rows.

    Memory does not grow with the number of pages. Where others write meanwhile, ask
    within ``store.reading()``, so that all parts are of one moment.

    Parameters
    ----------
    store : Store
        An open store; to be left open until the last part.
    run : Run or int, optional
        By default the one last read in.
    replaced : bool, default=False
        As of `store_table`.

    Yields
    ------
    DataFrame
        Whole pages, at least one part, perhaps without rows.

    See Also
    --------
    write_table : Writes them as they come.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import Store, store_parts, write_table
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), ["gone.png"], path)
    >>> with Store(path) as store:
    ...     print([len(part) for part in store_parts(store)])
    ...     write_table(store_parts(store), folder.name + "/votes.csv")
    [6]
    >>> folder.cleanup()
    """
    empty = True
    for rows in _parts(store, run, replaced):
        empty = False
        yield _frame(rows)
    if empty:
        yield _frame([])


def _frame(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(STORE_COLUMNS)).astype(_DTYPES)


def _parts(
    store: Store, run: Run | int | None, replaced: bool
) -> Iterator[list[tuple]]:
    run = chosen_run(store, run)
    n_pages = max(1, _AT_ONCE // len(run.fields))
    shown = shown_reconciliation(store, run)
    end = store.ask("SELECT MAX(id) FROM pages WHERE run = ?", run.id)[0][0] or 0
    for last in range(0, end, n_pages):
        rows = list(_read(store, run, shown, replaced, last, last + n_pages))
        if rows:
            yield rows
    ask = (
        "SELECT file, number, message FROM unreadable WHERE run = ? AND "
        "(file, number) > (?, ?) ORDER BY file, number LIMIT ?"
    )
    pages: list[tuple] = [("", 0, "")]
    while pages := ask_typed(store, ask, run.id, *pages[-1][:2], n_pages):
        nothing = (None,) * 7
        yield [
            (file, number, name, *nothing, "failed", message, None)
            for file, number, message in pages
            for name in run.fields
        ]


def _read(
    store: Store, run: Run, shown: int | None, replaced: bool, last: int, until: int
) -> Iterator[tuple]:
    """Yield the rows of the pages after one and until another."""
    # the plus keeps SQLite to the range of ids
    some = "+p.run = ? AND p.id > ? AND p.id <= ?"
    image = f"WHERE sha256 IN (SELECT sha256 FROM pages p WHERE {some})"
    edits = edits_of(store, image, run.id, last, until)
    ask = (
        f"SELECT {name_now('p')} AS file, p.number, f.field, f.boxes, f.count, "
        "r.count AS reconciled, "
        "MIN(r.holds) OVER (PARTITION BY p.id) AS holds, f.confidence, "
        "r.proba AS reconciled_proba, p.tally_quality, f.status, f.message, p.sha256 "
        f"FROM pages p JOIN fields f ON f.page = p.id {JOINED} WHERE {some} "
        + ("" if replaced else "AND p.sha256 IN (SELECT sha256 FROM files) ")
        + "ORDER BY p.id, f.place"
    )
    for row in ask_typed(store, ask, shown, run.id, last, until):
        file, number, name, boxes, count, mended, holds, sure, proba, *rest = row
        said = edits.get((rest[-1], number, name), [])
        final = final_count(count, settled(mended, proba, holds), said)[0]
        yield file, number, name, boxes, count, mended, final, sure, proba, *rest


def disagreements(store: Store, run: Run | int | None = None) -> pd.DataFrame:
    """Return the fields whose readings disagree, for a third person to enter.

    Parameters
    ----------
    store : Store
        An open store.
    run : Run or int, optional
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
    run = chosen_run(store, run)
    found = []
    ask = (
        f"SELECT {name_now('p')} AS file, f.count "
        "FROM pages p JOIN fields f ON f.page = p.id "
        "WHERE p.run = ? AND p.sha256 = ? AND p.number = ? AND f.field = ? "
        "AND p.sha256 IN (SELECT sha256 FROM files)"  # of pages that count
    )
    for (sha256, number, name), edits in edits_of(store).items():
        for file, count in ask_typed(store, ask, run.id, sha256, number, name):
            if final_count(count, None, edits)[1]:
                entries = last_of_each(e for e in edits if e.purpose == "entry")
                text = ", ".join(
                    f"{e.who}: {'missing' if e.count is None else e.count}"
                    for e in entries
                )
                found.append((file, number, name, count, text))
    names = ["file", "page", "field", "count", "entries"]
    table = pd.DataFrame(found, columns=names)
    table = table.astype({"page": "int64", "count": "Int64"})
    return table.sort_values(names[:3], ignore_index=True)

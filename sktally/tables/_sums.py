"""From a store to a table of sums: by how much they are off, and who erred.

Comes in: a store. Goes out: a row for each page and sum of its form.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pandas as pd

from sktally.tables._files import name_now
from sktally.tables._final import who_erred
from sktally.tables._records import Run
from sktally.tables._sheets import JOINED, check_sums, shown_reconciliation
from sktally.tables._store import Store, chosen_run
from sktally.tables._typed import ask_typed

__all__ = ["SUMS_COLUMNS", "sums_parts", "sums_table"]

#: Columns of `sums_table`.
SUMS_COLUMNS = (
    *("file", "page", "sum", "count", "parts", "difference", "holds", "erred"),
    "sha256",
)
_DTYPES = {
    **dict.fromkeys(("count", "parts", "difference"), "Int64"),
    "page": "int64",
    "holds": "Float64",
}
_AT_ONCE = 20_000  # fields of a part


def sums_table(store: Store, run: Run | int | None = None) -> pd.DataFrame:
    """Return the sums of all sheets that a run has read, a row for each page and sum.

    Parameters
    ----------
    store : Store
        An open store.
    run : Run or int, optional
        By default the one last read in.

    Returns
    -------
    DataFrame
        Columns `SUMS_COLUMNS`: ``sum``, the field that should be one, ``count``, what
        was read in it, ``parts``, the sum of what was read in its parts, and their
        ``difference``, missing where a count is; ``holds``, the probability that the
        sum holds on paper, missing until `reconcile_store` is called; ``erred``, where
        it does not hold as read: "clerk" if it likelier does not hold on paper either,
        else "machine".

    Raises
    ------
    StoreError
        If the form has no sums, or nothing was read into the store.

    See Also
    --------
    sums_parts : The same part by part, where it is too much for the memory.
    store_table : Counts.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import Store, sums_table
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> with Store(path) as store:
    ...     len(sums_table(store))
    0
    >>> folder.cleanup()
    """
    return pd.concat(list(sums_parts(store, run)), ignore_index=True)


def sums_parts(store: Store, run: Run | int | None = None) -> Iterator[pd.DataFrame]:
    """Yield what `sums_table` returns in parts, so that memory does not grow.

    Parameters
    ----------
    store : Store
        An open store; to be left open until the last part.
    run : Run or int, optional
        By default the one last read in.

    Yields
    ------
    DataFrame
        Whole pages, at least one part, perhaps without rows.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import Store, sums_parts
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> with Store(path) as store:
    ...     print([len(part) for part in sums_parts(store)])
    [0]
    >>> folder.cleanup()
    """
    run = chosen_run(store, run)
    sums, shown = check_sums(run), shown_reconciliation(store, run)
    n_pages = max(1, _AT_ONCE // len(run.fields))
    end = store.ask("SELECT MAX(id) FROM pages WHERE run = ?", run.id)[0][0] or 0
    # the plus keeps SQLite to the range of ids
    ask = (
        f"SELECT {name_now('p')} AS file, p.number, p.sha256, f.field, f.count, "
        f"r.holds FROM pages p JOIN fields f ON f.page = p.id {JOINED} "
        "WHERE +p.run = ? AND p.id > ? AND p.id <= ? AND p.status = 'ok' "
        "AND p.sha256 IN (SELECT sha256 FROM files) ORDER BY p.id, f.place"
    )
    for last in range(0, end or 1, n_pages):
        rows = ask_typed(store, ask, shown, run.id, last, last + n_pages)
        found = [
            (*page[:2], *values, page[2])
            for page, fields in groupby(rows, key=lambda row: row[:3])
            for values in _of_page({row[3]: row[4:] for row in fields}, sums)
        ]
        yield pd.DataFrame(found, columns=list(SUMS_COLUMNS)).astype(_DTYPES)


def _of_page(
    fields: dict[str, tuple[int | None, float | None]], sums: dict[str, list[str]]
) -> Iterator[tuple]:
    """Yield sum, count, parts, difference, holds and who erred, of one page."""
    for total, parts in sums.items():
        count, holds = fields[total]
        values = [fields[name][0] for name in parts]
        known = [value for value in values if value is not None]
        added = sum(known) if len(known) == len(values) else None
        difference = None if count is None or added is None else count - added
        yield total, count, added, difference, holds, who_erred(difference, holds)

"""Read pages with a fitted reader into a table.

Comes in: a reader (the stock Pipeline of cropper, normalizer and aggregator) and
pages. Goes out: a data frame with one row for each page and field, in which a
count that was not read is missing, never -1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from sktally._validate import check_range
from sktally.cells import PageReport
from sktally.cells._as_pages import as_pages
from sktally.exceptions import PageReadError
from sktally.pages._read import split_name
from sktally.tables._image import printable
from sktally.tables._rows import check_reader, crop_and_clean, page_rows, read_cropped

__all__ = ["COLUMNS", "read_tallies"]

#: Columns of `read_tallies`.
COLUMNS = (
    "file",
    "page",
    "field",
    "boxes",
    "count",
    "confidence",
    "tally_quality",
    "status",
    "message",
)
# Of numbers, so that tables of pages none of which was read have them too.
_DTYPES = {
    "page": "int64",
    "count": "Int64",
    "confidence": "Float64",
    "tally_quality": "Float64",
}


def read_tallies(
    reader: Pipeline,
    pages: Sequence[Any],
    *,
    batch_size: int = 32,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Read pages into a table with one row for each page and field.

    A page that cannot be read costs its own rows only: they carry status and
    message, and the batch goes on.

    Parameters
    ----------
    reader : Pipeline
        A fitted reader, for example from `load_reader`: a `TallyCropper` first
        and a `VoteCountAggregator` last.
    pages : sequence of str, path or ndarray
        Pages, as `list_pages` names them, or uint8 arrays.
    batch_size : int, default=32
        Pages cropped and classified together; bounds the memory.
    progress : callable, optional
        Called with the number of pages done after each batch.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: ``file``, ``page`` (from 1), ``field``, ``boxes`` (as
        written, such as "x23"), ``count`` (nullable Int64), ``confidence`` and
        ``tally_quality`` (the paper's, 0 to 1), ``status`` ("ok", "ambiguous",
        "misfit": frames fit badly, "rejected": form not found, "failed": file not
        readable), ``message``.

    Raises
    ------
    TallyError
        If `reader` is not such a Pipeline, or `pages` is not one entry a page.

    See Also
    --------
    sktally.load_reader : A ready reader for a form.
    sktally.list_pages : Names of the pages in files and folders.

    Examples
    --------
    >>> from sktally import load_reader, make_tally_pages, read_tallies
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> table = read_tallies(load_reader("example"), made.pages)
    >>> len(table)  # one page, six fields
    6
    """
    check_reader(reader)
    check_range("batch_size", batch_size, 1, 10**6, integer=True)
    # No page at all makes a table without rows.
    pages = as_pages(pages, "pages") if not _is_empty(pages) else []
    rows: list[dict] = []
    for start in range(0, len(pages), batch_size):
        batch = list(pages[start : start + batch_size])
        rows.extend(_read_batch(reader, batch, start))
        if progress is not None:
            progress(len(batch))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(_DTYPES)


def _is_empty(pages: object) -> bool:
    return isinstance(pages, list | tuple) and not pages


def _read_batch(reader: Pipeline, batch: list, start: int) -> Iterator[dict]:
    cells, reports = crop_and_clean(reader, batch)
    read = read_cropped(reader, cells, reports)
    for i, report in enumerate(reports):
        file, page = _name(batch[i], start + i)
        named = replace(report, message=_renamed(report, batch[i], file))
        for row in page_rows(reader[0].form_, named, read, i):
            yield {"file": file, "page": page, **row}


def _renamed(report: PageReport, page: object, file: str) -> str:
    """Return the message of a page, which the cropper counts within its batch."""
    if isinstance(page, np.ndarray):
        return file + report.message.removeprefix(report.name)
    return report.message


def _name(page: object, number: int) -> tuple[str, int]:
    if isinstance(page, str | Path):
        try:
            file, index = split_name(page)
        except PageReadError:  # not a page's name: the row says so under that name
            return printable(str(page)), 1
        return printable(str(file)), index or 1
    return f"array {number}", 1

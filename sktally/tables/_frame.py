"""Read pages with a fitted reader into a table.

Comes in: a reader (the stock Pipeline of cropper, normalizer and aggregator) and
pages. Goes out: a data frame with one row for each page and field, in which a
count that was not read is missing, never -1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from sktally._validate import check_range
from sktally.cells import PageReport
from sktally.cells._as_pages import as_pages
from sktally.exceptions import PageReadError, TallyError
from sktally.form import TallyForm
from sktally.pages._read import split_name

__all__ = ["COLUMNS", "check_table_path", "read_tallies", "write_table"]

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
        "rejected": form not found, "failed": file not readable), ``message``.

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
    ends = (reader[0], reader[-1]) if hasattr(reader, "steps") else (None, None)
    if not (hasattr(ends[0], "crop") and hasattr(ends[1], "predict_tallies")):
        raise TallyError(
            "reader: expected a Pipeline of TallyCropper, CellNormalizer and "
            f"VoteCountAggregator, got {type(reader).__name__}; make one with "
            "load_reader(form)"
        )
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
    cropper, aggregator = reader[0], reader[-1]
    cells, reports = cropper.crop(batch)
    form: TallyForm = cropper.form_
    for _, step in reader.steps[1:-1]:
        cells = step.transform(cells)
    read = aggregator.predict_tallies(cells)
    for i, report in enumerate(reports):
        file, page = _name(batch[i], start + i)
        base = {"file": file, "page": page}
        if report.status != "ok":
            for name in form.field_names:
                yield base | {
                    "field": name,
                    "status": report.status,
                    "message": _renamed(report, batch[i], file),
                }
            continue
        broken = _broken_sums(form, read.counts[i])
        for j, name in enumerate(form.field_names):
            count, status = int(read.counts[i, j]), str(read.status[i, j])
            # On a page that was located, a field without all its cells.
            status = "failed" if status == "unread" else status
            yield base | {
                "field": name,
                "boxes": read.boxes[i, j],
                "count": count if count >= 0 else None,
                "confidence": float(read.confidence[i, j]),
                "tally_quality": float(read.tally_quality[i]),
                "status": status,
                "message": "; ".join(
                    text
                    for text in (
                        _why(status, read.boxes[i, j]),
                        *broken.get(name, ()),
                    )
                    if text
                ),
            }


def _renamed(report: PageReport, page: object, file: str) -> str:
    """Return the message of a page, which the cropper counts within its batch."""
    if isinstance(page, np.ndarray):
        return file + report.message.removeprefix(report.name)
    return report.message


def _folder(page: str) -> Path:
    return Path(_name(page, 0)[0]).resolve().parent


def _name(page: object, number: int) -> tuple[str, int]:
    if isinstance(page, str | Path):
        try:
            file, index = split_name(page)
        except PageReadError:  # not a page's name: the row says so under that name
            return str(page), 1
        return str(file), index or 1
    return f"array {number}", 1


def _why(status: str, boxes: str) -> str:
    if status == "failed":
        return "a box of this field lies outside the page; look at the page"
    if status == "ambiguous" and not any(box.isdigit() for box in boxes):
        return f"no digit and an empty last box in {boxes!r}; look at the page"
    if status == "ambiguous":
        return f"empty or crossed box right of a digit in {boxes!r}; look at the page"
    return ""


def _broken_sums(form: TallyForm, counts: np.ndarray) -> dict[str, list[str]]:
    """Say for each field which sums it takes part in do not hold as read."""
    value = dict(zip(form.field_names, counts.tolist(), strict=True))
    broken: dict[str, list[str]] = {}
    for total, parts in form.sums.items():
        values = [value[name] for name in parts]
        if min([value[total], *values]) < 0 or sum(values) == value[total]:
            continue
        text = f"{total} reads {value[total]} but {' + '.join(parts)} = {sum(values)}"
        for name in (total, *parts):
            broken.setdefault(name, []).append(text)
    return broken


def check_table_path(path: str | Path, pages: Sequence[str] = ()) -> Path:
    """Return the path of a table to write, or say what is wrong with it.

    Parameters
    ----------
    path : str or path
        Should end in ``.csv`` or ``.parquet``.
    pages : sequence of str, optional
        The pages to be read: nothing is ever written into their folders.

    Returns
    -------
    Path

    Raises
    ------
    TallyError
        If the ending is another, the folder is missing, or pages lie in it.

    Examples
    --------
    >>> from sktally.tables import check_table_path
    >>> check_table_path("votes.csv", ["scans/station_1.jpg"]).name
    'votes.csv'
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise TallyError(
            f"{path}: expected a name that ends in .csv or .parquet, got "
            f"{path.suffix or 'no ending'!r}"
        )
    folder = path.resolve().parent
    if not folder.is_dir():
        raise TallyError(f"{path}: there is no folder {folder}; make it first")
    if folder in {_folder(page) for page in pages}:
        raise TallyError(
            f"{path}: the pages lie in {folder}, and sktally never writes beside its "
            "input; choose another folder for the table"
        )
    return path


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV or Parquet, whole or not at all.

    Parameters
    ----------
    table : DataFrame
        Any table.
    path : str or path
        Ends in ``.csv`` or ``.parquet``.

    Raises
    ------
    TallyError
        If the ending is another, the folder is missing or cannot be written, or
        Parquet support is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from sktally.tables import write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(pd.DataFrame({"count": [12]}), folder + "/votes.csv")
    ...     int(pd.read_csv(folder + "/votes.csv")["count"][0])
    12
    """
    path = check_table_path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        if path.suffix == ".csv":
            table.to_csv(partial, index=False)
        else:
            table.to_parquet(partial, index=False)
        partial.replace(path)
    except ImportError:
        raise TallyError(
            f"{path}: writing Parquet needs the [table] extra: "
            "pip install 'sktally[table]'"
        ) from None
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TallyError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder "
            "that exists and may be written to"
        ) from None

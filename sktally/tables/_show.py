"""Show where a number comes from: the page, its boxes, the crops, the probabilities.

Comes in: a store and the name of a page. Goes out: a text of what the store holds, and
a picture of the scan itself, if it is still what was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sktally.exceptions import StoreError, TallyError
from sktally.tables._drawn import draw_page, likeliest, proba_of
from sktally.tables._final import Edit, final_count, settled
from sktally.tables._find import find_page
from sktally.tables._origin import form_of
from sktally.tables._records import Run
from sktally.tables._rows import crop_and_clean, read_cropped
from sktally.tables._scan import Scan, scan_of
from sktally.tables._schema import explained
from sktally.tables._sheets import JOINED, shown_reconciliation
from sktally.tables._store import Store, check_open

__all__ = ["Shown", "as_written", "show_page"]


@dataclass(frozen=True)
class Shown:
    """What `show_page` found.

    Attributes
    ----------
    text : str
        All that is known of the page, line by line.
    picture : ndarray of shape (height, width, 3), optional
        uint8 RGB: the page with its boxes and, of a field, its crops. None without the
        scan that was read.
    problem : str
        Why there is no picture, and what was not compared; empty where there is one.
    """

    text: str
    picture: np.ndarray | None
    problem: str = ""


def show_page(
    store: Store,
    name: str,
    field: str | None = None,
    *,
    run: Run | int | None = None,
    reader: Pipeline | None = None,
) -> Shown:
    """Draw a page of a store and tell where its numbers come from.

    Parameters
    ----------
    store : Store
        An open store.
    name : str
        The page, as `sktally.tables.import_edits` takes it.
    field : str, optional
        Draw the boxes of this field enlarged, with their probabilities.
    run : Run or int, optional
        By default the one last read in.
    reader : Pipeline, optional
        Read the page once more with it and say whether the result is the same.

    Returns
    -------
    Shown
        Without a picture if no file is left with the bytes that were read: the text is
        what the store holds, then, and nothing of it is compared with a scan.

    Raises
    ------
    StoreError
        If there is no such page or field.

    See Also
    --------
    verify : Looks at all pages.
    sktally.persist.reader_of_run : The reader to read again with.

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
    >>> from sktally.tables import Store, show_page
    >>> with Store(path) as store:
    ...     shown = show_page(store, "scan.png", "01")
    >>> shown.picture.shape[2], "SHA-256" in shown.text
    (3, True)
    >>> folder.cleanup()
    """
    check_open(store)
    with as_written(store):
        return _shown_page(store, store.run(run), name, field, reader)


@contextmanager
def as_written(store: Store) -> Iterator[None]:
    """Say that a store was altered where what it holds makes no sense."""
    try:
        with explained(store.path):
            yield
    except TallyError:
        raise
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise StoreError(
            f"{store.path}: expected pages as sktally wrote them, got something else "
            f"({type(error).__name__}: {error!s:.200}); the store was altered or "
            f"damaged: `sktally verify {store.path}` tells which rows were, go back to "
            "an untouched copy"
        ) from error


def _shown_page(
    store: Store, run: Run, name: str, field: str | None, reader: Pipeline | None
) -> Shown:
    """Do what `show_page` does."""
    form = form_of(run)
    page = _row(store, "SELECT * FROM pages WHERE id = ?", find_page(store, run, name))
    fields = _rows(
        store,
        "SELECT f.*, r.count AS reconciled, r.proba AS reconciled_proba, r.holds, "
        "MIN(r.holds) OVER () AS least_holds FROM pages p JOIN fields f ON f.page = "
        f"p.id {JOINED} WHERE p.id = ? ORDER BY f.place",
        *(shown_reconciliation(store, run), page["id"]),
    )
    if field is not None and field not in form.field_names:
        raise StoreError(
            f"field: expected one of {', '.join(form.field_names)}, got {field!r}"
        )
    lines = _told(store, run, page)
    for row in fields:
        if field in (None, row["field"]):
            lines += _field_told(store, page, row)
    if field is not None:
        lines += _likely(fields[form.field_names.index(field)], form.n_places)
    scan = scan_of(store, page["sha256"], page["number"])
    if scan.image is None:
        return Shown("\n".join(lines), None, _without(store, page, scan))
    if reader is not None:
        lines.append(_again(reader, scan.source, fields))
    picture = draw_page(scan.image, form, page, fields, field)
    return Shown("\n".join(lines), picture)


def _without(store: Store, page: dict[str, Any], scan: Scan) -> str:
    """Say that there is no picture of a page, and why."""
    return (
        f"{page['file']}: expected the scan that was read (SHA-256 "
        f"{page['sha256'][:12]}...), but {scan.problem}; no picture was drawn, nothing "
        "was read again, and what the store holds was not compared with the scan: put "
        f"it back for that, and see `sktally verify {store.path} --rows-only`"
    )


def _rows(store: Store, question: str, *values: Any) -> list[dict[str, Any]]:
    cursor = store.base.execute(question, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _row(store: Store, question: str, *values: Any) -> dict[str, Any]:
    return _rows(store, question, *values)[0]


def _told(store: Store, run: Run, page: dict[str, Any]) -> list[str]:
    content = store.circumstances(page["session"])
    link = _row(
        store, "SELECT * FROM chain WHERE kind = 'pages' AND ref = ?", page["id"]
    )
    model, form = run.content["model"], run.content["form"]
    versions = ", ".join(f"{k} {v}" for k, v in content["versions"].items())
    lines = [
        f"page       {page['file']}, page {page['number']}: {page['status']}",
        f"image      SHA-256 {page['sha256']}",
        f"read       {page['read_at']} in run {run.id}, link {link['id']} of the chain",
        f"form       {form['name']}, SHA-256 {form['sha256']}",
        f"model      {model.get('name', '')}, SHA-256 {model['sha256']}",
        f"software   {versions}",
    ]
    if page["message"]:
        lines.append(f"message    {page['message']}")
    if page["transform"] is not None:
        rows = np.reshape(json.loads(page["transform"]), (3, 3))
        shown = "; ".join(" ".join(f"{v:.6g}" for v in row) for row in rows)
        fit = f"by {page['method']}, score {page['score']:.3f}"
        if page["residual"] is not None:
            fit += f", residual {page['residual']:.3f} form units"
        lines += [f"located    {fit}, turned {page['turn']}", f"transform  {shown}"]
    return lines


def _field_told(store: Store, page: dict, row: dict[str, Any]) -> list[str]:
    edits = _rows(
        store,
        "SELECT purpose, who, why, boxes, count, made_at FROM edits "
        "WHERE sha256 = ? AND number = ? AND field = ? ORDER BY id",
        *(page["sha256"], page["number"], row["field"]),
    )
    said = [Edit(edit["purpose"], edit["who"], edit["count"]) for edit in edits]
    mended = settled(row["reconciled"], row["reconciled_proba"], row["least_holds"])
    final, split = final_count(row["count"], mended, said)
    sure = "" if row["confidence"] is None else f", confidence {row['confidence']:.4f}"
    lines = [
        f"field {row['field']:8s} read {row['boxes'] or '-'} = {_shown(row['count'])}"
        f" ({row['status']}{sure}){_reconciled(row)}, final {_shown(final)}"
        + (" (entries disagree)" if split else "")
    ]
    if row["message"] and row["message"] != page["message"]:
        lines.append(f"    {row['message']}")
    for edit in edits:
        why = f": {edit['why']}" if edit["why"] else ""
        lines.append(
            f"    {edit['purpose']} by {edit['who']}, {edit['made_at']}: "
            f"{_shown(edit['count'])}{why}"
        )
    return lines


def _reconciled(row: dict[str, Any]) -> str:
    if row["reconciled"] is None:
        return ""
    text = f", reconciled {row['reconciled']} (probability "
    text += f"{row['reconciled_proba']:.4f}"
    if row["holds"] is not None:
        text += f"; sum holds on paper with {row['holds']:.4f}"
    return text + ")"


def _shown(count: int | None) -> str:
    return "missing" if count is None else str(count)


def _likely(row: dict[str, Any], n_places: int) -> list[str]:
    proba = proba_of(row, n_places)
    if proba is None:
        return []
    return [
        f"    box {i + 1}: {likeliest(p)}"
        for i, p in enumerate(p for p in proba if np.isfinite(p).all())
    ]


def _again(reader: Pipeline, source: str, fields: list[dict[str, Any]]) -> str:
    """Read the page once more and say whether the result is that of the store."""
    cells, reports = crop_and_clean(reader, [source])
    [report] = reports
    if report.status != "ok":
        return f"read again: {report.message}"
    read = read_cropped(reader, cells, reports)
    boxes = [row["boxes"] for row in fields]
    if read.boxes[0].tolist() != boxes:
        return f"read again: differs, {', '.join(read.boxes[0])}"
    then = [proba_of(row, read.digit_proba.shape[2]) for row in fields]
    change = max(
        float(np.nanmax(np.abs(now - old)))
        for now, old in zip(read.digit_proba[0], then, strict=True)
        if old is not None
    )
    return f"read again: the same; probabilities differ by {change:.2g} at most"

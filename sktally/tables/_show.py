"""Show where a number comes from: the page, its boxes, the crops, the probabilities.

Comes in: a store and the name of a page. Goes out: a text and a picture, made from
what the store holds and from the scan itself, if it is still what was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from sklearn.pipeline import Pipeline

from sktally.cells._sample import sample_cells
from sktally.exceptions import StoreError, TallyError
from sktally.form import TallyForm
from sktally.pages import Registration, draw_registration, read_page
from sktally.pages._read import count_pages
from sktally.tables._final import Edit, final_count, settled
from sktally.tables._find import file_of, find_page
from sktally.tables._image import file_sha256
from sktally.tables._origin import form_of
from sktally.tables._records import Run
from sktally.tables._rows import crop_and_clean, read_cropped
from sktally.tables._schema import explained
from sktally.tables._sheets import JOINED, shown_reconciliation
from sktally.tables._store import Store
from sktally.votes import CLASSES

__all__ = ["Shown", "as_written", "show_page"]

_SIDE = 120  # pixels of a crop in the picture
_LIKELY = 3  # classes named for each box


@dataclass(frozen=True)
class Shown:
    """What `show_page` found.

    Attributes
    ----------
    text : str
        All that is known of the page, line by line.
    picture : ndarray of shape (height, width, 3)
        uint8 RGB: the page with its boxes and, of a field, its crops.
    """

    text: str
    picture: np.ndarray


def show_page(
    store: Store,
    name: str,
    field: str | None = None,
    *,
    run: Run | None = None,
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
    run : Run, optional
        By default the one last read in.
    reader : Pipeline, optional
        Read the page once more with it and say whether the result is the same.

    Returns
    -------
    Shown

    Raises
    ------
    StoreError
        If there is no such page or field, or no file is left with the bytes that were
        read.

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
    with as_written(store):
        return _shown_page(store, run or store.run(), name, field, reader)


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
    path = file_of(store, page["sha256"])
    if path is None or file_sha256(path) != page["sha256"]:
        raise StoreError(
            f"{page['file']}: expected the file that was read (SHA-256 "
            f"{page['sha256'][:12]}...), but it is gone or changed; put it back"
        )
    several = count_pages(path) > 1
    source = f"{path}#page={page['number']}" if several else str(path)
    image = read_page(source)
    lines = _told(store, run, page)
    for row in fields:
        if field in (None, row["field"]):
            lines += _field_told(store, page, row)
    if field is not None:
        lines += _likely(fields[form.field_names.index(field)], form.n_places)
    if reader is not None:
        lines.append(_again(reader, source, fields))
    registration = _registration(page, fields, form)
    texts = [f"{row['boxes'] or ''} = {_shown(row['count'])}" for row in fields]
    error = TallyError(page["message"]) if registration is None else None
    picture = draw_registration(image, form, registration, error=error, texts=texts)
    if field is not None and registration is not None:
        j = form.field_names.index(field)
        crops = _crops(image, registration.quads[j : j + 1], fields[j], form.n_places)
        picture = _below(picture, crops)
    return Shown("\n".join(lines), picture)


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


def _proba(row: dict[str, Any], n_places: int) -> np.ndarray | None:
    """Return probabilities (n_places, n_classes), or None where there are none."""
    if row["proba"] is None:
        return None
    return np.frombuffer(row["proba"], "<f4").reshape(n_places, -1)


def _best(proba: np.ndarray) -> str:
    order = np.argsort(-proba)[:_LIKELY]
    return "  ".join(f"{CLASSES[k]} {proba[k]:.3f}" for k in order)


def _likely(row: dict[str, Any], n_places: int) -> list[str]:
    proba = _proba(row, n_places)
    if proba is None:
        return []
    return [
        f"    box {i + 1}: {_best(p)}"
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
    then = [_proba(row, read.digit_proba.shape[2]) for row in fields]
    change = max(
        float(np.nanmax(np.abs(now - old)))
        for now, old in zip(read.digit_proba[0], then, strict=True)
        if old is not None
    )
    return f"read again: the same; probabilities differ by {change:.2g} at most"


def _registration(
    page: dict[str, Any], fields: list[dict[str, Any]], form: TallyForm
) -> Registration | None:
    if page["transform"] is None:
        return None
    quads = [np.frombuffer(row["polygons"], "<f4").astype(float) for row in fields]
    residual = page["residual"]
    return Registration(
        homography=np.reshape(json.loads(page["transform"]), (3, 3)),
        quads=np.reshape(quads, (form.n_fields, form.n_places, 4, 2)),
        turn=page["turn"],
        score=page["score"],
        residual=np.nan if residual is None else residual,
        method=page["method"],
    )


def _crops(
    image: np.ndarray, quads: np.ndarray, row: dict[str, Any], n_places: int
) -> np.ndarray:
    """Return the boxes of a field side by side, each over its probabilities."""
    cells = sample_cells(image, quads, cell_size=(_SIDE, _SIDE), margin=0.15)[0]
    proba = _proba(row, n_places)
    parts = []
    for i, cell in enumerate(cells):
        if not np.isfinite(quads[0, i]).all():
            continue
        part = np.full((_SIDE + 70, _SIDE + 20, 3), 255, np.uint8)
        part[5 : 5 + _SIDE, 10 : 10 + _SIDE] = cell[..., None]
        if proba is not None:
            for line, text in enumerate(_best(proba[i]).split("  ")):
                place = (12, _SIDE + 22 + 18 * line)
                cv2.putText(part, text, place, 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        parts.append(part)
    return np.hstack(parts)


def _below(picture: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Stack two pictures, the narrower one on white."""
    width = max(picture.shape[1], crops.shape[1])
    both = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part in (picture, crops)
    ]
    return np.vstack(both)

"""The sheets to look at first, with their boxes cut out of the scans once more.

Comes in: a store and its sheets. Goes out: for each of the worst its counts and
pictures, or why there are none; and sheets that were not read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sktally.report._pages import Pages
from sktally.report._pictures import (
    Picture,
    embedded,
    field_picture,
    page_picture,
)
from sktally.tables import Run, Store
from sktally.tables._final import final_count, settled
from sktally.tables._scan import Scan, scan_of
from sktally.tables._sheets import JOINED, shown_reconciliation
from sktally.tables._values import edits_of

__all__ = ["Field", "Sheet", "worst_read", "worst_unread"]

_FIELDS = 12  # of a sheet, those most in doubt
_NO_IMAGES = "pictures were left out"


@dataclass(frozen=True)
class Field:
    """A count of a sheet.

    Parameters
    ----------
    name, boxes, status, message : str
        As read.
    count, reconciled, final : int or None
        As read, given the sheet, and in the end.
    confidence : float or None
        Of the count as read.
    picture : Picture or None
        Its boxes.
    """

    name: str
    boxes: str
    status: str
    message: str
    count: int | None
    reconciled: int | None
    final: int | None
    confidence: float | None
    picture: Picture | None = None


@dataclass(frozen=True)
class Sheet:
    """One of the worst sheets.

    Parameters
    ----------
    name : str
        Its file, with the page if it is not the first.
    doubt : float
        Counts on it that are expected to be wrong.
    message : str
        Why it was not read, if so.
    fields : list of Field
        Its counts; not all, if it has many.
    n_fields : int
        All of them.
    picture : Picture or None
        The page with its boxes.
    note : str
        Why there are no pictures; empty if there are.
    """

    name: str
    doubt: float
    message: str
    fields: list[Field]
    n_fields: int
    picture: Picture | None
    note: str


def worst_read(
    store: Store, run: Run, pages: Pages, n: int, *, images: bool
) -> list[Sheet]:
    """Return the sheets read whose counts are most in doubt, the worst first."""
    rows = pages.table[pages.read & (pages.table["doubt"] > 0)]
    rows = rows.sort_values("doubt", ascending=False, kind="stable").head(n)
    return [_sheet(store, run, row, images) for _, row in rows.iterrows()]


def worst_unread(
    store: Store, run: Run, pages: Pages, n: int, *, n_images: int
) -> list[Sheet]:
    """Return the first sheets that were not read, some of them with pictures."""
    rows = pages.table[~pages.read].head(n)
    return [
        _sheet(store, run, row, i < n_images)
        for i, (_, row) in enumerate(rows.iterrows())
    ]


def _sheet(store: Store, run: Run, row: pd.Series, images: bool) -> Sheet:
    name = row["file"] if row["page"] == 1 else f"{row['file']}#page={row['page']}"
    fields, picture, note = [], None, "the file could not be opened"
    n_fields = 0
    if not pd.isna(row["id"]):
        ask = "SELECT sha256, number, turn FROM pages WHERE id = ?"
        sha256, number, turn = store.ask(ask, int(row["id"]))[0]
        found = _fields(store, run, int(row["id"]), sha256, number)
        n_fields = len(found)
        read = row["status"] == "ok"
        if read:
            least = sorted(range(n_fields), key=lambda i: _sureness(found[i][0]))
            found = [found[i] for i in sorted(least[:_FIELDS])]
        scan = scan_of(store, sha256, number) if images else Scan(problem=_NO_IMAGES)
        page, note = scan.image, scan.problem
        if page is not None:
            quads = [quads for _, quads in found if quads is not None]
            picture = embedded(page_picture(page, quads, turn or 0))
        fields = [_drawn(field, page, quads) for field, quads in found] if read else []
    why = str(row["message"]).removeprefix(f"{name}: ")
    return Sheet(name, float(row["doubt"]), why, fields, n_fields, picture, note)


def _sureness(field: Field) -> float:
    if field.status != "ok" or field.confidence is None:
        return -1.0
    return field.confidence


def _fields(
    store: Store, run: Run, page: int, sha256: str, number: int
) -> list[tuple[Field, np.ndarray | None]]:
    """Return the counts of a sheet, and where their boxes lie."""
    edits = edits_of(store, "WHERE sha256 = ?", sha256)
    ask = (
        "SELECT f.field, f.boxes, f.status, f.message, f.count, f.confidence, "
        "f.polygons, r.count, r.proba, MIN(r.holds) OVER () "
        f"FROM pages p JOIN fields f ON f.page = p.id {JOINED} "
        "WHERE p.id = ? ORDER BY f.place"
    )
    found = []
    for row in store.ask(ask, shown_reconciliation(store, run), page):
        name, boxes, status, message, count, sure, polygons, mended, proba, holds = row
        said = edits.get((sha256, number, name), [])
        final = final_count(count, settled(mended, proba, holds), said)[0]
        field = Field(name, boxes or "", status, message, count, mended, final, sure)
        found.append((field, _quads(polygons)))
    return found


def _quads(polygons: Any) -> np.ndarray | None:
    if not isinstance(polygons, bytes) or len(polygons) % 32:
        return None
    return np.frombuffer(polygons, "<f4").astype(float).reshape(-1, 4, 2)


def _drawn(field: Field, page: np.ndarray | None, quads: np.ndarray | None) -> Field:
    if page is None or quads is None:
        return field
    boxes = field_picture(page, quads)
    return field if boxes is None else replace(field, picture=embedded(boxes))

"""Reconciliations of a store: begun, gone on with, shown.

Comes in: what a run was reconciled by, and the counts of its sheets. Goes out: rows
that are never changed, and which reconciliation of a run is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sktally.exceptions import StoreError
from sktally.form import TallyForm
from sktally.tables._chain import add_link
from sktally.tables._circumstances import now
from sktally.tables._origin import form_of
from sktally.tables._records import Run
from sktally.tables._store import Store, number_or_none
from sktally.votes import CLASSES, SLIP_TYPES, ReconciledTallies, SumSlips

__all__ = [
    *("JOINED", "add_sheets", "begin_reconciliation", "check_sums", "count_sheets"),
    *("page_proba", "pages_left", "reconciled_by", "shown_reconciliation"),
]

#: What joins the rows of a reconciliation to pages ``p`` and fields ``f``.
JOINED = (
    "LEFT JOIN sheets s ON s.page = p.id AND s.reconciliation = ? "
    "LEFT JOIN reconciled r ON r.sheet = s.id AND r.place = f.place"
)
_CONTENT = {"slips": dict, "versions": dict}


def check_sums(run: Run) -> dict[str, list[str]]:
    """Return the sums of the form of a run, or raise if it has none."""
    form = form_of(run)
    if not form.sums:
        raise StoreError(
            f"run {run.id}: expected a form with sums that bind its fields, but form "
            f"{form.name!r} has none; add a [sums] table to the form and read with it"
        )
    return {total: list(parts) for total, parts in form.sums.items()}


def begin_reconciliation(store: Store, run: Run, content: Mapping[str, Any]) -> int:
    """Return the number of a reconciliation.

    It is the last one of the run, if that was by the same slips, calibration and
    versions, and a new one otherwise.
    """
    text = json.dumps(content, sort_keys=True)
    ask = "SELECT id, content FROM reconciliations WHERE run = ? ORDER BY id DESC"
    with store.writing():
        last = store.ask(f"{ask} LIMIT 1", run.id)
        if last and last[0][1] == text:
            return int(last[0][0])
        return store.add_row("reconciliations", run.id, text, now())


def count_sheets(store: Store, run: Run, reconciliation: int) -> tuple[int, int]:
    """Return how many pages of a run were read, and how many of them reconciled."""
    read = "SELECT COUNT(*) FROM pages WHERE run = ? AND status = 'ok'"
    done = "SELECT COUNT(*) FROM sheets WHERE reconciliation = ?"
    return store.ask(read, run.id)[0][0], store.ask(done, reconciliation)[0][0]


def pages_left(
    store: Store, run: Run, reconciliation: int, at_once: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield the pages that have no sheet yet, some at a time, and their probabilities.

    Yields
    ------
    pages : list of int
        Their numbers in the store.
    proba : ndarray of float64, shape (n_pages, n_fields, n_places, 12)
    """
    form = form_of(run)
    # the plus keeps SQLite to the order of ids
    ask = (
        "SELECT id FROM pages p WHERE +run = ? AND status = 'ok' AND id > ? AND NOT "
        "EXISTS (SELECT 1 FROM sheets WHERE reconciliation = ? AND page = p.id) "
        "ORDER BY id LIMIT ?"
    )
    last = 0
    while rows := store.ask(ask, run.id, last, reconciliation, at_once):
        pages = [page for (page,) in rows]
        yield pages, np.stack([page_proba(store, page, form) for page in pages])
        last = pages[-1]


def page_proba(store: Store, page: int, form: TallyForm) -> np.ndarray:
    """Return the probabilities of the boxes of a page, NaN where nothing was read."""
    shape = (form.n_fields, form.n_places, len(CLASSES))
    ask = "SELECT place, proba FROM fields WHERE page = ? ORDER BY place"
    found = np.full(shape, np.nan)
    try:
        for place, proba in store.ask(ask, page):
            if proba is not None:
                found[place] = np.frombuffer(proba, "<f4").reshape(shape[1:])
    except (LookupError, ValueError, TypeError) as error:
        raise StoreError(
            f"{store.path}: page {page}: expected the probabilities of {shape[0]} "
            f"fields, got something else ({error!s:.100}); the store was altered or "
            f"damaged: `sktally verify {store.path}` tells which rows were"
        ) from error
    return found


def add_sheets(
    store: Store,
    reconciliation: int,
    pages: list[int],
    found: ReconciledTallies,
    totals: list[int],
) -> None:
    """Write what was reconciled on some pages; all of it or, if that fails, nothing.

    `totals` are the places of the fields that are sums. A page that another process
    has done in the meantime is left as it is.
    """
    known = "SELECT 1 FROM sheets WHERE reconciliation = ? AND page = ?"
    with store.writing():
        for i, page in enumerate(pages):
            if store.ask(known, reconciliation, page):
                continue
            sheet = store.insert("sheets", reconciliation, page, now())
            holds = dict(zip(totals, found.holds[i], strict=True))
            store.base.executemany(
                "INSERT INTO reconciled VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        *(sheet, place, int(count) if count >= 0 else None),
                        number_or_none(proba),
                        number_or_none(holds.get(place)),
                    )
                    for place, (count, proba) in enumerate(
                        zip(found.counts[i], found.proba[i], strict=True)
                    )
                ],
            )
            add_link(store.base, "sheets", sheet)


def shown_reconciliation(store: Store, run: Run) -> int | None:
    """Return the reconciliation of a run that is shown, or None if there is none.

    It is the last of those that cover the most pages: one that is under way, or was
    killed, hides none that is whole. But one that was told nothing, neither slips nor a
    calibrator, does not hide one that has learnt from audits.
    """
    ask = (
        "SELECT r.id, COUNT(*) FROM reconciliations r JOIN sheets s "
        "ON s.reconciliation = r.id WHERE r.run = ? GROUP BY r.id ORDER BY 2 DESC, 1"
    )
    found = store.ask(ask, run.id)
    most = {
        int(number): reconciled_by(store, number)
        for number, n in found
        if n == found[0][1]
    }
    last = max(most, default=None)
    if last is None or not _is_guess(most[last]):
        return last
    learnt = [i for i, content in most.items() if content.get("audited") is not None]
    return max(learnt, default=last)


def _is_guess(content: Mapping[str, Any]) -> bool:
    """Tell whether a reconciliation went by the slips and probabilities as they are."""
    guess = SumSlips()
    same = all(content["slips"].get(n) == getattr(guess, n) for n in SLIP_TYPES)
    return same and not content["slips"].get("seen") and not content.get("temperature")


def reconciled_by(store: Store, reconciliation: int) -> dict[str, Any]:
    """Return slips, calibration and versions of a reconciliation."""
    ask = "SELECT content FROM reconciliations WHERE id = ?"
    text = store.ask(ask, reconciliation)[0][0]
    return store.content(f"reconciliation {reconciliation}", text, _CONTENT)

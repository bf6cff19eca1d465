"""Rows chained by hash: each holds the hash of all before it.

A row that is changed, taken out or put in between breaks every later hash. Whoever
can write the file can of course make a new chain; the hash at its end, noted
elsewhere, is what cannot be made again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator

__all__ = ["add_link", "broken_links", "chain_end", "link_with"]

# What the hash of each kind of row is made of. Never changed: a version of the schema
# with more columns chains its rows as kinds of their own, and old hashes stay.
_COLUMNS = {
    "runs": "id, reader, content",
    "sessions": "id, run, content",
    "pages": (
        "id, session, run, sha256, number, file, name, status, message, "
        "tally_quality, method, turn, score, residual, transform, read_at"
    ),
    "edits": (
        "id, sha256, number, field, purpose, boxes, count, who, why, file, made_at"
    ),
    "reconciliations": "id, run, content, begun_at",
    "sheets": "id, reconciliation, page, made_at",
}
# Rows that are hashed with the one that they belong to: table, its key, its columns.
_PARTS = {
    "pages": (
        "fields",
        "page",
        "page, place, field, boxes, count, confidence, status, message, polygons, "
        "proba",
    ),
    "sheets": ("reconciled", "sheet", "sheet, place, count, proba, holds"),
}
_LINKS = "SELECT id, kind, ref, hash FROM chain ORDER BY id"
_START = "0" * 64


def chain_end(base: sqlite3.Connection) -> tuple[int, str]:
    """Return the number of links and the hash of the last."""
    row = base.execute("SELECT id, hash FROM chain ORDER BY id DESC LIMIT 1").fetchone()
    return row if row else (0, _START)


def link_with(base: sqlite3.Connection, digest: str) -> int | None:
    """Return the number of the link with a hash, 0 for that of an empty chain."""
    ask = "SELECT id FROM chain WHERE hash = ?"
    row = (0,) if digest == _START else base.execute(ask, (digest,)).fetchone()
    return row[0] if row else None


def add_link(base: sqlite3.Connection, kind: str, ref: int) -> None:
    """Chain a row that was just written, in the same transaction."""
    number, last = chain_end(base)
    base.execute(
        "INSERT INTO chain (id, kind, ref, hash) VALUES (?, ?, ?, ?)",
        (number + 1, kind, ref, _hash(base, last, kind, ref)),
    )


def _hash(base: sqlite3.Connection, last: str, kind: str, ref: int) -> str | None:
    """Return the hash of a row and the chain before it; None if there is no row."""
    ask = f"SELECT {_COLUMNS[kind]} FROM {kind} WHERE id = ?"
    row = base.execute(ask, (ref,)).fetchone()
    if row is None:
        return None
    content = [last, kind, row]
    if kind in _PARTS:
        table, key, columns = _PARTS[kind]
        ask = f"SELECT {columns} FROM {table} WHERE {key} = ? ORDER BY place"
        content += base.execute(ask, (ref,)).fetchall()
    return hashlib.sha256(json.dumps(content, default=_plain).encode()).hexdigest()


def _plain(value: bytes) -> dict[str, str]:
    return {"bytes": value.hex()}  # not to be taken for text


def broken_links(base: sqlite3.Connection) -> Iterator[str]:
    """Yield what is wrong with the chain, in words; nothing if it is whole."""
    last, expected = _START, 0
    for number, kind, ref, found in base.execute(_LINKS):
        expected += 1
        if number != expected:
            yield f"chain: link {expected} is missing; next is {number}"
            expected = number
        if kind not in _COLUMNS:
            yield f"chain: link {number} is of unknown kind {kind!r}"
            continue
        made = _hash(base, last, kind, ref)
        if made is None:
            yield f"{kind}: row {ref} was deleted (link {number})"
        elif made != found:
            yield f"{kind}: {_label(base, kind, ref)} was altered (link {number})"
        last = found
    for kind in _COLUMNS:
        extra = base.execute(
            f"SELECT id FROM {kind} WHERE id NOT IN "
            "(SELECT ref FROM chain WHERE kind = ?)",
            (kind,),
        )
        for (ref,) in extra:
            yield f"{kind}: {_label(base, kind, ref)} was put in from outside"
    for kind, (table, key, _) in _PARTS.items():
        lost = f"SELECT DISTINCT {key} FROM {table} WHERE {key} NOT IN "
        for (ref,) in base.execute(f"{lost} (SELECT id FROM {kind})"):
            yield f"{table}: rows of {key} {ref}, which is not there"


def _label(base: sqlite3.Connection, kind: str, ref: int) -> str:
    asks = {
        "pages": "SELECT file FROM pages WHERE id = ?",
        "edits": "SELECT file FROM edits WHERE id = ?",
        "sheets": "SELECT p.file FROM sheets s JOIN pages p ON p.id = s.page "
        "WHERE s.id = ?",
    }
    found = base.execute(asks[kind], (ref,)).fetchone() if kind in asks else None
    return f"row {ref} ({found[0]})" if found else f"row {ref}"

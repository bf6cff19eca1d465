"""Rows of which every value is of the type that was written, or an error says where.

SQLite takes any value in any column: who writes past sktally may leave text where a
count is meant.
"""

from __future__ import annotations

from typing import Any

from sktally.exceptions import StoreError
from sktally.tables._schema import explained
from sktally.tables._store import Store

__all__ = ["ask_typed"]

# Of the columns that are asked for; all others hold text.
_NUMBERS = {
    **dict.fromkeys(("number", "count", "reconciled"), int),
    **dict.fromkeys(("confidence", "tally_quality"), float),
    **dict.fromkeys(("reconciled_proba", "holds"), float),
}
_ALWAYS = ("file", "number")  # never missing
_MEANT = {str: "text", int: "a whole number", float: "a number"}


def ask_typed(store: Store, question: str, *values: Any) -> list[tuple]:
    """Ask as `Store.ask` does, and raise where a value is of a type never written.

    The columns are those of pages, fields and edits, and what was reconciled; "file"
    and perhaps "field" among them say what is wrong where.
    """
    with explained(store.path):
        cursor = store.base.execute(question, values)
        rows = cursor.fetchall()
    names = [column[0] for column in cursor.description]
    for name, column in zip(names, zip(*rows, strict=True), strict=False):
        kind = _NUMBERS.get(name, str)
        good = {kind} if name in _ALWAYS else {kind, type(None)}
        if set(map(type, column)) <= good:
            continue
        wrong = next(i for i, value in enumerate(column) if type(value) not in good)
        row = dict(zip(names, rows[wrong], strict=True))
        field = f", field {row['field']}" if "field" in row else ""
        raise StoreError(
            f"{store.path}: {row['file']}{field}: {name}: expected {_MEANT[kind]}, got "
            f"{row[name]!r:.60}; the store was altered or damaged: `sktally verify "
            f"{store.path}` tells which rows were, go back to an untouched copy"
        )
    return rows

"""Find a page of a store by a name of its file."""

from __future__ import annotations

import os
from pathlib import Path

from sktally._validate import is_there
from sktally.exceptions import PageReadError, StoreError
from sktally.tables._files import key_of, name_now
from sktally.tables._image import FileState, PageName
from sktally.tables._records import Run
from sktally.tables._store import Store

__all__ = ["file_of", "find_page", "is_copy"]


def find_page(store: Store, run: Run, name: str, number: int | None = None) -> int:
    """Return the id of the page that a name stands for.

    Parameters
    ----------
    store, run : Store, Run
        Where to look.
    name : str
        Path as it was given when read, or any path of a copy, or the bare name of the
        file if no other page has it; perhaps with ``#page=3``.
    number : int, optional
        Page within the file; by default what the name says, or 1.

    Raises
    ------
    StoreError
        If no page, or more than one, goes by that name.
    """
    page = PageName.parse(name)
    number = page.number if number is None else number
    shown = f"{name}, page {number}"
    # the plus keeps SQLite to the index of the name, of which there are few
    asked = "SELECT id FROM pages WHERE +run = ? AND +number = ? AND "
    seen = (
        "SELECT id FROM pages WHERE run = ? AND number = ? AND sha256 IN "
        "(SELECT sha256 FROM files WHERE "
    )
    # by the name in tables, by where it lies now, by what once went by that name
    lying = store.ask(f"{seen} file = ?)", run.id, number, page.file)
    here = store.ask(f"{seen} path = ?)", run.id, number, key_of(page.path))
    if lying and here and lying != here:
        raise StoreError(
            f"{shown}: expected the name of one page, got one that a page has in "
            "tables, and another file here; give the whole path"
        )
    found = lying or here
    if not found:
        found = store.ask(f"{asked} file = ?", run.id, number, page.file)
    if not found and page.path.name == str(page.path):
        found = store.ask(f"{asked} name = ?", run.id, number, page.file)
        if not found:  # that of a copy; few ask, so these names have no index
            ends = f"/{page.file}"
            by_end = f"{seen} substr(file, ?) = ?)"
            found = store.ask(by_end, run.id, number, -len(ends), ends)
    found = sorted(set(found))
    if not found:
        raise StoreError(f"{shown}: {_why_not(store, run, page, number)}")
    if len(found) > 1:
        raise StoreError(
            f"{shown}: {len(found)} pages of run {run.id} go by that name; give the "
            "whole path"
        )
    return int(found[0][0])


def _why_not(store: Store, run: Run, page: PageName, number: int) -> str:
    """Say why a store has no page of that name."""
    ends = f"/{page.file}"
    ask = (
        "SELECT message FROM unreadable WHERE run = ? AND number = ? AND "
        "(file = ? OR substr(file, ?) = ?)"
    )
    told = store.ask(ask, run.id, number, page.file, -len(ends), ends)
    if told:
        return f"could not be opened, so that nothing of it is known ({told[0][0]})"
    return (
        f"no such page in run {run.id} of {store.path}; `sktally export` lists its "
        "files"
    )


def file_of(store: Store, sha256: str) -> Path | None:
    """Return where a file of these bytes was last seen and still is, or None."""
    ask = "SELECT path FROM files WHERE sha256 = ? ORDER BY path"
    for (key,) in store.ask(ask, sha256):
        if isinstance(key, bytes) and is_there(path := Path(os.fsdecode(key))):
            return path
    return None


def is_copy(store: Store, run: Run, page: PageName, sha256: str) -> bool:
    """Tell whether a page that is known was read from another file than this one.

    A file may be named relative to a folder now and in full later: what counts is
    where it lies. One that was renamed is no copy.
    """
    ask = (
        "SELECT 1 FROM pages p WHERE run = ? AND sha256 = ? AND number = ? "
        "AND file != ? "
        "AND NOT EXISTS (SELECT 1 FROM files f WHERE f.path = ? AND f.file = "
        f"{name_now('p')})"
    )
    key = key_of(page.path)
    if not store.ask(ask, run.id, sha256, page.number, page.file, key):
        return False
    ask = "SELECT path, size, mtime_ns, inode FROM files WHERE sha256 = ? AND path != ?"
    return any(_is_as_noted(*row) for row in store.ask(ask, sha256, key))


def _is_as_noted(path: object, *state: int) -> bool:
    """Tell whether a file is still there, as it was when it was hashed."""
    if not isinstance(path, bytes):  # of an altered store
        return False
    try:
        return FileState.of(Path(os.fsdecode(path))) == FileState(*state)
    except (OSError, PageReadError):
        return False

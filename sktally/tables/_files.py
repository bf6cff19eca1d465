"""What a store remembers of files: what they were hashed to, and which were not read.

Neither is evidence: rows are replaced and forgotten as files are, unlike pages.
"""

from __future__ import annotations

import os
from pathlib import Path

from sktally.tables._base import Base
from sktally.tables._circumstances import now
from sktally.tables._image import FileState, PageName, file_sha256, printable
from sktally.tables._records import PageRecord, Run

__all__ = [
    "forget_unreadable",
    "image_of",
    "key_of",
    "name_of",
    "note_file",
    "note_known",
    "note_unreadable",
    "read_before",
]


def image_of(store: Base, path: Path, *, rehash: bool = False) -> tuple[str, FileState]:
    """Return the SHA-256 of a file, and the state that it was in.

    Where size, time of change and inode are those of a file hashed before, that is
    believed, unless `rehash`.

    Raises
    ------
    OSError, PageReadError
        If it cannot be read, or is no regular file.
    """
    state = FileState.of(path)
    if not rehash:
        ask = (
            "SELECT sha256 FROM files WHERE path = ? AND size = ? AND "
            "mtime_ns = ? AND inode = ?"
        )
        known = store.ask(ask, key_of(path), state.size, state.mtime_ns, state.inode)
        if known:
            return known[0][0], state
    return file_sha256(path), state


def name_of(store: Base, page: PageName) -> str:
    """Return the name of a file as it was given, or in full if another has that.

    Names that are relative to a folder mean other files in another folder.
    """
    ask = "SELECT 1 FROM files WHERE file = ? AND path != ? UNION ALL "
    ask += "SELECT 1 FROM unreadable WHERE file = ? AND path != ? LIMIT 1"
    taken = store.ask(ask, *(page.file, key_of(page.path)) * 2)
    return printable(str(page.path.absolute())) if taken else page.file


def note_file(store: Base, page: PageName, sha256: str, state: FileState) -> None:
    """Remember what a file was hashed to, in a transaction of the caller's."""
    key = key_of(page.path)
    vouching = (state.size, state.mtime_ns, state.inode)
    store.base.execute(
        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
        (key, name_of(store, page), sha256, *vouching),
    )


def note_known(
    store: Base, run: Run, page: PageName, sha256: str, state: FileState
) -> None:
    """Remember a file whose page is known, and no longer that it was not."""
    key = key_of(page.path)
    ask = "SELECT sha256, mtime_ns, inode FROM files WHERE path = ?"
    found = store.ask(ask, key)
    ask = "SELECT 1 FROM unreadable WHERE run = ? AND path = ? AND number = ?"
    new = found != [(sha256, state.mtime_ns, state.inode)]
    if new or store.ask(ask, run.id, key, page.number):
        with store.writing():
            forget_unreadable(store, run, page)
            note_file(store, page, sha256, state)


def read_before(store: Base, run: Run, page: PageName) -> str:
    """Return the status of the page that was read from a file of this name, if any."""
    ask = (
        "SELECT p.status FROM files f JOIN pages p ON p.sha256 = f.sha256 "
        "WHERE f.path = ? AND p.run = ? AND p.number = ?"
    )
    found = store.ask(ask, key_of(page.path), run.id, page.number)
    return str(found[0][0]) if found else ""


def note_unreadable(store: Base, run: Run, record: PageRecord, message: str) -> None:
    """Note that a file could not be read; it is tried again next time.

    What its bytes were before is replaced all the same.
    """
    page = record.page
    with store.writing():
        forget_unreadable(store, run, page)
        if record.sha256:
            note_file(store, page, record.sha256, record.state)
        known = (run.id, key_of(page.path), name_of(store, page), page.number)
        store.base.execute(
            "INSERT INTO unreadable VALUES (?, ?, ?, ?, ?, ?)",
            (*known, printable(message), now()),
        )


def forget_unreadable(store: Base, run: Run, page: PageName) -> None:
    """Forget that a file could not be read, in a transaction of the caller's."""
    # stores of version 2 knew such files by the name that was given
    keys = (key_of(page.path), os.fsencode(page.file))
    store.base.execute(
        "DELETE FROM unreadable WHERE run = ? AND path IN (?, ?) AND number = ?",
        (run.id, *keys, page.number),
    )


def key_of(path: Path) -> bytes:
    """Return where a file lies, or would if a file could have such a name."""
    try:
        return bytes(path.absolute())
    except UnicodeEncodeError:
        return str(path.absolute()).encode("utf-8", "surrogatepass")

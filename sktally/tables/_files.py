"""What a store remembers of files: what they were hashed to, and which were not read.

Neither is evidence: rows are replaced and forgotten as files are, unlike pages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sktally.tables._base import Base
from sktally.tables._circumstances import now
from sktally.tables._image import FileState, PageName, file_sha256, printable
from sktally.tables._records import PageRecord, Run

__all__ = [
    "Noted",
    "forget_unreadable",
    "image_of",
    "key_of",
    "name_now",
    "note_file",
    "note_known",
    "note_unreadable",
    "read_before",
    "still_counts",
]


@dataclass(frozen=True)
class Noted:
    """What became of pages when a file was noted.

    `replaced` is the name of the file whose pages no longer count, and `restored`
    that of the one whose pages count again, or nothing.
    """

    replaced: str = ""
    restored: str = ""


def name_now(alias: str) -> str:
    """Return SQL for the name under which the bytes of a row of pages lie now.

    That under which they were read, if they still lie there or nowhere; else that of
    the file which has been there longest.
    """
    lying = f"SELECT file FROM files WHERE sha256 = {alias}.sha256"
    first = f"{lying} ORDER BY session, file LIMIT 1"
    read = f"{lying} AND file = {alias}.file LIMIT 1"
    return f"COALESCE(({read}), ({first}), {alias}.file)"


def key_of(path: Path) -> bytes:
    """Return where a file lies, links followed, or would if it had such a name."""
    try:  # Path.resolve raises at circles of links
        return os.fsencode(os.path.realpath(path))
    except ValueError:  # a name that no file has
        return str(path.absolute()).encode("utf-8", "surrogatepass")


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


def _name_of(store: Base, page: PageName) -> str:
    """Return the name of a file as it was given, or in full if another has that.

    Names that are relative to a folder mean other files in another folder.
    """
    ask = "SELECT 1 FROM files WHERE file = ? AND path != ? UNION ALL "
    ask += "SELECT 1 FROM unreadable WHERE file = ? AND path != ? LIMIT 1"
    taken = store.ask(ask, *(page.file, key_of(page.path)) * 2)
    return printable(str(page.path.absolute())) if taken else page.file


def note_file(
    store: Base, page: PageName, sha256: str, state: FileState, session: int
) -> Noted:
    """Remember what a file was hashed to, in a transaction of the caller's."""
    key = key_of(page.path)
    ask = "SELECT sha256, file, session FROM files WHERE path = ?"
    before = next(iter(store.ask(ask, key)), ("", "", session))
    new = sha256 != before[0]
    # with runs, for the index of images begins with them
    ask = "SELECT 1 FROM pages WHERE run IN (SELECT id FROM runs) AND sha256 = ? "
    ask += "LIMIT 1"
    restored = new and not still_counts(store, sha256) and store.ask(ask, sha256)
    name, since = _name_of(store, page), session if new else before[2]
    store.base.execute(
        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, name, sha256, state.size, state.mtime_ns, state.inode, since),
    )
    replaced = new and before[0] and not still_counts(store, before[0])
    replaced = replaced and store.ask(ask, before[0])
    return Noted(before[1] if replaced else "", name if restored else "")


def still_counts(store: Base, sha256: str) -> bool:
    """Tell whether pages of these bytes count: neither replaced nor dropped."""
    return bool(store.ask("SELECT 1 FROM files WHERE sha256 = ? LIMIT 1", sha256))


def note_known(
    store: Base, run: Run, page: PageName, sha256: str, state: FileState, session: int
) -> Noted:
    """Remember a file whose page is known, and no longer that it was not."""
    key = key_of(page.path)
    ask = "SELECT sha256, mtime_ns, inode FROM files WHERE path = ?"
    found = store.ask(ask, key)
    ask = "SELECT 1 FROM unreadable WHERE run = ? AND path = ? AND number = ?"
    new = found != [(sha256, state.mtime_ns, state.inode)]
    if not (new or store.ask(ask, run.id, key, page.number)):
        return Noted()
    with store.writing():
        forget_unreadable(store, run, page, sha256)
        return note_file(store, page, sha256, state, session)


def read_before(store: Base, run: Run, page: PageName) -> str:
    """Return the status of the page that was read from a file of this name, if any."""
    ask = (
        "SELECT p.status FROM files f JOIN pages p ON p.sha256 = f.sha256 "
        "WHERE f.path = ? AND p.run = ? AND p.number = ?"
    )
    found = store.ask(ask, key_of(page.path), run.id, page.number)
    return str(found[0][0]) if found else ""


def note_unreadable(
    store: Base, run: Run, record: PageRecord, message: str, session: int
) -> Noted:
    """Note that a file could not be read; it is tried again next time.

    What its bytes were before is replaced all the same. All pages that were read of
    it before are not read then, where it cannot even be told how many there are.
    """
    page, noted = record.page, Noted()
    key, numbers = key_of(page.path), {page.number}
    with store.writing():
        forget_unreadable(store, run, page, record.sha256)
        if record.sha256:
            ask = (
                "SELECT p.number FROM files f JOIN pages p ON p.sha256 = f.sha256 "
                "WHERE f.path = ? AND f.sha256 != ? AND p.run = ?"
            )
            if page.name == str(page.path):
                before = store.ask(ask, key, record.sha256, run.id)
                numbers |= {number for (number,) in before}
            noted = note_file(store, page, record.sha256, record.state, session)
        name = _name_of(store, page)
        for number in sorted(numbers):
            store.base.execute(
                "INSERT OR REPLACE INTO unreadable VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run.id, key, name, number, record.sha256, printable(message), now()),
            )
    return noted


def forget_unreadable(store: Base, run: Run, page: PageName, sha256: str) -> None:
    """Forget that a file could not be read, in a transaction of the caller's.

    Of other bytes than these, which it had once, all is forgotten.
    """
    # stores of version 2 knew such files by the name that was given
    keys = (key_of(page.path), os.fsencode(f"?{page.file}"))
    store.base.execute(
        "DELETE FROM unreadable WHERE run = ? AND path IN (?, ?) AND "
        "(number = ? OR sha256 NOT IN ('', ?))",
        (run.id, *keys, page.number, sha256),
    )

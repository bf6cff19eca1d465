"""The SQLite file of a result store: its tables, its version, how it is opened.

Comes in: a path. Goes out: a connection to a store of the newest version, or a
`StoreError` that says what is in the way.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sktally.exceptions import StoreError

__all__ = ["VERSION", "connect", "explained", "is_store_path"]

#: Ending of the files taken for stores.
SUFFIXES = (".sqlite", ".sqlite3", ".db")
_APPLICATION = 0x736B7461  # "skta", in the header of the file
_PATIENCE = 30.0  # seconds to wait for another process that writes


def _only_grow(*tables: str) -> str:
    """Return triggers that refuse to change or delete rows of tables."""
    return "".join(
        f"""
    CREATE TRIGGER {table}_{what.lower()} BEFORE {what} ON {table}
    BEGIN SELECT RAISE(ABORT, '{table}: rows are added, never changed'); END;
    """
        for table in tables
        for what in ("UPDATE", "DELETE")
    )


# Each step leads from one version to the next; none is ever changed.
_STEPS = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, reader TEXT NOT NULL UNIQUE, content TEXT NOT NULL
    );
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs,
        content TEXT NOT NULL
    );
    CREATE TABLE pages (
        id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions,
        run INTEGER NOT NULL REFERENCES runs,
        sha256 TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL,
        name TEXT NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL,
        tally_quality REAL, method TEXT, turn INTEGER, score REAL, residual REAL,
        transform TEXT, read_at TEXT NOT NULL, UNIQUE (run, sha256, number)
    );
    CREATE TABLE fields (
        page INTEGER NOT NULL REFERENCES pages, place INTEGER NOT NULL,
        field TEXT NOT NULL, boxes TEXT, count INTEGER, confidence REAL,
        status TEXT NOT NULL, message TEXT NOT NULL, polygons BLOB, proba BLOB,
        PRIMARY KEY (page, place)
    ) WITHOUT ROWID;
    CREATE TABLE edits (
        id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, number INTEGER NOT NULL,
        field TEXT NOT NULL, purpose TEXT NOT NULL, boxes TEXT, count INTEGER,
        who TEXT NOT NULL, why TEXT NOT NULL, file TEXT NOT NULL, made_at TEXT NOT NULL
    );
    CREATE INDEX edits_by_image ON edits (sha256, number);
    CREATE TABLE chain (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, ref INTEGER NOT NULL,
        hash TEXT NOT NULL
    );
    CREATE TABLE files (
        path BLOB PRIMARY KEY, file TEXT NOT NULL, sha256 TEXT NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX files_by_image ON files (sha256);
    CREATE INDEX files_by_name ON files (file);
    CREATE INDEX pages_by_file ON pages (file);
    CREATE INDEX pages_by_name ON pages (name);
    CREATE TABLE unreadable (
        run INTEGER NOT NULL REFERENCES runs, file TEXT NOT NULL,
        number INTEGER NOT NULL, message TEXT NOT NULL, tried_at TEXT NOT NULL,
        PRIMARY KEY (run, file, number)
    ) WITHOUT ROWID;
    """
    + _only_grow("runs", "sessions", "pages", "fields", "edits", "chain"),
    """
    CREATE TABLE reconciliations (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs,
        content TEXT NOT NULL, begun_at TEXT NOT NULL
    );
    CREATE TABLE sheets (
        id INTEGER PRIMARY KEY,
        reconciliation INTEGER NOT NULL REFERENCES reconciliations,
        page INTEGER NOT NULL REFERENCES pages, made_at TEXT NOT NULL,
        UNIQUE (reconciliation, page)
    );
    CREATE TABLE reconciled (
        sheet INTEGER NOT NULL REFERENCES sheets, place INTEGER NOT NULL,
        count INTEGER, proba REAL, holds REAL, PRIMARY KEY (sheet, place)
    ) WITHOUT ROWID;
    """
    + _only_grow("reconciliations", "sheets", "reconciled"),
    """
    ALTER TABLE files ADD COLUMN session INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE unread (
        run INTEGER NOT NULL REFERENCES runs, path BLOB NOT NULL, file TEXT NOT NULL,
        number INTEGER NOT NULL, sha256 TEXT NOT NULL, message TEXT NOT NULL,
        tried_at TEXT NOT NULL, PRIMARY KEY (run, path, number)
    ) WITHOUT ROWID;
    INSERT INTO unread SELECT run, CAST('?' || file AS BLOB), file, number, '', message,
        tried_at FROM unreadable;
    DROP TABLE unreadable;
    ALTER TABLE unread RENAME TO unreadable;
    CREATE INDEX unreadable_by_name ON unreadable (file);
    """,
)
#: Version of the stores that are written.
VERSION = len(_STEPS)


def is_store_path(path: str | Path) -> bool:
    """Tell whether a name is that of a store rather than of a table."""
    return Path(path).suffix.lower() in SUFFIXES


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Turn errors of SQLite into ours, which say what to do."""
    try:
        yield
    # of a damaged file even the message may be no text
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    text = str(error)
    known = {
        "full": "the disk is full; what was committed is kept: free some space and "
        "give the same command again",
        "locked": f"another process has been writing to it for {_PATIENCE:.0f} s; wait "
        "for its end, or give another --out",
        "readonly": "it cannot be written to; copy it to where you may write",
        "unable to open": "it cannot be opened; is the folder there, and may it be "
        "written to? SQLite makes two files beside it",
        "not a database": "not a SQLite file; give the name of a store, or a new one",
        "can't decode": "the file is damaged; go back to an untouched copy",
        "malformed": "the file is damaged; take a copy of it and try "
        "`sqlite3 FILE .recover`",
        "never changed": "rows of a store are added, never changed",
        "disk i/o": "the disk fails or is full; what was committed is kept",
    }
    for sign, meaning in known.items():
        if sign in text.lower():
            return f"{meaning} ({text})"
    return f"SQLite says {text!r}"


def connect(path: str | Path, *, make: bool = False) -> sqlite3.Connection:
    """Open a store and bring it to the newest version.

    Parameters
    ----------
    path : str or path
        The file.
    make : bool, default=False
        Whether to make it where there is none.

    Returns
    -------
    sqlite3.Connection
        Without transactions of its own: write ``BEGIN`` and ``COMMIT``.

    Raises
    ------
    StoreError
        If there is none, it is no store, of a newer version, or cannot be written.
    """
    path = Path(path)
    _check_name(path)
    if not make and not path.is_file():
        raise StoreError(
            f"{path}: expected a store, but there is no file of this name; make one "
            f"with `sktally read ... --out {path}`"
        )
    if make and not path.parent.is_dir():
        raise StoreError(f"{path}: there is no folder {path.parent}; make it first")
    if make and not path.exists():
        _make(path)
    read_only = not make and not (
        os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)
    )
    with explained(path):
        base = _open(path, read_only)
    try:
        with explained(path):
            _prepare(base, path, read_only)
    except BaseException:
        base.close()
        raise
    return base


def _check_name(path: Path) -> None:
    """Raise for a name that no file can have, or none that SQLite can open."""
    try:
        # of the files that SQLite keeps beside it
        path.with_name(path.name + "-journal").stat()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            return  # what is wrong with it is told by who opens it
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"{path!s:.200}: expected the name of a store, got one that its files "
            f"cannot have ({reason}); choose a shorter one, without odd characters"
        ) from None


def _make(path: Path) -> None:
    """Make an empty store under another name, then give it this one.

    So two processes that begin at once find a whole one.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with explained(path):
            base = _open(new, False)
            try:
                _prepare(base, new, False)
            finally:
                base.close()
        os.link(new, path)
    except FileExistsError:
        pass  # another process was first
    except OSError:
        if not path.exists():  # a file system without links
            new.replace(path)
    finally:
        with suppress(OSError):  # where nothing can be written, there is nothing
            for end in ("", "-wal", "-shm"):
                new.with_name(new.name + end).unlink(missing_ok=True)


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    rest = path.with_name(path.name + "-wal")
    if rest.is_file() and rest.stat().st_size:
        raise StoreError(
            f"{path}: {rest.name} beside it holds a part of it, and neither can be "
            "written to; copy both to where you may write"
        )
    # no lock and no files beside it
    name = f"{path.absolute().as_uri()}?immutable=1"
    return sqlite3.connect(name, uri=True, isolation_level=None)


def _prepare(base: sqlite3.Connection, path: Path, read_only: bool) -> None:
    base.text_factory = _text
    # of a file made to attack: no functions run, no views or triggers of its own
    base.execute("PRAGMA trusted_schema = OFF")
    base.execute("PRAGMA cell_size_check = ON")
    found = base.execute("PRAGMA user_version").fetchone()[0]
    owner = base.execute("PRAGMA application_id").fetchone()[0]
    empty = base.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
    if owner != _APPLICATION and not empty:
        raise StoreError(
            f"{path}: a SQLite file, but not one that sktally made; give another name"
        )
    if found > VERSION:
        raise StoreError(
            f"{path}: expected a store of version {VERSION} or older, got {found}; it "
            "was written by a newer sktally: update yours"
        )
    if found == VERSION:
        _check_tables(base, path, found)
    elif read_only:
        raise StoreError(
            f"{path}: a store of version {found}, to be brought to version {VERSION}, "
            "but it cannot be written to; copy it to where you may write"
        )
    if read_only:
        return
    base.execute("PRAGMA journal_mode = WAL")
    # a process may be killed at any moment; if the machine is, the last pages may go
    base.execute("PRAGMA synchronous = NORMAL")
    base.execute("PRAGMA foreign_keys = ON")
    if found == VERSION:
        return
    base.execute("BEGIN IMMEDIATE")
    try:
        now = base.execute("PRAGMA user_version").fetchone()[0]  # another may have done
        _check_tables(base, path, now)
        for step in _STEPS[now:]:
            for statement in _statements(step):
                base.execute(statement)
        base.execute(f"PRAGMA user_version = {VERSION}")
        base.execute(f"PRAGMA application_id = {_APPLICATION}")
        base.execute("COMMIT")
    except BaseException:
        base.execute("ROLLBACK")
        raise


def _text(content: bytes) -> str:
    """Return text that somebody may have damaged; its hash tells."""
    return content.decode("utf-8", "backslashreplace")


def _statements(script: str) -> Iterator[str]:
    """Split a script where SQLite does, so that it runs in one transaction."""
    part = ""
    for line in script.splitlines():
        part += line + "\n"
        if sqlite3.complete_statement(part):
            yield part
            part = ""


def _check_tables(base: sqlite3.Connection, path: Path, version: int) -> None:
    """Raise unless tables, indices and triggers are those of a store."""
    ask = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    fresh = sqlite3.connect(":memory:")
    try:
        for step in _STEPS[:version]:
            fresh.executescript(step)
        expected = set(fresh.execute(ask))
    finally:
        fresh.close()
    found = set(base.execute(ask))
    wrong = sorted({name for _, name, _, _ in expected ^ found})
    if wrong:
        raise StoreError(
            f"{path}: expected the tables of a store, and {', '.join(wrong[:5])} "
            "differ; somebody changed them: go back to an untouched copy"
        )

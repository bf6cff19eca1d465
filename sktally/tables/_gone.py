"""Files that are gone: renamed, moved with their folder, or taken away.

Comes in: what a store remembers of files, and the disk. Goes out: the same under the
names of today, and which pages count though their file is gone.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from pathlib import Path

from sktally.tables._base import Base
from sktally.tables._schema import explained

__all__ = ["forget_gone"]

_Folders = tuple[bytes, bytes]  # where one was, and where it is
_Known = tuple[str, str]  # the SHA-256 of a file, and its name
_SEP = os.sep.encode()
_END = bytes([_SEP[0] + 1])  # follows all names in a folder
# Their index begins with runs: without them each question looks at all rows.
_UNREADABLE = "unreadable WHERE run IN (SELECT id FROM runs) AND path"


def forget_gone(
    store: Base, session: int, *, drop: bool = False
) -> tuple[list[str], list[str]]:
    """Follow files that are gone to where they are.

    A file is renamed if its bytes lie elsewhere. A folder is moved if it is gone and
    its files came to lie in another during this session, in the same places, more of
    them than there came others in such places. These others have replaced the files of
    the old folder; what was known in the other folder before has not. All else that is
    gone counts, or is listed as not read, unless `drop`.

    Returns
    -------
    gone, replaced : list of str
        Names of files that are gone; and of those that no longer count.
    """
    gone = _gone(store, "files")
    lost: dict[bytes, _Known] = {}
    forgotten: dict[bytes, _Known] = {}
    moved: set[_Folders] = set()
    for path, known in gone.items():
        there = _lying(store, known[0], path)
        (forgotten if there else lost)[path] = known
        come = (other for other, since in there if since == session)
        moved.update(filter(None, (_folders(path, other) for other in come)))
    with store.writing():
        for folders in sorted(moved):
            places = _places(store, gone, folders, session)
            if places is None:
                continue
            for path in [path for path in places if path in lost]:
                known, place = lost.pop(path), places[path]
                if place:
                    # changed, so that its name is noted when it is read where it lies
                    change = "UPDATE files SET path = ?, mtime_ns = -1 WHERE path = ?"
                    store.base.execute(change, (place, path))
                    lost[place] = known
                else:
                    forgotten[path] = known
            _move_unreadable(store, *folders)
        lost = {path: known for path, known in lost.items() if _is_gone(path)}
        if drop:
            forgotten |= lost
        for path in forgotten:
            store.base.execute("DELETE FROM files WHERE path = ?", (path,))
    unread = _gone(store, "unreadable")
    if drop and unread:
        with store.writing():
            for path in unread:
                store.base.execute(f"DELETE FROM {_UNREADABLE} = ?", (path,))
    ask = "SELECT 1 FROM files WHERE sha256 = ?"
    replaced = {
        name for sha256, name in forgotten.values() if not store.ask(ask, sha256)
    }
    names = {} if drop else {**lost, **unread}
    return sorted({name for _, name in names.values()}), sorted(replaced)


def _gone(store: Base, table: str) -> dict[bytes, _Known]:
    """Return the files of a table that are gone, asked one by one: few are."""
    with store.reading(), explained(store.path):
        rows = store.base.execute(f"SELECT path, sha256, file FROM {table}")
        return {
            path: (str(sha256), str(file))
            for path, sha256, file in rows
            if isinstance(path, bytes) and _is_gone(path)
        }


def _is_gone(path: bytes) -> bool:
    """Tell whether there is surely nothing of this name; not if it cannot be asked."""
    name = os.fsdecode(path)
    try:
        Path(name).stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return Path(name).is_absolute()  # names of old stores tell no place
    except OSError:
        return False
    return False


def _lying(store: Base, sha256: str, path: bytes) -> list[tuple[bytes, int]]:
    """Return where else files of the same bytes lie, and since which session."""
    ask = "SELECT path, session FROM files WHERE sha256 = ? AND path != ?"
    return [(other, s) for other, s in store.ask(ask, sha256, path) if _lies(other)]


def _lies(path: object) -> bool:
    return isinstance(path, bytes) and not _is_gone(path)


def _folders(old: bytes, new: bytes) -> _Folders | None:
    """Return which folder was moved where, if a file of it was here and is there."""
    was, now = old.split(_SEP), new.split(_SEP)
    n = 0
    while n < min(len(was), len(now)) - 1 and was[-1 - n] == now[-1 - n]:
        n += 1
    for same in range(n, 0, -1):  # what is still there was not moved
        folders = _SEP.join(was[:-same]), _SEP.join(now[:-same])
        if _is_gone(folders[0]):
            return folders
    return None


def _places(
    store: Base, gone: dict[bytes, _Known], folders: _Folders, session: int
) -> dict[bytes, bytes | None] | None:
    """Return where files of a folder that was moved are, None for those replaced.

    Those are left out that are known there, and those beside which the other folder
    held another before. None if the folder was not moved.
    """
    old, new = folders
    names = sorted(gone)
    first, last = (bisect_left(names, old + end) for end in (_SEP, _END))
    same = 0
    places: dict[bytes, bytes | None] = {}
    for path in names[first:last]:
        place = new + path[len(old) :]
        ask = "SELECT sha256, session FROM files WHERE path = ?"
        for sha256, since in store.ask(ask, place):
            if sha256 == gone[path][0]:
                same += 1
            elif since == session:
                places[path] = None
            break
        else:
            places[path] = place
    others = sum(place is None for place in places.values())
    return places if same > others else None


def _move_unreadable(store: Base, old: bytes, new: bytes) -> None:
    """Move files that could not be read, but for those known where they are now."""
    ask = f"SELECT DISTINCT path FROM {_UNREADABLE} >= ? AND path < ?"
    for (path,) in store.ask(ask, old + _SEP, old + _END):
        place = new + path[len(old) :]
        ask = "SELECT 1 FROM files WHERE path = ?1 UNION ALL "
        ask += f"SELECT 1 FROM {_UNREADABLE} = ?1"
        if store.ask(ask, place):
            store.base.execute(f"DELETE FROM {_UNREADABLE} = ?", (path,))
        else:
            change = "UPDATE unreadable SET path = ? WHERE run IN (SELECT id FROM runs)"
            store.base.execute(f"{change} AND path = ?", (place, path))

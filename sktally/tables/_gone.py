"""Files that are gone: renamed, moved with their folder, or taken away.

Comes in: what a store remembers of files, and the disk. Goes out: the same without the
names that mean nothing any more, and which pages count though their file is gone.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from sktally.tables._base import Base
from sktally.tables._records import Run
from sktally.tables._schema import explained

__all__ = ["Gone", "forget_gone", "forget_unreadable_gone"]

_Folders = tuple[bytes, bytes]  # where one was, and where it is
_SEP = os.sep.encode()


@dataclass
class Gone:
    """What became of pages whose files are gone, by the names of these files.

    Attributes
    ----------
    replaced : list of str
        Their folder was moved, and other bytes lie in their place in it; or they were
        to be dropped. They no longer count.
    counted : list of str
        They count.
    """

    replaced: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)


def forget_gone(store: Base, run: Run, *, drop: bool = False) -> Gone:
    """Forget the names of files that are gone, where what became of them is known.

    A file is renamed if the same bytes lie elsewhere. A folder is moved if it is gone,
    and in the same places of another more of its files are the same than are others:
    what is another there has replaced the one that was in the old folder. Of all else
    that is gone nothing is known, and it counts, unless `drop`.
    """
    gone = _gone(store)
    if not gone:
        return Gone()
    lost: dict[bytes, str] = {}
    forgotten: list[bytes] = []
    moved: set[_Folders] = set()
    for path, sha256 in gone.items():
        there = _lying(store, sha256, path)
        if there:
            forgotten.append(path)
            moved.update(filter(None, (_folders(path, other) for other in there)))
        else:
            lost[path] = sha256
    replaced = list(lost) if drop else _replaced(store, gone, moved)
    with store.writing():
        for path in (*forgotten, *replaced):
            store.base.execute("DELETE FROM files WHERE path = ?", (path,))
        for old, new in moved:
            _forget_unreadable_moved(store, old, new)
    found = Gone()
    ask = (
        "SELECT MIN(file), EXISTS (SELECT 1 FROM files WHERE sha256 = ?1) "
        "FROM pages WHERE run = ?2 AND sha256 = ?1"
    )
    for sha256 in dict.fromkeys(lost.values()):
        for name, counts in store.ask(ask, sha256, run.id):
            if name is not None:
                (found.counted if counts else found.replaced).append(str(name))
    return found


def forget_unreadable_gone(store: Base, *, drop: bool = False) -> None:
    """Forget files that could not be read and were deleted since.

    Where their folder is gone too, a disk may be missing: they stay, unless `drop`.
    """
    rows = store.ask("SELECT path FROM unreadable ORDER BY path")
    gone = [
        path
        for (path,) in rows
        if isinstance(path, bytes)
        and _is_gone(path)
        and (drop or not _is_gone(path.rpartition(_SEP)[0]))
    ]
    if gone:
        with store.writing():
            for path in gone:
                store.base.execute("DELETE FROM unreadable WHERE path = ?", (path,))


def _gone(store: Base) -> dict[bytes, str]:
    """Return the files that are gone, with their hashes, one by one: few are."""
    with store.reading(), explained(store.path):
        rows = store.base.execute("SELECT path, sha256 FROM files")
        return {
            path: sha256
            for path, sha256 in rows
            if isinstance(path, bytes) and _is_gone(path)
        }


def _is_gone(path: bytes) -> bool:
    """Tell whether there is surely nothing of this name; not if it cannot be asked."""
    try:
        Path(os.fsdecode(path)).stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


def _lying(store: Base, sha256: str, path: bytes) -> list[bytes]:
    """Return where else files of the same bytes lie."""
    ask = "SELECT path FROM files WHERE sha256 = ? AND path != ?"
    others = (other for (other,) in store.ask(ask, sha256, path))
    return [other for other in others if not _is_gone(other)]


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


def _replaced(store: Base, gone: dict[bytes, str], moved: set[_Folders]) -> list[bytes]:
    """Return the files in whose place others lie, in folders that were moved."""
    where = defaultdict(list)
    for old, new in moved:
        where[old].append(new)
    same: Counter[_Folders] = Counter()
    other: dict[_Folders, list[bytes]] = defaultdict(list)
    ask = "SELECT sha256 FROM files WHERE path = ?"
    for path, sha256 in gone.items():
        end = len(path)
        while (end := path.rfind(_SEP, 0, end)) > 0:
            for new in where.get(path[:end], ()):
                place = new + path[end:]
                found = store.ask(ask, place)
                if not found or _is_gone(place):
                    continue
                folders = (path[:end], new)
                if found[0][0] == sha256:
                    same[folders] += 1
                else:
                    other[folders].append(path)
    return [
        path
        for folders, paths in other.items()
        if same[folders] > len(paths)
        for path in paths
    ]


def _forget_unreadable_moved(store: Base, old: bytes, new: bytes) -> None:
    """Forget files that could not be read in a folder that was moved, if seen there."""
    ask = "SELECT path FROM unreadable WHERE path >= ? AND path < ?"
    rows = store.base.execute(ask, (old + _SEP, old + bytes([_SEP[0] + 1]))).fetchall()
    for (path,) in rows:
        place = new + path[len(old) :]
        ask = "SELECT 1 FROM files WHERE path = ? UNION ALL "
        ask += "SELECT 1 FROM unreadable WHERE path = ?"
        if _is_gone(path) and store.base.execute(ask, (place, place)).fetchone():
            store.base.execute("DELETE FROM unreadable WHERE path = ?", (path,))

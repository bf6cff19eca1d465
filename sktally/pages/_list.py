"""Files, folders and patterns become the names of single pages.

Comes in: what a user names. Goes out: one name a page, such as ``scan_01.jpg`` or
``file.pdf#page=3``, in the order in which a person would count them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sktally.exceptions import PageReadError
from sktally.pages._decode import HEAD_BYTES
from sktally.pages._read import count_pages, split_name

__all__ = ["PAGE_SUFFIXES", "list_pages"]

PAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .tif .tiff .bmp .webp .pdf".split()
)
_AHEAD = 1000  # files whose first bytes are asked for at a time


def list_pages(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
) -> list[str]:
    """Name every page of files, folders and patterns, one name a page.

    A file of several pages becomes ``file.pdf#page=1``, ``file.pdf#page=2`` and so
    on; any other keeps its bare name. Files are not decoded: a broken one is listed,
    and fails when it is read.

    Parameters
    ----------
    paths : str, path-like or iterable of them
        Files, folders, patterns with ``*``, ``?``, ``[...]`` or ``**``, and names
        such as ``file.pdf#page=3``. Their order is kept; what a folder or pattern
        holds is sorted with numbers by value, so that ``page2`` comes before
        ``page10``.
    recursive : bool, default=False
        Whether to go into the folders within a folder.

    Returns
    -------
    names : list of str
        Names for `read_page`, each once.

    Raises
    ------
    PageReadError
        If a folder is missing, holds no pages or cannot be read, or a pattern
        matches nothing.

    See Also
    --------
    read_page : Read one of these names.

    Notes
    -----
    Inside a folder only visible files count whose suffix is one of jpg, jpeg, jpe,
    jfif, png, tif, tiff, bmp, webp and pdf, in upper or lower case; links to folders
    within it are not followed. A file that is
    named or matched by a pattern is kept whatever its suffix, and even if it is not
    there, so that one slip does not stop a batch: reading it gives the error.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally.pages import list_pages
    >>> folder = tempfile.TemporaryDirectory()
    >>> page = Image.new("L", (40, 60), "white")
    >>> page.save(Path(folder.name, "scan10.png"))
    >>> page.save(Path(folder.name, "scan9.tif"), save_all=True, append_images=[page])
    >>> [Path(name).name for name in list_pages(folder.name)]
    ['scan9.tif#page=1', 'scan9.tif#page=2', 'scan10.png']
    >>> folder.cleanup()
    """
    if not isinstance(paths, str | os.PathLike | Iterable):
        raise PageReadError(
            "paths: expected names of files or folders, got "
            f"{paths!r} ({type(paths).__name__}); pass them as str or Path"
        )
    named = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files: list[str] = []
    for source in named:
        if not isinstance(source, str | os.PathLike):
            raise PageReadError(
                f"paths: expected names of files or folders, got {source!r} "
                f"({type(source).__name__}); pass them as str or Path"
            )
        files += _resolve(os.fsdecode(source), recursive)
    return list(dict.fromkeys(_expand_all(files)))


def _resolve(text: str, recursive: bool) -> list[str]:
    """Return the files that one argument names."""
    path = Path(text)
    try:
        if path.is_dir():
            return _list_folder(path, recursive)
        if path.exists() or "#page=" in text:
            return [text]
        if re.search(r"[*?[]", text):
            return _match(path, recursive)
    except PageReadError:
        raise
    except (OSError, ValueError) as error:
        raise _refusal(text, error) from error
    if path.suffix.lower() in PAGE_SUFFIXES:
        return [text]
    raise PageReadError(
        f"{text}: expected a file or folder, but there is none of this name; check the "
        f"spelling and where you are (now in {Path.cwd()})"
    )


def _list_folder(folder: Path, recursive: bool) -> list[str]:
    """Return the page files in a folder, in natural order."""
    found = list(_walk(folder, recursive))
    if not found:
        inside = (
            "" if recursive else "; for folders within: recursive=True, or --recursive"
        )
        raise PageReadError(
            f"{folder}: expected a folder of pages, got one without any (looked for "
            f"{' '.join(sorted(PAGE_SUFFIXES))}){inside}"
        )
    return found


def _walk(folder: Path, recursive: bool) -> Iterator[str]:
    """Yield visible page files in natural order, a folder at a time.

    A link to a folder is not followed within.
    """
    try:
        names = sorted((entry.name for entry in folder.iterdir()), key=_natural)
    except OSError as error:
        raise _refusal(str(folder), error) from error
    for name in names:
        if name.startswith("."):
            continue
        path = folder / name
        if path.is_dir():
            if recursive and not path.is_symlink():
                yield from _walk(path, recursive)
        elif path.suffix.lower() in PAGE_SUFFIXES:
            yield str(path)


def _match(pattern: Path, recursive: bool) -> list[str]:
    """Return the files that a pattern matches and what the folders it matches hold."""
    base = Path(pattern.anchor)
    names: list[str] = []
    found = base.glob(str(pattern.relative_to(base)))
    for path in sorted(found, key=lambda path: [_natural(part) for part in path.parts]):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            names += _walk(path, recursive)
        else:
            names.append(str(path))
    if not names:
        raise PageReadError(
            f"{pattern}: expected a pattern that matches files, got no match; check it "
            f"and where you are (now in {Path.cwd()})"
        )
    return names


def _expand_all(files: list[str]) -> Iterator[str]:
    """Yield the names of the pages of all files."""
    for start in range(0, len(files), _AHEAD):
        some = files[start : start + _AHEAD]
        for name in some:
            _ask_ahead(name)
        for name in some:
            yield from _expand(name)


def _ask_ahead(name: str) -> None:
    """Have the disk bring the first bytes of a file, without waiting for them.

    Asked of many files at once it is much quicker than one by one.
    """
    # to open a pipe or a device may do something; what fails is told when it is read
    with suppress(OSError, ValueError):
        if hasattr(os, "posix_fadvise") and stat.S_ISREG(Path(name).stat().st_mode):
            opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
            try:
                os.posix_fadvise(opened, 0, HEAD_BYTES, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(opened)


def _expand(name: str) -> list[str]:
    """Return the names of the pages of one file; its own name if it is broken."""
    try:
        path, number = split_name(name)
        n_pages = 1 if number is not None else count_pages(path)
    # Reading it will say what is wrong, and stop nothing but this page.
    except PageReadError:
        return [name]
    if n_pages == 1:
        return [name]
    return [f"{name}#page={page}" for page in range(1, n_pages + 1)]


def _natural(name: str) -> tuple[str, str]:
    """Return a sort key in which numbers count by value, and come before letters."""
    chunks = re.split(r"(\d+)", name.casefold())
    return "".join(map(_sortable, chunks)), name


def _sortable(chunk: str) -> str:
    """Return a number behind its length, so that it sorts by value, or text as it is.

    In one string and not as numbers: there may be very many names.
    """
    if not chunk.isdecimal():
        return f"\1{chunk}" if chunk else ""
    number = str(int(chunk))
    return f"\0{len(number):03d}{number}"


def _refusal(name: str, error: Exception) -> PageReadError:
    """Say that the file system refuses a folder."""
    reason = getattr(error, "strerror", None) or str(error)
    return PageReadError(
        f"{name}: expected a folder to read, got {reason!r}; ask its owner for read "
        "permission or check the disk"
    )

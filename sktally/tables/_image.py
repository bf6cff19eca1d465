"""What a page is known by: the SHA-256 of its file's bytes, and its number in it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sktally.exceptions import PageReadError
from sktally.pages._read import split_name

__all__ = ["FileState", "PageName", "file_sha256", "printable"]


@dataclass(frozen=True)
class FileState:
    """What vouches for the bytes of a file that was hashed before."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Return the state of a file, which must be a regular one."""
        try:
            found = path.stat()
        except ValueError as error:
            raise PageReadError(
                f"{path}: expected the name of a file, got one that none can have "
                f"({error})"
            ) from None
        if not stat.S_ISREG(found.st_mode):  # a pipe would keep us waiting for ever
            raise PageReadError(f"{path}: expected a regular file")
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class PageName:
    """A page as it was named: the file, and which of its pages."""

    name: str
    path: Path
    number: int

    @classmethod
    def parse(cls, name: str | os.PathLike[str]) -> PageName:
        """Split the name of a page; what is no such name is taken for a file's."""
        text = os.fsdecode(name)
        try:
            path, number = split_name(text)
        except PageReadError:  # reading it will say what is wrong
            path, number = Path(text), None
        return cls(text, path, number or 1)

    @property
    def file(self) -> str:
        """The file's name as text that any table can hold."""
        return printable(str(self.path))


def printable(text: str) -> str:
    r"""Return a file name, or a message with one, as text; other bytes are ``\xNN``.

    Examples
    --------
    >>> printable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # not from the name of a file
        content = text.encode("utf-8", "backslashreplace")
    return content.decode("utf-8", "backslashreplace")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file's bytes as hexadecimal digits."""
    FileState.of(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""A scan file becomes a page.

Comes in: a path, the name of one page of a file (``file.pdf#page=3``) or an array.
Goes out: uint8 ``(height, width)``, dark ink on light paper as it was scanned, the
way up that the file says. Nothing is resampled and nothing written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sktally._validate import check_page, check_range, is_there
from sktally.exceptions import PageReadError
from sktally.pages import _pdf
from sktally.pages._decode import (
    HEAD_BYTES,
    check_size,
    read_jpeg,
    read_raster,
    sniff,
    tiff_pages,
)

__all__ = ["count_pages", "read_page", "read_reduced", "split_name"]

_PAGE_NAME = re.compile(r"(?P<path>.+)#page=(?P<page>[^#/\\]*)", re.DOTALL)
# A0 at 300 dpi has 140 megapixels.
_MAX_PIXELS = 150_000_000
_DPI = 200
# These are read whole before they are decoded. A page of 150 megapixels takes less.
_WHOLE_IN_MEMORY = ("jpeg", "webp")
_MAX_BYTES = 2**30


def read_page(
    source: str | os.PathLike[str] | ArrayLike,
    *,
    color: bool = False,
    dpi: float = _DPI,
    max_pixels: int = _MAX_PIXELS,
) -> np.ndarray:
    """Read one page of a scan as an array.

    The kind of a file is told from its first bytes, not from its name: JPEG, PNG,
    TIFF (any compression libtiff knows, such as LZW and fax group 4), BMP, WebP, and
    PDF where the extra ``sktally[pdf]`` is installed.

    Parameters
    ----------
    source : str, path-like or array-like
        A file; or one page of a file of several, counted from 1, as
        ``"file.pdf#page=3"`` (PDF and TIFF); or pixels, uint8 or bool, of shape
        ``(height, width)`` or ``(height, width, 3)``, which are checked only.
    color : bool, default=False
        Whether to keep colour.
    dpi : float, default=200
        Resolution, in pixels per inch, at which a PDF page is rendered that is not
        simply one scanned picture; 50 to 1200. No other page is affected.
    max_pixels : int, default=150_000_000
        Larger pages are refused before they are decoded. A0 at 300 dpi has 140
        million pixels.

    Returns
    -------
    page : ndarray of shape (height, width) or (height, width, 3)
        uint8, 0 black to 255 white, C-contiguous; red, green, blue if `color`. An
        array given as `source` may be returned itself.

    Raises
    ------
    PageReadError
        If there is no such file or page, it cannot be read, is torn, damaged, empty,
        encrypted, of another kind, of several pages where one is meant, smaller than
        32 x 32 or larger than `max_pixels`.

    See Also
    --------
    list_pages : Name every page of files and folders.

    Notes
    -----
    Orientation tags (EXIF, TIFF) are obeyed, transparency is laid over white paper,
    and colour turns to grey with the weights of ITU-R BT.601. Grey of 10 to 16 bits
    is scaled by the depth that the page uses. A JPEG costs what OpenCV takes to
    decode it.

    A PDF page that shows one picture over most of its area, upright, mirrored or
    turned by right angles, and nothing else but invisible text, gives the pixels of
    that picture as they are stored; annotations are left out. Any other is rendered
    with its annotations and form fields.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sktally.pages import read_page
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "scan.png")
    >>> Image.fromarray(np.full((60, 40), 200, "uint8")).save(path)
    >>> page = read_page(path)
    >>> page.shape, page.dtype.name, int(page[0, 0])
    ((60, 40), 'uint8', 200)
    >>> folder.cleanup()
    """
    check_range("dpi", dpi, 50, 1200)
    check_range("max_pixels", max_pixels, 1, float("inf"), integer=True)
    if not isinstance(source, str | os.PathLike):
        pixels = check_page(source, color=color)
        check_size((pixels.shape[1], pixels.shape[0]), "page", max_pixels)
        return pixels
    limits = {"color": color, "max_pixels": max_pixels}
    return _read(source, dpi=dpi, limits=limits)[0]


def read_reduced(
    source: str | os.PathLike[str], long_side: float
) -> tuple[np.ndarray, int]:
    """Read one page of a scan no finer than is needed, if that is quicker.

    Parameters
    ----------
    source : str or path-like
        A file, or one page of it, as for `read_page`.
    long_side : float
        Pixels that the longer side should keep at least, if it has them.

    Returns
    -------
    page : ndarray of shape (height, width)
        uint8, as from `read_page`, or smaller.
    factor : {1, 2, 4, 8}
        By what it is smaller along each side: a pixel covers a block of so many
        pixels of the page. 1 for all but JPEGs whose sides it divides.

    Raises
    ------
    PageReadError
        As `read_page`.
    TallyError
        If `long_side` is no number of 1 or more.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sktally.pages import read_reduced
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "scan.jpg")
    >>> Image.fromarray(np.full((2200, 1700), 200, "uint8")).save(path)
    >>> page, factor = read_reduced(path, long_side=1000)
    >>> page.shape, factor
    ((1100, 850), 2)
    >>> folder.cleanup()
    """
    check_range("long_side", long_side, 1, float("inf"))
    limits = {"color": False, "max_pixels": _MAX_PIXELS}
    return _read(source, dpi=_DPI, limits=limits, long_side=long_side)


def _read(
    source: str | os.PathLike[str],
    *,
    dpi: float,
    limits: dict[str, Any],
    long_side: float = float("inf"),
) -> tuple[np.ndarray, int]:
    """Return one page of a file and the factor by which it is reduced."""
    path, number = split_name(source)
    name = str(path) if number is None else f"{path}#page={number}"
    kind, n_bytes = _kind_of(path, name)
    index = _page_index(path, kind, number)
    if kind == "pdf":
        return _pdf.read_pdf(path, name, page=index, dpi=dpi, **limits), 1
    with _access(name):
        if kind in _WHOLE_IN_MEMORY:
            _check_bytes(n_bytes, name)
        if kind == "jpeg":
            with path.open("rb", buffering=0) as stream:
                data = stream.readall()
            return read_jpeg(data, name, long_side=long_side, **limits)
        return read_raster(path, kind, name, page=index, **limits), 1


def split_name(source: str | os.PathLike[str]) -> tuple[Path, int | None]:
    """Split ``file.pdf#page=3`` into the file and the page, counted from 1.

    A file whose real name looks like that is that file.
    """
    text = os.fsdecode(source)
    match = _PAGE_NAME.fullmatch(text) if "#page=" in text else None
    if match is None or is_there(Path(text)):
        return Path(text), None
    number = match["page"]
    # Python reads no number of thousands of digits, be they zeros
    if not re.fullmatch("0{0,9}[1-9][0-9]{0,8}", number):
        raise PageReadError(
            f"{text}: expected a page number 1, 2, ... behind '#page=', got "
            f"{number!r:.60}"
        )
    return Path(match["path"]), int(number)


def count_pages(path: Path) -> int:
    """Count the pages of one file; 1 for kinds that hold one picture."""
    name = str(path)
    return _count(path, _kind_of(path, name)[0], name)


def _count(path: Path, kind: str, name: str) -> int:
    """Count the pages of a file of known kind."""
    if kind == "pdf":
        return _pdf.pdf_pages(path, name)
    if kind == "tiff":
        with _access(name):
            return tiff_pages(path, name)
    return 1


@contextmanager
def _access(name: str) -> Iterator[None]:
    """Report what the file system refuses as an error of the page."""
    try:
        yield
    except PageReadError:
        raise
    except FileNotFoundError as error:
        raise PageReadError(
            f"{name}: expected a file, but there is none of this name; check the "
            f"spelling and the folder (now in {Path.cwd()})"
        ) from error
    except PermissionError as error:
        raise PageReadError(
            f"{name}: expected a file to read, got 'permission denied'; ask its owner "
            "for read permission"
        ) from error
    except (OSError, ValueError) as error:
        raise PageReadError(
            f"{name}: expected a file to read, got {str(error)!r}; check the path and "
            "the disk"
        ) from error


def _kind_of(path: Path, name: str) -> tuple[str, int]:
    """Tell the kind of an existing file by its first bytes, and how many it has."""
    with _access(name):
        status = path.stat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise PageReadError(
                f"{name}: expected a file, got a folder; list its pages with list_pages"
            )
        # A pipe or a device could keep the reader waiting for ever.
        if not stat.S_ISREG(mode):
            raise PageReadError(
                f"{name}: expected a regular file, got a pipe, socket or device; copy "
                "the page to a file first"
            )
        with path.open("rb", buffering=0) as stream:
            head = stream.read(HEAD_BYTES)
    if not head:
        raise PageReadError(
            f"{name}: expected an image, got an empty file (0 bytes); copy or scan it "
            "again"
        )
    kind = sniff(head)
    if kind is None:
        raise PageReadError(
            f"{name}: expected JPEG, PNG, TIFF, BMP, WebP or PDF, got {_guess(head)}; "
            "convert it to one of these"
        )
    return kind, status.st_size


def _guess(head: bytes) -> str:
    """Say what a file of no known kind seems to be."""
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "a HEIC photo"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "a GIF picture"
    if head[:4] == b"PK\x03\x04":
        return "a ZIP archive or office document"
    if not head.strip(b"\0"):
        return "a file of zeros, as a broken download leaves"
    try:
        head[:200].decode("ascii")
        return f"a text file that begins {head[:20].decode('ascii')!r}"
    except UnicodeDecodeError:
        return f"a file that begins with the bytes {head[:8].hex(' ')}"


def _check_bytes(n_bytes: int, name: str) -> None:
    """Raise for a file that would fill the memory before anything is decoded."""
    if n_bytes > _MAX_BYTES:
        raise PageReadError(
            f"{name}: expected a picture of at most {_MAX_BYTES / 2**20:.0f} MiB, got "
            f"{n_bytes / 2**20:.0f} MiB; something was written behind the picture: "
            "copy or scan it again"
        )


def _page_index(path: Path, kind: str, number: int | None) -> int:
    """Return which page of a file is meant, from 0, if it is exactly one."""
    name = str(path) if number is None else f"{path}#page={number}"
    n_pages = _count(path, kind, name)
    if number is None:
        if n_pages != 1:
            raise PageReadError(
                f"{path}: expected a single page, got a file of {n_pages}; name one of "
                f"them, {path}#page=1 to {path}#page={n_pages}, or all with "
                "list_pages"
            )
        return 0
    if number > n_pages:
        has = "has only 1 page" if n_pages == 1 else f"has {n_pages} pages"
        raise PageReadError(
            f"{name}: expected a page that exists, but the file {has}; "
            "list them with list_pages"
        )
    return number - 1

"""The scan that a page was read from: where it lies, its pixels, or why there is none.

Comes in: a store and what a page is known by. Goes out: the page, if a file with the
bytes that were read is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sktally.exceptions import TallyError
from sktally.pages import read_page
from sktally.pages._read import count_pages
from sktally.tables._find import file_of
from sktally.tables._image import file_sha256
from sktally.tables._store import Store

__all__ = ["Scan", "scan_of"]


@dataclass(frozen=True)
class Scan:
    """A page as it was read, or why it cannot be looked at.

    Attributes
    ----------
    source : str
        Its name, as `read_page` takes it; empty without a scan.
    image : ndarray of shape (height, width), optional
        uint8 grey; None without a scan.
    problem : str
        Why there is none; else empty.
    """

    source: str = ""
    image: np.ndarray | None = None
    problem: str = ""


def scan_of(store: Store, sha256: str, number: int) -> Scan:
    """Return a page out of a file with the bytes that were read."""
    path = file_of(store, sha256)
    try:
        if path is None or file_sha256(path) != sha256:
            why = "the file that was read is gone, or has other bytes now"
            return Scan(problem=why)
        source = f"{path}#page={number}" if count_pages(path) > 1 else str(path)
        return Scan(source, read_page(source))
    except (OSError, TallyError) as error:
        return Scan(problem=f"the file cannot be read any more ({error!s:.200})")

"""Whether a store may be where somebody wants it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sktally._validate import is_there
from sktally.exceptions import StoreError
from sktally.tables._image import PageName

__all__ = ["check_store_path"]


def check_store_path(path: str | Path, pages: Sequence[str] = ()) -> Path:
    """Return the path of a store to write, or say what is wrong with it.

    Parameters
    ----------
    path : str or path
        Where the store is or shall be.
    pages : sequence of str, optional
        The pages to be read: nothing is ever written into their folders.

    Returns
    -------
    Path

    Raises
    ------
    StoreError
        If the folder is missing, or pages lie in it.

    Examples
    --------
    >>> from sktally.tables import check_store_path
    >>> check_store_path("votes.sqlite", ["scans/station_1.jpg"]).name
    'votes.sqlite'
    """
    path = Path(path)
    folder = path.absolute().parent
    if not (is_there(folder) and folder.is_dir()):
        raise StoreError(f"{path}: there is no folder {folder}; make it first")
    if folder.resolve() in {_folder(page) for page in pages}:
        raise StoreError(
            f"{path}: the pages lie in {folder}, and sktally never writes beside its "
            "input; choose another folder for the store"
        )
    return path


def _folder(page: str) -> Path:
    """Return the folder that a page lies in, be it a link that leads nowhere."""
    path = PageName.parse(page).path
    try:
        return path.resolve().parent
    # links in a circle; names that no file has
    except (OSError, RuntimeError, ValueError):
        return path.absolute().parent

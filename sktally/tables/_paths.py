"""Whether a table or a store may be where somebody wants it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sktally.exceptions import StoreError, TallyError
from sktally.tables._image import PageName

__all__ = ["check_store_path", "check_table_path"]

#: Endings of tables.
_TABLES = (".csv", ".parquet", ".dta")


def check_table_path(path: str | Path, pages: Sequence[str] = ()) -> Path:
    """Return the path of a table to write, or say what is wrong with it.

    Parameters
    ----------
    path : str or path
        Should end in ``.csv``, ``.parquet`` or ``.dta`` (Stata).
    pages : sequence of str, optional
        The pages to be read: nothing is ever written into their folders.

    Returns
    -------
    Path

    Raises
    ------
    TallyError
        If the ending is another, the folder is missing, or pages lie in it.

    Examples
    --------
    >>> from sktally.tables import check_table_path
    >>> check_table_path("votes.csv", ["scans/station_1.jpg"]).name
    'votes.csv'
    """
    path = Path(path)
    if path.suffix not in _TABLES:
        raise TallyError(
            f"{path}: expected a name that ends in {' or '.join(_TABLES)}, got "
            f"{path.suffix or 'no ending'!r}"
        )
    folder = path.resolve().parent
    if not folder.is_dir():
        raise TallyError(f"{path}: there is no folder {folder}; make it first")
    if folder in {PageName.parse(p).path.resolve().parent for p in pages}:
        raise TallyError(
            f"{path}: the pages lie in {folder}, and sktally never writes beside its "
            "input; choose another folder for the table"
        )
    return path


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
    if not folder.is_dir():
        raise StoreError(f"{path}: there is no folder {folder}; make it first")
    if folder.resolve() in {PageName.parse(p).path.resolve().parent for p in pages}:
        raise StoreError(
            f"{path}: the pages lie in {folder}, and sktally never writes beside its "
            "input; choose another folder for the store"
        )
    return path

"""Whether a table or a store may be where somebody wants it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sktally._validate import is_there
from sktally.exceptions import StoreError, TallyError
from sktally.tables._image import PageName

__all__ = ["check_store_path", "check_table_path", "not_written", "partial_of"]

#: Endings of tables.
_TABLES = (".csv", ".parquet", ".dta")


def check_table_path(
    path: str | Path, pages: Sequence[str] = (), *, or_store: bool = False
) -> Path:
    """Return the path of a table to write, or say what is wrong with it.

    Parameters
    ----------
    path : str or path
        Should end in ``.csv``, ``.parquet`` or ``.dta`` (Stata).
    pages : sequence of str, optional
        The pages to be read: nothing is ever written into their folders.
    or_store : bool, default=False
        Whether a store might be named instead; what is wrong is told accordingly.

    Returns
    -------
    Path

    Raises
    ------
    TallyError
        If the ending is another, the folder is missing or cannot be written to, a
        folder has the name, or pages lie beside it.

    Examples
    --------
    >>> from sktally.tables import check_table_path
    >>> check_table_path("votes.csv", ["scans/station_1.jpg"]).name
    'votes.csv'
    """
    path = Path(path)
    if path.suffix not in _TABLES:
        store = ", or of a store in .sqlite" if or_store else ""
        raise TallyError(
            f"{path}: expected a name that ends in {' or '.join(_TABLES)}{store}, got "
            f"{path.suffix or 'no ending'!r}"
        )
    _check_folder(path, pages, TallyError)
    _check_writable(path)
    return path


def partial_of(path: Path) -> Path:
    """Return the name under which a table is written until it is whole."""
    return path.with_name(path.name + ".partial")


def not_written(path: Path, error: OSError) -> TallyError:
    """Return what to say where a table cannot be written."""
    return TallyError(
        f"{path}: cannot be written ({error.strerror or error}); choose a folder that "
        "exists and may be written to"
    )


def _check_writable(path: Path) -> None:
    """Raise where a table could not be written; nothing is left behind.

    A file without a name is made: what permissions say is not all, a disk may be
    mounted to be read only.
    """
    if path.is_dir():
        raise TallyError(
            f"{path}: expected the name of a table to write, got that of a folder; "
            "choose another name"
        )
    try:
        partial_of(path).exists()  # raises if the name is too long
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise not_written(path, error) from None


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
    _check_folder(path, pages, StoreError)
    return path


def _check_folder(path: Path, pages: Sequence[str], error: type[TallyError]) -> None:
    """Raise unless the folder is there, and no page's name or file lies in it."""
    folder = path.absolute().parent
    if not (is_there(folder) and folder.is_dir()):
        raise error(f"{path}: there is no folder {folder}; make it first")
    shared = _folders([path]) & _folders([PageName.parse(page).path for page in pages])
    if shared:
        raise error(
            f"{path}: pages lie in {min(shared)}, and sktally never writes beside its "
            "input; choose another folder"
        )


def _folders(paths: Sequence[Path]) -> set[Path]:
    """Return the folders in which names lie, and those in which what links lead to is.

    ``scans/1.jpg`` may be a link into an archive: both are the user's input.
    """
    named = {_real(folder) for folder in {path.parent for path in paths}}
    return named | {_real(path).parent for path in paths}


def _real(path: Path) -> Path:
    """Return where a name leads, or itself if no file can have it."""
    try:  # unlike Path.resolve, this does not raise where links lead round in a circle
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return path.absolute()

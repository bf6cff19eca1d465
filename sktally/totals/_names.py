"""Names of sheets: unique texts, and a hash by which a changed list is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Set

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError

__all__ = ["by_sheet", "frame_hash", "listed", "numbers", "sheet_keys", "sheet_names"]


def listed(names: Iterable[object], n_shown: int = 3) -> str:
    """Return the first few names for a message.

    Examples
    --------
    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    texts = [str(name) for name in names]
    more = len(texts) - n_shown
    return ", ".join(texts[:n_shown]) + (f" and {more} more" if more > 0 else "")


def sheet_names(values: Iterable[object], what: str, *, repeats: bool = False) -> list:
    """Return names as texts; missing ones, repeated ones and none at all raise."""
    if isinstance(values, str | Set) or not isinstance(values, Iterable):
        raise TallyError(
            f"{what}: expected a list of names of sheets, got {type(values).__name__}"
        )
    found = values.tolist() if isinstance(values, pd.Index) else list(values)
    missing = np.flatnonzero(pd.isna(np.fromiter(found, object, len(found))))
    if len(missing):
        raise TallyError(
            f"{what}: expected a name for every sheet, got none in row "
            f"{listed(missing)}; name the sheets, unread ones too"
        )
    names = list(map(str, found))
    if not names:
        raise TallyError(f"{what}: expected at least one sheet, got none")
    if not repeats and len(set(names)) < len(names):
        counts = pd.Series(names).value_counts()
        raise TallyError(
            f"{what}: expected every sheet once, got {listed(counts.index[counts > 1])}"
            " more than once; add up the pages of a sheet first"
        )
    return names


def by_sheet(table: object, what: str, *, repeats: bool = False) -> pd.DataFrame:
    """Return a table with its sheets as index.

    Their names are the column ``sheet``; without it ``file`` and ``page``, as pages are
    named when they are read: ``a.png``, ``b.pdf#page=2``; without these the index.

    Raises
    ------
    TallyError
        If it is no DataFrame, or its sheets are missing, repeated or none.
    """
    if not isinstance(table, pd.DataFrame):
        raise TallyError(
            f"{what}: expected a DataFrame with a row for each sheet, got "
            f"{type(table).__name__}"
        )
    keys = [] if "sheet" not in table and "file" not in table else sheet_keys(table)
    if not repeats and keys == ["file", "page"] and "field" in table:
        raise TallyError(
            f"{what}: expected a row for each sheet, got one for each page and field; "
            "pivot it: a column for each field"
        )
    values = _named(table, keys, what) if keys else table.index
    found = table.drop(columns=keys, errors="ignore")
    names = sheet_names(values, what, repeats=repeats)
    index = pd.Index(names, dtype=object, name="sheet")
    return found.set_axis(index, axis=0)


def sheet_keys(table: pd.DataFrame) -> list[str]:
    """Return the columns that name a sheet: ``sheet``, or ``file`` and ``page``."""
    return ["sheet"] if "sheet" in table else ["file", "page"]


def _named(table: pd.DataFrame, keys: list[str], what: str) -> pd.Index:
    if keys == ["sheet"] or "page" not in table:
        return pd.Index(table[keys[0]])
    page = numbers(table, "page", what)
    several = table["file"].isin(set(table["file"][page != 1]))
    names = zip(table["file"], page, several, strict=True)
    return pd.Index([f"{f}#page={n:.0f}" if more else f for f, n, more in names])


def numbers(table: pd.DataFrame, name: str, what: str) -> npt.NDArray[np.float64]:
    """Return a column as floats, NaN where missing; text and infinity raise."""
    if name not in table:
        raise TallyError(
            f"{what}: no column {name!r}; its columns: {listed(table.columns, 12)}"
        )
    if isinstance(table[name], pd.DataFrame):
        raise TallyError(f"{what}: expected one column {name!r}, got several")
    try:
        column = table[name]
        if column.dtype not in (np.float64, np.int64):
            column = column.astype("Float64")
    except (TypeError, ValueError):
        raise TallyError(
            f"{what}, column {name!r}: expected numbers, got {table[name].dtype}"
        ) from None
    found = np.asarray(column.to_numpy(np.float64, na_value=np.nan), np.float64)
    if np.isinf(found).any():
        raise TallyError(f"{what}, column {name!r}: expected finite numbers, got inf")
    return found


def frame_hash(names: Iterable[str]) -> str:
    """Return the SHA-256 of a set of names, in whatever order they come.

    Examples
    --------
    >>> frame_hash(["b", "a"]) == frame_hash(["a", "b"])
    True
    """
    text = json.dumps(sorted(names), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()

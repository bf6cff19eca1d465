"""Lists that people write: a CSV file becomes a table, or an error that says why not.

Never unpacked and never fetched, whatever its name: a small archive can hold more than
fits into memory.
"""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from sktally.exceptions import StoreError

__all__ = ["read_csv"]

_SEPARATORS = {";": "semicolons", "\t": "tabs"}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_csv(path: str | Path, **options: Any) -> pd.DataFrame:
    """Read a CSV file in UTF-8 whose rows are no longer than its header.

    Parameters
    ----------
    path : str or path
        The file; perhaps with a byte order mark, as Excel writes it.
    **options
        For `pandas.read_csv`.

    Raises
    ------
    StoreError
        If it cannot be read, is none or is empty, is in another encoding, its cells are
        separated by semicolons or tabs, or a row has more cells than there are columns:
        pandas would push them aside without a word.
    """
    name = f"{path!s:.300}"
    text = _decoded(_content(path, name), name)
    _check_separator(text, name)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(filter(None, rows), [])
        for row in rows:
            if len(row) > len(header):
                raise ValueError(
                    f"line {rows.line_num}: {len(row)} cells in {len(header)} columns"
                )
        return pd.read_csv(io.StringIO(text), **options)
    except pd.errors.EmptyDataError:
        raise StoreError(f"{name}: expected a CSV file, got an empty one") from None
    except (ValueError, csv.Error) as error:
        raise StoreError(
            f"{name}: expected a CSV file in UTF-8, got {str(error)!r:.300}; write it "
            "as CSV, not packed, with one cell for each column"
        ) from None


def _content(path: str | Path, name: str) -> bytes:
    """Return the bytes of a file, or raise why they cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise StoreError(
            f"{name}: expected a CSV file, but there is none of this name; check the "
            f"spelling and the folder (now in {Path.cwd()})"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{name}: expected a CSV file to read, got {reason!r:.300}; check the "
            "name, and whether you may read it"
        ) from None


def _decoded(content: bytes, name: str) -> str:
    """Return bytes as text, or raise in which line they are not UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "UTF-16" if content.startswith(_UTF16) else _where(error)
    else:
        if "\0" not in text:
            return text
        found = "bytes of 0, as UTF-16 has them"
    raise StoreError(
        f"{name}: expected a CSV file in UTF-8, got {found}; save it as 'CSV UTF-8', "
        "not packed"
    )


def _where(error: UnicodeDecodeError) -> str:
    """Return the line in which bytes are not UTF-8, and how it begins."""
    before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    number, start = before.count(b"\n") + 1, len(before) - before.rfind(b"\n") - 1
    line = error.object[error.start - start :].splitlines()[0]
    shown = line.decode("utf-8", "backslashreplace")
    return f"another encoding in line {number} ({shown:.60})"


def _check_separator(text: str, name: str) -> None:
    """Raise if the header is a single cell with what else separates cells in it.

    Not taken for the separator: where semicolons separate, a comma may be a decimal
    sign.
    """
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(filter(None, rows), [])
    except csv.Error:  # reading all of it says what is wrong
        return
    for separator, called in _SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise StoreError(
                f"{name}: expected cells separated by commas, got a file separated by "
                f"{called}; save it with commas (Excel takes the separator from the "
                "regional settings of the computer)"
            )

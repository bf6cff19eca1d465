"""Lists that people write: a CSV file becomes a table, or an error that says why not.

Never unpacked and never fetched, whatever its name: a small archive can hold more than
fits into memory.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from sktally.exceptions import StoreError

__all__ = ["read_csv"]


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
        If it cannot be read, is none or is empty, or a row has more cells than there
        are columns: pandas would push them aside without a word.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(filter(None, rows), [])
        for row in rows:
            if len(row) > len(header):
                raise ValueError(
                    f"line {rows.line_num}: {len(row)} cells in {len(header)} columns"
                )
        return pd.read_csv(io.StringIO(text), **options)
    except pd.errors.EmptyDataError:
        raise StoreError(f"{path}: expected a CSV file, got an empty one") from None
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{path!s:.300}: expected a CSV file in UTF-8, got {reason!r:.300}; write "
            "it as CSV, not packed, with one cell for each column"
        ) from None

"""Write tables as CSV, Parquet or for Stata, whole or not at all.

Comes in: a table, or parts of one in order, of which one at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import pandas as pd

from sktally.exceptions import TallyError
from sktally.tables._paths import check_table_path, not_written, partial_of

__all__ = ["write_table"]


def write_table(table: pd.DataFrame | Iterable[pd.DataFrame], path: str | Path) -> None:
    """Write a table as CSV, Parquet or for Stata, whole or not at all.

    Parameters
    ----------
    table : DataFrame or iterable of DataFrame
        Any table; or its parts in order, from `store_parts` say, with the same
        columns. Parts are written as they come, but for Stata only all at once.
    path : str or path
        Ends in ``.csv``, ``.parquet`` or ``.dta``.

    Raises
    ------
    TallyError
        If the ending is another, the folder is missing or cannot be written, or
        Parquet support is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from sktally.tables import write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(pd.DataFrame({"count": [12]}), folder + "/votes.csv")
    ...     int(pd.read_csv(folder + "/votes.csv")["count"][0])
    12
    """
    path = check_table_path(path)
    partial = partial_of(path)
    parts = [table] if isinstance(table, pd.DataFrame) else table
    try:
        _WRITERS[path.suffix](parts, partial)
        partial.replace(path)
    except ImportError:
        raise TallyError(
            f"{path}: writing Parquet needs the [table] extra: "
            "pip install 'sktally[table]'"
        ) from None
    except OSError as error:
        raise not_written(path, error) from None
    finally:
        partial.unlink(missing_ok=True)


def _write_csv(parts: Iterable[pd.DataFrame], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        for i, part in enumerate(parts):
            part.to_csv(stream, index=False, header=i == 0)


def _write_parquet(parts: Iterable[pd.DataFrame], path: Path) -> None:
    """Write each part as a row group, with the types of the first."""
    import pyarrow as pa
    from pyarrow import parquet

    parts = iter(parts)
    first = next(parts)
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    for i, column in enumerate(schema):
        if pa.types.is_null(column.type):  # text, of which this part has none
            schema = schema.set(i, column.with_type(pa.large_string()))
    with parquet.ParquetWriter(path, schema) as writer:
        for part in chain([first], parts):
            writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))


def _write_stata(parts: Iterable[pd.DataFrame], path: Path) -> None:
    """Write Stata 14, which knows Unicode: missing numbers as ``.``, text as ""."""
    plain = pd.concat(list(parts), ignore_index=True)
    for name in plain:
        if pd.api.types.is_numeric_dtype(plain[name]):
            plain[name] = plain[name].astype("float64")  # exact below 2 ** 53
        else:
            plain[name] = plain[name].astype(object).fillna("").astype(str)
    long = [c for c in plain if plain[c].dtype == object or plain[c].dtype == "string"]
    long = [c for c in long if plain[c].str.len().max() > 2000]
    plain.to_stata(path, write_index=False, version=118, convert_strl=long)


_WRITERS: dict[str, Callable[[Iterable[pd.DataFrame], Path], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".dta": _write_stata,
}

"""From counts to a table: one row for each page and field."""

from sktally.tables._frame import (
    COLUMNS,
    check_table_path,
    read_tallies,
    write_table,
)

__all__ = ["COLUMNS", "check_table_path", "read_tallies", "write_table"]

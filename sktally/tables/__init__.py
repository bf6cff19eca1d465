"""From counts to a table, or to a store that grows: a row for each page and field."""

from sktally.tables._audited import audited_calibrator, audited_slips
from sktally.tables._batch import read_to_store
from sktally.tables._copies import file_copies
from sktally.tables._edits import edits_table, import_edits
from sktally.tables._frame import COLUMNS, read_tallies
from sktally.tables._paths import check_store_path, check_table_path
from sktally.tables._progress import Progress
from sktally.tables._reconcile import Reconciliation, reconcile_store
from sktally.tables._records import Run
from sktally.tables._show import show_page
from sktally.tables._stations import StationReport, join_stations, read_codes
from sktally.tables._status import store_status
from sktally.tables._store import Store
from sktally.tables._sums import SUMS_COLUMNS, sums_parts, sums_table
from sktally.tables._values import (
    STORE_COLUMNS,
    disagreements,
    store_parts,
    store_table,
)
from sktally.tables._verify import verify
from sktally.tables._write import write_table

__all__ = [
    "COLUMNS",
    "STORE_COLUMNS",
    "SUMS_COLUMNS",
    "Progress",
    "Reconciliation",
    "Run",
    "StationReport",
    "Store",
    "audited_calibrator",
    "audited_slips",
    "check_store_path",
    "check_table_path",
    "disagreements",
    "edits_table",
    "file_copies",
    "import_edits",
    "join_stations",
    "read_codes",
    "read_tallies",
    "read_to_store",
    "reconcile_store",
    "show_page",
    "store_parts",
    "store_status",
    "store_table",
    "sums_parts",
    "sums_table",
    "verify",
    "write_table",
]

"""Probabilities of boxes, sheet by sheet, as a store keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sktally.exceptions import StoreError
from sktally.tables import Run, Store
from sktally.tables._files import name_now
from sktally.tables._origin import form_of
from sktally.tables._schema import explained
from sktally.tables._store import chosen_run
from sktally.tables._values import edits_of
from sktally.votes import CLASSES

__all__ = ["SheetProba", "store_proba"]

_AT_ONCE = 500  # sheets


class SheetProba(NamedTuple):
    """What a store knows of the boxes of one sheet.

    Attributes
    ----------
    file, page, sha256 : str, int, str
        Which sheet.
    digit_proba : ndarray of float32, shape (n_fields, n_places, 12)
        NaN for fields that were not read.
    edited : ndarray of bool, shape (n_fields,)
        Fields that people corrected or entered.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.totals import SheetProba
    >>> proba = np.full((6, 3, 12), np.nan, np.float32)  # nothing was read
    >>> SheetProba("scan.png", 1, "0" * 64, proba, np.zeros(6, bool)).page
    1
    """

    file: str
    page: int
    sha256: str
    digit_proba: npt.NDArray[np.float32]
    edited: npt.NDArray[np.bool_]


def store_proba(
    store: Store, run: Run | int | None = None, *, replaced: bool = False
) -> Iterator[SheetProba]:
    """Yield the probabilities of the boxes of each sheet of a run.

    Memory does not grow with the number of sheets.

    Parameters
    ----------
    store : Store
        An open store; to be left open until the last sheet.
    run : Run or int, optional
        By default the one last read in.
    replaced : bool, default=False
        As of `sktally.tables.store_table`, whose order the sheets have; files that
        could not be opened are left out.

    Yields
    ------
    SheetProba

    Raises
    ------
    StoreError
        If nothing was read into the store, or probabilities are not as they were
        written.

    See Also
    --------
    vote_totals : Totals with intervals from these.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> from sktally.tables import Store
    >>> from sktally.totals import store_proba
    >>> folder = tempfile.TemporaryDirectory()
    >>> scan, path = Path(folder.name, "scan.png"), folder.name + "/votes.sqlite"
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> _ = read_to_store(load_reader("example"), [scan], path)
    >>> with Store(path) as store:
    ...     [sheet.digit_proba.shape for sheet in store_proba(store)]
    [(6, 3, 12)]
    >>> folder.cleanup()
    """
    run = chosen_run(store, run)
    shape = (form_of(run).n_places, len(CLASSES))
    end = store.ask("SELECT MAX(id) FROM pages WHERE run = ?", run.id)[0][0] or 0
    some = "+run = ? AND id > ? AND id <= ?"  # the plus keeps SQLite to the ids
    ask = (
        f"SELECT p.id, {name_now('p')}, p.number, p.sha256, f.field, f.proba "
        f"FROM pages p JOIN fields f ON f.page = p.id WHERE {some} "
        + ("" if replaced else "AND p.sha256 IN (SELECT sha256 FROM files) ")
        + "ORDER BY p.id, f.place"
    )
    for last in range(0, end, _AT_ONCE):
        image = f"WHERE sha256 IN (SELECT sha256 FROM pages WHERE {some})"
        edits = edits_of(store, image, run.id, last, last + _AT_ONCE)
        decided = {
            key
            for key, said in edits.items()
            if any(edit.purpose in ("correction", "entry") for edit in said)
        }
        sheets: dict[int, list[tuple]] = {}
        for row in store.ask(ask, run.id, last, last + _AT_ONCE):
            sheets.setdefault(row[0], []).append(row[1:])
        for rows in sheets.values():
            file, number, sha256, *_ = rows[0]
            with explained(store.path):
                proba = [_decoded(store, row, shape) for row in rows]
            edited = [(sha256, number, row[3]) in decided for row in rows]
            yield SheetProba(file, number, sha256, np.stack(proba), np.array(edited))


def _decoded(
    store: Store, row: tuple, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return probabilities (n_places, 12), NaN where there are none."""
    blob = row[-1]
    if blob is None:
        return np.full(shape, np.nan, np.float32)
    if not isinstance(blob, bytes) or len(blob) != 4 * shape[0] * shape[1]:
        raise StoreError(
            f"{store.path}: {row[0]}, field {row[3]}: expected probabilities of "
            f"{shape[0]} boxes, got something else; the store was altered or damaged: "
            f"`sktally verify {store.path}` tells which rows were, go back to an "
            "untouched copy"
        )
    return np.frombuffer(blob, "<f4").reshape(shape)

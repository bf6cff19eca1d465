"""What people say of single fields: corrections, second entries, audit readings.

Comes in: a CSV file. Goes out: rows of the store that are never changed, or a list of
every mistake in the file and no row.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from sktally.exceptions import StoreError, TallyError, TallyWarning
from sktally.form import TallyForm
from sktally.tables._csv import read_csv
from sktally.tables._files import name_now, still_counts
from sktally.tables._find import find_page
from sktally.tables._image import PageName
from sktally.tables._origin import form_of
from sktally.tables._records import Run
from sktally.tables._store import Store, chosen_run
from sktally.tables._typed import ask_typed
from sktally.votes import boxes_to_counts

__all__ = ["PURPOSES", "edits_table", "import_edits"]

PURPOSES = ("correction", "entry", "audit")
_NEEDED = ("file", "field", "who")
_KNOWN = (*_NEEDED, "page", "boxes", "count", "why", "purpose", "sha256")
_EXPORTED = ("made_at",)  # by `edits_table`; the store says itself when it is told
_SHOWN = 20  # mistakes in one message


def import_edits(
    store: Store,
    table: str | Path | pd.DataFrame,
    *,
    purpose: str | None = None,
    run: Run | int | None = None,
) -> tuple[int, int]:
    """Add what people say of fields, all rows or none.

    Parameters
    ----------
    store : Store
        An open store.
    table : str, path or DataFrame
        Columns ``file``, ``field``, ``who``, and ``boxes`` (such as "x23") or
        ``count``; perhaps ``page`` (1), ``why``, ``purpose``, and ``sha256`` of the
        file, which goes before its name. A row with neither boxes nor count says that
        the field cannot be read.
    purpose : {"correction", "entry", "audit"}, optional
        Of rows that do not say: "correction" by default.
    run : Run or int, optional
        In which files are looked up; by default the one last read in. Edits belong to
        the image, so they hold in every run.

    Returns
    -------
    added, known : int
        Rows added, and rows that say, word for word, what that person said last of
        that field for that purpose.

    Raises
    ------
    StoreError
        Every mistake, with its row; nothing is added then.

    Warns
    -----
    TallyWarning
        If rows with a ``sha256`` are of pages that no longer count: they are added,
        and hold again when the scan is back.

    See Also
    --------
    store_table : Final counts by these edits.
    disagreements : What a third person should enter.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> from sktally.tables import Store, import_edits, store_table
    >>> folder = tempfile.TemporaryDirectory()
    >>> scan, path = Path(folder.name, "scan.png"), folder.name + "/votes.sqlite"
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> _ = read_to_store(load_reader("example"), [scan], path)
    >>> edit = {"file": [str(scan)], "field": ["01"], "who": ["ana"], "boxes": ["x23"]}
    >>> with Store(path) as store:
    ...     print(import_edits(store, pd.DataFrame(edit)))
    ...     int(store_table(store)["final"][0])
    (1, 0)
    23
    >>> folder.cleanup()
    """
    run = chosen_run(store, run)
    rows = _read(table)
    unknown = [str(name) for name in rows if name not in (*_KNOWN, *_EXPORTED)]
    missing = [name for name in _NEEDED if name not in rows]
    if not {"boxes", "count"} & set(rows):
        missing.append("boxes or count")
    if unknown or missing:
        raise StoreError(
            f"{_label(table)}: expected columns {', '.join(_KNOWN)}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unknown: {', '.join(unknown)}" if unknown else "")
        )
    form = form_of(run)
    edits, mistakes = [], []
    for number, record in enumerate(rows.to_dict("records"), 2):  # the header is row 1
        row = {str(name): value for name, value in record.items()}
        try:
            edits.append(_edit(store, run, form, row, purpose or "correction"))
        except TallyError as error:
            mistakes.append(f"  row {number}: {error!s:.500}")
    if mistakes:
        more = [f"  ... and {len(mistakes) - _SHOWN} more"][: len(mistakes) > _SHOWN]
        raise StoreError(
            "\n".join(
                [
                    f"{_label(table)}: {len(mistakes)} of {len(rows)} rows have "
                    "mistakes, and none was added",
                    *mistakes[:_SHOWN],
                    *more,
                ]
            )
        )
    idle = [edit["file"] for edit in edits if not still_counts(store, edit["sha256"])]
    if idle:
        warnings.warn(
            f"{_label(table)}: {len(idle)} of {len(edits)} rows are of pages that no "
            f"longer count (first: {idle[0]}); they change nothing unless these scans "
            "are read again",
            TallyWarning,
            stacklevel=2,
        )
    with store.writing():
        new = 0
        for edit in edits:
            if not _is_known(store, edit):
                store.add_edit(**edit)
                new += 1
    return new, len(edits) - new


def _label(table: object) -> str:
    return "edits" if isinstance(table, pd.DataFrame) else str(table)


def _read(table: str | Path | pd.DataFrame) -> pd.DataFrame:
    if isinstance(table, pd.DataFrame):
        rows = table.astype("string")
    else:
        rows = read_csv(table, dtype="string", keep_default_na=False)
    return rows.fillna("").apply(lambda column: column.str.strip())


def _edit(
    store: Store, run: Run, form: TallyForm, row: dict[str, str], purpose: str
) -> dict[str, Any]:
    """Return the values of one edit, or raise what is wrong with it."""
    purpose = row.get("purpose") or purpose
    if purpose not in PURPOSES:
        raise StoreError(
            f"purpose: expected {' or '.join(PURPOSES)}, got {purpose!r:.60}"
        )
    if row["field"] not in form.field_names:
        raise StoreError(
            f"field: expected one of {', '.join(form.field_names)}, got "
            f"{row['field']!r:.60}"
        )
    if not row["who"]:
        raise StoreError("who: expected the name of the person, got nothing")
    number = row.get("page") or None
    if number is not None and not re.fullmatch("0{0,9}[1-9][0-9]{0,8}", number):
        raise StoreError(f"page: expected 1, 2, ..., got {number!r:.60}")
    n_places = len(form.fields[form.field_names.index(row["field"])].rectangles)
    boxes, count = _value(row, n_places, form.blank_right)
    edit = {
        "field": row["field"],
        "purpose": purpose,
        "boxes": boxes,
        "count": count,
        "who": row["who"],
        "why": row.get("why", ""),
        "made_at": row.get("made_at") or None,
    }
    return edit | _page(store, run, row, None if number is None else int(number), edit)


def _page(
    store: Store, run: Run, row: dict[str, str], number: int | None, edit: dict
) -> dict[str, Any]:
    """Return image, number and name of the page that a row is of."""
    name = PageName.parse(row["file"])
    named = number is not None or name.name != str(name.path)
    number = number or name.number
    sha256 = row.get("sha256") or _said_before(store, edit, number)
    ask = f"SELECT sha256, number, {name_now('p')} FROM pages p WHERE "
    if sha256:
        which = "run = ? AND sha256 = ? AND number = ?"
        found = store.ask(ask + which, run.id, sha256, number)
        if not found:
            raise StoreError(
                f"{row['file']}, page {number}: no page of run {run.id} has the "
                f"SHA-256 {sha256!r:.70}; read that scan first, or leave sha256 empty "
                "to go by the name"
            )
    else:
        page = find_page(store, run, row["file"], number)
        found = store.ask(ask + "id = ?", page)
        sha256 = found[0][0]
        if not still_counts(store, sha256):
            raise StoreError(
                f"{row['file']}, page {number}: expected a page that counts, but "
                "another scan lies in its place, or it was dropped; read it again, or "
                "take the row out"
            )
        n_pages = "SELECT COUNT(*) FROM pages WHERE run = ? AND sha256 = ?"
        n = store.ask(n_pages, run.id, sha256)[0][0]
        if n > 1 and not named:
            raise StoreError(
                f"page: expected which of the {n} pages of {row['file']}, got nothing; "
                "give it in the column page"
            )
    return dict(zip(("sha256", "number", "file"), found[0], strict=True))


def _said_before(store: Store, edit: dict[str, Any], number: int) -> str:
    """Return the image that an edit with its time was of, whatever lies there now."""
    if edit["made_at"] is None:
        return ""
    same = " AND ".join(f"{name} IS ?" for name in edit)
    ask = f"SELECT sha256 FROM edits WHERE {same} AND number = ?"
    found = set(store.ask(ask, *edit.values(), number))
    return str(found.pop()[0]) if len(found) == 1 else ""


def _value(
    row: dict[str, str], n_places: int, blank_right: str
) -> tuple[str | None, int | None]:
    """Return boxes and count of a row; of boxes the count follows."""
    boxes, text = row.get("boxes") or None, row.get("count") or None
    count = None
    if text is not None:
        if (
            not (text.isascii() and text.isdecimal())
            or len(text.lstrip("0")) > n_places
        ):
            raise StoreError(
                f"count: expected 0 to {10**n_places - 1} ({n_places} boxes), or "
                f"nothing where it cannot be read, got {text!r:.60}"
            )
        count = int(text.lstrip("0") or "0")
    if boxes is not None:
        if len(boxes) != n_places:
            raise StoreError(
                f"boxes: expected {n_places} characters, one a box ('x' crossed, '_' "
                f"empty), got {boxes!r:.60}"
            )
        found = int(boxes_to_counts([boxes], blank_right=blank_right)[0][0])
        written = None if found < 0 else found
        if count is not None and written not in (None, count):
            raise StoreError(f"count: {boxes!r} is {written}, got {count}")
        count = written if count is None else count
    return boxes, count


def _is_known(store: Store, edit: dict[str, Any]) -> bool:
    """Tell whether just that is what a person said last, or said when it was made."""
    same = (edit[name] for name in ("sha256", "number", "field", "purpose", "who"))
    told = (edit[name] for name in ("boxes", "count", "why", "made_at"))
    ask = (
        "SELECT 1 FROM edits WHERE sha256 = ? AND number = ? AND field = ? AND "
        "purpose = ? AND who = ? AND boxes IS ? AND count IS ? AND why = ? AND "
        "made_at = ?"
    )
    if store.ask(ask, *same, *told):
        return True
    last = store.ask(
        "SELECT boxes, count, why FROM edits WHERE sha256 = ? AND number = ? AND "
        "field = ? AND purpose = ? AND who = ? ORDER BY id DESC LIMIT 1",
        *(edit[name] for name in ("sha256", "number", "field", "purpose", "who")),
    )
    return last == [(edit["boxes"], edit["count"], edit["why"])]


def edits_table(store: Store) -> pd.DataFrame:
    """Return all edits, oldest first, in the columns that `import_edits` takes.

    Parameters
    ----------
    store : Store
        An open store.

    Returns
    -------
    DataFrame
        With ``made_at`` beside them, the time in UTC, and with the ``sha256`` of the
        file, so that each goes back to the scan that it was made of.

    Examples
    --------
    >>> import tempfile
    >>> from sktally.tables import Store, edits_table
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store(folder.name + "/votes.sqlite", make=True) as store:
    ...     len(edits_table(store))
    0
    >>> folder.cleanup()
    """
    names = [*("file", "page", "field", "purpose", "boxes", "count", "who", "why")]
    rows = ask_typed(
        store,
        f"SELECT {name_now('e')} AS file, number, field, purpose, boxes, count, who, "
        "why, made_at, sha256 FROM edits e ORDER BY id",
    )
    table = pd.DataFrame(rows, columns=[*names, "made_at", "sha256"])
    return table.astype({"page": "int64", "count": "Int64"})

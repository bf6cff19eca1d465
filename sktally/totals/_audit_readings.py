"""What people read for an audit, out of a result store."""

from __future__ import annotations

from sktally.exceptions import TallyError
from sktally.tables import Store, edits_table
from sktally.tables._files import still_counts
from sktally.tables._image import PageName
from sktally.tables._store import check_open
from sktally.totals._audit import AuditDraw
from sktally.totals._names import listed

__all__ = ["audit_readings"]


def audit_readings(store: Store, draw: AuditDraw) -> AuditDraw:
    """Return a draw with the readings that a store holds for audits.

    Sheets are named as pages are when they are read: by file, perhaps with ``#page=3``.

    Parameters
    ----------
    store : Store
        An open store, with edits of purpose "audit" (`import_edits`).
    draw : AuditDraw
        What was drawn. Readings of other sheets are left out; fields that nobody
        entered are missing, which `estimate` refuses.

    Returns
    -------
    AuditDraw
        With readings; of each person's the last one counts.

    Raises
    ------
    TallyError
        If two people differ, or none of the sheets was read for an audit.

    See Also
    --------
    import_edits : Adds edits.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from PIL import Image
    >>> from sktally import draw_audit, load_reader, make_tally_pages, read_to_store
    >>> from sktally.tables import Store, import_edits
    >>> from sktally.totals import audit_readings
    >>> folder = tempfile.TemporaryDirectory()
    >>> made = make_tally_pages(2, form="example", random_state=0)
    >>> scans = [str(Path(folder.name, f"{i}.png")) for i in range(2)]
    >>> for page, scan in zip(made.pages, scans):
    ...     Image.fromarray(page).save(scan)
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), scans, path)
    >>> draw = draw_audit(scans, 2, random_state=0)
    >>> seen = {"file": scans, "field": "01", "who": "ana", "count": ["7", "12"]}
    >>> with Store(path) as store:
    ...     _ = import_edits(store, pd.DataFrame(seen), purpose="audit")
    ...     int(audit_readings(store, draw).readings["01"].sum())
    19
    >>> folder.cleanup()
    """
    check_open(store)
    pages = {
        (page.file, page.number): page.name for page in map(PageName.parse, draw.names)
    }
    edits = edits_table(store)
    where = zip(edits["file"], edits["page"], strict=True)
    edits["sheet"] = [pages.get(page) for page in where]
    wanted = edits["sheet"].notna() & (edits["purpose"] == "audit")
    # other scans may have had these names before
    wanted &= edits["sha256"].map(lambda sha256: still_counts(store, sha256))
    person = edits["who"].str.casefold()
    said = edits.assign(person=person)[wanted]
    last = said.drop_duplicates(["sheet", "field", "person"], keep="last")
    if last.empty:
        raise TallyError(
            f"{store.path}: no audit reading of the {len(draw)} sheets drawn, such as "
            f"{listed(draw.names, 1)}; add them with import_edits(..., purpose='audit')"
        )
    by_field = last.groupby(["sheet", "field"], sort=False)["count"]
    differ = by_field.nunique(dropna=False) > 1
    if differ.any():
        shown = [f"{sheet}, field {field}" for sheet, field in differ.index[differ]]
        raise TallyError(
            f"{store.path}: people differ about {listed(shown)}; agree, and enter the "
            "count for each of them"
        )
    wide = last.drop_duplicates(["sheet", "field"]).pivot(
        index="sheet", columns="field", values="count"
    )
    return draw.with_readings(wide)

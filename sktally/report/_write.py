"""From a store to its report: everything found, then one file written at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

import sktally
from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.report._batches import batch_names, find_batches
from sktally.report._notes import altered, station_notes, store_notes, warned
from sktally.report._pages import Pages, field_counts, gather_pages
from sktally.report._people import find_people
from sktally.report._provenance import find_provenance
from sktally.report._reliability import find_reliability
from sktally.report._render import render
from sktally.report._shift import shift_notes
from sktally.report._sums import find_sums
from sktally.report._totals import find_totals
from sktally.report._words import key_figures, sentences
from sktally.report._worst import worst_read, worst_unread
from sktally.tables import Run, StationReport, Store, file_copies
from sktally.tables._circumstances import now
from sktally.tables._show import as_written
from sktally.tables._stations import match_stations

__all__ = ["write_report"]

_ENDINGS = (".html", ".htm")
_PARTIAL = ".partial"  # ending of a report that is being written
_MOST_WORST = 200
_UNREAD, _SEEN = 100, 8  # sheets not read, listed and shown
_BATCHES = ("folder", "day")


def write_report(
    store: str | Path | Store,
    out: str | Path,
    *,
    run: Run | int | None = None,
    by: str | Sequence[str] | None = None,
    stations: str | Path | pd.DataFrame | None = None,
    station_by: str = "stem",
    fields: Sequence[str] | None = None,
    registered: str | None = None,
    worst: int = 12,
    images: bool = True,
    title: str | None = None,
    calibrator: Any = None,
    intervals: bool = True,
    scans: bool = False,
    dated: bool = False,
) -> Path:
    """Write what a store holds as one HTML file, to be read, printed and handed on.

    It shows what was read with which form and model, sheets and counts by status,
    totals with intervals, sums that do not hold and who likelier erred, quality by
    batch, how far the machine is right where audits tell, the worst sheets with their
    boxes, disagreements, copies, and warnings. It opens offline, asks nothing of any
    server and holds no script.

    Parameters
    ----------
    store : str, path or Store
        The store.
    out : str or path
        File to write, whose name ends in ``.html``; one that is there is replaced.
    run : Run or int, optional
        Which run; by default the one last read in.
    by : str or list of str, optional
        What batches are: columns of `stations`, which totals are then grouped by too,
        "folder" or "day" (of reading). By default folders, where there are several,
        else blocks in order of reading.
    stations, station_by : optional
        As of `sktally.totals.vote_totals`.
    fields : list of str, optional
        The parties; by default all fields that are no sums of others.
    registered : str, optional
        Column of `stations` with the voters of a station, a bound.
    worst : int, default=12
        Sheets shown with their boxes, 0 to 200.
    images : bool, default=True
        Whether to cut boxes out of the scans, where these are still what was read.
    title : str, optional
        Of the report; by default the name of the form.
    calibrator : DigitCalibrator, optional
        Fitted; makes the probabilities that intervals of the totals are drawn from
        what they are worth.
    intervals : bool, default=True
        Whether to draw intervals of the totals, which takes most of the time where
        there are many sheets.
    scans : bool, default=False
        Whether to hash all scans, models and references anew, to see if they are what
        was read; the rows of the store are looked at in any case.
    dated : bool, default=False
        Whether to write down when it was made. Without that a report of the same store
        and scans is the same, byte for byte.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    TallyError
        If the store cannot be read or holds nothing, `out` cannot be written or lies
        among the scans, or options do not fit.

    See Also
    --------
    sktally.tables.store_status : The same in a few lines.
    sktally.tables.show_page : All about one page.

    Notes
    -----
    Lists are cut to their first rows, so that the file stays small however many pages
    there are; ``benchmarks/report.py`` prints its size, time and memory.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> from sktally.report import write_report
    >>> folder = tempfile.TemporaryDirectory()
    >>> scans = Path(folder.name, "scans")
    >>> scans.mkdir()
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scans / "1.png")
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [scans / "1.png"], path)
    >>> report = write_report(path, folder.name + "/report.html")
    >>> "1 of 1 sheet was read" in report.read_text(encoding="utf-8")
    True
    >>> folder.cleanup()
    """
    check_range("worst", worst, 0, _MOST_WORST, integer=True)
    out = Path(out)
    _check_name(out)
    columns = [by] if isinstance(by, str) else list(by or ())
    with nullcontext(store) if isinstance(store, Store) else Store(store) as opened:
        _check_apart(opened, out)
        with as_written(opened), opened.reading():
            found = _found(
                opened,
                opened.run(run),
                columns,
                {"stations": stations, "station_by": station_by},
                {
                    "fields": fields,
                    "registered": registered,
                    "calibrator": calibrator,
                    "intervals": intervals,
                },
                {"n": worst, "images": images},
                scans,
            )
    text = render(
        title=title or found["provenance"].title, made=now() if dated else "", **found
    )
    _write(text, out)
    return out


def _found(
    store: Store,
    run: Run,
    by: list[str],
    join: dict[str, Any],
    votes: dict[str, Any],
    worst: dict[str, Any],
    scans: bool,
) -> dict[str, Any]:
    """Return all that the template shows."""
    notes = altered(store, scans=scans)
    pages, counts = gather_pages(store, run), field_counts(store, run)
    joined, stations = _joined(pages, file_copies(store, run), **join)
    what, batch = batch_names(pages, by, joined)
    groups = [] if by in ([name] for name in _BATCHES) else by
    totals = find_totals(store, run, by=groups, **votes, **join)
    sums, people = find_sums(store, run), find_people(store, run)
    right = find_reliability(store, run)
    notes += store_notes(store, run, pages, sums, right, people)
    notes += shift_notes(store, run, pages, batch, right.audited)
    notes += [*station_notes(stations), *warned(totals.warned, stations)]
    n_images = min(worst["n"], _SEEN) if worst["images"] else 0
    return {
        "version": sktally.__version__,
        "provenance": find_provenance(store, run),
        "notes": sorted(notes, key=lambda note: not note.grave),
        "summary": list(sentences(pages, counts, totals, sums, right)),
        "figures": list(key_figures(pages, counts, sums, right)),
        "status": _status(pages),
        "counts": counts,
        "batches": find_batches(pages, what, batch),
        "totals": totals,
        "sums": sums,
        "people": people,
        "reliability": right,
        "worst": worst_read(store, run, pages, **worst),
        "unread": worst_unread(store, run, pages, _UNREAD, n_images=n_images),
        "n_unread": int((~pages.read).sum()),
        "n_by_hand": pages.n_by_hand,
        "folder": pages.folder,
        "images": worst["images"],
    }


def _status(pages: Pages) -> list[tuple[str, int, str]]:
    """Return how many sheets are in which state."""
    status = pages.table["status"]
    unsure = int(pages.unsure.sum())
    return [
        ("Read, every count for sure", int(pages.read.sum()) - unsure, "good"),
        ("Read, with counts in doubt", unsure, "fair"),
        ("Form not found", int((status == "rejected").sum()), "bad"),
        ("Could not be opened", int((status == "unopened").sum()), "lost"),
    ]


def _joined(
    pages: Pages,
    copies: dict[str, list[str]],
    *,
    stations: str | Path | pd.DataFrame | None,
    station_by: str,
) -> tuple[pd.DataFrame | None, StationReport | None]:
    """Return the columns of each sheet's station, and what did not fit."""
    if stations is None:
        return None, None
    names = ["file", "page"]
    rows = pages.table[names]
    matched, report = match_stations(
        rows, stations, names, by=station_by, copies=copies
    )
    joined = rows.merge(matched, on=names, how="left").set_index(rows.index)
    return joined.drop(columns=names), report


def _check_name(out: Path) -> None:
    """Raise unless a report can be written under a name."""
    if out.suffix.lower() not in _ENDINGS:
        raise TallyError(
            f"{out}: expected a name that ends in .html, got "
            f"{out.suffix or 'no ending'!r}"
        )
    try:
        folder = out.is_dir()
        out.with_name(out.name + _PARTIAL).exists()
    except (OSError, ValueError) as error:
        raise TallyError(
            f"{out!s:.200}: expected a name that a file can have, got another "
            f"({getattr(error, 'strerror', None) or error})"
        ) from None
    if folder:
        raise TallyError(f"{out}: expected the name of a file, got that of a folder")
    if not out.absolute().parent.is_dir():
        raise TallyError(
            f"{out}: there is no folder {out.absolute().parent}; make it first"
        )


def _check_apart(store: Store, out: Path) -> None:
    """Raise where scans lie beside a report, or it would replace the store."""
    if out.exists() and out.samefile(store.path):
        raise TallyError(f"{out}: that is the store itself; choose another name")
    here = os.path.realpath(out.absolute().parent)
    asked = store.ask("SELECT path FROM files")
    folders = {
        Path(os.fsdecode(key)).parent for (key,) in asked if isinstance(key, bytes)
    }
    if here in map(os.path.realpath, folders):
        raise TallyError(
            f"{out}: pages lie in {here}, and sktally never writes beside its input; "
            "choose another folder"
        )


def _write(text: str, out: Path) -> None:
    partial = out.with_name(out.name + _PARTIAL)
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(out)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TallyError(
            f"{out!s:.200}: cannot be written ({reason}); choose another name, in a "
            "folder that may be written to"
        ) from None
    finally:
        partial.unlink(missing_ok=True)

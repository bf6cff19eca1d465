"""What a reader of a report should be warned of.

Comes in: all that was found. Goes out: notes, the gravest first, each with the lines
that show what is meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from sktally._words import are
from sktally._words import number as many
from sktally.report._pages import Pages
from sktally.report._people import People
from sktally.report._reliability import Reliability
from sktally.report._sums import Sums
from sktally.tables import StationReport, Store, verify
from sktally.tables._records import Run
from sktally.tables._sheets import count_sheets, shown_reconciliation

__all__ = ["Note", "altered", "many", "station_notes", "store_notes", "warned"]

_SHOWN = 50  # lines of a note


@dataclass(frozen=True)
class Note:
    """A warning.

    Parameters
    ----------
    text : str
        What is to be known.
    lines : list of str
        Where; the first of them.
    n : int
        All of these.
    grave : bool
        Whether numbers of the report cannot be relied on as they are.
    where : str
        Section of the report that tells more; empty if none does.
    """

    text: str
    lines: list[str] = field(default_factory=list)
    n: int = 0
    grave: bool = False
    where: str = ""


def altered(store: Store, *, scans: bool) -> list[Note]:
    """Return a note if the store, or a scan, is not as it was written."""
    problems = verify(store, images=scans)
    lines = list(islice(problems, _SHOWN))
    n = len(lines) + sum(1 for _ in problems)
    if not n:
        return []
    return [
        Note(
            f"The store is not as it was written ({many(n, 'problem')}).",
            lines,
            n,
            True,
        )
    ]


def station_notes(report: StationReport | None) -> list[Note]:
    """Return notes on stations without a sheet, and with several."""
    if report is None:
        return []
    notes = []
    if report.missing:
        text = f"{many(len(report.missing), 'station')} without a sheet."
        notes.append(_listed(text, report.missing))
    if report.unmatched:
        text = f"{many(len(report.unmatched), 'sheet')} without a station in the list."
        notes.append(_listed(text, report.unmatched))
    if report.double:
        lines = [f"{key}: {', '.join(some)}" for key, some in report.double.items()]
        text = (
            f"{many(len(lines), 'station')} with several sheets, whose votes may count "
            "twice."
        )
        notes.append(_listed(text, lines))
    if report.copied:
        n = len(report.copied)
        lines = [f"{page}: {copy}" for page, copy in report.copied.items()]
        text = (
            f"{many(n, 'sheet')} {are(n, 'takes its', 'take their')} station from the "
            "name of a copy of the file, of the same bytes."
        )
        notes.append(_listed(text, lines))
    return notes


def _listed(text: str, lines: list[str], **how: object) -> Note:
    return Note(text, lines[:_SHOWN], len(lines), **how)  # type: ignore[arg-type]


def store_notes(
    store: Store,
    run: Run,
    pages: Pages,
    sums: Sums,
    reliability: Reliability,
    people: People,
) -> Iterable[Note]:
    """Yield notes on what was read, what not, and what nobody has looked at."""
    unread = int((~pages.read).sum())
    if unread:
        text = f"{many(unread, 'sheet')} {_was(unread)} not read"
        left, by_hand = unread - pages.n_by_hand, pages.n_by_hand
        if by_hand:
            text += f"; {by_hand:,} of them count{'s' * (by_hand == 1)} as people say"
        votes = f"no votes of {'the others' if by_hand else _them(unread)} are counted"
        yield Note(f"{text}{f'; {votes}' * (left > 0)}.", where="unread")
    if pages.n_replaced:
        yield Note(
            f"{many(pages.n_replaced, 'page')} {_was(pages.n_replaced)} read from "
            "files that hold other bytes now; they are left out."
        )
    if people.n_disagreements:
        text = f"Readings of {many(people.n_disagreements, 'count')} disagree;"
        yield Note(f"{text} no total holds these.", where="people")
    if reliability.n_split:
        yield Note(
            f"Audits disagree with each other on {many(reliability.n_split, 'count')}; "
            "these were left out.",
            where="reliability",
        )
    if sums.n_broken and not sums.reconciled:
        yield Note(
            f"{many(sums.n_broken, 'sum')} {are(sums.n_broken, 'does', 'do')} not hold "
            "as read, and nothing says whose error that is.",
            where="sums",
        )
    shown = shown_reconciliation(store, run)
    if shown is not None:
        read, done = count_sheets(store, run, shown)
        if done < read:
            yield Note(
                f"Only {done:,} of {many(read, 'sheet')} read {are(done)} reconciled "
                "with the sums.",
                where="sums",
            )
    if not reliability.n_counts:
        yield Note(
            "No audit was read into this store: nothing here says how often the "
            "machine is wrong.",
            where="reliability",
        )


def _was(n: int) -> str:
    return "was" if n == 1 else "were"


def _them(n: int) -> str:
    return "it" if n == 1 else "them"


def warned(texts: Iterable[str], known: StationReport | None) -> Iterable[Note]:
    """Yield what totals warn of, but for what notes on stations say already."""
    for text in texts:
        if known is not None and ("without a station" in text or "count twice" in text):
            continue
        yield Note(text[:1].upper() + text[1:] + ".", where="totals")

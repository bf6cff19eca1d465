"""The summary of a report in sentences, and its key figures.

Comes in: what was found. Goes out: plain text.
"""

from __future__ import annotations

from collections.abc import Iterator

from sktally._words import number as many
from sktally.report._pages import FieldCounts, Pages
from sktally.report._reliability import Reliability
from sktally.report._sums import Sums
from sktally.report._totals import Totals

__all__ = ["key_figures", "percent", "sentences"]


def percent(share: float, digits: int = 1) -> str:
    r"""Return a share in per cent, never rounded to all or nothing.

    Examples
    --------
    >>> percent(0.5), percent(1), percent(0.99999), percent(0.00001)
    ('50.0\xa0%', '100\xa0%', 'over 99.9\xa0%', 'under 0.1\xa0%')
    """
    least = 10.0**-digits
    value = 100 * float(share)
    text = f"{value:.{digits}f}"
    if value in (0, 100):
        text = f"{value:.0f}"
    elif float(text) == 0:
        text = f"under {least:.{digits}f}"
    elif float(text) == 100:
        text = f"over {100 - least:.{digits}f}"
    return f"{text}\u00a0%"


def sentences(
    pages: Pages,
    counts: FieldCounts,
    totals: Totals,
    sums: Sums,
    reliability: Reliability,
) -> Iterator[str]:
    """Yield what a hurried reader should know."""
    n, read, unsure = len(pages.table), int(pages.read.sum()), int(pages.unsure.sum())
    whole = f"{read:,} of {many(n, 'sheet')} {'was' if read == 1 else 'were'} read"
    if read == n > 1:
        whole = f"All {n:,} sheets were read"
    yield (
        whole
        + (
            f"; {unsure:,} of them hold{'s' * (unsure == 1)} a count that is in doubt"
            if unsure
            else ""
        )
        + "."
    )
    sure, doubtful = _counts(counts)
    if sure + doubtful:
        held = f"They hold {many(sure + doubtful, 'count')}, "
        yield held + (
            f"of which {doubtful:,} could not be read for sure."
            if doubtful
            else "all of them read for sure."
        )
    yield from _of_totals(totals)
    yield from _of_checks(sums, reliability)


def _of_totals(totals: Totals) -> Iterator[str]:
    """Yield who leads."""
    if totals.rank is not None:
        yield f"{totals.rank}."
    elif totals.table is not None and len(totals.table) > 1:
        first, second = totals.table.nlargest(2, "total").to_dict("records")
        margin = first["total"] - second["total"]
        yield f"{first['field']} leads {second['field']} by {margin:,} votes as read."


def _of_checks(sums: Sums, reliability: Reliability) -> Iterator[str]:
    """Yield what the sums of sheets, and audits, say."""
    if sums.parts and sums.n_broken:
        clerk, machine = (int(sums.table[name].sum()) for name in ("clerk", "machine"))
        whose = (
            f": {clerk:,} of them likelier by a slip of a clerk, {machine:,} by a "
            "misreading of the machine"
        )
        yield (
            f"{many(sums.n_broken, 'sum')} do{'es' * (sums.n_broken == 1)} not hold as "
            f"read{whose if sums.reconciled else ''}."
        )
    elif sums.parts and int(sums.table["n"].sum()):
        yield "All sums that were read hold."
    if reliability.accuracy is not None:
        share, low, high = reliability.accuracy
        yield (
            f"Audits have read {many(reliability.n_counts, 'count')} on "
            f"{many(reliability.n_sheets, 'sheet')}: {percent(share)} of what the "
            f"machine had read there was right ({percent(low)} to {percent(high)} with "
            "95\u00a0%)."
        )


def _counts(counts: FieldCounts) -> tuple[int, int]:
    table = counts.table
    doubtful = table[["ambiguous", "misfit", "failed"]].to_numpy().sum()
    return int(table["ok"].sum()), int(doubtful)


def key_figures(
    pages: Pages, counts: FieldCounts, sums: Sums, reliability: Reliability
) -> Iterator[tuple[str, str, str]]:
    """Yield the name of a figure, the figure, and what it is of."""
    n, read = len(pages.table), int(pages.read.sum())
    yield "Sheets read", f"{read:,}", f"of {n:,}"
    sure, doubtful = _counts(counts)
    yield "Counts in doubt", f"{doubtful:,}", f"of {sure + doubtful:,}"
    if sums.parts:
        known = int(sums.table["n"].sum())
        yield "Sums that do not hold", f"{sums.n_broken:,}", f"of {known:,}"
    if reliability.accuracy is not None:
        share = percent(reliability.accuracy[0])
        yield "Right in the audit", share, f"of {reliability.n_counts:,} counts"

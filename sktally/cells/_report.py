"""What became of one page that was to be cropped."""

from __future__ import annotations

from dataclasses import dataclass

from sktally._words import are, number
from sktally.pages import Registration

__all__ = ["PageReport", "summary"]

# How many messages the one warning of a call spells out.
_MESSAGES_SHOWN = 3


@dataclass(frozen=True)
class PageReport:
    """Record what became of one page in `TallyCropper.crop`.

    Attributes
    ----------
    name : str
        Path of the file as given, or ``"X[3]"`` for a page given as an array.
    status : {"ok", "rejected", "failed"}
        Cropped; read but the form was not found on it; not readable.
    message : str
        Why it was not cropped; empty for "ok".
    registration : Registration or None
        Where the form lies on the page; None unless "ok".
    error : Exception or None
        What was raised; None for "ok".

    Examples
    --------
    >>> from sktally.cells import PageReport
    >>> assert not PageReport("scan.jpg", "ok").message
    """

    name: str
    status: str
    message: str = ""
    registration: Registration | None = None
    error: Exception | None = None


def summary(bad: list[PageReport], n_pages: int) -> str:
    """Say in one warning which pages were not read and why."""
    shown = "; ".join(report.message.rstrip(".") for report in bad[:_MESSAGES_SHOWN])
    more = len(bad) - _MESSAGES_SHOWN
    return (
        f"{len(bad)} of {number(n_pages, 'page')} {are(len(bad), 'was', 'were')} not "
        f"read and {are(len(bad), 'its', 'their')} cells are absent: "
        f"{shown}{f'; and {more} more' if more > 0 else ''}. `crop` returns a report "
        "on each page; on_error='raise' stops at the first"
    )

"""What became of one page that was to be cropped."""

from __future__ import annotations

from dataclasses import dataclass

from sktally.pages import Registration

__all__ = ["PageReport"]


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

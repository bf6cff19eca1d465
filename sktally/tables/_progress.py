"""How far a reading into a store has come."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Progress"]


@dataclass
class Progress:
    """How far reading has come.

    Attributes
    ----------
    pages, done : int
        Pages named; pages looked at: read now or before, copies, or not readable.
    read, not_read : int
        Pages read now; pages not read, now or before.
    doubtful : int
        Of those read, how many have a field to look at.
    before, copies : int
        Pages that the store held already, be it from this reading; of these, how many
        were read from another file of the same bytes.
    stopped : bool
        Whether it was interrupted.
    gone, replaced : list of str
        Files that are gone, known once all is done: those whose pages count all the
        same, and those whose pages count no longer, as other bytes lie in their place
        in a folder that was moved, or as they were to be dropped.

    Examples
    --------
    >>> from sktally.tables import Progress
    >>> assert not Progress(pages=40).stopped
    """

    pages: int
    done: int = 0
    read: int = 0
    doubtful: int = 0
    not_read: int = 0
    before: int = 0
    copies: int = 0
    stopped: bool = False
    gone: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

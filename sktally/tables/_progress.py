"""How far a reading into a store has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from sktally.tables._files import Noted

__all__ = ["Progress"]

_PROBLEMS = 10  # that are kept


@dataclass
class Progress:
    """How far reading has come.

    Attributes
    ----------
    pages, done : int
        Pages named; pages looked at: read now or before, copies, or not readable.
    read, not_read : int
        Pages read now; pages not read, now or before.
    problems : list of str
        Why pages were not read, of the first few.
    doubtful : int
        Of those read, how many have a field to look at.
    before, copies : int
        Pages that the store held already, be it from this reading; of these, how many
        were read from another file of the same bytes.
    stopped : bool
        Whether it was interrupted.
    replaced, restored : list of str
        Files whose pages no longer count, in any run, as other bytes lie in their place
        or they were dropped; and those whose pages count again.
    gone : list of str
        Files that are gone and whose pages count, or are listed as not read, all the
        same; known once all is done.

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
    problems: list[str] = field(default_factory=list)
    before: int = 0
    copies: int = 0
    stopped: bool = False
    replaced: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def add_problem(self, message: str) -> None:
        """Count a page that was not read."""
        self.not_read += 1
        if len(self.problems) < _PROBLEMS:
            self.problems.append(message)

    def note(self, noted: Noted) -> None:
        """Keep what became of pages when a file was noted."""
        self.replaced += filter(None, [noted.replaced])
        self.restored += filter(None, [noted.restored])

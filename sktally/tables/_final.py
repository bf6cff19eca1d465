"""The rule by which the count as read becomes final.

The final count of a field is, in this order:

1. what the last correction says;
2. where people entered it a second time, the value that more of the readings agree on
   than on any other, two at least: the machine's, as read, and the last one of each
   person, in capitals or not; if there is none, it is missing, and the field is a
   disagreement;
3. the reconciled count, if the sheet settles it: it is at least 0.95 probable, and no
   sum of the sheet is likelier wrong on paper than right;
4. the count as read.

So a sheet on which a clerk probably erred is left as it was read, whole: sums are soft
evidence, and what is wrong on paper is not for a machine to mend. What an audit read
never changes the final count: audits measure how good the final values are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Edit", "final_count", "last_of_each", "settled", "who_erred"]

# of a count given its sheet; benchmarks/joint.py prints what other cuts would change
_SURE = 0.95
_EVEN = 0.5


@dataclass(frozen=True)
class Edit:
    """What one person says of one field."""

    purpose: str
    who: str
    count: int | None


def last_of_each(edits: Iterable[Edit]) -> list[Edit]:
    """Return what each person said last; Ana and ana are one.

    Examples
    --------
    >>> said = [Edit("entry", "ana", 7), Edit("entry", "Ana", 8)]
    >>> [edit.count for edit in last_of_each(said)]
    [8]
    """
    return list({edit.who.casefold(): edit for edit in edits}.values())


def settled(
    reconciled: int | None, proba: float | None, holds: float | None
) -> int | None:
    """Return the reconciled count if it goes before the one as read, else None.

    Parameters
    ----------
    reconciled : int or None
        Most probable count given the sheet.
    proba : float or None
        How probable it is.
    holds : float or None
        Probability of that sum of the sheet that is the least likely to hold on paper.

    Examples
    --------
    >>> settled(12, 0.99, 0.97)
    12
    >>> settled(12, 0.8, 0.97) is settled(12, 0.99, 0.2) is None
    True
    """
    if reconciled is None or proba is None or holds is None:
        return None
    return reconciled if proba >= _SURE and holds >= _EVEN else None


def who_erred(difference: int | None, holds: float | None) -> str:
    """Name who is likelier to have erred where a sum does not hold as read.

    Examples
    --------
    >>> who_erred(10, 0.2), who_erred(10, 0.9), who_erred(0, 0.9), who_erred(10, None)
    ('clerk', 'machine', '', '')
    """
    if not difference or holds is None:
        return ""
    return "clerk" if holds < _EVEN else "machine"


def final_count(
    as_read: int | None, reconciled: int | None, edits: list[Edit]
) -> tuple[int | None, bool]:
    """Return the final count, and whether second entries disagree about it.

    Parameters
    ----------
    as_read : int or None
        What the machine read.
    reconciled : int or None
        What the sheet settles, see `settled`.
    edits : list of Edit
        Oldest first.

    Examples
    --------
    >>> final_count(12, None, [Edit("entry", "ana", 12)])
    (12, False)
    >>> final_count(12, None, [Edit("entry", "ana", 72)])
    (None, True)
    >>> third = [Edit("entry", "ana", 72), Edit("entry", "ben", 72)]
    >>> final_count(12, 72, third)
    (72, False)
    >>> final_count(12, 72, [*third, Edit("correction", "eva", 13)])
    (13, False)
    >>> final_count(12, 72, [Edit("audit", "ana", 13)])
    (72, False)
    """
    corrections = [edit.count for edit in edits if edit.purpose == "correction"]
    if corrections:
        return corrections[-1], False
    entries = last_of_each(edit for edit in edits if edit.purpose == "entry")
    if not entries:
        return as_read if reconciled is None else reconciled, False
    votes = Counter([as_read, *(edit.count for edit in entries)]).most_common(2)
    (count, n), others = votes[0], votes[1:]
    if n < 2 or any(n == m for _, m in others):
        return None, True
    return count, False

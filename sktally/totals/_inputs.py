"""What the machine read of every sheet, beside what people read of some.

Comes in: an audit and the table of all sheets. Goes out: arrays in which nothing is
missing but what people could not read, or the reason why they do not fit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.totals._audit import AuditDraw
from sktally.totals._names import by_sheet, frame_hash, listed, numbers

__all__ = ["Inputs", "frame_of", "match"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Counts by sheet and field, in floats.

    Fields known for every sheet are 0 in `hand` and `machine`: they cannot err.

    Parameters
    ----------
    fields : list of str
        Names of the columns.
    raw : ndarray of shape (n_frame, n_fields)
        As the machine read them, NaN where it did not.
    machine : ndarray of shape (n_frame, n_fields)
        The same with a guess where it did not, or read what cannot be.
    known : ndarray of shape (n_frame, n_fields)
        Counts that need no audit, 0 elsewhere.
    hand : ndarray of shape (n_audited, n_fields)
        As people read them; NaN where they did not.
    at : ndarray of shape (n_audited,)
        Where in the frame the audited sheets are.
    most : ndarray of shape (n_frame,) or None
        The most that a count of the sheet can be.
    """

    fields: list[str]
    raw: Floats
    machine: Floats
    known: Floats
    hand: Floats
    at: npt.NDArray[np.int64]
    most: Floats | None

    def multiples(self, of: object) -> Floats:
        """Return by what each field is multiplied, in their order."""
        found = of if isinstance(of, dict) else dict(of or {})  # type: ignore[call-overload]
        return np.array([found.get(name, 0.0) for name in self.fields])


def frame_of(audit: AuditDraw, read: object) -> tuple[pd.DataFrame, npt.NDArray]:
    """Return the table of all sheets, and where in it the audited ones are."""
    table = by_sheet(read, "read")
    at = table.index.get_indexer(pd.Index(audit.names))
    if (at < 0).any():
        raise TallyError(
            f"audit: {listed(np.array(audit.names)[at < 0])} ({np.sum(at < 0)} in all) "
            "not among the sheets of read; it needs a row for every sheet of the frame"
        )
    if frame_hash(table.index) != audit.frame_hash:
        raise TallyError(
            f"read: expected the {audit.n_frame} sheets from which the audit was drawn "
            f"(hash {audit.frame_hash[:12]}), got {len(table)} that differ; give the "
            "same sheets, unread ones too, or draw again"
        )
    return table, at


def match(
    audit: AuditDraw,
    table: pd.DataFrame,
    at: npt.NDArray,
    fields: Sequence[str],
    *,
    registered: float | str | None,
    unread: float | str,
) -> Inputs:
    """Return the counts of some fields, checked and filled."""
    assert audit.readings is not None
    most = _most(table, registered)
    n = len(table)
    raw, machine, known = (np.zeros((n, len(fields))) for _ in range(3))
    hand = np.zeros((len(at), len(fields)))
    for i, name in enumerate(fields):
        read = numbers(table, name, "read")
        if (read < 0).any():
            raise TallyError(
                f"read, column {name!r}: expected counts of at least 0, missing where "
                f"not read, got less on {listed(table.index[read < 0])}"
            )
        raw[:, i] = read
        if name in audit.readings:
            machine[:, i] = _fill(read, most, unread)
            hand[:, i] = _hand(audit.readings, name, None if most is None else most[at])
        elif np.isnan(read).any():
            raise TallyError(
                f"{name}: neither audited nor known for every sheet (missing for "
                f"{listed(table.index[np.isnan(read)])}); audit it or complete it"
            )
        else:
            known[:, i] = read
    return Inputs(list(fields), raw, machine, known, hand, at, most)


def _most(table: pd.DataFrame, registered: float | str | None) -> Floats | None:
    if registered is None:
        return None
    if not isinstance(registered, str):
        check_range("registered", registered, 0, 1e15)
        return np.full(len(table), float(registered))
    found = numbers(table, registered, "read")
    wrong = ~(found >= 0)
    if wrong.any():
        raise TallyError(
            f"registered, column {registered!r}: expected at least 0 for every sheet, "
            f"got {found[wrong][0]} for {listed(table.index[wrong])}"
        )
    return found


def _hand(readings: pd.DataFrame, name: str, most: Floats | None) -> Floats:
    found = numbers(readings, name, "readings")
    wrong = found > (np.inf if most is None else most)
    if wrong.any():
        raise TallyError(
            f"readings, column {name!r}: more than the sheet can hold (registered) on "
            f"{listed(readings.index[wrong])}: {found[wrong][0]:g}; look at them "
            "again, or put the voters right"
        )
    return found


def _fill(read: Floats, most: Floats | None, unread: float | str) -> Floats:
    """Put a guess where the machine read nothing, or what cannot be."""
    there = ~np.isnan(read)
    if most is not None:
        there &= ~(read > most)
    if unread != "mean":
        guess = np.full(len(read), float(unread))
    elif not there.any():
        guess = np.zeros(len(read))
    elif most is not None and most[there].sum() > 0:
        guess = most * read[there].sum() / most[there].sum()
    else:
        guess = np.full(len(read), read[there].mean())
    return np.where(there, read, guess)

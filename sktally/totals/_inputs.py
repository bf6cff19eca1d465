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
from sktally.totals._guess import doubted, filled
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
    guess : ndarray of shape (n_frame, n_fields)
        The guess for every sheet; 0 if no sheets are marked as doubtful.
    far : ndarray of shape (n_frame, n_fields)
        Whether the sheet is doubtful and `machine` unlike that of nearly all sheets.
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
    guess: Floats
    far: npt.NDArray[np.bool_]
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
    doubtful: str | None,
) -> Inputs:
    """Return the counts of some fields, checked and filled."""
    assert audit.readings is not None
    most = _most(table, registered)
    n = len(table)
    raw, machine, guess, known = (np.zeros((n, len(fields))) for _ in range(4))
    far = np.zeros((n, len(fields)), bool)
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
            machine[:, i], guess[:, i], far[:, i] = filled(read, most, unread)
            hand[:, i] = _hand(audit.readings, name, None if most is None else most[at])
        elif np.isnan(read).any():
            raise TallyError(
                f"{name}: neither audited nor known for every sheet (missing for "
                f"{listed(table.index[np.isnan(read)])}); audit it or complete it"
            )
        else:
            known[:, i] = read
    if doubtful is None:
        guess, far = np.zeros_like(guess), np.zeros_like(far)
    else:
        far &= doubted(table, doubtful)[:, None]
    return Inputs(list(fields), raw, machine, guess, far, known, hand, at, most)


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

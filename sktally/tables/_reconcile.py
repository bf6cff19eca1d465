"""Reconcile the counts of a store with the sums of its form, and keep the result.

Comes in: a store. Goes out: the same store with a reconciliation more, or with more
pages of one; what was read stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sktally.exceptions import TallyError
from sktally.tables._audited import audited_slips
from sktally.tables._circumstances import versions
from sktally.tables._origin import form_of
from sktally.tables._records import Run
from sktally.tables._sheets import (
    add_sheets,
    begin_reconciliation,
    check_sums,
    count_sheets,
    pages_left,
)
from sktally.tables._store import Store
from sktally.votes import (
    SLIP_TYPES,
    DigitCalibrator,
    SumSlips,
    reconcile_tallies,
)
from sktally.votes._calibrate import check_calibrator

__all__ = ["Reconciliation", "reconcile_store"]

_TOGETHER = 64  # pages reconciled and written at once: some tenths of a second


@dataclass
class Reconciliation:
    """How far a reconciliation has come.

    Attributes
    ----------
    number : int
        Of the reconciliation, counted from 1.
    run : int
        Which it is of.
    slips : SumSlips
        How often sums are off, as it was told or has learnt.
    audited : int or None
        Sheets that `slips` were learnt from; None if they were told.
    pages : int
        Pages of the run that were read.
    done, before : int
        Of these, how many are reconciled, and were before this call.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import reconcile_store
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> told = reconcile_store(path)
    >>> told.number, told.pages, told.audited
    (1, 0, None)
    >>> folder.cleanup()
    """

    number: int
    run: int
    slips: SumSlips
    audited: int | None
    pages: int
    done: int
    before: int


def reconcile_store(
    path: str | Path,
    *,
    slips: SumSlips | str | None = None,
    run: Run | int | None = None,
    calibrator: DigitCalibrator | None = None,
    progress: Callable[[Reconciliation], object] | None = None,
) -> Reconciliation:
    """Reconcile all pages of a run with the sums of its form, and keep the result.

    What was read stays as it is. The same call again goes on where the last one
    ended, and adds pages that were read since. With other slips, calibration or
    versions of software it begins anew, and both are kept.

    Parameters
    ----------
    path : str or path
        The store.
    slips : SumSlips or "audits", optional
        How often sums are off as written; ``SumSlips()`` by default, which is a guess.
        "audits" learns it from the audit readings in the store, see `audited_slips`.
    run : Run or int, optional
        By default the one last read in.
    calibrator : DigitCalibrator, optional
        Fitted: makes the probabilities of the reader what they are worth.
    progress : callable, optional
        Called with a `Reconciliation` after each few pages.

    Returns
    -------
    Reconciliation

    Raises
    ------
    StoreError
        If the form has no sums, audits have read too few sheets, or the store cannot
        be opened or written; what is in it stays.

    See Also
    --------
    sktally.votes.reconcile_tallies : What is done with each few pages.
    store_table : Shows what was reconciled, and the final counts.
    sums_table : Tells for each sum that does not hold who is likelier to have erred.

    Notes
    -----
    Shown is the reconciliation that covers the most pages of its run and, of several,
    the last: one that was killed half-way hides none that is whole. But one that was
    told nothing, neither slips nor a calibrator, does not hide one that has learnt from
    audits: a guess hides nothing that is better known.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import reconcile_store
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> reconcile_store(path).done
    0
    >>> folder.cleanup()
    """
    check_calibrator(calibrator)
    with Store(path) as store:
        chosen = store.run(run)
        sums, form = check_sums(chosen), form_of(chosen)
        audited = None
        if slips == "audits":
            slips, audited = audited_slips(store, chosen)
        slips = _checked(slips)
        content = {
            "slips": _content(slips),
            "audited": audited,
            **({"temperature": None} if calibrator is None else calibrator._content()),
            "versions": versions("numpy", "scipy"),
        }
        number = begin_reconciliation(store, chosen, content)
        pages, known = count_sheets(store, chosen, number)
        told = Reconciliation(number, chosen.id, slips, audited, pages, known, known)
        totals = [form.field_names.index(total) for total in sums]
        for few, proba in pages_left(store, chosen, number, _TOGETHER):
            if calibrator is not None:
                proba = calibrator.transform(proba)
            found = reconcile_tallies(proba, form, slips=slips)
            add_sheets(store, number, few, found, totals)
            told.done += len(few)
            if progress is not None:
                progress(told)
        told.pages, told.done = count_sheets(store, chosen, number)  # others may add
    return told


def _content(slips: SumSlips) -> dict[str, Any]:
    """Return slips as they are noted: 0 and 0.0 are one."""
    shares = {name: float(getattr(slips, name)) for name in SLIP_TYPES}
    return {**shares, "seen": {int(d): int(n) for d, n in slips.seen.items()}}


def _checked(slips: SumSlips | str | None) -> SumSlips:
    """Return shares of slips, or raise if they are none."""
    if slips is None:
        return SumSlips()
    if not isinstance(slips, SumSlips):
        raise TallyError(f"slips: expected SumSlips or 'audits', got {slips!r:.60}")
    return slips
